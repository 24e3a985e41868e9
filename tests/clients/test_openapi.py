"""Checks /openapi.json, and fuzzes the HTTP APIs from it.

The requests are the same in each run. They try values at the ends of ranges and beyond, other
types, and methods that a path does not have. No response may be a failure of the server, all have
to be as described, and what the description does not allow has to be refused.
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from openapi_spec_validator import validate
from test_clients import scripted  # noqa: F401 (a fixture)

CHECKS = [
    "not_a_server_error", "status_code_conformance", "content_type_conformance",
    "response_schema_conformance", "negative_data_rejection", "unsupported_method",
    "allow_header_conformance",
]
EXAMPLES_PER_OPERATION = 100
SEED = 1
TIMEOUT_S = 300

# Random requests to all paths; and for some, one for each value that a field may or may not have.
# Of paths with the same body one is enough, and for recursive bodies these are too many to make.
PHASES = {
    "fuzzing": [],
    "coverage": [
        f"--exclude-path={path}" for path in [
            "/v1/responses", "/v1/messages", "/v1/messages/count_tokens", "/v1/completions",
            "/chat/completions", "/completions", "/tokenize", "/apply-template",
        ]
    ],
}


def test_description_is_valid(scripted: str) -> None:
    with urllib.request.urlopen(f"{scripted}/openapi.json") as response:
        validate(json.load(response))


@pytest.mark.parametrize("phase", PHASES)
def test_responses_are_as_described(scripted: str, phase: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable, "-m", "schemathesis.cli", "run", f"{scripted}/openapi.json",
            "--checks", ",".join(CHECKS), "--phases", phase, *PHASES[phase],
            "--max-examples", str(EXAMPLES_PER_OPERATION), "--seed", str(SEED), "--no-shrink",
            "--generation-database", "none", "--suppress-health-check", "all",
            "--request-timeout", "30", "--continue-on-failure", "--no-color",
        ],
        capture_output=True, text=True, timeout=TIMEOUT_S, cwd=tmp_path)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
