"""Throughput: one stream, many streams, sampling, speculation."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Callable

from measures import OURS, Goal, Row
from servers import Server


# A light model runs for at least a quarter of a second, and often enough that a single disturbance
# of the machine does not affect the median.
LIGHT_TOKENS, LIGHT_TIMES = 512, 9
TOKENS, TIMES = 64, 3
WAVE_LIGHT_TOKENS, WAVE_TOKENS, WAVE_WORDS = 256, 48, 16
WAVE_CONTEXT = 512
PLAIN = f"{OURS}, no speculation"
Measure = Callable[[int], "dict[str, float]"]
# Numbers of simultaneous repetitive streams, and the goal for the speed-up by speculation.
REPEATING = ((4, 1.5), (8, 1.5))
SAMPLED = {"temp": 0.8, "top_k": 40, "top_p": 0.95, "min_p": 0.05, "repeat_penalty": 1.1}


def one_stream(bench: Any) -> list[Row]:
    """Generated tokens/s of one client with a prompt of one word, over the whole request as the
    client sees it. llama-bench (`-n`) computes the same number of tokens without server, text or
    client. The first row of each model is the daemon with default options, which include
    speculation; that helps if random weights generate repetitive text (tiny-15m). The second row
    has speculation turned off. The daemon uses huge pages; llama-bench is measured with and without
    them."""
    rows = []
    for model in [bench.demo, *bench.models]:
        light = bench.is_light(model)
        count, times = (LIGHT_TOKENS, LIGHT_TIMES) if light else (TOKENS, TIMES)
        times = 1 if bench.quick else times
        with (
            bench.serve(model, 1, 1024) as ours,
            bench.serve(model, 1, 1024, "--speculative", "off") as plain,
            bench.serve_llama(model, 1, 1024) as theirs,
        ):

            def served(server: Server) -> Any:
                def measure(turn: int) -> dict[str, float]:
                    answer = bench.load(
                        server, requests=times, prompt_words=1, max_tokens=count, seed=turn
                    )
                    return {"rate": count * 1e3 / answer["total_ms"]["p50"]}

                return measure

            def ceiling(huge_pages: bool) -> Any:
                def measure(_: int) -> dict[str, float]:
                    answer = bench.llama_bench(model, 0, count, times, huge_pages)
                    return {"rate": answer["tokens_per_s"]}

                return measure

            rates = bench.in_turns(
                model.stem,
                "tokens/s",
                {
                    OURS: served(ours),
                    PLAIN: served(plain),
                    "llama-bench": ceiling(False),
                    "llama-bench, huge pages": ceiling(True),
                    "llama-server": served(theirs),
                },
            )["rate"]
        without_speculation = rates.pop(PLAIN)
        ceiling_goal = Goal(0.98, ("llama-bench",))
        goals = [ceiling_goal, Goal(1.3 if light else 1.0, ("llama-server",))]
        rows.append(Row("one stream", model.stem, "tokens/s", True, rates, goals))
        plain_rates = {**rates, OURS: without_speculation}
        what = "one stream, no speculation"
        rows.append(Row(what, model.stem, "tokens/s", True, plain_rates, [ceiling_goal]))
    return rows


def many_streams(bench: Any) -> list[Row]:
    """Generated tokens/s of all clients together. Each sends one request of about 16 words, all at
    the same time, and the time includes the prefill. llama-batched-bench runs the same two phases
    (`-npp`, `-ntg`) without server, text or clients, with a unified KV cache (`-kvu`) and with one
    per sequence."""
    rows = []
    for model in bench.models:
        light = bench.is_light(model)
        for clients in (8, 16) if light else (8,):
            values = wave(bench, model, clients, WAVE_LIGHT_TOKENS if light else WAVE_TOKENS)
            ceiling = Goal(
                0.95 if light else 0.97, ("batched-bench unified", "batched-bench separate")
            )
            goals = [ceiling, Goal(1.8 if light else 1.0, ("llama-server",))]
            what = f"{clients} streams, total"
            rows.append(Row(what, model.stem, "tokens/s", True, values, goals))
    return rows


def wave(bench: Any, model: Path, clients: int, count: int) -> dict[str, list[float]]:
    """Sends one request from each client at the same time."""
    work = {"connections": clients, "requests": clients, "prompt_words": WAVE_WORDS}
    slots = (model, clients, WAVE_CONTEXT)
    with bench.serve(*slots) as ours, bench.serve_llama(*slots) as theirs:
        probe = bench.load(ours, **work, max_tokens=1)
        prompt = round(probe["prompt_tokens"] / clients)

        def served(server: Server) -> Any:
            def measure(turn: int) -> dict[str, float]:
                # Neither the probe nor another turn uses this seed, so no prefix is cached.
                answer = bench.load(server, **work, max_tokens=count, seed=100 + turn)
                return {"rate": answer["output_tokens_per_s"]}

            return measure

        def batched(mode: str) -> Any:
            def measure(_: int) -> dict[str, float]:
                line = bench.tool(
                    "llama-batched-bench",
                    model,
                    "-c",
                    clients * WAVE_CONTEXT,
                    "-npp",
                    prompt,
                    "-ntg",
                    count,
                    "-npl",
                    clients,
                    mode,
                )[0]
                return {"rate": clients * count / (line["t_pp"] + line["t_tg"])}

            return measure

        return bench.in_turns(
            f"{model.stem} x{clients}",
            "tokens/s",
            {
                OURS: served(ours),
                "batched-bench unified": batched("-kvu"),
                "batched-bench separate": batched("-no-kvu"),
                "llama-server": served(theirs),
            },
        )["rate"]


def sampling(bench: Any) -> list[Row]:
    """Tokens/s with temp 0.8, top_k 40, top_p 0.95, min_p 0.05 and repeat_penalty 1.1, relative to
    those of the same server with temp 0, on the model with many tokens and few weights. Each turn
    runs greedy, sampled, sampled, greedy, so a drift of the machine affects both."""
    model = bench.middle
    with bench.serve(model, 1, 1024) as ours, bench.serve_llama(model, 1, 1024) as theirs:

        def ratio(server: Any) -> Any:
            def measure(turn: int) -> dict[str, float]:
                times = {False: 0.0, True: 0.0}
                for sampled in (False, True, True, False):
                    params = {**(SAMPLED if sampled else {"temp": 0}), "seed": turn + 1}
                    answer = server.stream().ask(
                        "the", max_tokens=TOKENS, ignore_eos=True, **params
                    )
                    times[sampled] += 1 / answer.tokens_per_s
                return {"ratio": times[False] / times[True]}

            return measure

        values = bench.in_turns(
            model.stem, "× greedy", {OURS: ratio(ours), "llama-server": ratio(theirs)}
        )["ratio"]
    what, unit = "sampled relative to greedy", "× greedy"
    return [Row(what, model.stem, unit, True, values, [Goal(0.97)])]


def relative_to_off(
    server: Any, mode: str, prompt: str, count: int, params: dict[str, Any], n: int = 1
) -> Measure:
    """Measures the throughput of `n` streams with `"speculative":mode` relative to `"off"`.

    The time runs from the moment when all streams have their first text to the end of the last one.
    The order is off, on, on, off, so a drift of the machine affects both.
    """

    def ask(tested: str, i: int) -> Any:
        # The prompts share a prefix and end differently. Otherwise all answers would be the same.
        own = prompt if n == 1 else f"{prompt}{i}"
        return server.stream().ask(
            own, max_tokens=count, temp=0, ignore_eos=True, speculative=tested, **params
        )

    def measure(_: int) -> dict[str, float]:
        times = {"off": 0.0, mode: 0.0}
        for tested in ("off", mode, mode, "off"):
            with ThreadPoolExecutor(n) as pool:
                answers = list(pool.map(partial(ask, tested), range(n)))
            began = max(answer.texts[0] for answer in answers)
            times[tested] += max(answer.ended for answer in answers) - began
        return {"ratio": times["off"] / times[mode]}

    return measure


# A token that is plain text in all vocabularies used here.
ANY_TOKEN = 300
PROSE = "Tell me a story about a fox and a bear who live in a house by the river"


def speculation(bench: Any) -> list[Row]:
    """Tokens/s with `"speculative":"ngram"` relative to `"off"`, on repetitive text and on other
    text. The demo model continues a list of sentences by itself. Random weights rarely repeat
    anything for long, so a bias of 100 makes them generate the same token for ever, which is the
    best case."""
    rows = []
    repetitive = "The dog was happy. The cat was happy. " * 6
    for model in (bench.demo, bench.middle, bench.large):
        count = LIGHT_TOKENS // 2 if bench.is_light(model) else 2 * TOKENS
        bias = {} if model == bench.demo else {"logit_bias": [[ANY_TOKEN, 100]]}
        # A light model computes a token almost as fast as the n-gram lookup finds a draft.
        goal = 1.0 if bench.is_light(model) else 1.5
        cases = (("repetitive text", repetitive, bias, goal), ("other text", PROSE, {}, 0.98))
        with bench.serve(model, 1, 1024) as server:
            for what, prompt, params, goal in cases:
                measure = relative_to_off(server, "ngram", prompt, count, params)
                rows.append(speculation_row(bench, model, what, goal, measure))
    bias = {"logit_bias": [[ANY_TOKEN, 100]]}
    for streams, goal in REPEATING:
        with bench.serve(bench.large, streams, 1024) as server:
            what = f"{streams} repetitive streams"
            measure = relative_to_off(server, "ngram", repetitive, TOKENS, bias, streams)
            rows.append(speculation_row(bench, bench.large, what, goal, measure))
    return rows


def speculation_row(bench: Any, model: Path, what: str, goal: float, measure: Measure) -> Row:
    values = bench.in_turns(f"{model.stem}, {what}", "× off", {OURS: measure})["ratio"]
    return Row(f"speculation: {what}", model.stem, "× off", True, values, [Goal(goal)])


def draft(bench: Any) -> list[Row]:
    """Tokens/s with `--draft` relative to the same server with `"speculative":"off"`, on text that
    is not repetitive. Two models with random weights never agree. Therefore only the first layer of
    the large model, which has the 1B shape, affects its output, and the first draft model is that
    layer alone, a seventh of the bytes. Its tokens are accepted except at ties, which is the best
    case. The second draft model has other weights, and its tokens are always rejected."""
    pair = bench.pair()
    rows = []
    for what, path, goal in (("accepted", pair.accepted, 1.5), ("rejected", pair.rejected, 0.98)):
        with bench.serve(pair.model, 1, 1024, "--draft", str(path)) as server:
            measure = relative_to_off(server, "auto", PROSE, 2 * TOKENS, {})
            values = bench.in_turns(f"draft tokens {what}", "× off", {OURS: measure})["ratio"]
        name = f"draft model, tokens {what}"
        rows.append(Row(name, pair.model.stem, "× off", True, values, [Goal(goal)]))
    return rows
