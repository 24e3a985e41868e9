"""Runs the fuzz targets and prints what they did.

`make fuzz TIME=1800 ONLY="gguf tokenizer"` builds and runs them. Each target is a program that
libFuzzer calls with inputs which it changes until they reach new code. Inputs are kept in
`target/fuzz/corpus`, so that the next run goes on where this one ends. Exits with 1 if a target
finds something; the input is then in `target/fuzz/finds`. It needs Linux.
"""

import argparse
import concurrent.futures
import dataclasses
import os
import pathlib
import re
import subprocess
import sys
import time

import seeds
import vocabularies

# Longest input of each target in bytes.
MAX_BYTES = {
    "client_frames": 4096,
    "link_frames": 4096,
    "gguf": 16384,
    "chat_template": 1500,
    "tokenizer": 300,
    "key_file": 4096,
}

# Seconds after which one input counts as a hang. A template has 10 s of its own (ADR-0017), and a
# machine that does other work takes longer.
INPUT_S = 60

# Most memory of a target. Compiled templates are never freed, so a target is started again after
# each round.
MEMORY_MB = 4096
ROUND_S = 300


@dataclasses.dataclass
class Result:
    target: str
    runs: int = 0
    seconds: float = 0
    edges: int = 0
    corpus: int = 0
    find: str = ""

    def row(self):
        return (f"| {self.target} | {self.seconds / 60:.0f} | {self.runs:,} | {self.edges:,} "
                f"| {self.corpus:,} | {self.find or 'none'} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", type=pathlib.Path, help="Cargo's target directory")
    parser.add_argument("--time", type=int, default=60, help="seconds for each target")
    parser.add_argument("--only", nargs="*", choices=MAX_BYTES, help="targets to run")
    parser.add_argument("--jobs", type=int, default=1, help="targets that run at once")
    args = parser.parse_args()
    folder = args.target.resolve() / "fuzz"
    found = vocabularies.write(args.target / "models", folder / "vocabularies")
    os.environ["FUZZ_VOCABULARIES"] = ":".join(map(str, found))

    def run_one(target):
        result = fuzz(args.target / "debug" / target, target, folder, args.time)
        print(result.row(), flush=True)
        return result

    print("| target | minutes | inputs | edges | corpus | finds |\n|---|--:|--:|--:|--:|---|")
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        results = list(pool.map(run_one, args.only or MAX_BYTES))
    sys.exit(1 if any(result.find for result in results) else 0)


def fuzz(program, target, folder, seconds):
    """Runs one target in rounds until its time is over or it has found something."""
    corpus, finds = folder / "corpus" / target, folder / "finds" / target
    finds.mkdir(parents=True, exist_ok=True)
    dictionary = seeds.write(target, corpus)
    result, start = Result(target), time.monotonic()
    while not result.find and (left := seconds - result.seconds) > 0:
        log = folder / f"{target}.log"
        options = {
            "max_total_time": max(1, int(min(left, ROUND_S))),
            "max_len": MAX_BYTES[target],
            "timeout": INPUT_S,
            "rss_limit_mb": MEMORY_MB,
            "dict": dictionary,
            "artifact_prefix": f"{finds}/",
            "print_final_stats": 1,
        }
        command = [program, corpus, *(f"-{name}={value}" for name, value in options.items())]
        with open(log, "w") as output:
            code = subprocess.run(command, stdout=output, stderr=output).returncode
        read_log(log.read_text(errors="replace"), code, result)
        result.seconds = time.monotonic() - start
    return result


def read_log(text, code, result):
    """Adds what libFuzzer wrote to the result."""
    progress = re.findall(r"cov: (\d+) .*corp: (\d+)", text)
    if progress:
        result.edges, result.corpus = map(int, progress[-1])
    result.runs += sum(map(int, re.findall(r"number_of_executed_units: (\d+)", text)))
    written = re.findall(r"Test unit written to (\S+)", text)
    if code != 0:
        result.find = written[-1] if written else f"exit code {code}, see {result.target}.log"


if __name__ == "__main__":
    main()
