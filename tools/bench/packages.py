"""Downloads packages from the package index with pip, without installing them.

Also writes files so that an interrupted run leaves no incomplete one under its final name.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Callable


def download(folder: Path, *options: str) -> None:
    """Runs `pip download` with these options. The files of the packages are in `folder` then.

    Raises `subprocess.CalledProcessError` if pip fails. pip has then said why.
    """
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "--retries", "2"]
    subprocess.run([*pip, "download", "--no-deps", *options], cwd=folder, check=True)


def written(path: Path, write_to: Callable[[Path], None]) -> Path:
    """Writes the file if it is missing, under another name until it is complete."""
    if not path.exists():
        print(f"writing {path.name}", flush=True)
        unfinished = path.with_suffix(".part")
        write_to(unfinished)
        unfinished.rename(path)
    return path
