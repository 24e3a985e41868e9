"""What the servers take: time to start, memory, and the cost of clients that only listen."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import time
from typing import Any

from websockets.asyncio.client import connect

from measures import OURS, Goal, Row
from servers import Server

SLOTS, CONTEXT, PROMPT_WORDS = 8, 2048, 64
# Descriptors besides the connections.
SPARE_FILES = 200


def start(bench: Any) -> list[Row]:
    """From the start of the process until it takes requests (/readyz, /health), the file in the page
    cache; then one request on each of 8 slots of 2,048 tokens, and the peak of memory (VmHWM, which
    counts the pages of the model's file, too)."""
    model = bench.large
    with model.open("rb") as file:
        while file.read(1 << 24):
            pass

    def contestant(serve: Any) -> Any:
        def measure(_: int) -> dict[str, float]:
            with serve(model, SLOTS, CONTEXT) as server:
                bench.load(
                    server,
                    connections=SLOTS,
                    requests=SLOTS,
                    prompt_words=PROMPT_WORDS,
                    max_tokens=4,
                    warmup=0,
                )
                return {"ready s": server.ready_s, "peak MiB": server.status_kb("VmHWM") / 1024}

        return measure

    values = bench.in_turns(
        model.stem,
        "",
        {
            OURS: contestant(bench.serve),
            "llama-server": contestant(bench.serve_llama),
        },
    )
    peer = ("llama-server",)
    return [
        Row("start to ready", model.stem, "s", False, values["ready s"], [Goal(1.0, peer)]),
        Row("peak memory", model.stem, "MiB", False, values["peak MiB"], [Goal(0.8, peer)]),
    ]


def idle(bench: Any) -> list[Row]:
    """2,000 connections that only get their metrics each second: processor time of the daemon, in
    percent of one core, and memory added for each connection. Then as many come and go at once,
    again and again: memory added from the first time to the last. llama-server has no such
    connections to compare with."""
    wanted = 200 if bench.quick else 2000
    count = min(wanted, file_limit(wanted) - SPARE_FILES)
    if count < wanted:
        bench.journal.note(f"{count} connections only: the limit of open files is too low")
    with bench.serve(bench.demo, 4, 1024, "--max-connections", str(count + 50)) as server:
        values = asyncio.run(listen(bench, server, count))
    cpu, memory = f"{count:,} idle connections, processor", f"{count:,} idle connections, memory"
    return [
        Row(cpu, bench.demo.stem, "% of a core", False, {OURS: values["cpu %"]}, [Goal(3.0)]),
        Row(memory, bench.demo.stem, "KB each", False, {OURS: values["KB each"]}, [Goal(20.0)]),
        Row(
            "growth by coming and going",
            bench.demo.stem,
            "KB each",
            False,
            {OURS: values["growth KB each"]},
            [Goal(0.1)],
        ),
    ]


def file_limit(wanted: int) -> int:
    """Raised as far as allowed; the daemon inherits it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted + 2 * SPARE_FILES
    limit = most if hard == resource.RLIM_INFINITY else min(hard, most)
    if limit > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    return max(limit, soft)


async def listen(bench: Any, server: Any, count: int) -> dict[str, list[float]]:
    window = 2.0 if bench.quick else 5.0
    held = server.status_kb("VmRSS")
    values: dict[str, list[float]] = {"cpu %": [], "KB each": [], "growth KB each": []}
    async with crowd(server, count):
        await asyncio.sleep(1.5)
        for _ in range(max(bench.turns, 5)):
            before, since = server.cpu_s(), time.perf_counter()
            await asyncio.sleep(window)
            spent = server.cpu_s() - before
            values["cpu %"].append(100 * spent / (time.perf_counter() - since))
            values["KB each"].append((server.status_kb("VmRSS") - held) / count)
            bench.journal.say(
                f"{count} connections  {values['cpu %'][-1]:.2f} % of a core"
                f"  {values['KB each'][-1]:.1f} KB each"
            )
    first = 0
    for turn in range(max(bench.turns, 5)):
        async with crowd(server, count):
            pass
        await asyncio.sleep(1.0)
        held = server.status_kb("VmRSS")
        first = first or held
        bench.journal.say(f"{count} came and went  {held} KB held")
    values["growth KB each"].append((held - first) / (count * turn))
    return values


@contextlib.asynccontextmanager
async def crowd(server: Server, count: int) -> Any:
    """Connections that are read by nobody but the library; a hundred at a time, as the queue of a
    listening socket is short."""
    connections: list[Any] = []
    readers: list[asyncio.Task[None]] = []

    async def read(connection: Any) -> None:
        with contextlib.suppress(Exception):
            async for _ in connection:
                pass

    async def enter() -> None:
        connection = await connect(
            server.url, compression=None, ping_interval=None, open_timeout=60, close_timeout=5
        )
        connections.append(connection)
        readers.append(asyncio.create_task(read(connection)))

    try:
        for begin in range(0, count, 100):
            await asyncio.gather(*(enter() for _ in range(min(100, count - begin))))
        yield
    finally:
        for begin in range(0, len(connections), 100):
            await asyncio.gather(*(one.close() for one in connections[begin : begin + 100]))
        await asyncio.gather(*readers)
