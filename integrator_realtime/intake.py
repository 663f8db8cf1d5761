"""How much is taken in at once: bytes of bodies held, threads that land them. A flood fills this and nothing else.

Lookups run on the event loop and on threads of their own, so that pushes can be slow, many and large beside them.
No partner has more than half of the memory or, above one, of the threads: the others always find room.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import anyio

from integrator.contracts.errors import RateLimited
from integrator.settings import Settings

MEBIBYTE = 1 << 20
# What a request costs beside its body; so it also bounds how many wait.
OVERHEAD = 64 << 10
RETRY_AFTER = 2.0

T = TypeVar("T")


class Busy(RateLimited):
    """The process holds all it may; another one, or a moment later, will do."""

    status = 503
    slug = "busy"


class Intake:
    """One per process."""

    def __init__(self, settings: Settings) -> None:
        self._most = int(settings.push_held_mebibytes * MEBIBYTE)
        self._held: Counter[str] = Counter()
        self._large, self._small = _Threads(settings.push_threads), _Threads(settings.push_threads)

    @contextmanager
    def holding(self, partner: str) -> Iterator[Callable[[int], None]]:
        """A function to call with the size of whatever is kept; all of it is given back at the end.

        `RateLimited` when the partner holds its half already, `Busy` when the process is full.
        """
        taken = 0

        def take(size: int) -> None:
            nonlocal taken
            if self._held[partner] + size > self._most // 2:
                raise RateLimited("too many pushes at once; wait for answers first", retry_after=RETRY_AFTER)
            if self._held.total() + size > self._most:
                raise Busy("too many pushes are being taken in; try again soon", retry_after=RETRY_AFTER)
            self._held[partner] += size
            taken += size

        try:
            take(OVERHEAD)
            yield take
        finally:
            self._held[partner] -= taken
            if not self._held[partner]:
                del self._held[partner]

    async def run(self, partner: str, work: Callable[[], T]) -> T:
        """`work` on one of the threads, once one is free for this partner."""
        return await self._large.run(partner, work)

    async def run_small(self, partner: str, work: Callable[[], T]) -> T:
        """The same on threads apart, so that what is small does not wait for what is large."""
        return await self._small.run(partner, work)


class _Threads:
    """So many at once, half of them for one partner."""

    def __init__(self, count: int) -> None:
        self._lane_width = max(1, count // 2)
        self._lanes: dict[str, asyncio.Semaphore] = {}
        self._threads = anyio.CapacityLimiter(count)

    async def run(self, partner: str, work: Callable[[], T]) -> T:
        lane = self._lanes.setdefault(partner, asyncio.Semaphore(self._lane_width))
        async with lane:
            return await anyio.to_thread.run_sync(work, limiter=self._threads)
