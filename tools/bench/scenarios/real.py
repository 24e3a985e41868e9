"""Throughput and latencies of real models, whose text is not noise.

llama-server runs in two modes: with a KV stream for each slot (`-np N`), as in the other scenarios,
and with a unified KV cache, which its default mode uses. The default mode has four slots. With more
clients than slots, it runs a second time with a slot for each client and `--kv-unified`.

Inter-token latencies are those of `gaps.py`, for all programs.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any, Callable

import gaps
from measures import OURS, Goal, Row
from servers import Server

PROMPT_WORDS, ANSWER_TOKENS, CONTEXT = 48, 96, 512
# Requests of each client, by number of clients. Each turn has more than 1,000 gaps, so at least ten
# are above p99. With 16 clients, p99 of the time to first token is not the longest one.
REQUESTS = {1: 12, 4: 8, 8: 6, 16: 7}
QUICK_REQUESTS = 1
SEPARATE, UNIFIED, DEFAULT = "llama-server", "llama-server unified", "llama-server default"
# Slots of llama-server without `-np`.
DEFAULT_SLOTS = 4


def streams(bench: Any) -> list[Row]:
    """1, 4, 8 and 16 clients with prompts of 48 words and answers of 96 tokens. All clients start
    at the same time, and each sends several requests one after another. The models are
    SmolLM2-135M-Instruct (q4_1) and Gemma 3 270M (q4_k_m, base model). No sequence is longer than
    Gemma's sliding window of 512 tokens. Tokens/s are those of all clients together, prefill
    included.

    The daemon has a slot for each client, and so has `llama-server`, with a KV stream for each slot
    (`-np N`). `llama-server default` has only the options that the work requires: model, threads
    and context. Its KV cache is unified, and it has four slots, so more than four clients wait for
    each other. Therefore 8 and 16 clients also use `llama-server unified`, which is the same mode
    with a slot for each client (`-np N --kv-unified`). A goal compares with the best of these in
    the row. Goals on the inter-token latency of 8 and 16 clients exclude `llama-server default`,
    because it computes only four streams at a time.

    The inter-token latency counts tokens: the time between two arrivals of text is divided equally
    among the tokens of the later one. The time between arrivals itself is in the row without a
    goal. The daemon sends at most 100 texts/s for each stream."""
    rows, counts = [], []
    for model in bench.real_models():
        for clients in REQUESTS:
            values, count = measured(bench, model, clients)
            rows += rows_of(model, clients, values)
            counts.append(f"{model.stem}, {streams_of(clients)}: {count}")
    bench.journal.note("Answers and gaps of each program in a turn. " + "; ".join(counts) + ".")
    return rows


def measured(
    bench: Any, model: Path, clients: int
) -> tuple[dict[str, dict[str, list[float]]], str]:
    """All servers' values of all turns, by quantity and program, and the number of gaps."""
    requests = clients * (QUICK_REQUESTS if bench.quick else REQUESTS[clients])
    work = {"connections": clients, "requests": requests, "prompt_words": PROMPT_WORDS}
    n_gaps: list[int] = []
    with ExitStack() as running:
        servers = {
            name: running.enter_context(server)
            for name, server in servers_of(bench, model, clients).items()
        }
        count = token_count(servers[SEPARATE])

        def served(name: str) -> Callable[[int], dict[str, float]]:
            server: Server = servers[name]

            def measure(turn: int) -> dict[str, float]:
                answer = bench.load(
                    server, **work, max_tokens=ANSWER_TOKENS, seed=100 + turn, texts=True
                )
                if not (answers := answer.get("answers")):
                    raise RuntimeError(f"{name} answered no request")
                found = gaps.of_answers(answers, count)
                n_gaps.append(len(found.tokens))
                check_count(bench, name, model, found)
                return {
                    "tokens/s": answer["output_tokens_per_s"],
                    "ttft p50": answer["ttft_ms"]["p50"],
                    "ttft p99": answer["ttft_ms"]["p99"],
                    "gap p50": gaps.percentile(found.tokens, 50),
                    "gap p99": gaps.percentile(found.tokens, 99),
                    "arrival p99": gaps.percentile(found.arrivals, 99),
                }

            return measure

        values = bench.in_turns(
            f"{model.stem} x{clients}", "", {name: served(name) for name in servers}
        )
    return values, counted(requests, n_gaps)


def servers_of(bench: Any, model: Path, clients: int) -> dict[str, Server]:
    """The programs that serve this number of clients, not started yet."""
    slots = (model, clients, CONTEXT)
    servers = {OURS: bench.serve(*slots), SEPARATE: bench.serve_llama(*slots)}
    if clients > DEFAULT_SLOTS:
        servers[UNIFIED] = bench.serve_llama(*slots, "--kv-unified", name=UNIFIED)
    servers[DEFAULT] = bench.serve_llama_default(model, max(clients, DEFAULT_SLOTS) * CONTEXT)
    return servers


def token_count(counter: Any) -> gaps.Count:
    """The number of tokens of a text, for servers that do not report it with the text."""
    return cache(lambda content: len(counter.tokens(content, add_special=False)))


def check_count(bench: Any, name: str, model: Path, found: gaps.Gaps) -> None:
    """Adds a note if the texts have another number of tokens than the server reports."""
    off = abs(found.n_counted - found.n_reported) / found.n_reported
    if off > 0.02:
        bench.journal.note(
            f"{model.stem}, {name}: the texts of a turn have {found.n_counted:,} tokens, but the"
            f" server generated {found.n_reported:,}"
        )


def counted(n_answers: int, n_gaps: list[int]) -> str:
    """`112 and 10,640`, with a range if the programs or turns differ."""
    least, most = min(n_gaps), max(n_gaps)
    return f"{n_answers} and {least:,}" + (f" to {most:,}" if most > least else "")


def streams_of(clients: int) -> str:
    return "1 stream" if clients == 1 else f"{clients} streams"


def rows_of(model: Path, clients: int, values: dict[str, dict[str, list[float]]]) -> list[Row]:
    peers = tuple(name for name in (SEPARATE, UNIFIED, DEFAULT) if name in values["tokens/s"])
    at_once = peers if clients <= DEFAULT_SLOTS else (SEPARATE, UNIFIED)
    found = [
        ("total", "tokens/s", True, "tokens/s", [Goal(1.0, peers)]),
        ("TTFT, p50", "ms", False, "ttft p50", [Goal(1.0, peers)]),
        ("TTFT, p99", "ms", False, "ttft p99", [Goal(1.0, peers)]),
        ("inter-token latency, p50", "ms", False, "gap p50", [Goal(1.0, at_once)]),
        ("inter-token latency, p99", "ms", False, "gap p99", [Goal(1.0, at_once)]),
        ("time between arrivals, p99", "ms", False, "arrival p99", []),
    ]
    return [
        Row(f"{streams_of(clients)}, {what}", model.stem, unit, is_more_better, values[key], goal)
        for what, unit, is_more_better, key, goal in found
    ]
