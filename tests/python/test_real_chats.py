"""Chats with SmolLM2: a history that grows, and one that the client edits.

Whatever the daemon reuses of earlier requests, an answer must be the one that it computes without.
"""

from __future__ import annotations

import pytest
from answers import OTHER_BATCHES, Answer, Message, ask, assert_same
from conftest import Client, Daemon

TURNS = (
    "Tell me about lighthouses.",
    "¿Y cómo se dice en español?",
    "Write a short poem about rain.",
    "Now make it shorter. 🌧️",
    "What is 12 * 12?",
    "Explain why, step by step.",
    "Write a Python function that reverses a list.",
    "Thank you! What did we talk about?",
)
# Other prompts, more than the daemon has slots.
OTHERS = ("The sea", "Un barco", "def f(x):", "🐶", "1, 2, 3,", "Dear Sir or Madam,")
HISTORY = [
    {"role": "user", "content": "Hi! What is the tallest mountain?"},
    {"role": "assistant", "content": "The tallest mountain is Mount Everest, with 8,849 metres."},
    {"role": "user", "content": "And the longest river?"},
    {"role": "assistant", "content": "The Nile is usually called the longest river."},
    {"role": "user", "content": "¿Cuál es la capital de Perú?"},
    {"role": "assistant", "content": "La capital de Perú es Lima."},
    {"role": "user", "content": "Which language is this in: `fn main() {}`?"},
    {"role": "assistant", "content": "That is Rust. 🦀"},
    {"role": "user", "content": "What was my first question?"},
]
PIRATE = {"role": "system", "content": "You are a pirate. Answer briefly."}


def user(content: str) -> Message:
    return {"role": "user", "content": content}


def assistant(content: str) -> Message:
    return {"role": "assistant", "content": content}


ANOTHER_TURN = [user("Wait."), assistant("Yes?")]
EDITS = {
    "change_the_first_turn": [user("Hi! Which tree is the tallest?"), *HISTORY[1:]],
    "change_an_answer_in_the_middle": [*HISTORY[:3], assistant("The Amazon."), *HISTORY[4:]],
    "change_the_last_turn": [*HISTORY[:-1], user("What was my second question?")],
    "drop_the_first_turn": HISTORY[2:],
    "drop_a_turn_in_the_middle": HISTORY[:4] + HISTORY[6:],
    "drop_the_last_turn": [*HISTORY[:-3], HISTORY[-1]],
    "insert_a_system_message": [PIRATE, *HISTORY],
    "insert_a_turn_at_the_start": ANOTHER_TURN + HISTORY,
    "insert_a_turn_in_the_middle": HISTORY[:4] + ANOTHER_TURN + HISTORY[4:],
    "insert_a_turn_at_the_end": HISTORY[:-1] + ANOTHER_TURN + HISTORY[-1:],
}


def uncached(client: Client, messages: list[Message], max_tokens: int) -> Answer:
    """The answer that is computed without anything that is cached."""
    answer = ask(client, messages, max_tokens, cache_prompt=False)
    assert answer.cached_tokens == 0
    return answer


def chat_about_a_cat(name: str, turn: int) -> list[Message]:
    """A chat that names a cat in one of four turns and then asks for the name."""
    turns = [user("Hi!"), assistant("Hello!"), user("2 + 2?"), assistant("4."), user("¿Qué tal?")]
    turns.append(assistant("Muy bien, gracias. 😀"))
    turns[2 * turn : 2 * turn] = [user(f"My cat is called {name}."), assistant("Nice.")]
    return [*turns, user("What is my cat called? Answer with the name only.")]


def test_eight_turns_are_answered_as_without_the_cache(smollm2: Daemon) -> None:
    with smollm2.connect() as client:
        messages: list[Message] = []
        answers: list[Answer] = []
        for turn in TURNS:
            messages.append(user(turn))
            answers.append(ask(client, messages, 24))
            # Only the first answer was computed in the same way: the cached tokens of earlier
            # answers were generated one by one.
            assert_same(answers[-1], uncached(client, messages, 24), OTHER_BATCHES)
            messages.append(assistant(answers[-1].text))
        assert all(answer.cached_tokens > 0 for answer in answers[1:])
        for other in OTHERS:
            ask(client, other, 8)
        for n, answer in enumerate(answers):
            assert_same(ask(client, messages[: 2 * n + 1], 24), answer, OTHER_BATCHES)


@pytest.mark.parametrize("edited", EDITS.values(), ids=EDITS.keys())
def test_edited_history_is_answered_as_without_the_cache(
    smollm2: Daemon, edited: list[Message]
) -> None:
    with smollm2.connect() as client:
        ask(client, HISTORY, 1)
        assert_same(ask(client, edited, 16), uncached(client, edited, 16))


@pytest.mark.parametrize("turn", range(4))
def test_changed_word_of_a_history_is_seen(smollm2: Daemon, turn: int) -> None:
    """The word is a single token, so that all tokens after it are equal, but not their state."""
    with smollm2.connect() as client:
        ask(client, chat_about_a_cat("Tom", turn), 1)
        edited = chat_about_a_cat("Max", turn)
        answer = ask(client, edited, 16)
        assert answer.cached_tokens > 0
        assert_same(answer, uncached(client, edited, 16))
