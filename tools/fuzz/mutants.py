"""Changes the demo model's file in many ways and serves each with the daemon.

`make mutants` and `make test-faults` run it. Whatever is in a file, the daemon must refuse it in one line with a
documented exit code, or get ready and end every request; its runner may die. Each file is first
planned (`inference-core plan`), then served: one prompt, one conversation, `/healthz`, SIGTERM.
Prints how many files of each kind ended how, and exits with 1 if one broke a promise. The same seed
makes the same files.
"""

import argparse
import collections
import concurrent.futures
import json
import pathlib
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request

import changes
import websockets.sync.client
from seeds import DEMO

# Documented exit codes of a daemon that does not serve a file (`inference-core --help`).
REFUSED = {64, 65, 66, 70, 71}

# Limits of the waits. Far above what is needed: a hang is what they find.
PLAN_S = 30
LOAD_S = 120
ANSWER_S = 60
STOP_S = 30
PAGE_S = 10

REQUESTS = [
    {"op": "infer", "id": "a", "prompt": "Hello", "params": {"max_tokens": 4}},
    {"op": "infer", "id": "b", "messages": [{"role": "user", "content": "Hi"}],
     "params": {"max_tokens": 4}},
]


class Broken(Exception):
    """A promise is broken."""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary", type=pathlib.Path)
    parser.add_argument("--files", type=int, default=1000, help="number of files")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2, help="daemons at once")
    args = parser.parse_args()
    demo = DEMO.read_bytes()

    def run(number):
        rng = random.Random(f"{args.seed} {number}")
        kind, what, raw = changes.change(demo, number, rng)
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "model.gguf"
            path.write_bytes(raw)
            try:
                return kind, serve(args.binary, path), None
            except Broken as broken:
                return kind, "broken", f"file {number}, {kind}: {what}: {broken}"

    ends = collections.defaultdict(collections.Counter)
    n_broken = 0
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for kind, end, problem in pool.map(run, range(args.files)):
            ends[kind][end] += 1
            if problem:
                n_broken += 1
                print(problem, flush=True)
    print_table(ends)
    sys.exit(1 if n_broken else 0)


def print_table(ends):
    columns = sorted({end for counter in ends.values() for end in counter})
    print("| change | files |", " | ".join(columns), "|")
    print("|---|--:|" + "--:|" * len(columns))
    total = sum(ends.values(), collections.Counter())
    for kind, counter in [*sorted(ends.items()), ("all", total)]:
        cells = [str(counter[end] or "") for end in columns]
        print(f"| {kind} | {counter.total()} |", " | ".join(cells), "|")


def serve(binary, path):
    """Plans and serves a file. Returns how that ended."""
    planned = run_to_end([binary, "plan", path], PLAN_S)
    if planned is not None:
        return f"refused by plan, {planned}"
    with open(path.with_suffix(".log"), "w+") as log:
        command = [binary, path, "0", "--threads", "1"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as daemon:
            try:
                return use(daemon, log)
            finally:
                daemon.kill()


def use(daemon, log):
    """Sends requests to a daemon as soon as it is ready. Returns how that ended."""
    with Deadline(daemon, LOAD_S) as deadline:
        port = None
        for line in daemon.stdout:
            if found := re.search(r"ws://127.0.0.1:(\d+)", line):
                port = found.group(1)
            if line.startswith("ready"):
                break
        else:
            code = daemon.wait()
            if deadline.is_over:
                raise Broken(f"not loaded in {LOAD_S} s")
            log.seek(0)
            return f"refused by load, {checked(code, log.read())}"
    ends = ask(port)
    try:
        page = urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=PAGE_S)
        page.close()
    except urllib.error.HTTPError:
        # 503: the model's process ends again and again.
        pass
    except OSError as error:
        raise Broken(f"/healthz: {error}") from error
    daemon.send_signal(signal.SIGTERM)
    try:
        code = daemon.wait(STOP_S)
    except subprocess.TimeoutExpired as error:
        raise Broken(f"does not stop within {STOP_S} s") from error
    if code != 0:
        raise Broken(f"exit code {code} after SIGTERM")
    return f"ready, {ends}"


def ask(port):
    """Sends the requests and returns how they ended, sorted."""
    try:
        with websockets.sync.client.connect(f"ws://127.0.0.1:{port}", max_size=None) as socket:
            for request in REQUESTS:
                socket.send(json.dumps(request))
            ends = {}
            while len(ends) < len(REQUESTS):
                frame = json.loads(socket.recv(timeout=ANSWER_S))
                if frame["op"] in ("end", "error"):
                    ends[frame["id"]] = frame.get("code", "answered")
            return " and ".join(sorted(set(ends.values())))
    except (OSError, TimeoutError, websockets.exceptions.WebSocketException) as error:
        raise Broken(f"a request has no end: {error!r}") from error


def run_to_end(command, limit):
    """Runs a command. Returns `None` if it succeeds, else its exit code."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired as error:
        raise Broken(f"{command[1]} takes more than {limit} s") from error
    return None if done.returncode == 0 else checked(done.returncode, done.stderr)


def checked(code, stderr):
    """Checks how the program refused a file. Returns the exit code."""
    if code not in REFUSED:
        raise Broken(f"exit code {code}: {stderr}")
    if not stderr.endswith("\n") or not stderr[:-1].isprintable():
        raise Broken(f"not one plain line: {stderr!r}")
    return code


class Deadline:
    """Kills a process that takes longer than a limit."""

    def __init__(self, process, limit):
        self.process, self.limit, self.is_over = process, limit, False

    def __enter__(self):
        self.timer = threading.Timer(self.limit, self.end)
        self.timer.start()
        return self

    def end(self):
        self.is_over = True
        self.process.kill()

    def __exit__(self, *_):
        self.timer.cancel()


if __name__ == "__main__":
    main()
