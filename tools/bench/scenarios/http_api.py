"""The HTTP API: chat completions as streams, beside the daemon's WebSocket and llama-server."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

from measures import OURS, Goal, Row
from servers import Server

PROMPT_WORDS, CONTEXT = 48, 512
SOCKET, THEIRS = "inference-core WebSocket", "llama-server"
HTTP = "open-ai"
# Tokens of an answer, and requests of each client by number of clients.
LIGHT_TOKENS, LIGHT_REQUESTS = 96, {1: 12, 8: 6}
TOKENS, REQUESTS = 48, {1: 3, 8: 1}
Measured = dict[str, float]


def http(bench: Any) -> list[Row]:
    """1 and 8 clients of `POST /v1/chat/completions`, each with one message of 48 words, and with
    the answer as server-sent events. The load generator sends the same requests to both servers,
    each on a new connection, which is open before the time begins. The daemon also gets them as
    chats over its WebSocket. Each server has a slot for each client (`-np N`). The models are
    SmolLM2-135M-Instruct and the largest generated one. Tokens/s are those of all clients together,
    prefill included. The TTFT of SmolLM2 is that of the first text, and that of random weights the
    time to the end of an answer of one token."""
    rows = []
    for model in (bench.real_models()[0], bench.large):
        for clients in LIGHT_REQUESTS:
            rows += rows_of(model, clients, measured(bench, model, clients))
    return rows


def measured(bench: Any, model: Path, clients: int) -> dict[str, dict[str, list[float]]]:
    """All values of all turns, by quantity and program."""
    is_real = model != bench.large
    tokens, requests = (LIGHT_TOKENS, LIGHT_REQUESTS) if is_real else (TOKENS, REQUESTS)
    count = clients * (1 if bench.quick else requests[clients])
    work = {"connections": clients, "requests": count, "prompt_words": PROMPT_WORDS, "chat": True}
    slots = (model, clients, CONTEXT)
    with bench.serve(*slots) as ours, bench.serve_llama(*slots) as theirs:

        def served(server: Server, protocol: str = "") -> Callable[[int], Measured]:
            def measure(turn: int) -> Measured:
                # No prompt occurs twice on a server.
                seed = 100 + 4 * turn + (2 if protocol else 0)
                answer = bench.load(server, protocol, **work, max_tokens=tokens, seed=seed)
                ttft = answer["ttft_ms"]["p50"]
                if not is_real:
                    one = bench.load(server, protocol, **work, max_tokens=1, seed=seed + 1)
                    ttft = one["total_ms"]["p50"]
                return {"tokens/s": answer["output_tokens_per_s"], "ttft": ttft}

            return measure

        programs = {OURS: served(ours, HTTP), SOCKET: served(ours), THEIRS: served(theirs, HTTP)}
        return bench.in_turns(f"{model.stem} x{clients}", "", programs)


def rows_of(model: Path, clients: int, values: dict[str, dict[str, list[float]]]) -> list[Row]:
    who = "1 stream" if clients == 1 else f"{clients} streams"
    rate_goals = [Goal(1.0, (THEIRS,)), Goal(0.95, (SOCKET,))]
    rate = Row(f"{who}, total", model.stem, "tokens/s", True, values["tokens/s"], rate_goals)
    goals = [Goal(1.0, (THEIRS,))]
    return [rate, Row(f"{who}, TTFT, p50", model.stem, "ms", False, values["ttft"], goals)]
