"""How long somebody waits: for a first token, behind a long prompt, for a slot."""

from __future__ import annotations

import threading
import time
from typing import Any

from measures import OURS, Goal, Row
from servers import Server

from . import texts

PROMPT_WORDS = 64
LONG_TOKENS, LONG_CONTEXT = 4096, 4608
QUICK_LONG_TOKENS = 1024
# Texts of the streaming client before the long prompt is sent.
SETTLED = 10


def first_token(bench: Any) -> list[Row]:
    """Milliseconds from sending a prompt of 64 words to the answer of one token, on a server that
    does nothing else; every prompt is new. llama-bench (`-p`) reads a prompt of as many tokens."""
    rows = []
    for model in [bench.demo, *bench.models]:
        # An odd number: the load generator's median is that of a sample.
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


def long_prompt(bench: Any) -> list[Row]:
    """One client streams; another sends a prompt of 4,096 tokens; while that is read a third sends
    a prompt of one word. The gap is the longest that the streaming client saw from the arrival of
    the long prompt to its first token. Times alone are taken before, in the same turn, on a server
    that keeps the prompts of earlier turns. The stream does not guess ahead: a step with guesses
    takes as long as one with a prompt, and its tokens come together."""
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
                # The gap that is open when the long prompt arrives, or is done, counts in full.
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
    rows = [
        ("longest gap of the stream", "ms", "gap_ms", [Goal(150.0), Goal(1.0, ("llama-server",))]),
        ("long prompt's first token, alone", "ms", "alone_ms", [Goal(1.0, ("llama-server",))]),
        ("long prompt's first token", "ms", "long_ms", []),
        ("long prompt's first token, by alone", "× alone", "long", [Goal(1.25)]),
        ("short prompt's first token meanwhile", "ms", "short_ms", [Goal(1.0, ("llama-server",))]),
        ("short prompt's first token, by alone", "× alone", "short", [Goal(5.0)]),
    ]
    return [
        Row(what, model.stem, unit, False, values[key], goals) for what, unit, key, goals in rows
    ]


def abort(bench: Any) -> list[Row]:
    """One slot reads a long prompt and a client waits with a prompt of one word. The first row is
    from sending `abort` to the `end` of the long request. The second is from the moment that the
    long request's client vanishes to the answer of the waiting one."""
    model = bench.large
    slots = (model, 1, LONG_CONTEXT)
    with bench.serve(*slots) as ours, bench.serve_llama(*slots) as theirs:

        def leave(server: Any) -> Any:
            def measure(turn: int) -> dict[str, float]:
                measured = {}
                if server is ours:
                    done, gone = interrupt(server, (turn, "abort"), "abort", waiting=False)
                    measured["abort_ms"] = (done.ended - gone) * 1e3
                done, gone = interrupt(server, (turn, "drop"), "drop", waiting=True)
                measured["drop_ms"] = (done.ended - gone) * 1e3
                return measured

            return measure

        def interrupt(server: Any, seed: tuple[int, str], how: str, waiting: bool) -> Any:
            """Leaves in the middle of a long prompt; gives whose end counts, and when it left."""
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
            # Not always at the same place of a step.
            time.sleep(0.13 * seed[0])
            gone = time.perf_counter()
            getattr(long, how)()
            for thread in threads:
                thread.join()
            return results["b" if waiting else "a"], gone

        values = bench.in_turns(model.stem, "", {OURS: leave(ours), "llama-server": leave(theirs)})
    return [
        Row("abort to its end", model.stem, "ms", False, values["abort_ms"], [Goal(20.0)]),
        Row(
            "client gone to the next one's answer",
            model.stem,
            "ms",
            False,
            values["drop_ms"],
            [Goal(1.0, ("llama-server",))],
        ),
    ]
