"""Measures the daemon beside llama.cpp's own programs and writes docs/BENCHMARKS.md.

`make bench` builds what is needed and calls this. In every turn all contestants do the same work
one after another, in another order each time, so that what the machine does to one it does to all.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any, Callable, Optional

import models
import peers
import report
from journal import BUSY_WARNING, Journal, Others, busy_before
from measures import Row, number
from scenarios import SCENARIOS
from servers import Daemon, LlamaServer, Server

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "tools/demo-model/demo.gguf"
Measured = dict[str, float]
# Seconds between two contestants: the daemon copies what it has kept once it is at rest, which shall
# not be in another's time.
SETTLE = 0.5


class Bench:
    """What scenarios need: the programs, the models, how long to measure, and the turns."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.journal = Journal()
        self.quick: bool = arguments.quick
        self.turns: int = arguments.turns or (2 if self.quick else 5)
        self.soak_s: int = arguments.soak
        self.threads: int = arguments.threads
        self.work: Path = arguments.target / "bench"
        self.work.mkdir(parents=True, exist_ok=True)
        release = arguments.target / "release"
        self.daemon: Path = arguments.daemon or release / "inference-core"
        self.load_program: Path = arguments.load or release / "examples/load"
        self.peers = peers.get(self.work, arguments.peers)
        given = [Path(path).resolve() for path in arguments.models.split()]
        self.models_given = bool(given)
        self.models = given or models.get(self.work / "models", DEMO, arguments.vocab)
        self.demo = DEMO

    # The models by what scenarios want them for.

    @property
    def small(self) -> Path:
        return self.models[0]

    @property
    def middle(self) -> Path:
        return self.models[-2] if len(self.models) > 1 else self.models[0]

    @property
    def large(self) -> Path:
        return self.models[-1]

    def pair(self) -> models.Pair:
        """A model and two drafts for it, which are written when they are needed."""
        return models.get_pair(self.work / "models", self.demo)

    def is_light(self, model: Path) -> bool:
        """Whether it makes hundreds of tokens a second, so that short runs would measure nothing."""
        return model.stat().st_size < 100_000_000

    # The contestants.

    def serve(self, model: Path, slots: int, context: int, *more: str) -> Daemon:
        """The daemon with `slots` of `context` tokens each."""
        return Daemon(
            self,
            [
                str(model),
                "--parallel",
                str(slots),
                "--ctx-size",
                str(context),
                "--threads",
                str(self.threads),
                *more,
            ],
        )

    def serve_llama(self, model: Path, slots: int, context: int) -> LlamaServer:
        """llama-server with the same; its -c is for all slots together."""
        return LlamaServer(
            self,
            [
                "-m",
                str(model),
                "-np",
                str(slots),
                "-c",
                str(slots * context),
                "-t",
                str(self.threads),
            ],
        )

    def load(self, server: Server, **options: Any) -> dict[str, Any]:
        """One run of the load generator; its report."""
        path = self.work / "load.json"
        path.unlink(missing_ok=True)
        command = [str(self.load_program), "--protocol", server.protocol, "--url", server.url]
        for name, value in options.items():
            command += [f"--{name.replace('_', '-')}", str(value)]
        shown = [
            word if at == 0 or command[at - 1] != "--seed" else "TURN"
            for at, word in enumerate(command)
        ]
        self.journal.command(shown, server.port)
        run = subprocess.run(
            [*command, "--json", str(path)], capture_output=True, text=True, check=False
        )
        if not path.exists():
            raise RuntimeError(f"load: {run.stderr.strip()}")
        answer: dict[str, Any] = json.loads(path.read_text())
        failed = {name: count for name, count in answer["outcomes"].items() if name != "done"}
        if any(failed.values()):
            self.journal.note(f"{server.name}: not all requests were answered: {failed}")
        return answer

    def tool(
        self, name: str, model: Path, *options: Any, set_to: Optional[dict[str, str]] = None
    ) -> list[dict[str, Any]]:
        """One run of llama-bench or llama-batched-bench with these variables in its environment; the
        lines of its JSON."""
        form = ["-o", "jsonl"] if name == "llama-bench" else ["--output-format", "jsonl"]
        command = [str(self.peers / name), "-m", str(model), "-t", str(self.threads)]
        command += [*map(str, options), *form]
        set_to = set_to or {}
        self.journal.command([f"{key}={value}" for key, value in set_to.items()] + command)
        # A second try, so that one that was killed does not cost the scenario.
        for _ in range(2):
            run = subprocess.run(
                command, capture_output=True, text=True, check=False, env={**os.environ, **set_to}
            )
            lines = [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")]
            if run.returncode == 0 and lines:
                return lines
            self.journal.note(f"{name} ended with {run.returncode}")
        raise RuntimeError(f"{name} failed: {run.stderr.strip()[-300:]}")

    def llama_bench(
        self, model: Path, prompt: int, generate: int, times: int, huge_pages: bool = False
    ) -> Measured:
        """The median of one run of llama-bench, with its weights in huge pages if wanted."""
        options = ["-p", prompt, "-n", generate, "-r", times]
        if huge_pages:
            options += ["--load-mode", "none"]
        set_to = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"} if huge_pages else {}
        samples = self.tool("llama-bench", model, *options, set_to=set_to)[0]["samples_ns"]
        seconds = statistics.median(samples) / 1e9
        return {"seconds": seconds, "tokens_per_s": (prompt + generate) / seconds}

    def in_turns(
        self,
        label: str,
        unit: str,
        contestants: dict[str, Callable[[int], Measured]],
        turns: Optional[int] = None,
    ) -> dict[str, dict[str, list[float]]]:
        """Lets all do their work in each turn, in another order each time. Gives, by what was
        measured and by who, the values of all turns."""
        values: dict[str, dict[str, list[float]]] = {}
        names = list(contestants)
        turns = turns or self.turns
        for turn in range(turns):
            first = turn % len(names)
            for name in names[first:] + names[:first]:
                time.sleep(SETTLE)
                measured = contestants[name](turn)
                for what, value in measured.items():
                    values.setdefault(what, {}).setdefault(name, []).append(value)
                shown = "  ".join(f"{what} {number(value)}" for what, value in measured.items())
                self.journal.say(f"{label}  turn {turn + 1}/{turns}  {name:<24} {shown} {unit}")
        # The order of columns is the order they were given in, not that of the last turn.
        return {
            what: {name: found[name] for name in names if name in found}
            for what, found in values.items()
        }


def options() -> argparse.Namespace:
    environment = os.environ.get
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--only", default="", help=f"these scenarios: {' '.join(SCENARIOS)}")
    add(
        "--quick", action="store_true", help="two short turns: shows that all works, proves nothing"
    )
    add("--turns", type=int, help="turns of each scenario (5)")
    add("--soak", type=int, default=600, help="seconds of the scenario soak; 0 leaves it out (600)")
    add("--threads", type=int, default=os.cpu_count(), help="threads of all contestants (cores)")
    add("--peers", help="folder with llama-server, llama-bench and llama-batched-bench")
    add("--models", default="", help="GGUF files, the smallest first (made-up ones)")
    add("--vocab", help="vocabulary-only GGUF for the made-up models (the demo model's)")
    add("--out", type=Path, help="folder of the report (docs; target/bench for part of a run)")
    add("--daemon", type=Path, help="another binary of the daemon")
    add("--load", type=Path, help="another binary of the load generator")
    add("--target", type=Path, default=Path(environment("CARGO_TARGET_DIR", ROOT / "target")))
    arguments = parser.parse_args()
    unknown = set(arguments.only.split()) - set(SCENARIOS)
    if unknown:
        parser.error(f"no scenario {' '.join(unknown)}; there are: {' '.join(SCENARIOS)}")
    for model in arguments.models.split():
        if not is_gguf(Path(model)):
            parser.error(f"no GGUF file {model}; leave MODELS out to have models made")
    return arguments


def is_gguf(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) == b"GGUF"
    except OSError:
        return False


def main() -> int:
    arguments = options()
    # A plain kill, too, must pass through the `finally` that stop servers.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    cores_before = busy_before()
    bench = Bench(arguments)
    chosen = arguments.only.split() or [
        name for name in SCENARIOS if name != "soak" or arguments.soak > 0
    ]
    whole = not arguments.only and not arguments.quick
    out = (arguments.out or (ROOT / "docs" if whole else bench.work)).resolve()
    results: list[tuple[str, list[Row]]] = []
    failed = []
    for place, name in enumerate(chosen, 1):
        scenario = SCENARIOS[name]
        bench.journal.begin(name, scenario.title, f"{place}/{len(chosen)}")
        others = Others()
        try:
            results.append((name, scenario.measure(bench)))
        except (KeyboardInterrupt, SystemExit):
            raise
        except Exception as error:  # One scenario that fails must not lose the others' figures.
            traceback.print_exc()
            bench.journal.note(f"failed: {error}")
            results.append((name, []))
            failed.append(name)
        if (cores := others.cores()) > BUSY_WARNING:
            bench.journal.note(f"others kept {cores:.1f} cores busy meanwhile: the figures are too low")
    report.write(out, bench, results, cores_before)
    if failed:
        print(f"bench: failed: {' '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("\nbench: interrupted; nothing was written")
