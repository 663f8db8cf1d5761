"""A client in a process and an event loop of its own, which many connections cost little: it must not be the bottleneck.

`python -m benchmarks.load` reads what to do as JSON from standard input and writes seconds and counts as JSON.
"""

import asyncio
import base64
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from benchmarks.client import Target


@dataclass(frozen=True)
class Flood:
    """Answers a second, the first second left out, and how many came in all."""

    rate: float
    count: int


def flooded(target: Target, requests: Sequence[bytes], lines: int, seconds: float) -> Flood:
    """Each connection asks again as soon as it is answered."""
    found = _asked(target, requests, {"lines": lines, "seconds": seconds})
    return Flood(float(found["rate"]), int(found["count"]))


def timed(target: Target, requests: Sequence[bytes], rate: float, lines: int, seconds: float) -> list[float]:
    """Seconds each answer took, from when its request was due, at so many requests a second; the first is not counted."""
    return list(_asked(target, requests, {"lines": lines, "seconds": seconds, "rate": rate})["taken"])


def _asked(target: Target, requests: Sequence[bytes], how: dict[str, Any]) -> Any:
    task = {
        **how, "host": target.host, "port": target.port,
        "requests": [base64.b64encode(request).decode() for request in requests],
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.load"], input=json.dumps(task).encode(), capture_output=True, check=False
    )
    if done.returncode or not done.stdout:
        raise SystemExit(done.stderr.decode()[-2000:])
    return json.loads(done.stdout)


@dataclass
class _Work:
    """What all connections share."""

    requests: list[bytes]
    loop: asyncio.AbstractEventLoop
    failed: "asyncio.Future[None]"
    count: int = 0
    next: int = 0
    sizes: set[int] = field(default_factory=set)
    """Of whole answers so far."""

    def request(self) -> bytes:
        self.next += 1
        return self.requests[self.next % len(self.requests)]


class _Line(asyncio.Protocol):
    """One connection, asking one thing at a time; `answered` is called with each answer's end."""

    def __init__(self, work: _Work, answered: "Callable[[_Line], None]") -> None:
        self.work, self.answered = work, answered
        self.transport: asyncio.Transport | None = None
        self.rest = b""
        self.due = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def send(self) -> None:
        assert self.transport is not None
        self.transport.write(self.work.request())

    def data_received(self, data: bytes) -> None:
        if not self.rest and len(data) in self.work.sizes and data.startswith(b"HTTP/1.1 200"):
            self.answered(self)  # as large as a whole answer was before; were it a part, the other part would end all
            return
        self.rest += data
        head, end, _ = self.rest.partition(b"\r\n\r\n")
        if not end:
            return
        if not head.startswith(b"HTTP/1.1 200"):
            self._fail(self.rest[:500].decode("utf-8", "replace"))
            return
        lowered = head.lower()
        place = lowered.find(b"content-length:")
        size = int(lowered[place + 15 :].split(b"\r\n", 1)[0])
        if len(self.rest) < len(head) + 4 + size:
            return
        self.work.sizes.add(len(self.rest))
        self.rest = b""
        self.answered(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"the connection was lost: {exc}")

    def _fail(self, why: str) -> None:
        if not self.work.failed.done():
            self.work.failed.set_exception(SystemExit(why))


async def _flood(work: _Work, lines: int, host: str, port: int, seconds: float) -> dict[str, Any]:
    def again(line: _Line) -> None:
        work.count += 1
        line.send()

    for _ in range(lines):
        _, line = await work.loop.create_connection(lambda: _Line(work, again), host, port)
        line.send()
    await asyncio.wait([work.failed], timeout=1.0)
    began, before = time.perf_counter(), work.count
    await asyncio.wait([work.failed], timeout=seconds)
    rate = (work.count - before) / (time.perf_counter() - began)
    _end(work)
    return {"rate": rate, "count": work.count}


async def _pace(work: _Work, lines: int, host: str, port: int, seconds: float, rate: float) -> dict[str, Any]:
    taken: list[float] = []
    free: asyncio.Queue[_Line] = asyncio.Queue()

    def noted(line: _Line) -> None:
        taken.append(time.perf_counter() - line.due)
        free.put_nowait(line)

    for _ in range(lines):
        _, line = await work.loop.create_connection(lambda: _Line(work, noted), host, port)
        free.put_nowait(line)
    began = time.perf_counter() + 0.1
    total = int(rate * (seconds + 1))
    for place in range(total):
        due = began + place / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        line = await free.get()
        line.due = due
        line.send()
    while len(taken) < total and not work.failed.done():
        await asyncio.sleep(0.01)
    _end(work)
    return {"taken": taken[int(rate) :]}


def _end(work: _Work) -> None:
    """Raise what failed; from here on connections may be lost."""
    if work.failed.done():
        work.failed.result()
    else:
        work.failed.set_result(None)


async def main(task: dict[str, Any]) -> dict[str, Any]:
    """Do what was asked."""
    loop = asyncio.get_running_loop()
    requests = [base64.b64decode(request) for request in task["requests"]]
    work = _Work(requests, loop, loop.create_future())
    where = (work, task["lines"], task["host"], task["port"], task["seconds"])
    return await (_pace(*where, task["rate"]) if "rate" in task else _flood(*where))


if __name__ == "__main__":
    import uvloop

    json.dump(uvloop.run(main(json.load(sys.stdin))), sys.stdout)
