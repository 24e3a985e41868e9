"""The table of snippets is what Python's Jinja2 makes of them."""

import pathlib
import subprocess
import sys

SNIPPETS = pathlib.Path(__file__).parents[2] / "tools/jinja/snippets.py"


def test_snippet_table_is_what_jinja2_renders():
    check = subprocess.run(
        [sys.executable, SNIPPETS, "--check"], capture_output=True, text=True, check=False
    )
    assert check.returncode == 0, check.stderr
