"""Runs the Autobahn test suite, a conformance test of WebSocket servers, against the echo server.

`make autobahn PYTHON2=python2.7` runs it. The suite needs Python 2.7; its packages are installed
below `target/autobahn` once. The echo server (`examples/echo.rs`) uses the code of the daemon from
the upgrade to the close frame. All cases are run but those on compression, which the server never
agrees to. Exits with 1 if a case fails. The report with all frames is
`target/autobahn/reports/index.html`.
"""

import argparse
import collections
import json
import os
import pathlib
import socket
import subprocess
import sys
import time

PACKAGE = "autobahntestsuite==0.8.2"

AGENT = "inference-core"

# Compression: the extension permessage-deflate.
EXCLUDED = ["12.*", "13.*"]

# What the suite says about a case that does not fail. NON-STRICT is what the RFC allows and another
# behaviour would be better; INFORMATIONAL has no right answer.
PASSED = {"OK", "NON-STRICT", "INFORMATIONAL"}

# Limit of the waits for the server's port and for the whole suite, which takes 15 s on two cores.
START_S = 10
SUITE_S = 900


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("server", type=pathlib.Path, help="the built example `echo`")
    parser.add_argument("folder", type=pathlib.Path, help="where packages and reports are stored")
    parser.add_argument("--python2", default="python2.7", help="a Python 2.7 with pip")
    args = parser.parse_args()
    folder = args.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "PYTHONUSERBASE": str(folder / "packages")}
    suite = install(args.python2, folder, environment)
    port = free_port()
    write_spec(folder, port)
    with subprocess.Popen([args.server, str(port)]) as server:
        try:
            wait_for(port)
            command = [suite, "-m", "fuzzingclient", "-s", "spec.json"]
            with open(folder / "suite.log", "w") as log:
                subprocess.run(
                    command, cwd=folder, env=environment, stdout=log, stderr=log, check=True,
                    timeout=SUITE_S,
                )
        finally:
            server.kill()
    sys.exit(judge(folder))


def install(python2, folder, environment):
    """Installs the suite unless it is there. Returns the path of its program."""
    program = folder / "packages/bin/wstest"
    if not program.exists():
        install = [python2, "-m", "pip", "install", "--user", "--quiet", PACKAGE]
        try:
            subprocess.run(install, env=environment, check=True)
        except FileNotFoundError:
            sys.exit(f"{python2} is not installed: name a Python 2.7 with pip as PYTHON2")
    return program


def write_spec(folder, port):
    server = {
        "agent": AGENT,
        "url": f"ws://127.0.0.1:{port}/echo",
        "options": {"version": 18},
    }
    spec = {
        "outdir": "reports",
        "servers": [server],
        "cases": ["*"],
        "exclude-cases": EXCLUDED,
        "exclude-agent-cases": {},
    }
    (folder / "spec.json").write_text(json.dumps(spec))


def judge(folder):
    """Prints how the cases ended. Returns the exit code."""
    cases = json.loads((folder / "reports/index.json").read_text())[AGENT]
    if not cases:
        print("no case was run: see suite.log")
        return 1
    ends = {name: {case["behavior"], case["behaviorClose"]} for name, case in cases.items()}
    counts = collections.Counter(case["behavior"] for case in cases.values())
    print(f"{len(cases)} cases:", ", ".join(f"{n} {end}" for end, n in sorted(counts.items())))
    for name, end in ends.items():
        if end != {"OK"}:
            print(f"  {name}: {', '.join(sorted(end))}")
    return 0 if all(end <= PASSED for end in ends.values()) else 1


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for(port):
    deadline = time.monotonic() + START_S
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                sys.exit("the echo server does not listen")
            time.sleep(0.05)


if __name__ == "__main__":
    main()
