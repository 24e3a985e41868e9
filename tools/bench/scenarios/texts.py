"""Prompts for the clients written in Python: plain words by a seed, and sizes in tokens."""

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
    """`count` words; other words for another seed."""
    chosen = random.Random(repr(seed))
    return " ".join(chosen.choice(WORDS) for _ in range(count))


def sized(tokens: Tokens, seed: object, wanted: int) -> str:
    """Words that come to about `wanted` tokens, and never more."""
    count = wanted
    while (found := len(tokens(words(seed, count)))) > wanted:
        count = min(count - 1, count * wanted // found)
    return words(seed, count)


def only(tokens: Tokens, word: str) -> list[list[float]]:
    """A bias that makes a model say this word for ever: random weights say half characters, which
    are held back, and nothing that is the same when it is read again."""
    return [[tokens(f"the {word}")[-1], 100]]
