"""Attacks a daemon in many ways and measures what an honest client and an operator see meanwhile.

    python tools/attacks/attacks.py BINARY [--only NAME ...] [--model FILE] [--seconds N]

prints the table of docs/SECURITY.md: for each attack the gaps between the texts of an honest stream
and the time for /healthz, before and during the attack, the first text of honest new clients, and
the memory and descriptors before, at the peak and after. It exits with 1 if a promise is broken.
It needs Linux.

The honest clients have one API key and the hostile ones another. With --one-address there are no
keys: then all clients count as one, because all come from this machine.

Each attack has a daemon of its own, and its clients are a process of their own with a low priority,
because real ones run on other machines.
"""

import argparse
import asyncio
import json
import os
import pathlib
import re
import resource
import subprocess
import sys
import tempfile
import time

import hostile
import websockets

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEMO = ROOT / "tools/demo-model/demo.gguf"

# Limit of every wait, far above what is needed.
DEADLINE_S = 60

# Longest step while a client is streaming: the default of --step-target.
STEP_MS = 100

# Limits of the promises.
HEALTH_LIMIT_MS = 100
MEMORY_TOLERANCE_MB = 32
DESCRIPTOR_TOLERANCE = 2

# Time after an attack until memory and descriptors have to be as before.
RECOVERY_S = 5

LOW_PRIORITY = 5

# Time for an attack to build up before it is measured.
BUILD_UP_S = 3

# By name: arguments of the daemon, whether its log is read, its limit on open files, and the least
# duration in seconds.
ATTACKS = {
    "unfinished_messages": {},
    "unfinished_with_pings": {"seconds": 45},
    "announced_lengths": {},
    "short_requests": {"args": ["--log", "info"], "unread": True},
    "costly_short_prompts": {},
    "long_prompts": {},
    "abandoned_prompts": {},
    "idle_connections": {},
    "many_connections": {"files": 64},
    "endless_requests": {},
    "retries": {},
    "abort_loops": {},
    "busy_connections": {},
    "unread_answers": {},
    "slow_pages": {},
    "garbage": {},
    "aborts": {},
    "unread_logprobs": {},
    "reconnects": {},
    "compressed_frames": {},
    "one_byte_frames": {},
    "nested_json": {},
    "short_message_flood": {},
    "long_message_flood": {},
    "subscriptions": {},
    "half_closed": {},
}

# The attacks of the short form, which `make test-faults` runs.
SHORT = ["unfinished_messages", "idle_connections", "many_connections", "short_message_flood"]


class Broken(Exception):
    """A promise is broken."""


class Daemon:
    """A daemon with a model, under the limits of an attack."""

    def __init__(self, binary, model, folder, attack, one_address):
        self.log = open(pathlib.Path(folder) / "log", "w+")
        stderr = subprocess.PIPE if attack.get("unread") else self.log

        def limit():
            if files := attack.get("files"):
                resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

        self.keys = {}
        command = [binary, str(model), "0", *attack.get("args", [])]
        if not one_address:
            file = str(pathlib.Path(folder) / "keys.toml")
            for name in ("honest", "hostile"):
                new = [binary, "key", "new", name, "--file", file]
                made = subprocess.run(new, check=True, capture_output=True, text=True)
                self.keys[name] = made.stdout.strip()
            command += ["--api-key-file", file]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=stderr, text=True, preexec_fn=limit
        )
        self.port = None
        for line in self.process.stdout:
            if found := re.search(r"ws://127.0.0.1:(\d+)", line):
                self.port = int(found.group(1))
            if line.startswith("ready"):
                return
        raise Broken("the daemon did not start")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        if self.process.stderr:
            self.process.stderr.close()
        self.log.close()

    def usage(self):
        """Memory of the daemon and its runner in MB, and open descriptors of the daemon."""
        pid = self.process.pid
        children = []
        for path in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
            children += path.read_text().split()
        memory = [resident_mb(pid), sum(resident_mb(child) for child in children)]
        return [*memory, len(os.listdir(f"/proc/{pid}/fd"))]


def authorization(key):
    return {"Authorization": f"Bearer {key}"} if key else {}


def resident_mb(pid):
    try:
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"VmRSS:\s+(\d+)", status)
    return int(found.group(1)) / 1024 if found else 0


class Observer:
    """Measures what honest clients see, until it is cancelled. `phase` names the current series."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.phase = None
        self.gaps, self.health, self.firsts = {}, {}, {}
        self.failures = {}
        self.peak = daemon.usage()

    def add(self, series, milliseconds):
        if self.phase:
            series.setdefault(self.phase, []).append(milliseconds)

    def fail(self, what):
        if self.phase:
            self.failures.setdefault(self.phase, []).append(what)

    def connect(self):
        address = f"ws://127.0.0.1:{self.daemon.port}"
        headers = authorization(self.daemon.keys.get("honest"))
        options = {"max_size": None, "open_timeout": DEADLINE_S}
        return websockets.connect(address, additional_headers=headers, **options)

    async def stream(self):
        """One endless answer after the other on one connection."""
        async with self.connect() as socket:
            while True:
                params = {"ignore_eos": True, "max_tokens": 900}
                request = {"op": "infer", "id": "s", "prompt": "Once upon a time", "params": params}
                await socket.send(json.dumps(request))
                last = None
                while True:
                    frame = json.loads(await socket.recv())
                    if frame.get("id") != "s":
                        continue
                    if frame["op"] in ("end", "error"):
                        if frame["op"] == "error":
                            self.fail(f"stream: {frame['code']}")
                            await asyncio.sleep(0.1)
                        break
                    now = time.perf_counter()
                    if frame["op"] == "token":
                        if last:
                            self.add(self.gaps, 1000 * (now - last))
                        last = now

    async def new_clients(self):
        """A client that connects, asks a short question and leaves, twice per second."""
        request = {
            "op": "infer",
            "messages": [{"role": "user", "content": "Hello"}],
            "params": {"max_tokens": 4},
        }
        while True:
            began = time.perf_counter()
            try:
                async with asyncio.timeout(10), self.connect() as socket:
                    await socket.send(json.dumps(request))
                    while True:
                        frame = json.loads(await socket.recv())
                        if frame["op"] in ("token", "error", "end"):
                            break
                if frame["op"] == "error":
                    self.fail(f"new client: {frame['code']}")
                else:
                    self.add(self.firsts, 1000 * (time.perf_counter() - began))
            except (OSError, TimeoutError, websockets.WebSocketException) as error:
                self.fail(f"new client: {type(error).__name__}")
            await asyncio.sleep(0.5)

    async def healthz(self):
        """A new connection for /healthz, ten times per second."""
        request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        while True:
            began = time.perf_counter()
            try:
                async with asyncio.timeout(10):
                    reader, writer = await asyncio.open_connection("127.0.0.1", self.daemon.port)
                    writer.write(request)
                    answer = await reader.read()
                    writer.close()
                if answer.startswith(b"HTTP/1.1 200"):
                    self.add(self.health, 1000 * (time.perf_counter() - began))
                else:
                    self.fail(f"healthz: {answer[:20]!r}")
            except (OSError, TimeoutError) as error:
                self.fail(f"healthz: {type(error).__name__}")
            await asyncio.sleep(0.1)

    async def memory(self):
        while True:
            self.peak = [max(pair) for pair in zip(self.peak, self.daemon.usage())]
            await asyncio.sleep(0.1)


def percentile(values, p):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * p / 100))] if ordered else float("nan")


async def measure(daemon, name, seconds):
    """Runs one attack. Returns the observer, and the usage before and after."""
    observer = Observer(daemon)
    watchers = [observer.stream, observer.new_clients, observer.healthz, observer.memory]
    tasks = [asyncio.create_task(watcher()) for watcher in watchers]
    try:
        await asyncio.sleep(2)
        before = daemon.usage()
        observer.phase = "before"
        await asyncio.sleep(min(seconds, 8))
        observer.phase = None
        command = [sys.executable, __file__, "--attack", name, "--port", str(daemon.port)]
        environment = os.environ | {hostile.KEY_VARIABLE: daemon.keys.get("hostile", "")}
        attacker = await asyncio.create_subprocess_exec(*command, env=environment)
        await asyncio.sleep(BUILD_UP_S)
        observer.phase = "during"
        for _ in range(int(seconds * 10)):
            await asyncio.sleep(0.1)
            if daemon.process.poll() is not None:
                raise Broken(f"the daemon ended with {daemon.process.returncode}")
        observer.phase = None
        attacker.kill()
        await attacker.wait()
        await asyncio.sleep(RECOVERY_S)
        if tasks[0].done():
            observer.failures.setdefault("during", []).append(f"stream: {tasks[0].exception()!r}")
        return observer, before, daemon.usage()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def row(name, observer, before, after):
    """The row of an attack, and the promises that are broken."""
    series = lambda values, phase: values.get(phase, [])
    gaps = {phase: series(observer.gaps, phase) for phase in ("before", "during")}
    p50, p99 = ([percentile(gaps[phase], p) for phase in gaps] for p in (50, 99))
    health = [max(series(observer.health, phase), default=float("nan")) for phase in gaps]
    firsts = [percentile(series(observer.firsts, phase), 95) for phase in gaps]
    failures = observer.failures.get("during", [])
    broken = sorted({f"{failures.count(failure)} × {failure}" for failure in failures})
    if not p99[1] <= 2 * p99[0] + STEP_MS:
        broken.append(f"gap p99 {p99[0]:.0f} to {p99[1]:.0f} ms")
    if not health[1] <= HEALTH_LIMIT_MS:
        broken.append(f"/healthz {health[1]:.0f} ms")
    for what, low, high in zip(("daemon", "runner"), before, after):
        if high > low + MEMORY_TOLERANCE_MB:
            broken.append(f"memory of the {what} {low:.0f} to {high:.0f} MB")
    if after[2] > before[2] + DESCRIPTOR_TOLERANCE:
        broken.append(f"descriptors {before[2]} to {after[2]}")
    arrow = lambda values: " → ".join(f"{value:.0f}" for value in values)
    usage = [arrow(values) for values in zip(before, observer.peak, after)]
    cells = [name, arrow(p50), arrow(p99), arrow(health), arrow(firsts), *usage]
    return "| " + " | ".join([*cells, "; ".join(broken) or "yes"]) + " |", broken


async def attack(arguments, name):
    """Runs one attack and returns its row and the promises that are broken."""
    options = ATTACKS[name]
    seconds = max(arguments.seconds, options.get("seconds", 0))
    with (
        tempfile.TemporaryDirectory() as folder,
        Daemon(
            arguments.binary, arguments.model, folder, options, arguments.one_address
        ) as daemon,
    ):
        try:
            return row(name, *await measure(daemon, name, seconds))
        except (Broken, OSError) as error:
            return f"| {name} | | | | | | | | {error} |", [str(error)]


async def run(arguments):
    print("| attack | gap p50 | gap p99 | /healthz, longest | first text p95 | daemon | runner "
          "| descriptors | holds |")
    print("|---|---|---|---|---|---|---|---|---|")
    is_broken = False
    for name in arguments.only or (SHORT if arguments.short else ATTACKS):
        line, broken = await attack(arguments, name)
        is_broken |= bool(broken)
        print(line, flush=True)
    return is_broken


def raise_descriptor_limit():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("binary", nargs="?", help="the daemon, a release build")
    parser.add_argument("--only", nargs="+", choices=ATTACKS, metavar="NAME", help="these attacks")
    parser.add_argument("--model", default=DEMO, help="the model (default: the demo model)")
    parser.add_argument("--seconds", type=float, default=10, help="duration of each attack")
    parser.add_argument("--short", action="store_true", help="a few attacks")
    parser.add_argument("--one-address", action="store_true", help="no API keys")
    parser.add_argument("--list", action="store_true", help="print what each attack does")
    # For the process of the hostile clients.
    parser.add_argument("--attack", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.list:
        for name in ATTACKS:
            print(f"{name}: {getattr(hostile, name).__doc__}")
    elif arguments.attack:
        raise_descriptor_limit()
        os.nice(LOW_PRIORITY)
        asyncio.run(getattr(hostile, arguments.attack)(arguments.port))
    elif arguments.binary:
        sys.exit(asyncio.run(run(arguments)))
    else:
        parser.error("the path of the daemon is missing")


if __name__ == "__main__":
    main()
