"""One request at a time to either server, with the moment of every text: for the scenarios in which
requests of different kinds meet. Plain load is left to the load generator.

Both classes take the daemon's names of parameters. Their answers are the same, so a scenario is
written once.
"""

from __future__ import annotations

import http.client
import json
import socket
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Optional

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

PATIENCE = 900.0
LLAMA_NAMES = {"max_tokens": "n_predict", "temp": "temperature"}


@dataclass
class Answer:
    """When things happened (on the clock of `time.perf_counter`), and what was counted."""

    sent: float
    texts: list[float] = field(default_factory=list)
    text: str = ""
    ended: float = 0.0
    tokens: int = 0
    prompt_tokens: int = 0
    computed: int = 0
    error: Optional[str] = None
    stats: dict[str, Any] = field(default_factory=dict)

    @property
    def first_s(self) -> float:
        """Until the first text or, if it was held back as half a character, the end."""
        return (self.texts[0] if self.texts else self.ended) - self.sent

    @property
    def tokens_per_s(self) -> float:
        """Over the whole request: with a short prompt, as llama-bench counts."""
        return self.tokens / (self.ended - self.sent)

    def checked(self, has_left: bool) -> "Answer":
        """Itself. What went wrong is no measurement, unless the client has left."""
        if self.error and not has_left:
            raise RuntimeError(f"a request failed: {self.error}")
        return self

    def say(self, content: str) -> None:
        if content:
            self.texts.append(time.perf_counter())
            self.text += content


OnText = Callable[[Answer], None]


def ignore(_: Answer) -> None:
    pass


class WebSocketStream:
    """A connection to the daemon, for one request."""

    def __init__(self, url: str) -> None:
        self.has_left = False
        self.socket = connect(url, compression=None, max_size=None, ping_interval=None)

    def ask(self, prompt: str, on_text: OnText = ignore, **params: Any) -> Answer:
        request = {"op": "infer", "prompt": prompt, "params": {"temp": 0, **params}}
        frame = json.dumps(request)
        answer = Answer(time.perf_counter())
        self.socket.send(frame)
        try:
            while True:
                frame = json.loads(self.socket.recv(PATIENCE))
                if frame["op"] == "token":
                    answer.say(frame["content"])
                    on_text(answer)
                elif frame["op"] == "end":
                    stats = answer.stats = frame["stats"]
                    answer.tokens, answer.prompt_tokens = stats["tokens"], stats["prompt_tokens"]
                    answer.computed = stats["prompt_tokens"] - stats["cached_tokens"]
                    break
                elif frame["op"] == "error":
                    answer.error = frame["code"]
                    break
        except (ConnectionClosed, OSError, EOFError):
            answer.error = "closed"
        answer.ended = time.perf_counter()
        self.socket.close()
        return answer.checked(self.has_left)

    def abort(self) -> None:
        self.has_left = True
        self.socket.send('{"op":"abort"}')

    def drop(self) -> None:
        """Leaves as a process that dies does, without a word."""
        self.has_left = True
        self.socket.socket.shutdown(socket.SHUT_RDWR)


class LlamaStream:
    """A connection to llama-server, which wants a new one for each stream."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.has_left = False
        self.socket: Optional[socket.socket] = None

    def ask(self, prompt: str, on_text: OnText = ignore, **params: Any) -> Answer:
        body = {LLAMA_NAMES.get(name, name): value for name, value in params.items()}
        body = json.dumps({"prompt": prompt, "temperature": 0, "stream": True, **body})
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        connection.connect()
        # Kept, since http.client lets go of it once a response without an announced end is read.
        self.socket = connection.sock
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        answer = Answer(time.perf_counter())
        try:
            connection.request("POST", "/completion", body, {"content-type": "application/json"})
            response = connection.getresponse()
            if response.status != 200:
                answer.error = f"http {response.status}"
            while line := response.readline():
                if not line.startswith(b"data: ") or line.startswith(b"data: [DONE]"):
                    continue
                event = json.loads(line[6:])
                answer.say(event.get("content", ""))
                if event.get("stop"):
                    answer.stats = event["timings"]
                    answer.tokens = event["tokens_predicted"]
                    answer.prompt_tokens = event["tokens_evaluated"]
                    answer.computed = answer.stats["prompt_n"]
                    break
                on_text(answer)
        except (OSError, http.client.HTTPException, ValueError):
            answer.error = "closed"
        answer.ended = time.perf_counter()
        connection.close()
        return answer.checked(self.has_left)

    def abort(self) -> None:
        """Closing is how llama-server is told to stop."""
        self.drop()

    def drop(self) -> None:
        self.has_left = True
        if self.socket:
            self.socket.shutdown(socket.SHUT_RDWR)
