"""Throughput and latencies of real models, whose text is not noise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from measures import OURS, Goal, Row
from servers import Server

STREAMS = (1, 4, 8, 16)
PROMPT_WORDS, ANSWER_TOKENS, CONTEXT = 48, 96, 512
# Requests per client. With three, p99 of the gaps of one stream is not the longest gap.
REQUESTS, QUICK_REQUESTS = 3, 1
PEER = "llama-server"


def streams(bench: Any) -> list[Row]:
    """1, 4, 8 and 16 clients on as many slots, with prompts of 48 words and answers of 96 tokens.
    All clients start at the same time, and each sends three requests one after another. The models
    are SmolLM2-135M-Instruct (q4_1) and Gemma 3 270M (q4_k_m, base model). No sequence is longer
    than Gemma's sliding window of 512 tokens. Tokens/s are those of all clients together, prefill
    included. The inter-token latency is the time between two texts of a stream, and a text of the
    daemon can have several tokens (speculation, and at most 100 texts/s)."""
    rows = []
    for model in bench.real_models():
        for clients in STREAMS:
            rows += rows_of(model, clients, measured(bench, model, clients))
    return rows


def measured(bench: Any, model: Path, clients: int) -> dict[str, dict[str, list[float]]]:
    """Both servers' values of all turns, by quantity and program."""
    requests = clients * (QUICK_REQUESTS if bench.quick else REQUESTS)
    work = {"connections": clients, "requests": requests, "prompt_words": PROMPT_WORDS}
    slots = (model, clients, CONTEXT)
    with bench.serve(*slots) as ours, bench.serve_llama(*slots) as theirs:

        def served(server: Server) -> Any:
            def measure(turn: int) -> dict[str, float]:
                answer = bench.load(server, **work, max_tokens=ANSWER_TOKENS, seed=100 + turn)
                ttft, gap = answer["ttft_ms"], answer["itl_ms"]
                return {
                    "tokens/s": answer["output_tokens_per_s"],
                    "ttft p50": ttft["p50"],
                    "ttft p99": ttft["p99"],
                    "gap p50": gap["p50"],
                    "gap p99": gap["p99"],
                }

            return measure

        programs = {OURS: served(ours), PEER: served(theirs)}
        return bench.in_turns(f"{model.stem} x{clients}", "", programs)


def rows_of(model: Path, clients: int, values: dict[str, dict[str, list[float]]]) -> list[Row]:
    who = "1 stream" if clients == 1 else f"{clients} streams"
    goals = [Goal(1.0, (PEER,))]
    found = [
        ("total", "tokens/s", True, "tokens/s", goals),
        ("TTFT, p50", "ms", False, "ttft p50", []),
        ("TTFT, p99", "ms", False, "ttft p99", []),
        ("inter-token latency, p50", "ms", False, "gap p50", []),
        ("inter-token latency, p99", "ms", False, "gap p99", goals),
    ]
    return [
        Row(f"{who}, {what}", model.stem, unit, is_more_better, values[key], goal)
        for what, unit, is_more_better, key, goal in found
    ]
