"""Clients of both servers, which send one request and record when each text arrives.

They serve the scenarios that mix different requests; uniform load comes from the load generator.
Both classes have the same interface and take the daemon's parameter names.
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

TIMEOUT_S = 900.0
LLAMA_NAMES = {"max_tokens": "n_predict", "temp": "temperature"}


@dataclass
class Answer:
    """Times of a request, from `time.perf_counter`, and its token counts."""

    sent: float
    texts: list[float] = field(default_factory=list)
    text: str = ""
    ended: float = 0.0
    tokens: int = 0
    prompt_tokens: int = 0
    # Prompt tokens that were not reused from the cache.
    computed: int = 0
    error: Optional[str] = None
    stats: dict[str, Any] = field(default_factory=dict)

    @property
    def first_s(self) -> float:
        """Seconds to the first text, or to the end if the only text was an incomplete character."""
        return (self.texts[0] if self.texts else self.ended) - self.sent

    @property
    def tokens_per_s(self) -> float:
        """Tokens/s over the whole request. With a short prompt, this is what llama-bench
        measures."""
        return self.tokens / (self.ended - self.sent)

    def checked(self, is_cancelled: bool) -> "Answer":
        """Returns itself. Raises if the request failed without having been cancelled."""
        if self.error and not is_cancelled:
            raise RuntimeError(f"a request failed: {self.error}")
        return self

    def add(self, content: str) -> None:
        if content:
            self.texts.append(time.perf_counter())
            self.text += content


OnText = Callable[[Answer], None]


def ignore(_: Answer) -> None:
    pass


class WebSocketStream:
    """A connection to the daemon for one request."""

    def __init__(self, url: str) -> None:
        self.is_cancelled = False
        self.socket = connect(url, compression=None, max_size=None, ping_interval=None)

    def ask(
        self,
        prompt: str | list[dict[str, str]],
        on_text: OnText = ignore,
        answer_format: Optional[dict[str, Any]] = None,
        **params: Any,
    ) -> Answer:
        """Sends a prompt, or the messages of a chat. The answer has the given format, if any."""
        what = "prompt" if isinstance(prompt, str) else "messages"
        request = {"op": "infer", what: prompt, "params": {"temp": 0, **params}}
        frame = json.dumps(request | ({"format": answer_format} if answer_format else {}))
        answer = Answer(time.perf_counter())
        self.socket.send(frame)
        try:
            while True:
                frame = json.loads(self.socket.recv(TIMEOUT_S))
                if frame["op"] == "token":
                    answer.add(frame["content"])
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
        return answer.checked(self.is_cancelled)

    def abort(self) -> None:
        self.is_cancelled = True
        self.socket.send('{"op":"abort"}')

    def drop(self) -> None:
        """Disconnects without a close frame, as a process that crashes does."""
        self.is_cancelled = True
        self.socket.socket.shutdown(socket.SHUT_RDWR)


class LlamaStream:
    """A connection to llama-server for one request. The server closes it after each stream."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.is_cancelled = False
        self.socket: Optional[socket.socket] = None

    def ask(self, prompt: str, on_text: OnText = ignore, **params: Any) -> Answer:
        body = {LLAMA_NAMES.get(name, name): value for name, value in params.items()}
        body = json.dumps({"prompt": prompt, "temperature": 0, "stream": True, **body})
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_S)
        connection.connect()
        # Stored here because http.client drops its socket after a response without a length.
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
                answer.add(event.get("content", ""))
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
        return answer.checked(self.is_cancelled)

    def abort(self) -> None:
        """Disconnects, which makes llama-server cancel the request."""
        self.drop()

    def drop(self) -> None:
        self.is_cancelled = True
        if self.socket:
            self.socket.shutdown(socket.SHUT_RDWR)
