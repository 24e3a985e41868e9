"""Starts, queries and stops the two servers.

Each server has a process group of its own but stays in the session of the bench: Linux may
distribute CPU time by session, and all programs must be treated alike. `stop` kills the server; if
the bench itself is killed, the kernel does (PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import ctypes
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

from clients import LlamaStream, WebSocketStream

# Longest time in seconds until a server is ready.
START_LIMIT = 120.0
PR_SET_PDEATHSIG = 1
# Loaded here because a forked child must not load a library.
LIBC = ctypes.CDLL(None, use_errno=True)


def die_with_parent() -> None:
    if hasattr(LIBC, "prctl"):
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A server that runs inside a `with` block."""

    name = protocol = ready_path = ""

    def __init__(
        self,
        bench: Any,
        command: list[str],
        name: str = "",
        environment: dict[str, str] | None = None,
    ) -> None:
        """`name` is the name in the report, and `environment` has additional variables."""
        self.bench, self.command = bench, command
        self.name = name or self.name
        self.environment = environment or {}
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None
        self.ready_s = 0.0

    def arguments(self) -> list[str]:
        raise NotImplementedError

    @property
    def http_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Server:
        self.port = free_port()
        command = self.arguments()
        variables = [f"{key}={value}" for key, value in self.environment.items()]
        self.bench.journal.command(variables + command, self.port)
        log = self.bench.work / f"{self.name.replace(' ', '-')}.log"
        started = time.perf_counter()
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**os.environ, **self.environment},
                process_group=0,
                preexec_fn=die_with_parent,
            )
        try:
            while not self.is_ready():
                if self.process.poll() is not None:
                    raise RuntimeError(f"{self.name} exited during its start, see {log}")
                if time.perf_counter() - started > START_LIMIT:
                    raise RuntimeError(
                        f"{self.name} is not ready after {START_LIMIT:.0f} s, see {log}"
                    )
                time.sleep(0.002)
        except BaseException:
            self.stop()
            raise
        self.ready_s = time.perf_counter() - started
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        if self.process is None:
            return
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        self.process = None

    def get(self, path: str, body: Any = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            if body is None:
                connection.request("GET", path)
            else:
                head = {"content-type": "application/json"}
                connection.request("POST", path, json.dumps(body), head)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def is_ready(self) -> bool:
        try:
            return self.get(self.ready_path)[0] == 200
        except OSError:
            return False

    def status_kb(self, field: str) -> int:
        """A field of /proc/PID/status in KiB, such as VmHWM (peak memory) or VmRSS (memory now)."""
        assert self.process
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(rf"^{field}:\s+(\d+) kB", text, re.MULTILINE)
        return int(found.group(1)) if found else 0

    def cpu_s(self) -> float:
        assert self.process
        after_name = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")


class Daemon(Server):
    name, protocol, ready_path = "inference-core", "inference-core", "/readyz"

    def arguments(self) -> list[str]:
        return [str(self.bench.daemon), *self.command, str(self.port)]

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def stream(self) -> WebSocketStream:
        return WebSocketStream(self.url)

    def chat_prompt(self, messages: list[dict[str, str]]) -> list[dict[str, str]]:
        """What `WebSocketStream.ask` takes for a chat: the daemon renders the messages itself."""
        return messages

    def counter(self, name: str) -> float:
        """A counter of the Prometheus page."""
        text = self.get("/metrics")[1].decode()
        return float(re.search(rf"^inference_core_{name} (\S+)", text, re.MULTILINE).group(1))


class LlamaServer(Server):
    name, protocol, ready_path = "llama-server", "llama-server", "/health"

    def arguments(self) -> list[str]:
        port = ["--host", "127.0.0.1", "--port", str(self.port)]
        return [str(self.bench.peers / "llama-server"), *self.command, *port]

    @property
    def url(self) -> str:
        return self.http_url

    def stream(self) -> LlamaStream:
        return LlamaStream(self.port)

    def chat_prompt(self, messages: list[dict[str, str]]) -> str:
        """The prompt that the chat template of the model makes of the messages."""
        return json.loads(self.get("/apply-template", {"messages": messages})[1])["prompt"]

    def tokens(self, text: str, add_special: bool = True) -> list[int]:
        """The tokens of a text, including the BOS token unless `add_special` is false."""
        body = {"content": text, "add_special": add_special}
        return json.loads(self.get("/tokenize", body)[1])["tokens"]
