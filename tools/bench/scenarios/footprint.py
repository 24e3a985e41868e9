"""Start time, memory, and the cost of idle connections."""

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
# File descriptors besides those of the connections.
SPARE_FILES = 200


def start(bench: Any) -> list[Row]:
    """Time from the start of the process until it accepts requests (/readyz, /health), with the
    model file in the page cache. Then one request on each of 8 slots of 2,048 tokens, and the peak
    memory (VmHWM, which includes mapped pages of the model file)."""
    model = bench.large
    with model.open("rb") as file:
        while file.read(1 << 24):
            pass

    def program(serve: Any) -> Any:
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
            OURS: program(bench.serve),
            "llama-server": program(bench.serve_llama),
        },
    )
    peer = ("llama-server",)
    return [
        Row("start to ready", model.stem, "s", False, values["ready s"], [Goal(1.0, peer)]),
        Row("peak memory", model.stem, "MiB", False, values["peak MiB"], [Goal(0.8, peer)]),
    ]


def idle(bench: Any) -> list[Row]:
    """2,000 connections that only receive metrics every second: CPU time of the daemon in percent
    of one core, and memory per connection. Then the same number of connections is opened and closed
    repeatedly: growth of memory from the first to the last repetition, per connection. llama-server
    has no such connections."""
    wanted = 200 if bench.quick else 2000
    count = min(wanted, file_limit(wanted) - SPARE_FILES)
    if count < wanted:
        bench.journal.note(f"only {count} connections: the limit on open files is too low")
    with bench.serve(bench.demo, 4, 1024, "--max-connections", str(count + 50)) as server:
        values = asyncio.run(listen(bench, server, count))
    cpu, memory = f"{count:,} idle connections, CPU", f"{count:,} idle connections, memory"
    return [
        Row(cpu, bench.demo.stem, "% of a core", False, {OURS: values["cpu %"]}, [Goal(3.0)]),
        Row(memory, bench.demo.stem, "KB each", False, {OURS: values["KB each"]}, [Goal(20.0)]),
        Row(
            "memory growth per reconnection",
            bench.demo.stem,
            "KB each",
            False,
            {OURS: values["growth KB each"]},
            [Goal(0.1)],
        ),
    ]


def file_limit(wanted: int) -> int:
    """Raises the limit on open files as far as allowed. The daemon inherits it."""
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
        bench.journal.say(f"{count} connections opened and closed  {held} KB used")
    values["growth KB each"].append((held - first) / (count * turn))
    return values


@contextlib.asynccontextmanager
async def crowd(server: Server, count: int) -> Any:
    """Opens `count` connections whose frames are read and discarded.

    Opens a hundred at a time because the accept queue of a listening socket is short.
    """
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
