"""Downloads packages from the package index with pip, without installing them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def download(folder: Path, *options: str) -> None:
    """Runs `pip download` with these options. The files of the packages are in `folder` then."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "download", "--no-deps", *options], cwd=folder, check=True)
