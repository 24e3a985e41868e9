"""`test_client.py` against a daemon that needs an API key."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from typing import Iterator

import pytest
from conftest import TIMEOUT_S, ROOT, Daemon

KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def protected() -> Iterator[Daemon]:
    """A daemon with one API key."""
    daemon = Daemon("--demo", "--api-key", KEY)
    yield daemon
    daemon.kill()


def command(daemon: Daemon, *args: str) -> list[str]:
    return [sys.executable, str(ROOT / "test_client.py"), "--url", daemon.url, *args]


def run(daemon: Daemon, *args: str, key: str = "") -> subprocess.CompletedProcess[str]:
    """Runs the client, with `key` in its environment."""
    environment = os.environ | {"INFERENCE_CORE_API_KEY": key}
    return subprocess.run(command(daemon, *args), stdin=subprocess.DEVNULL, capture_output=True,
                          timeout=TIMEOUT_S, text=True, env=environment)


def test_key_of_the_variable_or_the_option_is_sent(protected: Daemon) -> None:
    options = ("Once", "--max-tokens", "2")
    for done in (run(protected, *options, key=KEY), run(protected, *options, "--api-key", KEY)):
        assert done.returncode == 0, done.stderr
        assert "2 tokens" in done.stderr


def test_missing_key_is_one_line_with_exit_code_3(protected: Daemon) -> None:
    for mode in (("Once",), ("--metrics",)):
        done = run(protected, *mode)
        assert done.returncode == 3
        assert re.fullmatch(r"error: .*needs an API key.*--api-key\n", done.stderr), done.stderr


def test_wrong_key_is_one_line_with_exit_code_3(protected: Daemon) -> None:
    done = run(protected, "Once", key="wrong")
    assert done.returncode == 3
    assert re.fullmatch(r"error: .* HTTP 401, there is no such API key.*\n", done.stderr)


def test_metrics_are_shown_with_a_key(protected: Daemon) -> None:
    client = subprocess.Popen(command(protected, "--metrics", "--api-key", KEY),
                              stdout=subprocess.PIPE, text=True)
    assert client.stdout is not None
    # The first lines may say that the model is loading.
    assert any("idle" in line for line in client.stdout)
    client.send_signal(signal.SIGINT)
    assert client.wait(TIMEOUT_S) == 0
