"""llama.cpp's own programs, compiled from the source in the PyPI package llama-cpp-python.

The package needs one download of a fixed version from a package index, without git or submodules.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import packages

PACKAGE, VERSION = "llama-cpp-python", "0.3.36"
PROGRAMS = ("llama-server", "llama-bench", "llama-batched-bench")
# Compiled for this CPU, like the daemon. Other options have llama.cpp's defaults.
OPTIONS = ("-DGGML_NATIVE=ON", "-DCMAKE_BUILD_TYPE=Release", "-DLLAMA_CURL=OFF")
# Same headers as for the daemon: with those of an older GCC, the programs crash on CPUs with AMX.
FIXED_HEADERS = Path(__file__).resolve().parents[2] / "toolchain/include"


def get(cache: Path, given: str | None) -> Path:
    """The folder of the programs: the given one, or one in `cache` where they are compiled once."""
    if given:
        folder = Path(given).resolve()
        missing = [name for name in PROGRAMS if not (folder / name).exists()]
        if missing:
            sys.exit(f"bench: {folder} has no {', '.join(missing)}")
        return folder
    folder = programs(cache)
    if all((folder / name).exists() for name in PROGRAMS):
        return folder
    source = source_folder(cache)
    if not source.exists():
        download(cache)
    compile_in(source)
    return folder


def programs(cache: Path) -> Path:
    """The folder in `cache` where the programs are once they are compiled."""
    return source_folder(cache) / "build/bin"


def source_folder(cache: Path) -> Path:
    """The folder in `cache` where the source of llama.cpp is once it is downloaded."""
    return cache / f"{PACKAGE.replace('-', '_')}-{VERSION}" / "vendor/llama.cpp"


def download(cache: Path) -> None:
    print(f"bench: downloading the source of {PACKAGE} {VERSION}, about 75 MB", flush=True)
    packages.download(cache, "--no-binary", PACKAGE, f"{PACKAGE}=={VERSION}")
    archive = next(cache.glob(f"{PACKAGE.replace('-', '_')}-{VERSION}.tar.gz"))
    # Renamed at the end, so an interrupted run leaves no incomplete folder under the final name.
    unpacked = cache / "unpacking"
    with tarfile.open(archive) as packed:
        packed.extractall(unpacked, filter="data")
    name = archive.name.removesuffix(".tar.gz")
    (unpacked / name).rename(cache / name)
    unpacked.rmdir()
    archive.unlink()


def compile_in(source: Path) -> None:
    jobs = os.environ.get("CMAKE_BUILD_PARALLEL_LEVEL", str(os.cpu_count() or 1))
    print(f"bench: compiling {', '.join(PROGRAMS)}, about six minutes on two cores", flush=True)
    log = source / "build.log"
    headers = filter(None, [str(FIXED_HEADERS), os.environ.get("CPATH")])
    environment = os.environ | {"CPATH": os.pathsep.join(headers)}
    with log.open("wb") as out:
        for step in (
            ["cmake", "-B", "build", *OPTIONS],
            ["cmake", "--build", "build", "-j", jobs, "--target", *PROGRAMS],
        ):
            done = subprocess.run(
                step, cwd=source, env=environment, stdout=out, stderr=out, check=False
            )
            if done.returncode:
                sys.exit(f"bench: {' '.join(step)} failed; see {log}")


def version(folder: Path) -> str:
    """Version that llama-server prints, on one line."""
    run = subprocess.run(
        [folder / "llama-server", "--version"], capture_output=True, text=True, check=False
    )
    lines = (run.stdout + run.stderr).strip().splitlines()
    found = next((line for line in lines if line.startswith("version")), "version: unknown")
    return found.removeprefix("version: ")
