"""`test_client.py` against a scripted server: errors, pasted text and long conversations."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import threading
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Callable, Iterator, Optional

import pytest
from conftest import ROOT, TIMEOUT_S, eventually
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve

Frame = dict[str, Any]
END: Frame = {"op": "end", "finish_reason": "stop", "stats": {"tokens": 1}}
# Answers a request by sending frames through the connection.
Script = Callable[[ServerConnection, Frame], None]


class ScriptedServer:
    """A WebSocket server that records `infer` frames and answers each by `script`."""

    def __init__(self) -> None:
        self.script: Script = lambda socket, _: send(socket, token("ok"), END)
        self.refusal: Optional[str] = None
        self.requests: list[Frame] = []
        self.server: Server = serve(self._handle, "127.0.0.1", 0, process_request=self._refuse)
        self.url = "ws://127.0.0.1:{}".format(self.server.socket.getsockname()[1])
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def _refuse(self, socket: ServerConnection, _request: Any) -> Any:
        return self.refusal and socket.respond(HTTPStatus.FORBIDDEN, self.refusal)

    def _handle(self, socket: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            send(socket, {"op": "hello"})
            for message in socket:
                frame = json.loads(message)
                if frame["op"] == "infer":
                    self.requests.append(frame)
                    self.script(socket, frame)


def send(socket: ServerConnection, *frames: Frame) -> None:
    for frame in frames:
        socket.send(json.dumps(frame))


def token(text: str) -> Frame:
    return {"op": "token", "content": text}


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    server = ScriptedServer()
    yield server
    server.server.shutdown()


def run(server: ScriptedServer, *args: str) -> subprocess.CompletedProcess[str]:
    client = [sys.executable, str(ROOT / "test_client.py"), "--url", server.url, *args]
    return subprocess.run(client, capture_output=True, timeout=TIMEOUT_S, encoding="utf-8")


class Conversation:
    """`test_client.py` on a terminal of its own."""

    def __init__(self, server: ScriptedServer, term: str, has_readline: bool, *args: str) -> None:
        code = (
            "import runpy, sys\n"
            f"sys.argv = {['test_client.py', '--url', server.url, *args]!r}\n"
            + ("" if has_readline else "sys.modules['readline'] = None\n")
            + f"runpy.run_path({str(ROOT / 'test_client.py')!r}, run_name='__main__')\n"
        )
        self.terminal, inside = pty.openpty()
        environment = {**os.environ, "TERM": term, "INPUTRC": os.devnull}
        self.process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=inside, stdout=inside, stderr=inside,
            env=environment, start_new_session=True)
        os.close(inside)
        os.set_blocking(self.terminal, False)
        self.seen = ""
        self.expect("> ")

    def type(self, text: str) -> None:
        os.write(self.terminal, text.encode())

    def expect(self, wanted: str) -> str:
        """Waits until the output has `wanted`. Returns the output up to it and removes it."""

        def found() -> bool:
            with suppress(BlockingIOError, OSError):
                self.seen += os.read(self.terminal, 65536).decode(errors="replace")
            return wanted in self.seen

        try:
            eventually(found, f"{wanted!r} on the terminal")
        except BaseException:
            print(repr(self.seen))
            raise
        before, self.seen = self.seen.split(wanted, 1)
        return before

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.terminal)


@pytest.fixture
def converse(server: ScriptedServer) -> Iterator[Callable[..., Conversation]]:
    """Starts conversations with `server` and ends them after the test."""
    started: list[Conversation] = []

    def start(term: str = "xterm", has_readline: bool = True, args: tuple[str, ...] = ()) -> Any:
        started.append(Conversation(server, term, has_readline, *args))
        return started[-1]

    yield start
    for conversation in started:
        conversation.close()


def prompts(server: ScriptedServer) -> list[str]:
    return [request["prompt"] for request in server.requests]


def test_error_after_lost_connection_starts_on_a_new_line(server: ScriptedServer) -> None:
    def die(socket: ServerConnection, _request: Frame) -> None:
        send(socket, token("half an ans"))
        socket.socket.close()

    server.script = die
    done = run(server, "x")
    assert (done.returncode, done.stdout) == (3, "half an ans\n")
    assert done.stderr == "error: connection lost\n"


@pytest.mark.parametrize("text", ["half", "line\n", ""])
def test_error_frame_starts_on_a_new_line(server: ScriptedServer, text: str) -> None:
    error = {"op": "error", "code": "engine_failed", "message": "no memory"}
    server.script = lambda socket, _: send(socket, token(text), error)
    done = run(server, "x")
    assert (done.returncode, done.stdout) == (1, text and text.rstrip("\n") + "\n")
    assert done.stderr == "error: no memory (engine_failed)\n"


def test_refused_connection_shows_the_reason_of_the_server(server: ScriptedServer) -> None:
    server.refusal = "Host must name the loopback interface\x1b[31m\nmore"
    done = run(server, "x")
    reason = "HTTP 403, Host must name the loopback interface[31m"
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == f"error: {server.url} refuses the connection: {reason}\n"


def test_warnings_of_the_server_are_shown(server: ScriptedServer) -> None:
    server.script = lambda socket, _: send(socket, {**END, "warnings": ["x is ignored"]})
    done = run(server, "x", "--param", "x=1")
    assert done.returncode == 0
    assert done.stderr.endswith("\nwarning: x is ignored\n")


TERMINALS = [("xterm", True), ("dumb", True), ("xterm", False), ("dumb", False)]


@pytest.mark.parametrize(("term", "has_readline"), TERMINALS)
def test_pasted_lines_are_one_message(
    server: ScriptedServer, converse: Callable[..., Conversation], term: str, has_readline: bool
) -> None:
    client = converse(term, has_readline)
    # A terminal sends a carriage return for each line break, also for pasted ones.
    client.type("def f():\r    return 1\r\rprint(f())\r")
    client.expect("· stop")
    client.expect("> ")
    client.type("next\r")
    client.expect("· stop")
    assert prompts(server) == ["def f():\n    return 1\n\nprint(f())", "next"]


@pytest.mark.skipif(sys.platform != "linux", reason="libedit does not mark pasted text")
def test_marked_paste_is_edited_until_enter(
    server: ScriptedServer, converse: Callable[..., Conversation]
) -> None:
    client = converse("xterm", True)
    client.type("\x1b[200~one\rtwo\r\x1b[201~")
    client.type(" and three\r")
    client.expect("· stop")
    assert prompts(server) == ["one\ntwo\n and three"]


def test_answer_goes_back_exactly_as_it_came(
    server: ScriptedServer, converse: Callable[..., Conversation]
) -> None:
    text = " <think>\n\n hm </think>\n ok \n\n"
    server.script = lambda socket, _: send(socket, token(text[:9]), token(text[9:]), END)
    client = converse(args=("--chat",))
    for message in ("one", "two"):
        client.type(f"{message}\r")
        client.expect("· stop")
        client.expect("> ")
    assert server.requests[1]["messages"] == [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": text},
        {"role": "user", "content": "two"},
    ]


def overflow(request: Frame, ctx_size: int) -> Optional[Frame]:
    """The error of a server whose tokens are characters."""
    n = sum(len(message["content"]) for message in request["messages"])
    if n < ctx_size:
        return None
    return {"op": "error", "code": "context_overflow", "message": "too long",
            "prompt_tokens": n, "ctx_size": ctx_size}


def test_conversation_drops_its_oldest_turns_when_it_overflows(
    server: ScriptedServer, converse: Callable[..., Conversation]
) -> None:
    server.script = lambda socket, request: send(
        socket, overflow(request, 400) or {**END, "stats": {"tokens": 7}})
    client = converse(args=("--chat", "--system", "s"))
    output = ""
    for n in range(1, 6):
        client.type(f"{n} " + "x" * 98 + "\r")
        output += client.expect("7 tokens")
        client.expect("> ")
    assert output.count("trying without its 2 oldest turns") == 1
    sent = ["".join(message["content"][:1] for message in request["messages"])
            for request in server.requests]
    assert sent == ["s1", "s12", "s123", "s1234", "s34", "s345"]


def test_message_that_does_not_fit_alone_is_an_error_and_keeps_the_conversation(
    server: ScriptedServer, converse: Callable[..., Conversation]
) -> None:
    server.script = lambda socket, request: send(socket, overflow(request, 10) or END)
    client = converse(args=("--chat",))
    client.type("short\r")
    client.expect("· stop")
    client.expect("> ")
    client.type("much too long\r")
    client.expect("trying without its oldest turn")
    client.expect("error: too long (context_overflow)")
    client.expect("> ")
    client.type("tiny\r")
    client.expect("· stop")
    assert [len(request["messages"]) for request in server.requests] == [1, 3, 1, 3]
