"""The chart: for each row and peer, how many times better the daemon is, on a logarithmic axis.

The daemon is better to the right of 1 and worse to the left, whatever the unit. The SVG is written
as text, so the bench needs no plotting library.
"""

from __future__ import annotations

import math
from html import escape

from measures import Row, Summary

WIDTH, LABELS, RIGHT, LINE, TOP = 860, 330, 70, 18, 82
LEAST, MOST = 0.25, 16.0
COLOURS = {
    "llama-bench": "#8250df",
    "llama-bench, huge pages": "#bc8cff",
    "batched-bench unified": "#bf8700",
    "batched-bench separate": "#bc4c00",
    "llama-server": "#0969da",
    "llama-server unified": "#1b7c83",
    "llama-server default": "#1a7f37",
}
OTHER = "#57606a"


def draw(rows: list[Row]) -> str:
    rows = [row for row in rows if row.peers()]
    height = TOP + sum(LINE * len(row.peers()) + 6 for row in rows) + 12
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}"'
        f' viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12" fill="#24292f">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        text(
            LABELS, 18, "times better than the peer: median and range of the turns", weight="bold"
        ),
    ]
    x, y = 20, 36
    for name, colour in COLOURS.items():
        width = 26 + 7 * len(name)
        if x + width > WIDTH:
            x, y = 20, y + LINE
        parts.append(f'<circle cx="{x + 5}" cy="{y - 4}" r="4" fill="{colour}"/>')
        parts.append(text(x + 13, y, name))
        x += width
    tick = LEAST
    while tick <= MOST:
        colour, wide = ("#24292f", 1.5) if tick == 1 else ("#d0d7de", 1)
        parts.append(
            f'<path d="M{across(tick):.1f} {TOP - 6}V{height - 8}" stroke="{colour}" stroke-width="{wide}"/>'
        )
        parts.append(text(across(tick), TOP - 10, f"{tick:g}", anchor="middle"))
        tick *= 2
    down = TOP + 6
    for row in rows:
        parts.append(text(LABELS - 12, down + 8, f"{row.what} · {row.model}", anchor="end"))
        for name in row.peers():
            parts.append(mark(row, name, down + 4))
            down += LINE
        down += 6
    return "\n".join([*parts, "</svg>"]) + "\n"


def mark(row: Row, name: str, y: int) -> str:
    """A dot at the median, a bar from the worst turn to the best, and the median as text."""
    ratios = row.ratios((name,))
    better = Summary.of(
        ratios if row.more_is_better else [1 / max(ratio, 1e-9) for ratio in ratios]
    )
    colour = COLOURS.get(name, OTHER)
    left, middle, right = (across(value) for value in (better.least, better.median, better.most))
    return (
        f'<path d="M{left:.1f} {y}H{right:.1f}" stroke="{colour}" stroke-width="2" opacity="0.5"/>'
        f'<circle cx="{middle:.1f}" cy="{y}" r="4" fill="{colour}"><title>{escape(name)}</title></circle>'
        + text(max(right, middle + 4) + 6, y + 4, f"{better.median:.2f}", colour=colour)
    )


def across(ratio: float) -> float:
    """The x coordinate of a ratio. Ratios beyond the axis are drawn at its ends."""
    ratio = min(max(ratio, LEAST), MOST)
    return LABELS + (WIDTH - RIGHT - LABELS) * math.log(ratio / LEAST) / math.log(MOST / LEAST)


def text(
    x: float, y: float, words: str, anchor: str = "start", weight: str = "normal", colour: str = ""
) -> str:
    fill = f' fill="{colour}"' if colour else ""
    return (
        f'<text x="{x:.1f}" y="{y}" text-anchor="{anchor}" font-weight="{weight}"{fill}>'
        f"{escape(words)}</text>"
    )
