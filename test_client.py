#!/usr/bin/env python3
"""A small client for inference-core: sends a prompt and prints the text as it is written.

One connection for each answer: a server restarted in between is not even noticed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import time
from contextlib import contextmanager, suppress
from string import Formatter
from typing import Any, Iterator, Optional
from urllib.parse import urlsplit

try:
    from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI
    from websockets.sync.client import ClientConnection, connect
except ImportError:
    print("test_client.py needs the websockets package: pip install -U websockets", file=sys.stderr)
    sys.exit(2)

with suppress(ImportError):
    import readline  # noqa: F401  (line editing and history for input())

Frame = dict[str, Any]

OK, SERVER_ERROR, NO_CONNECTION, INTERRUPTED = 0, 1, 3, 130
EXIT_CODES = """exit codes:
  0    answered; or left the interactive mode or the metrics
  1    the server answered with an error
  2    wrong arguments, or no websockets package
  3    no connection, or the connection was lost
  130  stopped with Ctrl-C; the server has been told to stop, too

Ctrl-C while text is written stops the answer, a second one leaves at once."""


class Trouble(Exception):
    """No connection, or not to the end."""
    exit_code = NO_CONNECTION


class ServerError(Trouble):
    """The server ended a request with an `error` frame."""
    exit_code = SERVER_ERROR

    def __init__(self, frame: Frame) -> None:
        super().__init__(f"{frame.get('message', 'no message')} ({frame.get('code', 'no code')})")
        self.code = frame.get("code")
        self.retry_after = (frame.get("retry_after_ms") or 1000) / 1000


@contextmanager
def interrupts() -> Iterator[list[int]]:
    """Collects each Ctrl-C where it would otherwise end the program."""
    presses: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: presses.append(number))
    try:
        yield presses
    finally:
        signal.signal(signal.SIGINT, before)


def parse_arguments() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description="Sends a prompt to inference-core and prints the text as it is written.\n"
        "Without a prompt it asks for one after the other; Ctrl-D leaves.",
        epilog=EXIT_CODES, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("prompt", nargs="?", help="the text to complete, or the message with --chat; without one, "
        "what is piped in")
    add("--chat", action="store_true", help="send chat messages; remembers the conversation")
    add("--system", metavar="TEXT", help="the chat's system message (implies --chat)")
    add("--max-tokens", type=int, metavar="N", help="longest answer")
    add("--temp", type=float, metavar="T", help="temperature; 0 always takes the likeliest")
    add("--seed", type=int, metavar="N", help="same seed, same text")
    add("--stop", action="append", metavar="TEXT", help="end the answer before TEXT; repeatable")
    add("--param", action="append", default=[], metavar="NAME=VALUE", type=parameter,
        help="any other parameter, such as top_k=20 or ignore_eos=true; repeatable")
    server = parser.add_mutually_exclusive_group()
    server.add_argument("--url", default="ws://localhost:3000", help="default: %(default)s")
    server.add_argument("--port", type=int, help="short for --url ws://localhost:PORT")
    add("--metrics", action="store_true", help="show the server's metrics, once a second")
    add("--json", action="store_true", help="print the frames as they come from the server")
    args = parser.parse_args()
    if args.metrics and args.prompt is not None:
        parser.error("--metrics takes no prompt")
    if args.port is not None:
        args.url = f"ws://localhost:{args.port}"
    args.chat = args.chat or args.system is not None
    return args


def parameter(text: str) -> tuple[str, Any]:
    """Splits NAME=VALUE; a value that is not JSON is taken as text."""
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def note(text: str) -> None:
    """A line beside the answer: on stderr, dimmed on a terminal unless NO_COLOR is set."""
    if sys.stderr.isatty() and not os.environ.get("NO_COLOR"):
        text = f"\x1b[2m{text}\x1b[0m"
    print(text, file=sys.stderr, flush=True)


def say(text: str) -> None:
    """A piece of the answer, visible at once."""
    print(text, end="", flush=True)


@contextmanager
def connection(url: str) -> Iterator[ClientConnection]:
    """An open WebSocket; what goes wrong with it becomes one line."""
    try:
        socket = connect(url, close_timeout=1)
    except ConnectionRefusedError:
        port = urlsplit(url).port or 80
        start = f"start the server with `make run PORT={port}` or `inference-core --demo {port}`"
        raise Trouble(f"nothing listens on {url}; {start}") from None
    except (InvalidURI, ValueError):
        raise Trouble(f"{url} is not a WebSocket address such as ws://localhost:3000") from None
    except (InvalidHandshake, OSError, EOFError) as error:
        raise Trouble(f"cannot open a WebSocket to {url}: {error}") from None
    try:
        with socket:
            yield socket
    except ConnectionClosed as error:
        close = error.rcvd
        reason = f"{close.code} {close.reason}".strip() if close else "the server is gone"
        reason = "the server shuts down" if close and close.code == 1001 else reason
        raise Trouble(f"the connection ended: {reason}") from None


def frames(socket: ClientConnection, presses: list[int]) -> Iterator[Optional[Frame]]:
    """The server's frames; `None` every tenth of a second without one. Endless."""
    while len(presses) < 2:
        try:
            yield json.loads(socket.recv(timeout=0.1))
        except TimeoutError:
            yield None
    raise KeyboardInterrupt


def generate(args: argparse.Namespace, request: Frame) -> tuple[str, Frame]:
    """Sends one request and prints its text. Returns the text and the `end` frame."""
    text, end, aborted = "", None, False
    with connection(args.url) as socket, interrupts() as presses:
        socket.send(json.dumps(request))
        stream = frames(socket, presses)
        while end is None:
            frame = next(stream) or {}
            if presses and not aborted:
                aborted = True
                socket.send(json.dumps({"op": "abort"}))
                note("\nstopping; Ctrl-C again leaves at once")
            if frame and args.json:
                say(json.dumps(frame, ensure_ascii=False) + "\n")
            if frame.get("op") == "token":
                text += frame["content"]
                say("" if args.json else frame["content"])
            elif frame.get("op") == "queued":
                note(f"waiting for a free place: number {frame.get('position')}")
            elif frame.get("op") in ("end", "error"):
                end = frame
    if not args.json and not text.endswith("\n") and (text or end["op"] == "end"):
        say("\n")
    if end["op"] == "error":
        raise ServerError(end)
    return text, end


def ask(args: argparse.Namespace, request: Frame) -> tuple[str, Frame]:
    """Like `generate`, but waits for a model that is still loading; shows the figures."""
    told, end = False, None
    while end is None:
        try:
            text, end = generate(args, request)
        except ServerError as error:
            if error.code != "loading":
                raise
            if not told:
                note("the model is still loading; waiting for it")
            told = True
            time.sleep(error.retry_after)
    stats = end.get("stats", {})
    speed = "-" if stats.get("tps") is None else f"{stats['tps']:.1f}"
    first = "-" if stats.get("ttft_ms") is None else f"{stats['ttft_ms']:.0f}"
    count = stats.get("tokens")
    unit = "token" if count == 1 else "tokens"
    note(f"{count} {unit} · {speed} tok/s · first token after {first} ms · "
         f"{end.get('finish_reason', 'end')}")
    return text, end


def converse(args: argparse.Namespace) -> int:
    """Asks for prompts until Ctrl-D. An error ends an answer, not the session."""
    history: list[Frame] = []
    note("Ctrl-D leaves, Ctrl-C stops an answer")
    while True:
        try:
            line = input("> ").strip()
        except EOFError:
            say("\n")
            return OK
        except KeyboardInterrupt:
            say("\n")
            line = ""
        try:
            if line:
                text, _ = ask(args, build(args, line, history))
                said = [("user", line), ("assistant", text)]
                history += [{"role": role, "content": content} for role, content in said]
        except Trouble as error:
            print(f"error: {error}", file=sys.stderr)
        except KeyboardInterrupt:
            note("\nleft this answer")


def build(args: argparse.Namespace, prompt: str, history: list[Frame]) -> Frame:
    """The request for a prompt, after the conversation so far."""
    named = {name: getattr(args, name) for name in ("max_tokens", "temp", "seed", "stop")}
    params = {name: value for name, value in named.items() if value is not None} | dict(args.param)
    if not args.chat:
        return {"op": "infer", "prompt": prompt, "params": params}
    system = [{"role": "system", "content": args.system}] if args.system else []
    messages = [*system, *history, {"role": "user", "content": prompt}]
    return {"op": "infer", "messages": messages, "params": params}


def watch(args: argparse.Namespace) -> int:
    """Shows metrics until Ctrl-C: one line redrawn on a terminal, a line a frame elsewhere."""
    live = sys.stdout.isatty() and not args.json
    with connection(args.url) as socket, interrupts() as presses:
        try:
            for frame in frames(socket, presses):
                if presses:
                    break
                if frame is None or frame.get("op") != "metrics":
                    continue
                if live:
                    say("\r\x1b[K" + summary(frame, shutil.get_terminal_size().columns - 1))
                else:
                    line = json.dumps(frame, ensure_ascii=False) if args.json else summary(frame)
                    say(line + "\n")
        finally:
            # What comes behind it, also an error, has a line of its own.
            say("\n" if live else "")
    return OK


def summary(frame: Frame, width: float = float("inf")) -> str:
    """A metrics frame in one line of that width at most: the most important first, without what
    the server does not know, and without what does not fit."""
    inference = frame.get("inference") or {}
    parts = [(inference, "{state}"), (inference, "{tps_now:.1f} tok/s")]
    cards = frame.get("gpus") or [frame.get("gpu") or {}]
    for card in cards:
        name = f"GPU {card.get('index')}" if len(cards) > 1 else "GPU"
        if card.get("present") is False:
            parts.append((card, f"{name} lost"))
            continue
        parts.append((card, name + " {temp} °C"))
        if card.get("throttling"):
            reasons = ", ".join(card.get("throttle_reasons") or [])
            parts.append((card, f"throttled: {reasons}" if reasons else "throttled"))
        parts += [(card, "VRAM {vram_used_mb}/{vram_total_mb} MB"), (card, "{power_watts:.0f} W")]
    parts += [
        (inference, "{active} of {slots} slots"), (inference, "{queued} queued"),
        (inference, "last {last_tps:.1f} tok/s"),
        (inference, "{total_tokens_generated} tokens so far"),
        (inference, "KV {kv_used_tokens}/{kv_total_tokens}"),
        (inference, "{connections} connection" + ("" if inference.get("connections") == 1 else "s")),
    ]
    fields = Formatter().parse
    known = (form.format_map(values) for values, form in parts
             if all(values.get(name) is not None for _, name, *_ in fields(form) if name))
    line = ""
    for part in known:
        longer = f"{line} · {part}" if line else part
        # Half a number would be a wrong one.
        if len(longer) <= width:
            line = longer
    return line


def main() -> int:
    """Runs what was asked for; returns the exit code."""
    args = parse_arguments()
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="replace")
    # A proxy cannot reach this machine's own loopback.
    direct = os.environ.get("no_proxy") or os.environ.get("NO_PROXY", "")
    os.environ["no_proxy"] = f"{direct},localhost,127.0.0.1,::1"
    try:
        if args.metrics or (args.prompt is None and sys.stdin.isatty()):
            return watch(args) if args.metrics else converse(args)
        prompt = sys.stdin.read() if args.prompt is None else args.prompt
        _, end = ask(args, build(args, prompt, []))
        return INTERRUPTED if end.get("finish_reason") == "abort" else OK
    except Trouble as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Who read our output has had enough; the interpreter must not try to flush the rest.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK


if __name__ == "__main__":
    sys.exit(main())
