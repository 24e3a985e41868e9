"""Disturbs the runner in many ways and measures what clients see.

`make test-faults` runs it with the debug build, whose steps can be made to fail. It prints the
table of docs/RELIABILITY.md, then disturbs a daemon under mixed load at random for ten minutes. It
exits with 1 if a promise is broken. It needs Linux.
"""

import argparse
import asyncio
import collections
import json
import os
import pathlib
import random
import re
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import websockets

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEMO = ROOT / "tools/demo-model/demo.gguf"

N_RUNNING = 4
N_WAITING = 10

# Limit of every wait, far above what is needed.
DEADLINE_S = 60

# Bytes of a prompt for which a runner needs more memory.
LARGE_PROMPT = 2_000_000

# Pause of a client that was told to try again later.
RETRY_S = 0.2

# Growth of the daemon's memory that is no leak, in MB.
MEMORY_TOLERANCE_MB = 8

# What a stall may last beyond `--stall-limit`.
STALL_LIMIT_S = 2
STALL_GRACE_S = 1

# What a killed runner may cost the first waiting request of the demo model.
RESTART_S = 0.5


class Broken(Exception):
    """A promise is broken."""


class Daemon:
    """A daemon with a model in a file of its own, whose runner can be disturbed."""

    def __init__(self, binary, folder, *args):
        self.model = pathlib.Path(folder) / "model.gguf"
        self.trigger = pathlib.Path(folder) / "fault"
        shutil.copy(DEMO, self.model)
        self.log = open(pathlib.Path(folder) / "log", "w+")
        command = [binary, str(self.model), "0", "--ctx-size", "1000", *args]
        variables = dict(os.environ, INFERENCE_CORE_TEST_FAULT=str(self.trigger))
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=self.log, text=True, env=variables
        )
        self.port = None
        for line in self.process.stdout:
            if found := re.search(r"ws://127.0.0.1:(\d+)", line):
                self.port = int(found.group(1))
            if line.startswith("ready"):
                return
        raise Broken("the daemon did not start")

    def runner(self):
        """The process id of the runner; waits for the next one if there is none."""
        ends = time.monotonic() + DEADLINE_S
        while time.monotonic() < ends:
            for path in pathlib.Path(f"/proc/{self.process.pid}/task").glob("*/children"):
                try:
                    if children := path.read_text().split():
                        return int(children[0])
                except OSError:
                    pass
            time.sleep(0.01)
        raise Broken("there is no runner")

    def disturb(self, fault):
        """Does what `fault` says, a key of FAULTS."""
        if fault.startswith("SIG"):
            os.kill(self.runner(), getattr(signal, fault))
        elif fault in ("abort", "hang", "spin", "fail"):
            self.trigger.write_text(fault)
        elif fault == "allocation":
            pid = self.runner()
            pages = int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[0])
            limit = pages * resource.getpagesize()
            resource.prlimit(pid, resource.RLIMIT_AS, (limit, limit))
        elif fault == "truncated":
            os.truncate(self.model, 1000)
        elif fault == "replaced":
            other = self.model.with_suffix(".new")
            other.write_bytes(b"another file")
            other.rename(self.model)
            os.kill(self.runner(), signal.SIGKILL)

    def connect(self):
        return websockets.connect(f"ws://127.0.0.1:{self.port}", max_size=None)

    def page(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as page:
            return page.read().decode()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.log.close()

    def is_ready(self):
        try:
            return "true" in self.page("/readyz")
        except urllib.error.HTTPError:
            return False

    def stop(self):
        """Ends the daemon and checks that its runner ends, too."""
        runner = self.runner()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(DEADLINE_S)
        if code != 0:
            raise Broken(f"the daemon ended with {code}")
        if pathlib.Path(f"/proc/{runner}").exists() and "Z" not in state(runner):
            raise Broken("the runner is left behind")


def state(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return "Z"


def infer(name, tokens, prompt=None):
    params = {"max_tokens": tokens, "temp": 0, "ignore_eos": True}
    prompt = prompt or f"Once {name}"
    return json.dumps({"op": "infer", "id": name, "prompt": prompt, "params": params})


# What to do, in words, and the codes with which the running requests may end.
FAULTS = {
    "SIGKILL": ("runner killed (SIGKILL)", {"engine_failed"}),
    "SIGABRT": ("runner aborts (SIGABRT)", {"engine_failed"}),
    "SIGILL": ("runner crashes (SIGILL)", {"engine_failed"}),
    "abort": ("`abort()` in a step", {"engine_failed"}),
    "allocation": ("no more memory (`RLIMIT_AS`)", {"engine_failed"}),
    "SIGSTOP": ("runner stopped (SIGSTOP)", {"engine_stalled"}),
    "hang": ("a step that sleeps for ever", {"engine_stalled"}),
    "spin": ("a step that computes for ever", {"engine_stalled"}),
    "fail": ("a step that fails", {"engine_failed"}),
    "replaced": ("model file replaced, runner killed", {"engine_failed"}),
    "truncated": ("model file truncated", {"length"}),
}


async def one_fault(binary, fault):
    """Disturbs four streams and ten waiting requests. Returns the codes of the running ones and the
    time until the first text of a waiting one."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Daemon(binary, folder, "--stall-limit", str(STALL_LIMIT_S)) as daemon,
    ):
        names = [f"r{i}" for i in range(N_RUNNING)] + [f"w{i}" for i in range(N_WAITING)]
        started, ends, disturbed, first = set(), {}, None, None
        async with daemon.connect() as socket:
            for name in names:
                await socket.send(infer(name, 900 if name[0] == "r" else 20))
            async with asyncio.timeout(DEADLINE_S):
                while not all(name in ends for name in names):
                    frame = json.loads(await socket.recv())
                    now = time.monotonic()
                    name = frame.get("id")
                    if frame["op"] == "token":
                        started.add(name)
                        if disturbed is None and len(started) == N_RUNNING:
                            disturbed = now
                            daemon.disturb(fault)
                            if fault == "allocation":
                                # A prompt for which the runner needs more memory.
                                await socket.send(infer("big", 1, prompt="x" * LARGE_PROMPT))
                        elif disturbed and name[0] == "w" and first is None:
                            first = now - disturbed
                    elif frame["op"] in ("end", "error"):
                        if name in ends:
                            raise Broken(f"{name} ended twice")
                        ends[name] = frame.get("code") or frame["finish_reason"]
        daemon.stop()
    lost = [name for name in names if name[0] == "w" and ends[name] != "length"]
    if lost:
        raise Broken(f"{fault}: waiting requests were lost: {lost}")
    codes = {ends[name] for name in names if name[0] == "r"}
    if not codes <= FAULTS[fault][1]:
        raise Broken(f"{fault}: running requests ended with {codes}")
    return codes, first


async def table(binary, turns):
    """Prints a row per fault. Returns the promises that are broken."""
    broken = []
    print("| fault | running requests | first text of a waiting one |")
    print("|---|---|---|")
    for fault, (words, _) in FAULTS.items():
        firsts, codes = [], set()
        for _ in range(turns):
            try:
                more, first = await one_fault(binary, fault)
                codes |= more
                firsts.append(first or 0)
            except (Broken, TimeoutError, subprocess.TimeoutExpired) as error:
                broken.append(f"{fault}: {error!r}")
        if not firsts:
            continue
        limit = STALL_LIMIT_S + STALL_GRACE_S if "engine_stalled" in codes else RESTART_S
        worst, median = max(firsts), statistics.median(firsts)
        if fault not in ("fail", "truncated") and median > limit:
            broken.append(f"{fault}: {median:.2f} s until the next text, more than {limit}")
        ended = ", ".join(f"`{code}`" for code in sorted(codes))
        print(f"| {words} | {ended} | {1000 * median:.0f} ms, at most {1000 * worst:.0f} ms |")
        sys.stdout.flush()
    return broken


async def client(daemon, generator, totals, until):
    """Asks one thing after another on one connection, aborts some, and leaves sometimes."""
    while time.monotonic() < until:
        async with daemon.connect() as socket:
            for _ in range(generator.randrange(1, 20)):
                name = f"n{totals['sent']}"
                totals["sent"] += 1
                await socket.send(infer(name, generator.choice([1, 20, 60, 300])))
                aborts, leaves = generator.random() < 0.1, generator.random() < 0.02
                if aborts:
                    await socket.send(json.dumps({"op": "abort", "id": name}))
                if leaves:
                    totals["left"] += 1
                    break
                while True:
                    frame = json.loads(await asyncio.wait_for(socket.recv(), DEADLINE_S))
                    if frame.get("code") == "not_found":
                        continue  # The request ended before its abort.
                    if frame["op"] in ("end", "error"):
                        if frame.get("id") != name:
                            raise Broken(f"{frame} although {name} was asked")
                        totals[frame.get("code") or frame["finish_reason"]] += 1
                        if "retry_after_ms" in frame:
                            await asyncio.sleep(RETRY_S)
                        break


async def soak(binary, seconds, n_faults, seed):
    """Disturbs a daemon under mixed load at random. Returns the promises that are broken."""
    generator = random.Random(seed)
    totals = collections.Counter()
    kinds = ["SIGKILL", "SIGABRT", "SIGILL", "abort", "fail", "SIGSTOP", "hang", "spin"]
    with (
        tempfile.TemporaryDirectory() as folder,
        Daemon(binary, folder, "--stall-limit", "1") as daemon,
    ):
        until = time.monotonic() + seconds
        clients = [
            asyncio.create_task(client(daemon, random.Random(seed + i), totals, until))
            for i in range(12)
        ]
        await asyncio.sleep(min(5, seconds / 4))
        before, counts = usage(daemon), dict.fromkeys(kinds, 0)
        for _ in range(n_faults):
            # Twice a random part of the mean, so that the faults fill the time.
            await asyncio.sleep(2 * generator.random() * (seconds - 10) / n_faults)
            if time.monotonic() > until - 2:
                break
            if not await asyncio.to_thread(daemon.is_ready):
                continue  # A fault of a model that is down tells nothing.
            kind = generator.choice(kinds)
            counts[kind] += 1
            try:
                await asyncio.to_thread(daemon.disturb, kind)
            except ProcessLookupError:
                pass  # The runner has just ended.
        results = await asyncio.gather(*clients, return_exceptions=True)
        daemon.trigger.unlink(missing_ok=True)
        broken = [f"a client: {result!r}" for result in results if result]
        await asyncio.sleep(3)
        after = usage(daemon)
        metrics = daemon.page("/metrics")
        daemon.stop()
    ends = re.findall(r"^inference_core_requests_total\{.*\} (\S+)$", metrics, re.M)
    counted = sum(int(float(n)) for n in ends)
    print(f"faults: {sum(counts.values())} {counts}\nrequests: {dict(totals)}")
    print(
        f"daemon: {before[0]:.1f} MB and {before[1]} descriptors before, "
        f"{after[0]:.1f} MB and {after[1]} after"
    )
    if counted != totals["sent"]:
        broken.append(f"{totals['sent']} requests were sent, but {counted} ends are counted")
    if after[0] > before[0] + MEMORY_TOLERANCE_MB:
        broken.append(f"the daemon's memory grew from {before[0]:.1f} to {after[0]:.1f} MB")
    if after[1] > before[1]:
        broken.append(f"the daemon's descriptors grew from {before[1]} to {after[1]}")
    return broken


def usage(daemon):
    """The daemon's memory in MB and its open descriptors without sockets of clients."""
    status = pathlib.Path(f"/proc/{daemon.process.pid}/status").read_text()
    memory = int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) / 1024
    descriptors = 0
    for path in pathlib.Path(f"/proc/{daemon.process.pid}/fd").iterdir():
        try:
            descriptors += not os.readlink(path).startswith("socket:")
        except OSError:
            pass
    return memory, descriptors


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("binary", help="the daemon, a debug build")
    parser.add_argument("--turns", type=int, default=5, help="repetitions of each fault")
    parser.add_argument("--seconds", type=int, default=600, help="duration of the random faults")
    parser.add_argument("--faults", type=int, default=200, help="number of random faults")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    broken = asyncio.run(table(args.binary, args.turns))
    print()
    broken += asyncio.run(soak(args.binary, args.seconds, args.faults, args.seed))
    for promise in broken:
        print(f"BROKEN: {promise}")
    sys.exit(bool(broken))


if __name__ == "__main__":
    main()
