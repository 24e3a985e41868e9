"""Results: rows with one value per turn and program, and the goals that they must reach.

A ratio is computed for each turn before the median is taken. Anything that slows down a whole turn
affects both values and cancels out.
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
        """With an additional digit, for a median that would be rounded to the bound of its goal."""
        return self.with_range(f"{self.median:.3f}")

    def with_range(self, median: str) -> str:
        if self.turns == 1 or number(self.least) == number(self.most):
            return median
        return f"{median} [{number(self.least)}..{number(self.most)}]"


def number(value: float) -> str:
    """Three significant digits, or a whole number from 100 on."""
    size = abs(value)
    if size >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 20 else f"{value:.2f}"


@dataclass
class Goal:
    """A bound on the daemon's value, or on its ratio to the best value of some peers.

    `plus` is a tolerance, which is subtracted from the daemon's value before the ratio is computed.
    The median of the turns has to reach the bound, or with `in_every_turn` the worst value.
    """

    bound: float
    peers: tuple[str, ...] = ()
    plus: float = 0.0
    in_every_turn: bool = False


@dataclass
class Row:
    """One quantity, measured with one model on all programs that support it."""

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
        """The daemon's value divided by the best of `peers`, for each turn."""
        best = max if self.more_is_better else min
        against = [best(turn) for turn in zip(*(self.values[peer] for peer in peers))]
        # A peer's value may be zero.
        return [
            (ours - plus) / max(theirs, 1e-9) for ours, theirs in zip(self.values[OURS], against)
        ]

    def outcome(self, goal: Goal) -> tuple[Summary, bool]:
        """The value that is compared with the bound, and whether the goal is reached."""
        values = self.ratios(goal.peers, goal.plus) if goal.peers else self.values[OURS]
        summary = Summary.of(values)
        worst = summary.least if self.more_is_better else summary.most
        judged = worst if goal.in_every_turn else summary.median
        is_reached = judged >= goal.bound if self.more_is_better else judged <= goal.bound
        return summary, is_reached

    def wording(self, goal: Goal) -> str:
        """The goal as text: `≥ 0.98 × llama-bench`."""
        sign = "≥" if self.more_is_better else "≤"
        every = " in every turn" if goal.in_every_turn else ""
        if not goal.peers:
            return f"{sign} {number(goal.bound)} {self.unit}{every}"
        plus = f" + {number(goal.plus)} {self.unit}" if goal.plus else ""
        return f"{sign} {number(goal.bound)} × {best_of(goal.peers)}{plus}{every}"


def best_of(names: tuple[str, ...]) -> str:
    """`A`, `the better of A and B` or `the best of A, B and C`."""
    if len(names) == 1:
        return names[0]
    word = "better" if len(names) == 2 else "best"
    return f"the {word} of {', '.join(names[:-1])} and {names[-1]}"
