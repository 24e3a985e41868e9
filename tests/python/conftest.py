"""Fixtures that start the real daemon, with its built-in demo model or with a real model.

INFERENCE_CORE_BIN names the binary; the default is `target/debug/inference-core`. The real models
are in `target/models`, where `make real-models` stores them. A test whose model is missing is
skipped; REAL_MODELS=0 skips all of these tests.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Iterator, Optional, TypeVar

import pytest
from websockets.sync.client import ClientConnection, connect

ROOT = Path(__file__).resolve().parents[2]
# Longest wait of a test for a frame, a line of output or the end of a process.
TIMEOUT_S = 120.0
TARGET = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
T = TypeVar("T")


def eventually(check: Callable[[], Optional[T]], what: str, seconds: float = TIMEOUT_S) -> T:
    """Repeats `check` until its result is true, and returns that result."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = check()
        if answer:
            return answer
        time.sleep(0.02)
    pytest.fail(f"timed out after {seconds:.0f} s: {what}")


class Daemon:
    """A running daemon on a free port, in a process group of its own."""

    def __init__(self, *arguments: str) -> None:
        binary = ROOT / os.environ.get("INFERENCE_CORE_BIN", "target/debug/inference-core")
        if not binary.exists():
            pytest.fail(f"{binary} is missing: build it, or set INFERENCE_CORE_BIN to another one")
        self.output: list[str] = []
        self.process = subprocess.Popen(
            [str(binary), *arguments, "0"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            start_new_session=True,
        )
        threading.Thread(target=self._collect, daemon=True).start()
        try:
            self.port = int(eventually(self._address, "the daemon prints its address"))
            eventually(self._ready, "the daemon is ready")
        except BaseException:
            self.kill()
            print("".join(self.output))
            raise
        self.url = f"ws://127.0.0.1:{self.port}"

    def _collect(self) -> None:
        assert self.process.stdout is not None
        self.output.extend(self.process.stdout)

    def _address(self) -> Optional[str]:
        if self.process.poll() is not None:
            pytest.fail(f"the daemon exited with {self.process.returncode}: {''.join(self.output)}")
        found = re.search(r"listening on ws://127\.0\.0\.1:(\d+)", "".join(self.output))
        return found and found.group(1)

    def _ready(self) -> bool:
        # Ignores HTTP_PROXY: a proxy cannot reach the loopback interface of this machine.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"http://127.0.0.1:{self.port}/readyz", timeout=5) as page:
                return page.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def connect(self) -> Client:
        """Opens a new connection."""
        return Client(connect(self.url, proxy=None))

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to the daemon's process only."""
        self.process.send_signal(number)

    def suspend(self) -> None:
        """Suspends the daemon and waits until it has stopped."""
        os.killpg(self.process.pid, signal.SIGSTOP)
        # On a busy machine the signal may take a while to arrive.
        has_stopped = os.WSTOPPED | os.WNOHANG
        eventually(lambda: os.waitid(os.P_PID, self.process.pid, has_stopped), "the daemon stops")

    def resume(self) -> None:
        """Resumes the suspended daemon."""
        os.killpg(self.process.pid, signal.SIGCONT)

    def kill(self) -> None:
        """Kills the daemon and everything in its process group."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Client:
    """A connection that sends and receives JSON frames."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, **frame: Any) -> None:
        """Sends one frame."""
        self.socket.send(json.dumps(frame))

    def receive(self, *ops: str) -> dict[str, Any]:
        """Returns the next frame, or the next one with one of `ops`; skips the others."""
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            frame = json.loads(self.socket.recv(timeout=max(0.0, deadline - time.monotonic())))
            if not ops or frame["op"] in ops:
                return frame

    def complete(self, prompt: str, **params: Any) -> tuple[str, dict[str, Any]]:
        """Sends a request and returns its text and its terminal frame."""
        self.send(op="infer", prompt=prompt, params=params)
        text = ""
        while True:
            frame = self.receive("token", "end", "error")
            if frame["op"] != "token":
                return text, frame
            text += frame["content"]


@pytest.fixture(scope="session")
def daemon() -> Iterator[Daemon]:
    """A daemon that several tests share. Tests do not change its state."""
    daemon = Daemon("--demo")
    yield daemon
    daemon.kill()


@pytest.fixture
def own_daemon() -> Iterator[Daemon]:
    """A daemon for one test, which may suspend or stop it."""
    daemon = Daemon("--demo")
    yield daemon
    daemon.kill()


@contextmanager
def real_model(name: str) -> Iterator[Daemon]:
    """A daemon that serves a real model. Skips the test if there is no such file.

    With a fixed number of threads an answer does not depend on what other programs do (ADR-0031). A
    single thread never waits for other threads, however busy the machine is.
    """
    daemon = Daemon(str(model_path(name)), "--threads", "1")
    try:
        yield daemon
    finally:
        daemon.kill()


def model_path(name: str) -> Path:
    """The file of a real model. Skips the test if there is none."""
    path = TARGET / "models" / f"{name}.gguf"
    if os.environ.get("REAL_MODELS") == "0":
        pytest.skip("REAL_MODELS=0")
    if not path.exists():
        pytest.skip(f"{path} is missing: `make real-models` downloads it")
    return path


@pytest.fixture(scope="module")
def smollm2() -> Iterator[Daemon]:
    """SmolLM2-135M-Instruct, which the tests of a module share: a chat model."""
    with real_model("smollm2-135m") as daemon:
        yield daemon


@pytest.fixture(scope="module")
def gemma() -> Iterator[Daemon]:
    """Gemma 3 270M, which the tests of a module share: a base model with sliding windows."""
    with real_model("gemma-3-270m") as daemon:
        yield daemon
