"""Latencies: first token, requests next to a long prompt, freeing a slot."""

from __future__ import annotations

import threading
import time
from statistics import median
from typing import Any

from measures import OURS, Goal, Row
from servers import Server

from . import texts

PROMPT_WORDS = 64
LONG_TOKENS, LONG_CONTEXT = 4096, 4608
QUICK_LONG_TOKENS = 1024
# Number of texts that the streaming client receives before the long prompt is sent.
SETTLED = 10
FIRST_TOKENS, FIRST_CONTEXT = 6, 1024
# Number of repetitions of the first request.
REPEATED = 5


def first_token(bench: Any) -> list[Row]:
    """Milliseconds from sending a prompt of 64 words to the end of an answer of one token, on an
    idle server. No prompt is repeated. llama-bench (`-p`) prefills the same number of tokens."""
    rows = []
    for model in [bench.demo, *bench.models]:
        # Odd, so the median is one of the samples.
        times = 5 if bench.is_light(model) else 3
        with bench.serve(model, 1, 1024) as ours, bench.serve_llama(model, 1, 1024) as theirs:
            work = {"requests": times, "prompt_words": PROMPT_WORDS, "max_tokens": 1}
            probe = bench.load(ours, **work)
            prompt = round(probe["prompt_tokens"] / times)

            def served(server: Server) -> Any:
                def measure(turn: int) -> dict[str, float]:
                    answer = bench.load(server, **work, seed=100 + turn)
                    return {"ms": answer["total_ms"]["p50"]}

                return measure

            def ceiling(_: int) -> dict[str, float]:
                return {"ms": bench.llama_bench(model, prompt, 0, times)["seconds"] * 1e3}

            values = bench.in_turns(
                f"{model.stem}, {prompt} tokens",
                "",
                {
                    OURS: served(ours),
                    "llama-bench": ceiling,
                    "llama-server": served(theirs),
                },
            )["ms"]
        goals = [Goal(1.05, ("llama-bench",), plus=1.0), Goal(1.0, ("llama-server",))]
        rows.append(Row("first token, 64 words", model.stem, "ms", False, values, goals))
    return rows


def first_request(bench: Any) -> list[Row]:
    """A new server gets a prompt of at most six tokens as soon as it is ready (/readyz, /health),
    then the same prompt five more times. No request reuses cached tokens (`cache_prompt: false`),
    and every answer has one token. The third row is the TTFT of the first request relative to the
    median of the five repetitions."""
    rows = []
    for model in [*bench.real_models(), bench.large]:
        with bench.serve_llama(model, 1, FIRST_CONTEXT) as counter:
            prompts = [
                texts.sized(counter.tokens, (turn, "first"), FIRST_TOKENS)
                for turn in range(bench.turns)
            ]

        def program(serve: Any) -> Any:
            def measure(turn: int) -> dict[str, float]:
                with serve(model, 1, FIRST_CONTEXT) as server:
                    first, *others = (
                        server.stream().ask(prompts[turn], max_tokens=1, cache_prompt=False).first_s
                        for _ in range(1 + REPEATED)
                    )
                return {
                    "first ms": first * 1e3,
                    "second ms": others[0] * 1e3,
                    "ratio": first / median(others),
                }

            return measure

        programs = {OURS: program(bench.serve), "llama-server": program(bench.serve_llama)}
        values = bench.in_turns(model.stem, "", programs)
        what, unit = "first request's TTFT", "× repeated"
        relative = f"{what}, relative to repeated"
        rows.append(Row(what, model.stem, "ms", False, values["first ms"]))
        rows.append(Row("second request's TTFT", model.stem, "ms", False, values["second ms"]))
        rows.append(Row(relative, model.stem, unit, False, values["ratio"], [Goal(1.5)]))
    return rows


def long_prompt(bench: Any) -> list[Row]:
    """One client streams, another sends a prompt of 4,096 tokens, and during its prefill a third
    client sends a prompt of one word. The first row is the longest inter-token latency of the
    stream between the long prompt and its first token. The values alone are measured before, in the
    same turn, on the server that has the prompts of earlier turns in its cache. The stream uses no
    speculation, because a step with draft tokens takes as long as one with prompt tokens and
    returns several tokens at once."""
    model = bench.large
    long = QUICK_LONG_TOKENS if bench.quick else LONG_TOKENS
    slots = (model, 4, LONG_CONTEXT)
    with bench.serve(*slots) as ours, bench.serve_llama(*slots) as theirs:
        say_river = texts.only(theirs.tokens, "river")

        def meet(server: Any) -> Any:
            plain = {} if server is theirs else {"speculative": "off"}

            def measure(turn: int) -> dict[str, float]:
                prompts = [texts.sized(theirs.tokens, (turn, part), long) for part in "ab"]
                alone = server.stream().ask(prompts[0], max_tokens=1).first_s
                short_alone = server.stream().ask(f"stone{turn}", max_tokens=1).first_s
                short_alone = min(
                    short_alone, server.stream().ask(f"bread{turn}", max_tokens=1).first_s
                )
                streaming, settled, results = server.stream(), threading.Event(), {}

                def on_text(answer: Any) -> None:
                    if len(answer.texts) >= SETTLED:
                        settled.set()

                def stream() -> None:
                    results["stream"] = streaming.ask(
                        "the",
                        on_text,
                        max_tokens=4000,
                        ignore_eos=True,
                        logit_bias=say_river,
                        **plain,
                    )
                    settled.set()

                def late() -> None:
                    time.sleep(alone / 3)
                    results["short"] = server.stream().ask(f"moon{turn}", max_tokens=1)

                threads = [threading.Thread(target=stream), threading.Thread(target=late)]
                threads[0].start()
                settled.wait()
                threads[1].start()
                answer = server.stream().ask(prompts[1], max_tokens=1)
                threads[1].join()
                streaming.drop()
                threads[0].join()
                # Gaps that begin before the long prompt, or end after it, count in full.
                times = results["stream"].texts
                gaps = [
                    later - earlier
                    for earlier, later in zip(times, times[1:])
                    if later > answer.sent and earlier < answer.ended
                ]
                gaps = gaps or [answer.ended - answer.sent]
                return {
                    "gap_ms": max(gaps) * 1e3,
                    "alone_ms": alone * 1e3,
                    "long_ms": answer.first_s * 1e3,
                    "long": answer.first_s / alone,
                    "short_ms": results["short"].first_s * 1e3,
                    "short": results["short"].first_s / short_alone,
                }

            return measure

        values = bench.in_turns(model.stem, "", {OURS: meet(ours), "llama-server": meet(theirs)})
    peer = ("llama-server",)
    rows = [
        ("longest inter-token latency", "ms", "gap_ms", [Goal(150.0), Goal(1.0, peer)]),
        ("long prompt's TTFT, alone", "ms", "alone_ms", [Goal(1.0, peer)]),
        ("long prompt's TTFT", "ms", "long_ms", []),
        ("long prompt's TTFT, relative to alone", "× alone", "long", [Goal(1.25)]),
        ("short prompt's TTFT", "ms", "short_ms", [Goal(1.0, peer)]),
        ("short prompt's TTFT, relative to alone", "× alone", "short", [Goal(5.0)]),
    ]
    return [
        Row(what, model.stem, unit, False, values[key], goals) for what, unit, key, goals in rows
    ]


def abort(bench: Any) -> list[Row]:
    """One slot prefills a long prompt while another client waits with a prompt of one word. The
    first row is the time from sending `abort` to the `end` frame of the long request. The second
    row is the time from the disconnection of the long request's client to the answer of the waiting
    one."""
    model = bench.large
    slots = (model, 1, LONG_CONTEXT)
    with bench.serve(*slots) as ours, bench.serve_llama(*slots) as theirs:

        def cancel(server: Any) -> Any:
            def measure(turn: int) -> dict[str, float]:
                measured = {}
                if server is ours:
                    answer, cancelled = interrupt(server, (turn, "abort"), "abort", waiting=False)
                    measured["abort_ms"] = (answer.ended - cancelled) * 1e3
                answer, cancelled = interrupt(server, (turn, "drop"), "drop", waiting=True)
                measured["drop_ms"] = (answer.ended - cancelled) * 1e3
                return measured

            return measure

        def interrupt(server: Any, seed: tuple[int, str], how: str, waiting: bool) -> Any:
            """Cancels a request during its long prompt. Returns the answer whose end counts, and
            the time of the cancellation."""
            prompt = texts.sized(theirs.tokens, seed, LONG_TOKENS)
            long, results = server.stream(), {}
            threads = [threading.Thread(target=lambda: results.update(a=long.ask(prompt)))]
            if waiting:
                short = server.stream()
                ask = lambda: results.update(b=short.ask("stone", max_tokens=1))  # noqa: E731
                threads.append(threading.Thread(target=ask))
            for thread in threads:
                thread.start()
                time.sleep(0.5)
            # Cancels at a different point of a step in each turn.
            time.sleep(0.13 * seed[0])
            cancelled = time.perf_counter()
            getattr(long, how)()
            for thread in threads:
                thread.join()
            return results["b" if waiting else "a"], cancelled

        programs = {OURS: cancel(ours), "llama-server": cancel(theirs)}
        values = bench.in_turns(model.stem, "", programs)
    return [
        Row("abort to end frame", model.stem, "ms", False, values["abort_ms"], [Goal(20.0)]),
        Row(
            "disconnect to the next client's answer",
            model.stem,
            "ms",
            False,
            values["drop_ms"],
            [Goal(1.0, ("llama-server",))],
        ),
    ]
