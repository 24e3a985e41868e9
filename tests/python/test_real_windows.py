"""Gemma 3, whose layers see only the last 512 tokens, except for every sixth one.

The daemon can reuse a prefix only where the window of its last token is still in the cache.
Whatever it reuses, an answer must be the one that it computes without.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from answers import OTHER_BATCHES, Answer, ask, assert_same, story
from conftest import Client, Daemon

WINDOW = 512
# More than one and a half windows.
PROMPT = story(720)
TAIL = "Nobody knows why that happened, but "
EDITS = {
    "start": "Once upon a time the end was near." + PROMPT,
    "middle": story(360) + TAIL + story(360, first=36),
    "end": story(700) + TAIL,
    "first_third": story(240),
}


def uncached(client: Client, prompt: str, max_tokens: int) -> Answer:
    """The answer that is computed without anything that is cached."""
    answer = ask(client, prompt, max_tokens, cache_prompt=False, ignore_eos=True)
    assert answer.cached_tokens == 0
    return answer


def secret(word: str, n_before: int, n_after: int) -> str:
    """A prompt that names a word between two texts, and then asks for it."""
    before, after = story(n_before), story(n_after, first=300)
    return f"{before}The secret word is {word}.\n{after}\nThe secret word is"


def test_prompt_beyond_the_window_is_answered_again_from_the_cache(gemma: Daemon) -> None:
    with gemma.connect() as client:
        first = ask(client, PROMPT, 24, ignore_eos=True)
        assert first.prompt_tokens > 3 * WINDOW // 2
        again = ask(client, PROMPT, 24, ignore_eos=True)
        assert again.cached_tokens > first.prompt_tokens - 64
        assert_same(again, first)
        assert_same(again, uncached(client, PROMPT, 24))


@pytest.mark.parametrize("edited", EDITS.values(), ids=EDITS.keys())
def test_edited_prompt_is_continued_as_without_the_cache(gemma: Daemon, edited: str) -> None:
    with gemma.connect() as client:
        ask(client, PROMPT, 1)
        answer = ask(client, edited, 24, ignore_eos=True)
        assert_same(answer, uncached(client, edited, 24))


@pytest.mark.parametrize(("n_before", "n_after"), [(20, 600), (300, 320), (600, 20)])
def test_changed_word_of_a_prompt_is_seen(gemma: Daemon, n_before: int, n_after: int) -> None:
    """The word is a single token, so that all tokens after it are equal, but not their state."""
    with gemma.connect() as client:
        ask(client, secret("apple", n_before, n_after), 1)
        edited = secret("tiger", n_before, n_after)
        answer = ask(client, edited, 8, ignore_eos=True)
        assert_same(answer, uncached(client, edited, 8))


def test_answer_beyond_the_window_is_continued_as_without_the_cache(gemma: Daemon) -> None:
    with gemma.connect() as client:
        prompt = story(400)
        answer = ask(client, prompt, 160, ignore_eos=True)
        assert answer.prompt_tokens < WINDOW < answer.prompt_tokens + len(answer.tokens)
        longer = prompt + answer.text + "\nAnd then,"
        continued = ask(client, longer, 24, ignore_eos=True)
        assert continued.cached_tokens > answer.prompt_tokens
        # The cached tokens of the answer were generated one by one.
        assert_same(continued, uncached(client, longer, 24), OTHER_BATCHES)
        # The window of the cached sequence has moved on, beyond the start of the prompt.
        again = ask(client, prompt, 24, ignore_eos=True)
        assert_same(again, replace(answer, tokens=answer.tokens[:24]))


def test_prompt_of_2000_words_is_continued_as_without_the_cache(gemma: Daemon) -> None:
    with gemma.connect() as client:
        part = ask(client, story(1600), 1)
        answer = ask(client, story(2000), 24, ignore_eos=True)
        assert part.prompt_tokens - 64 < answer.cached_tokens < answer.prompt_tokens
        # The window has moved on, so all of the cached prompt is reused: also its last tokens,
        # which were computed in a smaller batch.
        assert_same(answer, uncached(client, story(2000), 24), OTHER_BATCHES)
