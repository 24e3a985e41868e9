"""Inter-token latencies from the texts of answers, with one definition for all servers.

Texts that arrive less than `TOGETHER_MS` after the first of them are one arrival. The time between
two arrivals is divided equally among the tokens of the later one, and each token counts as one gap.
The tokens of the first arrival have no gap, because the time to first token measures them. The
daemon's histogram `inter_token` divides the time between two steps in the same way.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable, Iterable, Optional

# Two texts that one step computed, or that one read of a socket returned, are one arrival. A step
# of a real model takes longer than this.
TOGETHER_MS = 1.0

# Number of tokens of a text.
Count = Callable[[str], int]


@dataclass
class Arrival:
    """Texts of an answer that arrived together."""

    at_ms: float
    n_tokens: int


@dataclass
class Gaps:
    """Times in milliseconds of all answers of a run."""

    # One per token.
    tokens: list[float] = field(default_factory=list)
    # One per arrival, not divided among its tokens.
    arrivals: list[float] = field(default_factory=list)
    # Tokens that the texts have, and those that the server reports.
    n_counted: int = 0
    n_reported: int = 0


def of_answers(answers: Iterable[dict[str, Any]], count: Count) -> Gaps:
    """The gaps of the answers in a report of the load generator (`--texts`)."""
    gaps = Gaps()
    for answer in answers:
        arrivals = arrivals_of(answer["texts"], count)
        gaps.n_reported += answer["tokens"]
        gaps.n_counted += sum(arrival.n_tokens for arrival in arrivals)
        for before, after in zip(arrivals, arrivals[1:]):
            elapsed = after.at_ms - before.at_ms
            gaps.arrivals.append(elapsed)
            gaps.tokens += [elapsed / after.n_tokens] * after.n_tokens
    return gaps


def arrivals_of(texts: Iterable[dict[str, Any]], count: Count) -> list[Arrival]:
    """Groups the texts of one answer.

    The number of tokens is the one that the server reports. If it reports none, `count` gives the
    number for the text. A text has at least one token.
    """
    arrivals: list[Arrival] = []
    n_before = 0
    for text in texts:
        n_so_far: Optional[int] = text["tokens"]
        n_tokens = count(text["content"]) if n_so_far is None else n_so_far - n_before
        n_tokens = max(n_tokens, 1)
        n_before = n_so_far or 0
        if arrivals and text["at_ms"] - arrivals[-1].at_ms < TOGETHER_MS:
            arrivals[-1].n_tokens += n_tokens
        else:
            arrivals.append(Arrival(text["at_ms"], n_tokens))
    return arrivals


def percentile(values: Iterable[float], percent: int) -> float:
    """The nearest-rank percentile, which is one of the values."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("there are no gaps: every answer arrived as one text")
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(rank, 1) - 1]
