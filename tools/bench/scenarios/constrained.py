"""What answers cost that have to fit a format."""

from __future__ import annotations

from typing import Any

from measures import OURS, Goal, Row

TOKENS = 64
# The model can choose each token. A grammar without such choices would be drafted.
TEXT = {"type": "regex", "pattern": "[a-z ]{200,}"}
NAMES = [f"a_rather_long_name_of_member_{i}" for i in range(8)]
JSON = {
    "type": "json_schema",
    "schema": {
        "type": "object",
        "properties": {name: {"type": "boolean"} for name in NAMES},
        "required": NAMES,
        "additionalProperties": False,
    },
}


def constrained(bench: Any) -> list[Row]:
    """Tokens/s of an answer with a format relative to those of a free one of the same server, over
    the whole request, on the model with many tokens and few weights. `[a-z ]{200,}` leaves the
    model a choice for each token. Of the JSON most text is prescribed, and the daemon drafts it.
    The free answer and that of the regular expression have speculation turned off. Each turn runs
    free, constrained, constrained, free, so a drift of the machine affects both."""
    model = bench.middle
    rows = []
    with bench.serve(model, 1, 1024) as server:

        def rate(answer_format: Any, mode: str, turn: int) -> float:
            answer = server.stream().ask(
                "the",
                answer_format=answer_format,
                max_tokens=TOKENS,
                ignore_eos=True,
                speculative=mode,
                temp=0.8,
                seed=turn + 1,
            )
            return answer.tokens_per_s

        def ratio(answer_format: Any, mode: str) -> Any:
            def measure(turn: int) -> dict[str, float]:
                times = {False: 0.0, True: 0.0}
                for is_constrained in (False, True, True, False):
                    wanted = (answer_format, mode) if is_constrained else (None, "off")
                    times[is_constrained] += 1 / rate(*wanted, turn)
                return {"ratio": times[False] / times[True]}

            return measure

        # The first constraint of a server takes a second longer.
        rate(TEXT, "off", 0)
        for what, answer_format, mode, goal in (
            ("text of a regular expression", TEXT, "off", 0.95),
            ("JSON of a schema", JSON, "auto", 1.0),
        ):
            values = bench.in_turns(
                f"{model.stem}, {what}", "× free", {OURS: ratio(answer_format, mode)}
            )["ratio"]
            rows.append(
                Row(f"constrained: {what}", model.stem, "× free", True, values, [Goal(goal)])
            )
    return rows
