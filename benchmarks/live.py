"""200 open streams over two processes: how long until the last of them has a change, counted from before it is published.

The peer is the usual afternoon's work, documents sent through a Redis subscription for each stream: nothing of it is in
PostgreSQL, and nothing can be come back for.
"""

import asyncio
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.client import Target
from benchmarks.figure import Figure
from benchmarks.plain_live import CHANNEL
from benchmarks.service import process, publish_one, token
from integrator.embedded.endpoints import HOST
from integrator.embedded.session import close_storage
from integrator.security import clients
from integrator.settings import Settings
from integrator.steps.services import open_services
from integrator.storage.partners import Partner, register

STREAMS, CHANGES = 200, 40
EVENT = b"event: insight\n"
LONGEST = 20.0


class Streams:
    """All open streams, read in a thread of their own; `seen[n]` is when the n-th change reached each of them."""

    def __init__(self, requests: Sequence[tuple[Target, bytes]]) -> None:
        self._requests = requests
        self.seen: list[list[float]] = [[] for _ in range(CHANGES + 1)]
        self._open = threading.Barrier(2)
        self._done = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._read_all()), daemon=True)

    def __enter__(self) -> "Streams":
        self._thread.start()
        self._open.wait(timeout=60)
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join(timeout=20)

    def wait(self, change: int) -> float:
        """When the last stream had it."""
        deadline = time.perf_counter() + LONGEST
        while len(self.seen[change]) < len(self._requests):
            if time.perf_counter() > deadline:
                raise SystemExit(f"change {change} reached {len(self.seen[change])} of {len(self._requests)} streams")
            time.sleep(0.001)
        return max(self.seen[change])

    async def _read_all(self) -> None:
        lines = [await asyncio.open_connection(target.host, target.port) for target, _ in self._requests]
        for (_, writer), (_, request) in zip(lines, self._requests, strict=True):
            writer.write(request)
        for reader, _ in lines:
            await reader.readuntil(b"event: cursor\n")
        self._open.wait(timeout=60)
        tasks = [asyncio.create_task(self._read(reader)) for reader, _ in lines]
        await asyncio.to_thread(self._done.wait)
        for task, (_, writer) in zip(tasks, lines, strict=True):
            task.cancel()
            writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        change, tail = 0, b""
        while piece := await reader.read(65536):
            now = time.perf_counter()
            *found, tail = (tail + piece).split(EVENT)
            tail = tail[-len(EVENT) + 1 :]
            for _ in found:
                change += 1
                self.seen[change].append(now)


def measure(home: Path) -> list[Figure]:
    """The slowest stream of each change, ours and the peer's."""
    settings = Settings(home=home / "live")
    services = open_services(settings)
    try:
        register(
            services.database, Partner(partner="bench", timezone="UTC", currency="EUR", region="DE"), services.clock()
        )
        publish_one(services)
        made = clients.create(services.database, "bench", "insights:read", services.clock())
        with ExitStack() as stack:
            words = ("integrator_realtime", "--home", str(settings.root), "--no-webhooks", "--port")
            ports = [stack.enter_context(process(*words))[1] for _ in range(2)]
            targets = [Target(HOST, port, token(port, made.client_id, str(made.client_secret))) for port in ports]
            ours, publishing = _slowest(targets, lambda change: publish_one(services, 900.0 + change, 1 + change))
        document = b"x" * 900
        with process("benchmarks.plain_live", services.redis_url) as (_, port):
            theirs, _ = _slowest([Target(HOST, port)], lambda _: services.cache.client.publish(CHANNEL, document))
    finally:
        services.database.close()
        close_storage(settings)
    peer, what = "a Redis subscription a stream, nothing stored", f"{STREAMS} streams, a change at the last of them"
    return [
        Figure(f"{what}, slowest of {CHANGES}", max(ours), "ms", "< 1,000 ms", peer, max(theirs)),
        Figure(f"{what}, median", statistics.median(ours), "ms", "", peer, statistics.median(theirs)),
        Figure("of that, until publishing it has returned, median", statistics.median(publishing), "ms"),
    ]


def _slowest(targets: Sequence[Target], change: Callable[[int], object]) -> tuple[list[float], list[float]]:
    """Milliseconds from before each change until its last stream, and until publishing it has returned."""
    asked = [targets[place % len(targets)] for place in range(STREAMS)]
    path = "/v1/live?use_case=attendance&subject=gala"
    taken, publishing = [], []
    with Streams([(target, target.get(path)) for target in asked]) as streams:
        for number in range(1, CHANGES + 1):
            began = time.perf_counter()
            change(number)
            publishing.append((time.perf_counter() - began) * 1000)
            taken.append((streams.wait(number) - began) * 1000)
            time.sleep(0.05)
    return taken, publishing
