"""Compares the daemon with llama.cpp's own programs and writes docs/BENCHMARKS.md.

`make bench` builds the programs and calls this script. In every turn all programs do the same work
one after another. The order changes from turn to turn, so a drift of the machine affects them all.
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
import real_models
import report
from journal import BUSY_WARNING, Journal, Others, busy_before
from measures import Row, number
from scenarios import SCENARIOS
from servers import Daemon, LlamaServer, Server

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "tools/demo-model/demo.gguf"
Measured = dict[str, float]
# Pause in seconds between two programs. An idle daemon mirrors its cached sequences to host RAM,
# which must not overlap with the next measurement.
SETTLE = 0.5


class Bench:
    """Programs, models, number of turns and options, which the scenarios use."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.journal = Journal()
        self.quick: bool = arguments.quick
        self.turns: int = arguments.turns or (2 if self.quick else 5)
        self.soak_s: int = arguments.soak
        self.threads: int = arguments.threads
        self.target: Path = arguments.target
        self.work = self.target / "bench"
        self.work.mkdir(parents=True, exist_ok=True)
        release = arguments.target / "release"
        self.daemon: Path = arguments.daemon or release / "inference-core"
        self.load_program: Path = arguments.load or release / "examples/load"
        self.peers = peers.get(self.work, arguments.peers)
        given = [Path(path).resolve() for path in arguments.models.split()]
        self.models_given = bool(given)
        self.models = given or models.get(self.work / "models", DEMO, arguments.vocab)
        self.demo = DEMO

    # Models by size. With one model, all three are the same.

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
        """A model and two draft models for it. The files are written on the first call."""
        return models.get_pair(self.work / "models", self.demo)

    def real_models(self) -> list[Path]:
        """Real models, smallest first. They are downloaded on the first call."""
        return real_models.get(self.target)

    def is_light(self, model: Path) -> bool:
        """Whether it generates hundreds of tokens/s, so that it needs longer runs."""
        return model.stat().st_size < 100_000_000

    # The programs.

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

    def serve_llama(
        self, model: Path, slots: int, context: int, *more: str, name: str = LlamaServer.name
    ) -> LlamaServer:
        """llama-server with the same options. Its `-c` counts the tokens of all slots together.

        `more` has additional options, and `name` is the name in the report.
        """
        size = ["-np", str(slots), *more, "-c", str(slots * context)]
        return LlamaServer(self, ["-m", str(model), *size, "-t", str(self.threads)], name)

    def serve_default(self, model: Path) -> Daemon:
        """The daemon with its default options, except for the number of threads."""
        return Daemon(self, [str(model), "--threads", str(self.threads)])

    def serve_llama_default(self, model: Path, context: int = 0) -> LlamaServer:
        """llama-server with its default options, except for the number of threads and `context`,
        the tokens of all slots together. 0 is the context that the model was trained on."""
        size = ["-c", str(context)] if context else []
        command = ["-m", str(model), *size, "-t", str(self.threads)]
        return LlamaServer(self, command, "llama-server default")

    def load(self, server: Server, protocol: str = "", **options: Any) -> dict[str, Any]:
        """Runs the load generator and returns its report. An option that is `True` has no value.

        `protocol` is another one than the server's own.
        """
        path = self.work / "load.json"
        path.unlink(missing_ok=True)
        url = server.http_url if protocol else server.url
        protocol = protocol or server.protocol
        command = [str(self.load_program), "--protocol", protocol, "--url", url]
        for name, value in options.items():
            command += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
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
        self, name: str, model: Path, *options: Any, environment: Optional[dict[str, str]] = None
    ) -> list[dict[str, Any]]:
        """Runs llama-bench or llama-batched-bench and returns the lines of its JSON.

        `environment` has additional variables.
        """
        form = ["-o", "jsonl"] if name == "llama-bench" else ["--output-format", "jsonl"]
        command = [str(self.peers / name), "-m", str(model), "-t", str(self.threads)]
        command += [*map(str, options), *form]
        environment = environment or {}
        self.journal.command([f"{key}={value}" for key, value in environment.items()] + command)
        # One retry, so a program that the system killed does not lose the scenario.
        for _ in range(2):
            run = subprocess.run(
                command,
                capture_output=True,
                text=True,
                check=False,
                env={**os.environ, **environment},
            )
            lines = [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")]
            if run.returncode == 0 and lines:
                return lines
            self.journal.note(f"{name} exited with {run.returncode}")
        raise RuntimeError(f"{name} failed: {run.stderr.strip()[-300:]}")

    def llama_bench(
        self, model: Path, prompt: int, generate: int, times: int, huge_pages: bool = False
    ) -> Measured:
        """Median of one run of llama-bench, which may keep its weights in huge pages."""
        options = ["-p", prompt, "-n", generate, "-r", times]
        if huge_pages:
            options += ["--load-mode", "none"]
        environment = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"} if huge_pages else {}
        line = self.tool("llama-bench", model, *options, environment=environment)[0]
        seconds = statistics.median(line["samples_ns"]) / 1e9
        return {"seconds": seconds, "tokens_per_s": (prompt + generate) / seconds}

    def in_turns(
        self,
        label: str,
        unit: str,
        programs: dict[str, Callable[[int], Measured]],
        turns: Optional[int] = None,
    ) -> dict[str, dict[str, list[float]]]:
        """Measures every program once per turn, in an order that changes.

        Returns the values of all turns by quantity and program.
        """
        values: dict[str, dict[str, list[float]]] = {}
        names = list(programs)
        turns = turns or self.turns
        for turn in range(turns):
            first = turn % len(names)
            for name in names[first:] + names[:first]:
                time.sleep(SETTLE)
                measured = programs[name](turn)
                for what, value in measured.items():
                    values.setdefault(what, {}).setdefault(name, []).append(value)
                shown = "  ".join(f"{what} {number(value)}" for what, value in measured.items())
                self.journal.say(f"{label}  turn {turn + 1}/{turns}  {name:<24} {shown} {unit}")
        # Columns are in the order of `programs`, not in the order of the last turn.
        return {
            what: {name: found[name] for name in names if name in found}
            for what, found in values.items()
        }


def options() -> argparse.Namespace:
    environment = os.environ.get
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--only", default="", help=f"scenarios to run (all): {' '.join(SCENARIOS)}")
    add("--quick", action="store_true", help="two short turns, to test the bench itself")
    add("--turns", type=int, help="turns per scenario (5)")
    add("--soak", type=int, default=600, help="seconds of the soak scenario; 0 skips it (600)")
    add("--threads", type=int, default=os.cpu_count(), help="threads of each program (all cores)")
    add("--peers", help="folder of llama.cpp's three programs (built on demand)")
    add("--models", default="", help="GGUF files, smallest first (generated ones)")
    add("--vocab", help="vocabulary-only GGUF for the generated models (from the demo model)")
    add("--out", type=Path, help="folder of the report (docs; target/bench with --only, --quick)")
    add("--daemon", type=Path, help="binary of the daemon (from --target)")
    add("--load", type=Path, help="binary of the load generator (from --target)")
    add("--target", type=Path, default=Path(environment("CARGO_TARGET_DIR", ROOT / "target")))
    arguments = parser.parse_args()
    unknown = set(arguments.only.split()) - set(SCENARIOS)
    if unknown:
        parser.error(f"unknown scenario {' '.join(unknown)}, use: {' '.join(SCENARIOS)}")
    for model in arguments.models.split():
        if not is_gguf(Path(model)):
            parser.error(f"{model} is not a GGUF file; without MODELS the bench generates models")
    return arguments


def is_gguf(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) == b"GGUF"
    except OSError:
        return False


def main() -> int:
    arguments = options()
    # SIGTERM must run the `finally` blocks that stop the servers.
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
    for number_in_run, name in enumerate(chosen, 1):
        scenario = SCENARIOS[name]
        bench.journal.begin(name, scenario.title, f"{number_in_run}/{len(chosen)}")
        others = Others()
        try:
            results.append((name, scenario.measure(bench)))
        except (KeyboardInterrupt, SystemExit):
            raise
        except Exception as error:  # A failed scenario must not lose the results of the others.
            traceback.print_exc()
            bench.journal.note(f"failed: {error}")
            results.append((name, []))
            failed.append(name)
        if (cores := others.cores()) > BUSY_WARNING:
            bench.journal.note(f"other programs used {cores:.1f} cores: the figures are too low")
    report.write(out, bench, results, cores_before)
    if failed:
        print(f"bench: failed: {' '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("\nbench: interrupted, no report was written")
