"""How fast tokens come: alone, together, sampled, guessed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Callable

from measures import OURS, Goal, Row
from servers import Server


# Long enough that a light model runs for a quarter of a second, and often enough that a second in
# which the machine was busy with something else does not decide.
LIGHT_TOKENS, LIGHT_TIMES = 512, 9
TOKENS, TIMES = 64, 3
WAVE_LIGHT_TOKENS, WAVE_TOKENS, WAVE_WORDS = 256, 48, 16
WAVE_CONTEXT = 512
PLAIN = f"{OURS}, no guessing"
Measure = Callable[[int], "dict[str, float]"]
# So many streams at once that all repeat themselves, and by how much guessing shall make them faster.
REPEATING = ((4, 1.5), (8, 1.5))
SAMPLED = {"temp": 0.8, "top_k": 40, "top_p": 0.95, "min_p": 0.05, "repeat_penalty": 1.1}


def one_stream(bench: Any) -> list[Row]:
    """Generated tokens a second of one client with a prompt of one word, over the whole request as
    the client sees it. llama-bench (`-n`) computes as many tokens without server, text or client.
    The first rows are the daemon as it is by default: it guesses ahead, which helps where random
    weights repeat themselves (tiny-15m). In the second rows guessing is off. The daemon asks for
    huge pages; llama-bench has them in the column that says so."""
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
        unguessed = rates.pop(PLAIN)
        ceiling_goal = Goal(0.98, ("llama-bench",))
        goals = [ceiling_goal, Goal(1.3 if light else 1.0, ("llama-server",))]
        rows.append(Row("one stream", model.stem, "tokens/s", True, rates, goals))
        plain_rates = {**rates, OURS: unguessed}
        what = "one stream, no guessing"
        rows.append(Row(what, model.stem, "tokens/s", True, plain_rates, [ceiling_goal]))
    return rows


def many_streams(bench: Any) -> list[Row]:
    """Generated tokens a second of all clients together, each with one request of about 16 words,
    all sent at the same moment; prompts are part of the time. llama-batched-bench does the same
    two phases (`-npp`, `-ntg`) without server, text or clients, with one KV cache for all
    (`-kvu`) and with one for each."""
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
    """One request from each client at once."""
    work = {"connections": clients, "requests": clients, "prompt_words": WAVE_WORDS}
    slots = (model, clients, WAVE_CONTEXT)
    with bench.serve(*slots) as ours, bench.serve_llama(*slots) as theirs:
        probe = bench.load(ours, **work, max_tokens=1)
        prompt = round(probe["prompt_tokens"] / clients)

        def served(server: Server) -> Any:
            def measure(turn: int) -> dict[str, float]:
                # Seeds that neither the probe nor another turn has used: nothing is in the cache.
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
    """Tokens a second with temp 0.8, top_k 40, top_p 0.95, min_p 0.05 and repeat_penalty 1.1, by
    those of the same server with temp 0, on the model with many tokens and few weights. Plain,
    sampled, sampled, plain in each turn, so that a drift hits both."""
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
            model.stem, "of the greedy rate", {OURS: ratio(ours), "llama-server": ratio(theirs)}
        )["ratio"]
    what, unit = "sampled by greedy rate", "× greedy"
    return [Row(what, model.stem, unit, True, values, [Goal(0.97)])]


def by_off(
    server: Any, mode: str, prompt: str, count: int, params: dict[str, Any], n: int = 1
) -> Measure:
    """Measures the rate of `n` streams with `"speculative":mode` by that with `"off"`, from when all have
    their first text until the last has ended. Off, on, on, off, so that a drift hits both."""

    def ask(tried: str, i: int) -> Any:
        # Behind one beginning another end for each, else all would say the same.
        own = prompt if n == 1 else f"{prompt}{i}"
        return server.stream().ask(
            own, max_tokens=count, temp=0, ignore_eos=True, speculative=tried, **params
        )

    def measure(_: int) -> dict[str, float]:
        times = {"off": 0.0, mode: 0.0}
        for tried in ("off", mode, mode, "off"):
            with ThreadPoolExecutor(n) as pool:
                answers = list(pool.map(partial(ask, tried), range(n)))
            began = max(answer.texts[0] for answer in answers)
            times[tried] += max(answer.ended for answer in answers) - began
        return {"ratio": times["off"] / times[mode]}

    return measure


# A token of every vocabulary here that is plain text.
ANY_TOKEN = 300
NEWS = "Tell me a story about a fox and a bear who live in a house by the river"


def speculation(bench: Any) -> list[Row]:
    """Tokens a second with `"speculative":"ngram"` by those with `"off"`: where the text repeats
    itself, and where it does not. The demo model goes on with a list of sentences by itself; random
    weights seldom repeat anything for long, so a bias of 100 makes them say one token for ever, which is the
    best case."""
    rows = []
    again = "The dog was happy. The cat was happy. " * 6
    for model in (bench.demo, bench.middle, bench.large):
        count = LIGHT_TOKENS // 2 if bench.is_light(model) else 2 * TOKENS
        bias = {} if model == bench.demo else {"logit_bias": [[ANY_TOKEN, 100]]}
        # A light model computes a token in little more than the time that its guess takes.
        goal = 1.0 if bench.is_light(model) else 1.5
        cases = (("text that repeats itself", again, bias, goal), ("other text", NEWS, {}, 0.98))
        with bench.serve(model, 1, 1024) as server:
            for what, prompt, params, goal in cases:
                measure = by_off(server, "ngram", prompt, count, params)
                rows.append(guessing(bench, model, what, goal, measure))
    everywhere = {"logit_bias": [[ANY_TOKEN, 100]]}
    for streams, goal in REPEATING:
        with bench.serve(bench.large, streams, 1024) as server:
            what = f"{streams} streams that repeat themselves"
            measure = by_off(server, "ngram", again, TOKENS, everywhere, streams)
            rows.append(guessing(bench, bench.large, what, goal, measure))
    return rows


def guessing(bench: Any, model: Path, what: str, goal: float, measure: Measure) -> Row:
    values = bench.in_turns(f"{model.stem}, {what}", "× off", {OURS: measure})["ratio"]
    return Row(f"guessing ahead: {what}", model.stem, "× off", True, values, [Goal(goal)])


def draft(bench: Any) -> list[Row]:
    """Tokens a second with `--draft` by those of the same server with `"speculative":"off"`, on a text
    that does not repeat itself. No two models with random weights say the same. So the large one has
    the 1B shape but heeds its first layer alone, and the right draft is that layer, a seventh of the
    bytes: always right but where two tokens are equally likely, which is the best case. The wrong
    draft is another layer, and always wrong."""
    pair = bench.pair()
    rows = []
    for what, path, goal in (("right", pair.right, 1.5), ("wrong", pair.wrong, 0.98)):
        with bench.serve(pair.model, 1, 1024, "--draft", str(path)) as server:
            measure = by_off(server, "auto", NEWS, 2 * TOKENS, {})
            values = bench.in_turns(f"a draft that is {what}", "× off", {OURS: measure})["ratio"]
        name = f"draft model that is {what}"
        rows.append(Row(name, pair.model.stem, "× off", True, values, [Goal(goal)]))
    return rows
