"""A partner's news in one process: read once from PostgreSQL, held for a while, taken by all of its streams.

A stream has a cursor and no queue. What it has not taken yet is in the feed if it is new, and in PostgreSQL if it is old:
however slow its reader is, nothing piles up for it.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool

from integrator.storage import live
from integrator.storage.database import Database
from integrator.storage.live import Freshness, Wanted
from integrator_realtime.live.events import News

if TYPE_CHECKING:
    from integrator_realtime.live.stream import EventStream

PAGE = 500
HELD_BYTES = 4 << 20
ALL = Wanted()
# Freshness moves with every night and not with every record: it is read once a second at most.
FRESHNESS_SECONDS = 1.0


class Feed:
    """`held` has every version after `start` up to `end`; belongs to the event loop that serves."""

    def __init__(self, database: Database, partner: str, seq: int, reading: asyncio.Semaphore) -> None:
        """`seq` is where it begins; `reading` bounds how many reads of a process are under way at once."""
        self._database, self.partner, self._reading = database, partner, reading
        self.start = self.end = seq
        self.held: deque[News] = deque()
        self._bytes = 0
        self.streams: set[EventStream] = set()
        self.known: dict[str, Freshness] = {}
        self._known_at = float("-inf")
        self.news = asyncio.Event()

    async def read(self) -> None:
        """Take what was published since, page by page, and wake the streams."""
        more = True
        while more:
            async with self._reading:
                page = await run_in_threadpool(self._page, ALL, self.end, PAGE, None)
            for news in page:
                self._hold(news)
            if page:
                self.wake()
            more = len(page) == PAGE

    async def past(self, wanted: Wanted, after: int, until: int) -> list[News]:
        """A page of what `held` no longer has."""
        async with self._reading:
            return await run_in_threadpool(self._page, wanted, after, PAGE, until)

    def since(self, after: int) -> Iterator[News]:
        """What is held after `after`, oldest first."""
        count = 0
        for news in reversed(self.held):
            if news.served.published_seq <= after:
                break
            count += 1
        return (self.held[place] for place in range(len(self.held) - count, len(self.held)))

    async def refresh(self) -> bool:
        """Read how fresh the insights are that streams follow by name; False when that was done just now."""
        now = asyncio.get_running_loop().time()
        if now - self._known_at < FRESHNESS_SECONDS:
            return False
        names = {insight_id for stream in self.streams for insight_id in stream.told}
        if names:
            async with self._reading:
                self.known = await run_in_threadpool(self._freshness, names)
            self.wake()
        self._known_at = now
        return True

    def wake(self) -> None:
        """Have every stream look."""
        for stream in self.streams:
            stream.wake.set()

    def _hold(self, news: News) -> None:
        self.held.append(news)
        self._bytes += len(news.document)
        self.end = news.served.published_seq
        while self._bytes > HELD_BYTES:
            gone = self.held.popleft()
            self._bytes -= len(gone.document)
            self.start = gone.served.published_seq

    def _page(self, wanted: Wanted, after: int, limit: int, until: int | None) -> list[News]:
        with self._database.partner(self.partner) as connection:
            found = live.versions(connection, self.partner, wanted, after=after, limit=limit, until=until)
        return [News.of(served) for served in found]

    def _freshness(self, names: set[str]) -> dict[str, Freshness]:
        with self._database.partner(self.partner) as connection:
            return live.freshness(connection, self.partner, names)
