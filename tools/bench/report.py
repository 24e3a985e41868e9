"""Writes what was measured: Markdown for people, JSON for programs, a chart, and the terminal."""

from __future__ import annotations

import datetime
import json
import os
import platform
import re
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

import chart
import peers
from measures import OURS, Goal, Row, Summary, number
from scenarios import SCENARIOS

MODELS_GIVEN = ", all but the first given with MODELS (those that the bench makes up are others)"

Results = list[tuple[str, list[Row]]]


def write(out: Path, bench: Any, results: Results, cores_before: float) -> None:
    out.mkdir(parents=True, exist_ok=True)
    facts = about(bench, cores_before)
    rows = [row for _, found in results for row in found]
    (out / "benchmarks.svg").write_text(chart.draw(rows))
    (out / "benchmarks.json").write_text(
        json.dumps(as_json(facts, bench, results), indent=1) + "\n"
    )
    (out / "BENCHMARKS.md").write_text(markdown(facts, bench, results))
    print("\n" + terminal(rows))
    print(f"\nbench: wrote BENCHMARKS.md, benchmarks.svg and benchmarks.json to {out}")


def about(bench: Any, cores_before: float) -> dict[str, str]:
    """The machine and the versions."""
    cpu = re.search(r"model name\s*: (.+)", read("/proc/cpuinfo"))
    memory = re.search(r"MemTotal:\s+(\d+)", read("/proc/meminfo"))
    said = subprocess.run([bench.daemon, "--version"], capture_output=True, text=True, check=False)
    models = ", ".join(
        f"{path.stem} ({path.stat().st_size / 1e6:,.0f} MB)" for path in [bench.demo, *bench.models]
    )
    return {
        "date": datetime.date.today().isoformat(),
        "processor": f"{cpu.group(1) if cpu else platform.processor()}, {os.cpu_count()} cores",
        "memory": f"{int(memory.group(1)) / 1024**2:.0f} GiB" if memory else "unknown",
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "busy before": f"{cores_before:.2f} cores",
        "threads": f"{bench.threads} for every contestant",
        "turns": f"{bench.turns}"
        + (", short ones: these figures prove nothing" if bench.quick else ""),
        "models": models + (MODELS_GIVEN if bench.models_given else ""),
        "inference-core": " · ".join(" ".join(line.split()) for line in said.stdout.splitlines())
        .strip(" ·")
        .removeprefix("inference-core "),
        "llama.cpp's programs": f"{peers.version(bench.peers)}, as in {peers.PACKAGE} {peers.VERSION},"
        f" compiled with `{' '.join(peers.OPTIONS)}`",
    }


def read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def as_json(facts: dict[str, str], bench: Any, results: Results) -> dict[str, Any]:
    scenarios = {}
    for name, rows in results:
        scenarios[name] = {
            "rows": [
                {**asdict(row), "goals": [judged(row, goal) for goal in row.goals]} for row in rows
            ],
            "notes": bench.journal.notes.get(name, []),
            "commands": bench.journal.commands.get(name, []),
        }
    return {"about": facts, "scenarios": scenarios}


def judged(row: Row, goal: Goal) -> dict[str, Any]:
    summary, kept = row.outcome(goal)
    return {"goal": row.wording(goal), "kept": kept, **asdict(summary)}


def markdown(facts: dict[str, str], bench: Any, results: Results) -> str:
    goals = [(row, goal) for _, rows in results for row in rows for goal in row.goals]
    kept = sum(row.outcome(goal)[1] for row, goal in goals)
    failed = ", ".join(name for name, rows in results if not rows)
    unmeasured = f" **Failed, and in no count: {failed}.**" if failed else ""
    parts = [
        "# Benchmarks",
        "<!-- Written by `make bench`; changes by hand will be lost. -->",
        "The daemon beside llama.cpp's own programs, measured by `make bench` on one machine in one"
        " run. In every turn all do the same work one after another. A figure is the **median of the"
        " turns [least..most]**; a ratio is taken turn by turn, ours by theirs, and then summed up"
        " in the same way. Where a goal forgives a millisecond (`+ 1 ms`), that is taken off our"
        " figure before, so its ratio is smaller than the one in the section.",
        f"**{kept} of {len(goals)} goals are reached.** What is missed stands in bold.{unmeasured}",
        "![The daemon beside llama.cpp's programs](benchmarks.svg)",
        table(["", ""], [[name, value] for name, value in facts.items()]),
        "## Goals",
        table(["", "model", "goal", "measured", ""], [goal_line(row, goal) for row, goal in goals]),
    ]
    for name, rows in results:
        scenario = SCENARIOS[name]
        parts += [f"## {scenario.title[0].upper()}{scenario.title[1:]}", scenario.about]
        parts += [f"Note: {note}" for note in bench.journal.notes.get(name, [])]
        parts += [scenario_table(rows)] if rows else []
        commands = bench.journal.commands.get(name, [])
        if commands:
            parts.append("```sh\n" + "\n".join(commands) + "\n```")
        parts.append(f"To run only this: `make bench ONLY={name}`")
    return "\n\n".join(parts) + "\n"


def goal_line(row: Row, goal: Goal) -> list[str]:
    summary, kept = row.outcome(goal)
    is_close = not kept and number(summary.median) == number(goal.bound)
    measured = summary.exact() if is_close else f"{summary}"
    measured += " ×" if goal.peers else ""
    cells = [row.what, row.model, row.wording(goal), measured, "reached" if kept else "missed"]
    return cells if kept else [f"**{cell}**" for cell in cells]


def scenario_table(rows: list[Row]) -> str:
    """One line a row; each peer has its figure and our ratio to it."""
    names = list(dict.fromkeys(name for row in rows for name in row.peers()))
    lines = []
    for row in rows:
        line = [f"{row.what}, {row.unit}", row.model, str(row.summary(OURS))]
        for name in names:
            if name in row.values:
                line += [str(row.summary(name)), f"{Summary.of(row.ratios((name,)))} ×"]
            else:
                line += ["", ""]
        lines.append(line)
    head = ["", "model", OURS]
    for name in names:
        head += [name, "ours by theirs"]
    text = table(head, lines)
    better = {row.more_is_better for row in rows}
    if len(better) == 1:
        text += f"\n\n{'More' if better.pop() else 'Less'} is better."
    return text


def table(head: list[str], lines: list[list[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def terminal(rows: list[Row]) -> str:
    """Every row and what became of its goals: in columns, or below each other where these do not fit."""
    lines = [["", "model", "measured", "goal", "by theirs", "is"]]
    for row in rows:
        ours = f"{row.summary(OURS)} {row.unit}"
        if not row.goals:
            lines.append([row.what, row.model, ours, "", "", ""])
        for place, goal in enumerate(row.goals):
            summary, kept = row.outcome(goal)
            first = [row.what, row.model, ours] if place == 0 else ["", "", ""]
            ratio = f"{summary} ×" if goal.peers else ""
            lines.append([*first, row.wording(goal), ratio, "reached" if kept else "MISSED"])
    widths = [max(len(line[column]) for line in lines) for column in range(6)]
    if sum(widths) + 2 * (len(widths) - 1) > shutil.get_terminal_size((120, 24)).columns:
        return "\n".join(below_each_other(*line) for line in lines[1:])
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines
    )


def below_each_other(what: str, model: str, ours: str, goal: str, ratio: str, outcome: str) -> str:
    """A line of the table for a narrow terminal."""
    head = f"{what} · {model}: {ours}" if what else ""
    foot = f"    {outcome}: {goal}{', is ' * bool(ratio)}{ratio}" if goal else ""
    return "\n".join(line for line in (head, foot) if line)
