"""What a run measures: rows of numbers, one a turn and contestant, and the goals they must reach.

Ratios are taken turn by turn and then summed up, since two numbers of one turn saw the same
machine: what slows a whole turn down falls out of them.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

OURS = "inference-core"


@dataclass
class Summary:
    """Median and range of the turns."""

    median: float
    least: float
    most: float
    turns: int

    @classmethod
    def of(cls, values: list[float]) -> Summary:
        return cls(statistics.median(values), min(values), max(values), len(values))

    def __str__(self) -> str:
        return self.with_range(number(self.median))

    def exact(self) -> str:
        """With one digit more, where the usual ones would hide on which side of a bound it lies."""
        return self.with_range(f"{self.median:.3f}")

    def with_range(self, median: str) -> str:
        if self.turns == 1 or number(self.least) == number(self.most):
            return median
        return f"{median} [{number(self.least)}..{number(self.most)}]"


def number(value: float) -> str:
    """Three digits that count; whole numbers where there are more."""
    size = abs(value)
    if size >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 20 else f"{value:.2f}"


@dataclass
class Goal:
    """A bound on the daemon's number, or on its ratio to the best of some peers.

    With `plus` that much of the daemon's number is forgiven before the ratio is taken.
    """

    bound: float
    peers: tuple[str, ...] = ()
    plus: float = 0.0


@dataclass
class Row:
    """One thing measured with one model, by all who can do it."""

    what: str
    model: str
    unit: str
    more_is_better: bool
    values: dict[str, list[float]]
    goals: list[Goal] = field(default_factory=list)

    def peers(self) -> list[str]:
        return [name for name in self.values if name != OURS]

    def summary(self, name: str) -> Summary:
        return Summary.of(self.values[name])

    def ratios(self, peers: tuple[str, ...], plus: float = 0.0) -> list[float]:
        """Ours by the best of `peers`, turn by turn."""
        best = max if self.more_is_better else min
        against = [best(turn) for turn in zip(*(self.values[peer] for peer in peers))]
        # A peer may reach zero where that is the best there is; nothing can be put in relation to it.
        return [
            (ours - plus) / max(theirs, 1e-9) for ours, theirs in zip(self.values[OURS], against)
        ]

    def outcome(self, goal: Goal) -> tuple[Summary, bool]:
        """What stands against the bound, and whether it is kept."""
        values = self.ratios(goal.peers, goal.plus) if goal.peers else self.values[OURS]
        summary = Summary.of(values)
        kept = summary.median >= goal.bound if self.more_is_better else summary.median <= goal.bound
        return summary, kept

    def wording(self, goal: Goal) -> str:
        """The goal in words: `≥ 0.98 × llama-bench`."""
        sign = "≥" if self.more_is_better else "≤"
        if not goal.peers:
            return f"{sign} {number(goal.bound)} {self.unit}"
        peers = "the better of " * (len(goal.peers) > 1) + " and ".join(goal.peers)
        plus = f" + {number(goal.plus)} {self.unit}" if goal.plus else ""
        return f"{sign} {number(goal.bound)} × {peers}{plus}"
