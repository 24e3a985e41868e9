"""Prompts for the Python clients, generated from a seed, with lengths in words or tokens."""

from __future__ import annotations

import random
from typing import Callable

WORDS = (
    "the a old small green river house bread letter winter story fire moon bird fish stone town"
    " brother children paper boat tree night rain hill road window garden horse song table door"
    " walks finds reads sings brings opens near under over with from about before after and but"
).split()

Tokens = Callable[[str], list[int]]


def words(seed: object, count: int) -> str:
    """Returns `count` words that depend on the seed."""
    chosen = random.Random(repr(seed))
    return " ".join(chosen.choice(WORDS) for _ in range(count))


def sized(tokens: Tokens, seed: object, wanted: int) -> str:
    """Returns words with about `wanted` tokens, never more."""
    count = wanted
    while (found := len(tokens(words(seed, count)))) > wanted:
        count = min(count - 1, count * wanted // found)
    return words(seed, count)


def only(tokens: Tokens, word: str) -> list[list[float]]:
    """Returns a logit bias that makes a model generate only this word.

    Random weights would generate incomplete characters, which servers hold back, and text that does
    not give the same tokens when it is tokenized again.
    """
    return [[tokens(f"the {word}")[-1], 100]]
