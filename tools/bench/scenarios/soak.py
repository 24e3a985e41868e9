"""A long run of mixed traffic."""

from __future__ import annotations

from statistics import median
from typing import Any

from measures import OURS, Goal, Row

CLIENTS, SLOTS, CONTEXT = 64, 8, 2048
PROMPT_WORDS, ANSWER_TOKENS = "8..512", "16..256"
# Request rate relative to the maximum: requests have to queue, but the queue stays short.
LOAD = 0.85
# Runs that measure the maximum. A single run may hit an unusual minute of the machine, and the
# soak's queue would be too full or too empty.
CAPACITY_RUNS = 5


def soak(bench: Any) -> list[Row]:
    """64 clients on 8 slots for `SOAK` seconds. Requests arrive as a Poisson process at 85 % of the
    daemon's maximum rate, which is the median of five short runs with all clients busy, so requests
    often have to queue. Prompts have 8 to 512 words, answers 16 to 256 tokens. Fairness is the
    largest mean TTFT of a client, divided by the mean TTFT of all. This scenario has one run, so
    there is no range, and the TTFT depends on chance."""
    model = bench.small
    seconds = 20 if bench.quick else bench.soak_s
    work = {"connections": CLIENTS, "prompt_words": PROMPT_WORDS, "max_tokens": ANSWER_TOKENS}
    with bench.serve(model, SLOTS, CONTEXT) as server:
        runs = (
            bench.load(server, **work, duration=max(5, seconds // 60), seed=10 + turn)
            for turn in range(1 if bench.quick else CAPACITY_RUNS)
        )
        capacity = median(run["requests"] / run["wall_s"] for run in runs)
        rate = LOAD * capacity
        bench.journal.say(f"maximum {capacity:.1f} requests/s, soak of {seconds} s at {rate:.1f}")
        held = server.status_kb("VmRSS")
        answer = bench.load(server, **work, duration=seconds, rate=f"{rate:.2f}", seed=8)
        grown = (server.status_kb("VmRSS") - held) / 1024
    requests, done = answer["requests"], answer["outcomes"]["done"]
    # A client that sent requests and received no text has waited during the whole run.
    whole = 1000 * answer["wall_s"]
    asked = [client for client in answer["clients"] if client["requests"]]
    waits = [client["mean_ttft_ms"] or whole for client in asked]
    of_all = answer["ttft_ms"]["mean"]
    ttft = answer["ttft_ms"]
    bench.journal.note(f"{requests:,} requests in {answer['wall_s']:.0f} s, {rate:.1f} requests/s")
    found = [
        ("unanswered requests", "requests", requests - done, [Goal(0)]),
        ("largest mean TTFT of a client", "× mean", max(waits) / of_all, [Goal(1.5)]),
        ("TTFT, p50", "ms", ttft["p50"], []),
        ("TTFT, p99", "ms", ttft["p99"], []),
        ("memory growth", "MiB", grown, []),
    ]
    return [
        Row(what, model.stem, unit, False, {OURS: [float(value)]}, goals)
        for what, unit, value, goals in found
    ]
