"""Runs each client of this folder against a daemon with a model, and against scripted answers.

The other files of this folder are the examples of docs/CLIENTS.md. Each is a program that prints
what it gets and fails if that is wrong.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Iterator

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
TIMEOUT_S = 120

# Works with any model.
CHATS = [
    "openai_chat.py", "openai_responses.py", "openai_responses_ws.py", "openai_abort.py",
    "anthropic_messages.py", "langchain_chat.py", "openai_chat.mjs", "openai_responses_ws.mjs",
    "vercel_ai.mjs", "fetch_stream.mjs", "llm_command.py", "wscat.py",
]
# Need answers that are known.
SCRIPTED = [
    "openai_tools.py", "openai_agents.py", "anthropic_tools.py", "pydantic_ai_agent.py", "codex.py",
]
# Need a model that constraints can guide.
GUIDED = ["openai_structured.py", "instructor_person.py", "vercel_ai_object.mjs"]
# Need the packages of package.json, although they are Python.
NODE_COMMANDS = ["codex.py", "wscat.py"]


def serve(*command: str) -> Iterator[str]:
    """Starts a server, and gives its address until the test has ended."""
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
        start_new_session=True)
    assert process.stdout is not None
    address = None
    for line in process.stdout:
        found = re.search(r"listening on (?:ws://)?(\S+)", line)
        address = found.group(1) if found else address
        if address and ("ready" in line or "scripted" in command[0]):
            break
    assert address, "the server prints its address"
    yield f"http://{address}"
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def demo() -> Iterator[str]:
    """A daemon with the demo model."""
    yield from serve(str(TARGET / "debug/inference-core"), "--demo", "0")


@pytest.fixture(scope="module")
def scripted() -> Iterator[str]:
    """A server with the scripted model."""
    yield from serve(str(TARGET / "debug/examples/scripted"))


def run(address: str, name: str, **variables: str) -> None:
    program = sys.executable
    if name.startswith("instructor"):
        # It needs an older version of openai's package than the others.
        program = TARGET / "clients-instructor/bin/python"
    if name.endswith(".mjs") or name in NODE_COMMANDS:
        if shutil.which("node") is None or not (HERE / "node_modules").exists():
            pytest.skip("Node.js or its packages are not installed")
    if name.endswith(".mjs"):
        program = "node"
    environment = os.environ | variables | {"BASE_URL": address}
    done = subprocess.run(
        [program, str(HERE / name)], capture_output=True, text=True, timeout=TIMEOUT_S,
        env=environment)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("name", CHATS + GUIDED)
def test_client_talks_to_a_model(demo: str, name: str) -> None:
    run(demo, name)


@pytest.mark.parametrize("name", CHATS + SCRIPTED)
def test_client_gets_the_scripted_answer(scripted: str, name: str) -> None:
    run(scripted, name, SCRIPTED="1")
