#!/usr/bin/env python3
"""A small client for inference-core: sends a prompt and prints the answer as it arrives.

Every answer has a connection of its own, so the server may be restarted between two answers.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import shutil
import signal
import ssl
import sys
import time
from contextlib import contextmanager, suppress
from string import Formatter
from typing import Any, Iterator, Optional
from urllib.parse import urlsplit

try:
    from websockets.exceptions import (
        ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI)
    from websockets.sync.client import ClientConnection, connect
except ImportError:
    print("test_client.py needs the websockets package: pip install websockets", file=sys.stderr)
    sys.exit(2)

with suppress(ImportError):
    import readline  # line editing and history for input()

    # The terminal then marks pasted text, and its line breaks do not end the message.
    readline.parse_and_bind("set enable-bracketed-paste on")

Frame = dict[str, Any]

OK, SERVER_ERROR, NO_CONNECTION, INTERRUPTED = 0, 1, 3, 130
EXIT_CODES = """exit codes:
  0    the answer is complete, or the conversation or the metrics were closed
  1    the server answered with an error
  2    wrong arguments, or the websockets package is missing
  3    no connection, or the connection was lost
  130  stopped with Ctrl-C

Ctrl-C during an answer stops it, on the server as well. A second Ctrl-C quits
without waiting."""
# Lines that come within this time of each other, in seconds, were pasted and are one message.
PASTE_GAP_S = 0.05
# Longest part of a server's reason that is shown, in characters.
MAX_REASON = 500
# Part of the context that a shortened conversation may take. The rest is for the answer.
MAX_PROMPT = 0.75


class ClientError(Exception):
    """No connection, or a connection that was lost. The message is one line."""

    exit_code = NO_CONNECTION


class ServerError(ClientError):
    """The server answered with an `error` frame."""

    exit_code = SERVER_ERROR

    def __init__(self, frame: Frame) -> None:
        super().__init__(f"{frame.get('message', 'no message')} ({frame.get('code', 'no code')})")
        self.frame = frame
        self.code = frame.get("code")
        self.retry_after = (frame.get("retry_after_ms") or 1000) / 1000


@contextmanager
def interrupts() -> Iterator[list[int]]:
    """Collects the presses of Ctrl-C, which then do not end the program."""
    presses: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: presses.append(number))
    try:
        yield presses
    finally:
        signal.signal(signal.SIGINT, before)


def parse_arguments() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description="Sends a prompt to inference-core and prints the answer as it arrives.\n"
        "Without a prompt, reads one prompt after another; Ctrl-D quits.",
        epilog=EXIT_CODES, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("prompt", nargs="?", help="the text to complete, or with --chat the message "
        "[default: standard input]")
    add("--chat", action="store_true", help="send a chat message; a conversation keeps its history")
    add("--system", metavar="TEXT", help="system message of the chat (implies --chat)")
    add("--max-tokens", type=int, metavar="N", help="maximum length of the answer")
    add("--temp", type=float, metavar="T", help="sampling temperature; 0 always takes the most probable token")
    add("--seed", type=int, metavar="N", help="seed of the sampling; the same seed gives the same text")
    add("--stop", action="append", metavar="TEXT", help="stop before TEXT; may be repeated")
    add("--param", action="append", default=[], metavar="NAME=VALUE", type=parameter,
        help="any other parameter, such as top_k=20 or ignore_eos=true; may be repeated")
    server = parser.add_mutually_exclusive_group()
    server.add_argument("--url", default="ws://localhost:3000", help="address of the server [default: %(default)s]")
    server.add_argument("--port", type=int, help="same as --url ws://localhost:PORT")
    add("--api-key", metavar="KEY", default=os.environ.get("INFERENCE_CORE_API_KEY"),
        help="API key of the server; other users see it in the process list, unlike "
        "that of the variable INFERENCE_CORE_API_KEY")
    add("--ca", metavar="FILE",
        help="trust certificates of the authority in FILE, such as ca.pem of `inference-core tls new`")
    add("--metrics", action="store_true", help="show the server's metrics once a second")
    add("--json", action="store_true", help="print the server's frames as JSON, one per line")
    args = parser.parse_args()
    if args.metrics and args.prompt is not None:
        parser.error("--metrics takes no prompt")
    if args.port is not None:
        args.url = f"ws://localhost:{args.port}"
    args.chat = args.chat or args.system is not None
    return args


def parameter(text: str) -> tuple[str, Any]:
    """Splits NAME=VALUE. A value that is not JSON is a string."""
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def note(text: str) -> None:
    """Prints a line to stderr, dimmed on a terminal unless NO_COLOR is set."""
    if sys.stderr.isatty() and not os.environ.get("NO_COLOR"):
        text = f"\x1b[2m{text}\x1b[0m"
    print(text, file=sys.stderr, flush=True)


def say(text: str) -> None:
    """Prints text to stdout at once, without a newline."""
    print(text, end="", flush=True)


def trusting(path: str) -> ssl.SSLContext:
    """Settings of TLS that trust the authority in the file at `path`."""
    try:
        return ssl.create_default_context(cafile=path)
    except (OSError, ssl.SSLError) as error:
        raise ClientError(f"--ca {path}: no certificate can be read: {error}") from None


@contextmanager
def connection(args: argparse.Namespace) -> Iterator[ClientConnection]:
    """Opens a WebSocket. Connection failures become a `ClientError`."""
    url: str = args.url
    headers = {"Authorization": f"Bearer {args.api_key}"} if args.api_key else {}
    options = {"ssl": trusting(args.ca)} if args.ca and url.startswith("wss:") else {}
    try:
        socket = connect(url, close_timeout=1, additional_headers=headers, **options)
    except ConnectionRefusedError:
        port = urlsplit(url).port or 80
        start = f"start the server with `make run PORT={port}` or `inference-core --demo {port}`"
        raise ClientError(f"nothing listens on {url}; {start}") from None
    except InvalidStatus as error:
        raise ClientError(f"{url} refuses the connection: {refusal(error)}") from None
    # A ValueError as well.
    except ssl.SSLCertVerificationError as error:
        advice = "" if args.ca else "; name the file of its authority with --ca"
        raise ClientError(
            f"the certificate of {url} is not trusted: {error.verify_message}{advice}") from None
    except (InvalidURI, ValueError):
        raise ClientError(f"{url} is not a WebSocket address such as ws://localhost:3000") from None
    except (InvalidHandshake, OSError, EOFError) as error:
        raise ClientError(f"cannot open a WebSocket to {url}: {error}") from None
    try:
        with socket:
            yield socket
    except ConnectionClosed as error:
        close = error.rcvd
        if close is None:
            reason = "connection lost"
        elif close.code == 1001:
            reason = "the server is shutting down"
        else:
            reason = f"the server closed the connection: {close.code} {close.reason}".strip()
        raise ClientError(reason) from None


def refusal(error: InvalidStatus) -> str:
    """The HTTP status of a server that opens no WebSocket, and the first line of its reason."""
    response = error.response
    lines = (response.body or b"").decode(errors="replace").strip().splitlines() or [""]
    reason = "".join(char for char in lines[0][:MAX_REASON] if char.isprintable())
    return f"HTTP {response.status_code}" + (f", {reason}" if reason else "")


def frames(socket: ClientConnection, presses: list[int]) -> Iterator[Optional[Frame]]:
    """Yields the server's frames, and `None` after 0.1 s without one.

    Never returns; raises KeyboardInterrupt at the second Ctrl-C, and ClientError if the server
    needs an API key.
    """
    while len(presses) < 2:
        try:
            frame = json.loads(socket.recv(timeout=0.1))
        except TimeoutError:
            frame = None
        if frame and frame.get("op") == "hello" and frame.get("auth") == "required":
            raise ClientError("the server needs an API key: use INFERENCE_CORE_API_KEY or --api-key")
        yield frame
    raise KeyboardInterrupt


def generate(args: argparse.Namespace, request: Frame) -> tuple[str, Frame]:
    """Sends one request and prints its answer. Returns the text and the `end` frame."""
    text, end, aborted = "", None, False
    try:
        with connection(args) as socket, interrupts() as presses:
            socket.send(json.dumps(request))
            stream = frames(socket, presses)
            while end is None:
                frame = next(stream) or {}
                if presses and not aborted:
                    aborted = True
                    socket.send(json.dumps({"op": "abort"}))
                    note("\nstopping (Ctrl-C again quits at once)")
                if frame and args.json:
                    say(json.dumps(frame, ensure_ascii=False) + "\n")
                if frame.get("op") == "token":
                    text += frame["content"]
                    say("" if args.json else frame["content"])
                elif frame.get("op") == "queued":
                    note(f"queued, position {frame.get('position')}")
                elif frame.get("op") in ("end", "error"):
                    end = frame
    finally:
        # What follows, such as an error or the statistics, starts on a new line. An empty answer
        # is an empty line.
        is_empty_answer = not text and end is not None and end["op"] == "end"
        if not args.json and not text.endswith("\n") and (text or is_empty_answer):
            say("\n")
    if end["op"] == "error":
        raise ServerError(end)
    return text, end


def ask(args: argparse.Namespace, request: Frame) -> tuple[str, Frame]:
    """Like `generate`, but waits until the model is loaded, and prints statistics."""
    is_waiting, end = False, None
    while end is None:
        try:
            text, end = generate(args, request)
        except ServerError as error:
            if error.code != "loading":
                raise
            if not is_waiting:
                note("the model is still loading, waiting")
            is_waiting = True
            time.sleep(error.retry_after)
    stats = end.get("stats", {})
    count = stats.get("tokens")
    parts = [f"{count} token" if count == 1 else f"{count} tokens"]
    if stats.get("tps") is not None:
        parts.append(f"{stats['tps']:.1f} tokens/s")
    if stats.get("ttft_ms") is not None:
        parts.append(f"first token after {stats['ttft_ms']:.0f} ms")
    note(" · ".join([*parts, end.get("finish_reason", "end")]))
    for warning in end.get("warnings") or []:
        note(f"warning: {warning}")
    return text, end


def converse(args: argparse.Namespace) -> int:
    """Reads and answers prompts until Ctrl-D. An error ends the answer, not the conversation."""
    history: list[Frame] = []
    note("Ctrl-C stops an answer, Ctrl-D quits")
    while True:
        try:
            message = read_message()
        except EOFError:
            say("\n")
            return OK
        except KeyboardInterrupt:
            say("\n")
            message = ""
        try:
            if message.strip():
                answer(args, message, history)
        except ClientError as error:
            print(f"error: {error}", file=sys.stderr)
        except KeyboardInterrupt:
            note("answer abandoned")


def read_message() -> str:
    """Reads a line from the terminal, or several if they were pasted."""
    lines = [input("> ")]
    with suppress(EOFError):
        while has_input():
            lines.append(input())
    return "\n".join(lines).strip("\n")


def has_input() -> bool:
    """Whether the terminal has more input already."""
    # Windows cannot wait for a console in this way.
    with suppress(OSError, ValueError):
        return bool(select.select([sys.stdin], [], [], PASTE_GAP_S)[0])
    return False


def answer(args: argparse.Namespace, message: str, history: list[Frame]) -> None:
    """Asks for the answer to a message and adds both to `history`.

    If the conversation does not fit into the server's context, drops its oldest turns. They stay
    if the message does not even fit alone.
    """
    kept, text = history[:], None
    while text is None:
        request = build(args, message, kept)
        try:
            text, _ = ask(args, request)
        except ServerError as error:
            if error.code != "context_overflow" or not kept:
                raise
            drop_oldest_turns(kept, request, error.frame)
            count = (len(history) - len(kept)) // 2
            turns = "oldest turn" if count == 1 else f"{count} oldest turns"
            note(f"the conversation does not fit into the context: trying without its {turns}")
    if args.chat:
        # The answer goes back exactly as it came.
        new = [{"role": "user", "content": message}, {"role": "assistant", "content": text}]
        history[:] = kept + new


def drop_oldest_turns(history: list[Frame], request: Frame, overflow: Frame) -> None:
    """Removes turns until the rest is likely to fit, at least one.

    `overflow` is the server's error for `request`, which had the whole history.
    """
    prompt_tokens, ctx_size = overflow.get("prompt_tokens"), overflow.get("ctx_size")
    excess = 0.0
    if prompt_tokens and ctx_size:
        # Characters, as if all tokens had equally many.
        size = sum(len(message["content"]) for message in request["messages"])
        excess = size * (1 - MAX_PROMPT * ctx_size / prompt_tokens)
    while history:
        excess -= sum(len(message["content"]) for message in history[:2])
        del history[:2]
        if excess <= 0:
            break


def build(args: argparse.Namespace, prompt: str, history: list[Frame]) -> Frame:
    """Builds the request for a prompt. `history` has the earlier messages of the chat."""
    named = {name: getattr(args, name) for name in ("max_tokens", "temp", "seed", "stop")}
    params = {name: value for name, value in named.items() if value is not None} | dict(args.param)
    if not args.chat:
        return {"op": "infer", "prompt": prompt, "params": params}
    system = [{"role": "system", "content": args.system}] if args.system else []
    messages = [*system, *history, {"role": "user", "content": prompt}]
    return {"op": "infer", "messages": messages, "params": params}


def watch(args: argparse.Namespace) -> int:
    """Shows metrics until Ctrl-C.

    A terminal shows one line that is redrawn; a pipe or file gets a line per frame.
    """
    is_live = sys.stdout.isatty() and not args.json
    with connection(args) as socket, interrupts() as presses:
        # Connections are subscribed already. The answer says if the key does not allow it.
        socket.send(json.dumps({"op": "subscribe_metrics"}))
        try:
            for frame in frames(socket, presses):
                if presses:
                    break
                if frame is not None and frame.get("op") == "error":
                    raise ServerError(frame)
                if frame is None or frame.get("op") != "metrics":
                    continue
                if is_live:
                    say("\r\x1b[K" + summary(frame, shutil.get_terminal_size().columns - 1))
                else:
                    line = json.dumps(frame, ensure_ascii=False) if args.json else summary(frame)
                    say(line + "\n")
        finally:
            # What follows, such as an error, starts on a new line.
            say("\n" if is_live else "")
    return OK


def summary(frame: Frame, width: float = float("inf")) -> str:
    """Formats a metrics frame as one line of at most `width` columns.

    Important values come first. Values that the server does not know, and those that do not fit,
    are left out.
    """
    inference = frame.get("inference") or {}
    parts = [(inference, "{state}"), (inference, "{tps_now:.1f} tokens/s")]
    gpus = frame.get("gpus") or [frame.get("gpu") or {}]
    # The others are GPUs of other programs: a build for the CPU does not use them.
    gpus = [gpu for gpu in gpus if gpu.get("in_use") is not False]
    for gpu in gpus:
        name = f"GPU {gpu.get('index')}" if len(gpus) > 1 else "GPU"
        if gpu.get("present") is False:
            parts.append((gpu, f"{name} lost"))
            continue
        parts.append((gpu, name + " {temp} °C"))
        if gpu.get("throttling"):
            reasons = ", ".join(gpu.get("throttle_reasons") or [])
            parts.append((gpu, f"throttled: {reasons}" if reasons else "throttled"))
        parts += [(gpu, "VRAM {vram_used_mb}/{vram_total_mb} MB"), (gpu, "{power_watts:.0f} W")]
    parts += [
        (inference, "{active} of {slots} slots"), (inference, "{queued} queued"),
        (inference, "last {last_tps:.1f} tokens/s"),
        (inference, "{total_tokens_generated} tokens generated"),
        (inference, "KV {kv_used_tokens}/{kv_total_tokens}"),
        (inference, "{connections} connection" + ("" if inference.get("connections") == 1 else "s")),
    ]
    fields = Formatter().parse
    known = (form.format_map(values) for values, form in parts
             if all(values.get(name) is not None for _, name, *_ in fields(form) if name))
    line = ""
    for part in known:
        longer = f"{line} · {part}" if line else part
        # A part is shown whole or not at all: half a number would be wrong.
        if len(longer) <= width:
            line = longer
    return line


def main() -> int:
    """Runs the client and returns its exit code."""
    args = parse_arguments()
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="replace")
    # A proxy cannot reach the loopback interface of this machine.
    direct = os.environ.get("no_proxy") or os.environ.get("NO_PROXY", "")
    os.environ["no_proxy"] = f"{direct},localhost,127.0.0.1,::1"
    try:
        if args.metrics or (args.prompt is None and sys.stdin.isatty()):
            return watch(args) if args.metrics else converse(args)
        prompt = sys.stdin.read() if args.prompt is None else args.prompt
        _, end = ask(args, build(args, prompt, []))
        return INTERRUPTED if end.get("finish_reason") == "abort" else OK
    except ClientError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has closed it. Python must not try to flush the rest at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK


if __name__ == "__main__":
    sys.exit(main())
