"""A long time of mixed traffic."""

from __future__ import annotations

from statistics import median
from typing import Any

from measures import OURS, Goal, Row

CLIENTS, SLOTS, CONTEXT = 64, 8, 2048
PROMPT_WORDS, ANSWER_TOKENS = "8..512", "16..256"
# So busy that requests wait, so idle that they need not wait ever longer.
BUSY = 0.85
# What the daemon manages is measured so often: one time alone falls into a good or a bad minute of
# the machine, and the queue of all that follows is full or empty by it.
CAPACITY_RUNS = 5


def soak(bench: Any) -> list[Row]:
    """64 clients over 8 slots for as long as `SOAK` says: Poisson arrivals at 85 % of what the daemon
    managed with all clients busy (the median of five short runs), so that requests often wait.
    Prompts of 8 to 512 words, answers of 16 to 256 tokens. Fairness: the mean wait for a first text
    of the client that waited longest, divided by that of all clients. One run, so no spread; waiting
    depends on what came together by chance."""
    model = bench.small
    seconds = 20 if bench.quick else bench.soak_s
    work = {"connections": CLIENTS, "prompt_words": PROMPT_WORDS, "max_tokens": ANSWER_TOKENS}
    with bench.serve(model, SLOTS, CONTEXT) as server:
        runs = (
            bench.load(server, **work, duration=max(5, seconds // 60), seed=10 + turn)
            for turn in range(1 if bench.quick else CAPACITY_RUNS)
        )
        capacity = median(run["requests"] / run["wall_s"] for run in runs)
        rate = BUSY * capacity
        bench.journal.say(f"{capacity:.1f} requests/s at most; {seconds} s at {rate:.1f}")
        held = server.status_kb("VmRSS")
        answer = bench.load(server, **work, duration=seconds, rate=f"{rate:.2f}", seed=8)
        grown = (server.status_kb("VmRSS") - held) / 1024
    requests, done = answer["requests"], answer["outcomes"]["done"]
    # A client that asked and has no first text has waited all the time.
    whole = 1000 * answer["wall_s"]
    asked = [client for client in answer["clients"] if client["requests"]]
    waits = [client["mean_ttft_ms"] or whole for client in asked]
    everybody = answer["ttft_ms"]["mean"]
    ttft = answer["ttft_ms"]
    bench.journal.note(f"{requests:,} requests in {answer['wall_s']:.0f} s, {rate:.1f} a second")
    found = [
        ("requests without an end", "requests", requests - done, [Goal(0)]),
        ("the client that waits longest, by all", "× mean", max(waits) / everybody, [Goal(1.5)]),
        ("first text, median", "ms", ttft["p50"], []),
        ("first text, 99 of 100", "ms", ttft["p99"], []),
        ("growth of memory", "MiB", grown, []),
    ]
    return [
        Row(what, model.stem, unit, False, {OURS: [float(value)]}, goals)
        for what, unit, value, goals in found
    ]
