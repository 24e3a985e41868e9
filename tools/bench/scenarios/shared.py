"""A machine that does other work: throughput and latencies beside busy programs."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Callable, Iterator

import gaps
from journal import cpu_times
from measures import OURS, Goal, Row
from servers import Daemon, Server, die_with_parent

PROMPT_WORDS, ANSWER_TOKENS, CONTEXT = 16, 48, 512
# Seconds in which requests start, one after another, for models with few and with many bytes.
LIGHT_SECONDS, HEAVY_SECONDS, QUICK_SECONDS = 4, 8, 2
# The other program is busy for this many seconds, and idle for as many.
PERIOD_S, QUICK_PERIOD_S = 5.0, 2.0
# Number of such pairs, for each program.
PERIODS, QUICK_PERIODS = 3, 1
# Seconds after each change in which the daemon may adapt.
ADAPTING_S = 1.0
BUSY_LOOP = (sys.executable, "-c", "while True: pass")

# The machine is idle if less than this fraction of its CPU time is used for a second. After this
# number of seconds the scenario goes on in any case.
IDLE_FRACTION, MAX_IDLE_CHECKS = 0.05, 60

ALL, ONE, SPIN, LLAMA = "all threads", "one thread", "short spin", "llama-server"
COMPANIES = {0: "alone", 1: "beside one busy loop", 2: "beside two busy loops"}
# The latencies of the same program differ by this factor and this time from run to run, because
# the system gives a CPU to another program for several milliseconds.
LATENCY_BOUND, LATENCY_TOLERANCE_MS = 1.25, 10.0

Measured = dict[str, float]


def shared_machine(bench: Any) -> list[Row]:
    """One client on a machine where no, one or two other programs are busy all the time. They are
    endless loops. The client sends requests one after another for some seconds, with prompts of 16
    words and answers of 48 tokens. The daemon has no `--threads`, so it chooses the number of its
    threads. `all threads` and `one thread` are the daemon with a fixed number. `short spin` has all
    threads and `GOMP_SPINCOUNT=1000`, so its threads wait for each other without using a CPU for
    long. `llama-server` has all threads. Each program serves the client for a second before it is
    measured. The longest gap is the longest time between two arrivals of text within an answer.

    In the last rows one loop is busy for 5 s and idle for 5 s, three times. They have the tokens/s
    while it is busy and while it is idle, without the first second after each change."""
    rows = []
    for model in (bench.real_models()[0], bench.small, bench.large):
        with ExitStack() as running:
            servers = {
                name: running.enter_context(server)
                for name, server in servers_of(bench, model).items()
            }
            wait_until_idle()
            for n_loops, company in COMPANIES.items():
                programs = {
                    name: steady(bench, model, server, n_loops)
                    for name, server in servers.items()
                }
                values = bench.in_turns(f"{model.stem} {company}", "", programs)
                rows += steady_rows(model, n_loops, company, values)
            if model == bench.real_models()[0]:
                label = f"{model.stem} beside a loop that comes and goes"
                programs = {name: changing(bench, servers[name]) for name in (OURS, ALL, ONE, SPIN)}
                rows += changing_rows(model, bench.in_turns(label, "", programs))
    return rows


def servers_of(bench: Any, model: Path) -> dict[str, Server]:
    """The programs, not started yet."""
    size = [str(model), "--parallel", "1", "--ctx-size", str(CONTEXT)]
    every = [*size, "--threads", str(bench.threads)]
    return {
        OURS: Daemon(bench, size),
        ALL: Daemon(bench, every, ALL),
        ONE: Daemon(bench, [*size, "--threads", "1"], ONE),
        SPIN: Daemon(bench, every, SPIN, {"GOMP_SPINCOUNT": "1000"}),
        LLAMA: bench.serve_llama(model, 1, CONTEXT),
    }


def wait_until_idle() -> None:
    """Waits until the daemons have moved their weights to huge pages: each of them is a busy
    program to the others."""
    for _ in range(MAX_IDLE_CHECKS):
        busy, total = cpu_times()
        time.sleep(1)
        busy_later, total_later = cpu_times()
        if busy_later - busy < IDLE_FRACTION * (total_later - total):
            return


@contextmanager
def busy_loop() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(BUSY_LOOP, preexec_fn=die_with_parent)
    try:
        yield process
    finally:
        # Also ends a stopped process.
        process.kill()
        process.wait()


def steady(bench: Any, model: Path, server: Server, n_loops: int) -> Callable[[int], Measured]:
    """Measures a server beside `n_loops` busy loops."""
    seconds = LIGHT_SECONDS if bench.is_light(model) else HEAVY_SECONDS
    seconds = QUICK_SECONDS if bench.quick else seconds

    def measure(turn: int) -> Measured:
        work = {"prompt_words": PROMPT_WORDS, "max_tokens": ANSWER_TOKENS}
        # No prompt is repeated, in whatever company.
        seed = 1000 * (n_loops + 1) + turn
        with ExitStack() as company:
            for _ in range(n_loops):
                company.enter_context(busy_loop())
            # The loops start, and a daemon that was idle learns of them.
            bench.load(server, **work, duration=round(ADAPTING_S), seed=seed + 500)
            report = bench.load(server, **work, duration=seconds, seed=seed, texts=True)
        found = gaps.of_answers(report["answers"], count=len)
        return {
            "tokens/s": report["output_tokens_per_s"],
            "ttft": report["ttft_ms"]["p50"],
            "longest gap": max(found.arrivals, default=0.0),
        }

    return measure


def steady_rows(
    model: Path, n_loops: int, company: str, values: dict[str, dict[str, list[float]]]
) -> list[Row]:
    throughput = (Goal(0.98, (ALL,)), Goal(0.9, (ONE,)), Goal(0.9, (ONE, SPIN)))[n_loops]
    latency = Goal(LATENCY_BOUND, (ONE,), plus=LATENCY_TOLERANCE_MS)
    found = [
        ("tokens/s", True, "tokens/s", [throughput, Goal(1.0, (LLAMA,))]),
        ("ms", False, "ttft", [latency]),
        ("ms", False, "longest gap", [latency]),
    ]
    names = {"tokens/s": "one stream", "ttft": "TTFT, p50", "longest gap": "longest gap"}
    return [
        Row(f"{names[key]}, {company}", model.stem, unit, is_more_better, values[key], goals)
        for unit, is_more_better, key, goals in found
    ]


def changing(bench: Any, server: Any) -> Callable[[int], Measured]:
    """Measures a daemon beside a loop that is busy and idle in turns."""
    period = QUICK_PERIOD_S if bench.quick else PERIOD_S
    n_periods = QUICK_PERIODS if bench.quick else PERIODS

    def measure(turn: int) -> Measured:
        duration = round(2 * period * n_periods)
        options = {"prompt_words": PROMPT_WORDS, "max_tokens": ANSWER_TOKENS, "seed": 200 + turn}
        client = threading.Thread(
            target=bench.load, args=(server,), kwargs={**options, "duration": duration}
        )
        rates: dict[str, list[float]] = {"idle": [], "busy": []}
        with busy_loop() as loop:
            loop.send_signal(signal.SIGSTOP)
            client.start()
            for _ in range(n_periods):
                for state, change in (("idle", signal.SIGSTOP), ("busy", signal.SIGCONT)):
                    loop.send_signal(change)
                    time.sleep(ADAPTING_S)
                    rates[state].append(rate(server, period - ADAPTING_S))
            client.join()
        return {state: sum(found) / len(found) for state, found in rates.items()}

    return measure


def rate(server: Any, seconds: float) -> float:
    """Tokens/s that a daemon generates in the next `seconds`."""
    began, before = time.perf_counter(), server.counter("generated_tokens_total")
    time.sleep(seconds)
    n_tokens = server.counter("generated_tokens_total") - before
    return n_tokens / (time.perf_counter() - began)


def changing_rows(model: Path, values: dict[str, dict[str, list[float]]]) -> list[Row]:
    goals = {"idle": [Goal(0.95, (ALL,))], "busy": [Goal(0.9, (ONE,))]}
    return [
        Row(
            f"one stream, while a loop that comes and goes is {state}",
            model.stem,
            "tokens/s",
            True,
            values[state],
            goals[state],
        )
        for state in ("idle", "busy")
    ]
