"""Whether the same chat gets the same text again at temperature 0."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any, Callable

from measures import OURS, Goal, Row

ROUNDS = 3
ANSWER_TOKENS, QUICK_ANSWER_TOKENS = 96, 32
# Of llama-server with a KV stream for each slot: its default number of slots.
SLOTS, CONTEXT = 4, 1024
QUESTIONS = (
    "Tell me a short story about the {}.",
    "Why do people like the {}? Give three reasons.",
    "Write a letter to a friend who has never seen a {}.",
    "What should a child know about the {}?",
    "Explain in simple words how a {} changes over a year.",
    "Write a short poem about the {}.",
    "List five things that one finds near a {}.",
    "Describe a day at the {}, from morning to night.",
)
SUBJECTS = ("river", "moon", "bridge", "garden", "island", "library", "mountain", "train", "horse")

Chat = list[dict[str, str]]


def repeated(bench: Any) -> list[Row]:
    """Eight chats, one after another on an idle server, in three rounds. Each round has the same
    chats in the same order. The temperature is 0, and an answer has at most 96 tokens. Each turn
    starts the servers anew and has other chats. The figure is the number of chats that have the
    same text in all three rounds. The daemon and `llama-server default` have their default options,
    except for the number of threads. The KV cache of `llama-server default` is unified.
    `llama-server` has a KV stream for each of four slots."""
    n_tokens = QUICK_ANSWER_TOKENS if bench.quick else ANSWER_TOKENS
    rows = []
    for model in [bench.demo, bench.real_models()[0]]:

        def program(serve: Callable[[Path], Any], model: Path = model) -> Any:
            def measure(turn: int) -> dict[str, float]:
                with serve(model) as server:
                    prompts = [server.chat_prompt(chat) for chat in chats(turn)]
                    rounds = [
                        [answered(server, prompt, n_tokens) for prompt in prompts]
                        for _ in range(ROUNDS)
                    ]
                return {"same": n_same(rounds)}

            return measure

        programs = {
            OURS: program(bench.serve_default),
            "llama-server": program(lambda model: bench.serve_llama(model, SLOTS, CONTEXT)),
            "llama-server default": program(bench.serve_llama_default),
        }
        values = bench.in_turns(model.stem, f"of {len(QUESTIONS)}", programs)["same"]
        goals = [Goal(float(len(QUESTIONS)), in_every_turn=True)]
        what, unit = "same text in three rounds", f"of {len(QUESTIONS)} chats"
        rows.append(Row(what, model.stem, unit, True, values, goals))
    return rows


def chats(seed: int) -> list[Chat]:
    """A chat of one message per question, with subjects that depend on the seed."""
    chosen = random.Random(f"repeat {seed}")
    return [
        [{"role": "user", "content": question.format(chosen.choice(SUBJECTS))}]
        for question in QUESTIONS
    ]


def answered(server: Any, prompt: Any, n_tokens: int) -> str:
    """The text of the answer to a prompt that `chat_prompt` returned."""
    return server.stream().ask(prompt, max_tokens=n_tokens).text


def n_same(rounds: list[list[str]]) -> int:
    """Number of chats whose text is the same in all rounds."""
    return sum(len(set(texts)) == 1 for texts in zip(*rounds))
