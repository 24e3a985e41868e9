"""Reuse of cached prompt tokens: the number of tokens computed, relative to the number of new ones.

These numbers do not depend on the size of the model, so the smallest model is used. The daemon's
come from its /metrics page, llama-server's from `prompt_n` in its answers.
"""

from __future__ import annotations

import threading
from typing import Any, Callable

from measures import OURS, Goal, Row

from . import texts

CHAT_TOKENS, ANSWER_TOKENS, TURN_WORDS = 3000, 32, 64
PREFIX_TOKENS, CLIENTS, OWN_WORDS = 2000, 8, 32
CONTEXT = 4096
CACHED_PROMPTS, CACHED_TOKENS = 6, 1500
# A turn takes a minute for each server on two cores.
CACHED_TURNS = 3


def computed_by(server: Any, work: Callable[[], list[Any]]) -> int:
    """Number of prompt tokens that the server computed during `work`, which returns its answers."""
    if server.name != OURS:
        return sum(answer.computed for answer in work())
    before = server.counter("prompt_tokens_total")
    work()
    return int(server.counter("prompt_tokens_total") - before)


def compare(
    bench: Any, slots: int, what: str, measure: Callable[[Any, Any, int], float]
) -> list[Row]:
    model = bench.small
    with (
        bench.serve(model, slots, CONTEXT) as ours,
        bench.serve_llama(model, slots, CONTEXT) as theirs,
    ):
        values = bench.in_turns(
            model.stem,
            "",
            {
                server.name: lambda turn, server=server: {"by new": measure(server, theirs, turn)}
                for server in (ours, theirs)
            },
        )["by new"]
    return [Row(what, model.stem, "× new", False, values, [Goal(1.05)])]


def second_turn(bench: Any) -> list[Row]:
    """A chat of 3,000 tokens gets an answer of 32 tokens and continues with 64 words. The figure is
    the number of prompt tokens computed in this second turn, divided by the number of new ones: the
    64 words and the answer's last token, which no server has computed yet. The minimum is 1. Each
    turn has another chat."""

    def measure(server: Any, counter: Any, turn: int) -> float:
        tokens = counter.tokens
        first = texts.sized(tokens, (turn, "chat"), CHAT_TOKENS)
        say_river = texts.only(tokens, "river")
        answer = server.stream().ask(
            first, max_tokens=ANSWER_TOKENS, ignore_eos=True, logit_bias=say_river
        )
        second = f"{first}{answer.text} {texts.words((turn, 'more'), TURN_WORDS)}"
        new = len(tokens(second)) - len(tokens(first)) - (ANSWER_TOKENS - 1)
        ask = lambda: [server.stream().ask(second, max_tokens=1)]  # noqa: E731
        return computed_by(server, ask) / new

    return compare(bench, 2, "second turn of a chat", measure)


def shared_prefix(bench: Any) -> list[Row]:
    """Eight clients simultaneously send the same 2,000 tokens, each followed by 32 words of its
    own. All tokens are new to the server. The figure is the number of prompt tokens computed for
    all clients, divided by the number of distinct ones: the shared prefix once and each client's
    own tokens. The minimum is 1."""

    def measure(server: Any, counter: Any, turn: int) -> float:
        tokens = counter.tokens
        shared = texts.sized(tokens, (turn, "shared"), PREFIX_TOKENS)
        prompts = [
            f"{shared} {texts.words((turn, client), OWN_WORDS)}" for client in range(CLIENTS)
        ]
        length = len(tokens(shared))
        new = length + sum(len(tokens(prompt)) - length for prompt in prompts)

        def together() -> list[Any]:
            answers: list[Any] = []
            barrier = threading.Barrier(CLIENTS)

            def client(prompt: str) -> None:
                stream = server.stream()
                barrier.wait()
                answers.append(stream.ask(prompt, max_tokens=8, ignore_eos=True))

            threads = [threading.Thread(target=client, args=[prompt]) for prompt in prompts]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            return answers

        return computed_by(server, together) / new

    return compare(bench, CLIENTS, "8 clients, shared prefix", measure)


def cached_prompts(bench: Any) -> list[Row]:
    """Six prompts of 1,500 tokens without a shared prefix, one after another on a new server, then
    the first prompt again. The first row is the TTFT of the sixth prompt relative to that of the
    first, which shows the cost of cached sequences. The second row is the TTFT of the repeated
    prompt relative to its first run."""
    model = bench.middle

    def program(serve: Any) -> Any:
        def measure(turn: int) -> dict[str, float]:
            with serve(model, 4, CONTEXT) as server:
                asked = [server.stream().ask(prompt, max_tokens=1) for prompt in prompts[turn]]
                times = [answer.first_s for answer in asked]
                again = server.stream().ask(prompts[turn][0], max_tokens=1).first_s
            return {"sixth": times[-1] / times[0], "again": again / times[0]}

        return measure

    turns = min(bench.turns, CACHED_TURNS)
    with bench.serve_llama(model, 4, CONTEXT) as counter:
        prompts = [
            [
                # Another seed would change the prompts.
                texts.sized(counter.tokens, (turn, "kept", part), CACHED_TOKENS)
                for part in range(CACHED_PROMPTS)
            ]
            for turn in range(turns)
        ]
    programs = {OURS: program(bench.serve), "llama-server": program(bench.serve_llama)}
    values = bench.in_turns(model.stem, "", programs, turns=turns)
    rows = [
        ("sixth prompt's TTFT", "sixth", Goal(1.05)),
        ("repeated prompt's TTFT", "again", Goal(0.1)),
    ]
    return [
        Row(what, model.stem, "× the first", False, values[key], [goal])
        for what, key, goal in rows
    ]
