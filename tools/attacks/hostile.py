"""The hostile clients: one function for each attack, which runs until it is cancelled.

`attacks.py` runs each in a process of its own. Frames are written by hand, because no library sends
what these clients send.
"""

import asyncio
import json
import os
import socket
import struct

# Longest message of the default settings.
MAX_MESSAGE = 8 * 1024 * 1024

# Longest message that is parsed on the server's thread.
SHORT_MESSAGE = 16 * 1024

TEXT, CONTINUATION, PING = 1, 0, 9

# The variable with the API key of the hostile clients, if they have one.
KEY_VARIABLE = "HOSTILE_KEY"

KEY = os.environ.get(KEY_VARIABLE)

UPGRADE = (
    "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    + (f"Authorization: Bearer {KEY}\r\n" if KEY else "")
    + "{}\r\n"
)


def frame(content, opcode=TEXT, final=True, announced=None, reserved=0):
    """A frame with a mask of zeros, which leaves the content as it is."""
    length = len(content) if announced is None else announced
    first = (0x80 if final else 0) | reserved | opcode
    if length < 126:
        head = struct.pack("!BB", first, 0x80 | length)
    elif length < 65_536:
        head = struct.pack("!BBH", first, 0x80 | 126, length)
    else:
        head = struct.pack("!BBQ", first, 0x80 | 127, length)
    return head + bytes(4) + content


def infer(prompt, name=None, **params):
    fields = {"op": "infer", "prompt": prompt, "params": params}
    if name is not None:
        fields["id"] = name
    return frame(json.dumps(fields).encode())


class Connection:
    """A TCP connection to the daemon."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.reading = None

    @classmethod
    async def open(cls, port, upgrade=True, fields="", small_buffer=False):
        raw = socket.socket()
        raw.setblocking(False)
        if small_buffer:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", port))
        connection = cls(*await asyncio.open_connection(sock=raw, limit=1 << 16))
        if upgrade:
            await connection.send(UPGRADE.format(fields).encode())
            await connection.reader.readuntil(b"\r\n\r\n")
        return connection

    async def send(self, data):
        self.writer.write(data)
        await self.writer.drain()

    def discard(self):
        """Reads everything from now on, and ignores it."""

        async def read():
            while await self.reader.read(1 << 16):
                pass
            self.writer.transport.abort()

        self.reading = asyncio.create_task(read())

    async def until(self, *words):
        """Waits until the daemon has sent one of `words`."""
        seen = b""
        while not any(word in seen for word in words):
            received = await self.reader.read(1 << 16)
            if not received:
                raise ConnectionError("closed")
            seen = seen[-100:] + received

    async def hold(self):
        """Does nothing until the daemon closes the connection."""
        while await self.reader.read(1 << 16):
            pass

    def close(self):
        if self.reading:
            self.reading.cancel()
        self.writer.transport.abort()


async def many(n, port, client, **options):
    """Runs `client` on `n` connections, again whenever it ends."""

    async def repeat():
        while True:
            connection = None
            try:
                connection = await Connection.open(port, **options)
                await client(connection)
            except (OSError, EOFError, asyncio.LimitOverrunError):
                await asyncio.sleep(0.05)
            finally:
                if connection:
                    connection.close()

    await asyncio.gather(*(repeat() for _ in range(n)))


async def unfinished_messages(port):
    """60 connections send 8 MiB of a message and not its last byte."""

    async def client(connection):
        connection.discard()
        await connection.send(frame(b" " * (MAX_MESSAGE - 1), announced=MAX_MESSAGE))
        await connection.reading

    await many(60, port, client)


async def unfinished_with_pings(port):
    """100 connections keep a part of a message open with a ping every two seconds."""

    async def client(connection):
        connection.discard()
        await connection.send(frame(b" " * 100_000, final=False))
        while not connection.reading.done():
            await connection.send(frame(b"", PING))
            await asyncio.sleep(2)

    await many(100, port, client)


async def announced_lengths(port):
    """800 connections announce a message of 8 MiB and send none of it."""

    async def client(connection):
        await connection.send(frame(b"", announced=MAX_MESSAGE))
        await connection.hold()

    await many(800, port, client)


async def repeat_prompt(n, port, prompt):
    """`n` connections ask for one token after `prompt`, again and again."""
    request = infer(prompt, max_tokens=1)

    async def client(connection):
        while True:
            await connection.send(request)
            await connection.until(b'"end"', b'"error"')

    await many(n, port, client)


async def short_requests(port):
    """16 connections send a short request again and again; nobody reads the daemon's log."""
    await repeat_prompt(16, port, "Once")


async def costly_short_prompts(port):
    """8 connections send prompts of 16 KiB that are costly to tokenize."""
    await repeat_prompt(8, port, "a\n" * 5440)


async def long_prompts(port):
    """30 connections send prompts of 250 KB of spaces."""
    await repeat_prompt(30, port, " " * 250_000)


async def abandoned_prompts(port):
    """4 connections send 250 KB of NUL and close 0.2 s later."""

    async def client(connection):
        await connection.send(infer("\0" * 250_000, max_tokens=1))
        await asyncio.sleep(0.2)

    await many(4, port, client)


async def idle_connections(port):
    """2,000 WebSockets are opened and do nothing."""
    await many(2000, port, Connection.hold)


async def many_connections(port):
    """200 WebSockets are opened, more than the daemon may open files."""
    await many(200, port, Connection.hold)


async def endless_requests(port):
    """300 connections have one endless request each."""

    async def client(connection):
        while True:
            await connection.send(infer("Once upon a time", ignore_eos=True))
            await connection.until(b'"end"', b'"error"')
            await asyncio.sleep(0.1)

    await many(300, port, client)


async def retries(port):
    """300 connections have one endless request each, and repeat it at once if it is refused."""

    async def client(connection):
        while True:
            await connection.send(infer("Once upon a time", ignore_eos=True))
            await connection.until(b'"end"', b'"error"')

    await many(300, port, client)


async def abort_loops(port):
    """16 connections start endless requests and abort each after its first text."""

    async def client(connection):
        while True:
            await connection.send(infer("Once upon a time", ignore_eos=True))
            await connection.until(b'"token"', b'"error"')
            await connection.send(b'{"op":"abort"}')
            await connection.until(b'"end"', b'"error"')

    await many(16, port, client)


async def busy_connections(port):
    """1,024 connections, all that there may be, have one endless request each."""

    async def client(connection):
        await connection.send(infer("Once upon a time", ignore_eos=True))
        await connection.hold()

    await many(1024, port, client)


async def unread_answers(port):
    """10 connections ask four endless requests each and read nothing."""

    async def client(connection):
        for name in "abcd":
            await connection.send(infer("Once upon a time", name, ignore_eos=True))
        await asyncio.sleep(60)

    await many(10, port, client, small_buffer=True)


async def slow_pages(port):
    """100 connections ask for /metrics a hundred times each and read a byte per second."""

    async def client(connection):
        page = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"
        await connection.send(page * 100)
        while await connection.reader.read(1):
            await asyncio.sleep(1)

    await many(100, port, client, upgrade=False, small_buffer=True)


async def garbage(port):
    """20 connections at a time send 4 KiB of random bytes instead of HTTP."""

    async def client(connection):
        await connection.send(os.urandom(4096))
        await connection.hold()

    await many(20, port, client, upgrade=False)


async def aborts(port):
    """8 connections start 64 requests and abort them, again and again."""

    async def client(connection):
        connection.discard()
        start = b"".join(infer("Once", f"n{i}", ignore_eos=True) for i in range(64))
        while not connection.reading.done():
            await connection.send(start + frame(b'{"op":"abort"}'))

    await many(8, port, client)


async def unread_logprobs(port):
    """20 connections ask for 20 log probabilities of each token and read nothing."""

    async def client(connection):
        for i in range(64):
            await connection.send(infer("Once", f"n{i}", logprobs=20, ignore_eos=True))
        await asyncio.sleep(60)

    await many(20, port, client, small_buffer=True)


async def reconnects(port):
    """20 connections at a time open a WebSocket, read `hello` and leave without a close frame."""

    async def client(connection):
        await connection.until(b'"hello"')

    await many(20, port, client)


async def compressed_frames(port):
    """20 connections offer compression and send frames as if it had been accepted."""

    async def client(connection):
        await connection.send(frame(b"\xaa" * 1000, reserved=0x40))
        await connection.hold()

    fields = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
    await many(20, port, client, fields=fields)


async def one_byte_frames(port):
    """50 connections send messages as fragments of one byte."""

    async def client(connection):
        connection.discard()
        await connection.send(frame(b"{", final=False))
        fragments = frame(b" ", CONTINUATION, final=False) * 1000
        while not connection.reading.done():
            await connection.send(fragments)

    await many(50, port, client)


async def nested_json(port):
    """50 connections send 16 KiB of nested lists, again and again."""

    async def client(connection):
        connection.discard()
        nested = (b"[" * 126 + b"]" * 126 + b",") * 60
        message = frame(b'{"op":"ping","x":[' + nested[:-1] + b"]}")
        while not connection.reading.done():
            await connection.send(message)

    await many(50, port, client)


async def short_message_flood(port):
    """200 connections send messages of 16 KiB, again and again."""

    async def client(connection):
        connection.discard()
        start = b'{"op":"ping","x":"'
        message = frame(start + b"x" * (SHORT_MESSAGE - len(start) - 2) + b'"}')
        while not connection.reading.done():
            await connection.send(message)

    await many(200, port, client)


async def long_message_flood(port):
    """30 connections send complete messages of 8 MiB that are costly to parse."""

    async def client(connection):
        connection.discard()
        start = b'{"op":"ping","x":['
        message = frame(start + b'{"":0},' * ((MAX_MESSAGE - 100) // 7) + b"0]}")
        while not connection.reading.done():
            await connection.send(message)

    await many(30, port, client)


async def subscriptions(port):
    """20 connections subscribe to metrics, again and again, and read everything."""

    async def client(connection):
        connection.discard()
        flood = frame(b'{"op":"subscribe_metrics"}') * 100
        while not connection.reading.done():
            await connection.send(flood)

    await many(20, port, client)


async def half_closed(port):
    """300 connections send a request and close their sending side."""

    async def client(connection):
        await connection.send(infer("Once", ignore_eos=True))
        connection.writer.write_eof()
        await connection.hold()

    await many(300, port, client)
