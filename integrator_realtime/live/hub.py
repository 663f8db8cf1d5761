"""All open streams of one process: a feed per partner, one subscription to Redis for all, and who may stay.

Redis only says that there is news. While it does not, every feed looks by itself once a second; while it does, now and
then, for a word that was lost.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress

from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from integrator.contracts.errors import Forbidden, RateLimited, TransientError, Unavailable, invalid
from integrator.security.tokens import Access
from integrator.steps.services import Services
from integrator.storage import insights, live
from integrator.storage.cache import PUBLISHED
from integrator.storage.failures import traced
from integrator.storage.insights import Served
from integrator.storage.live import Wanted
from integrator_realtime.gateway import Gateway
from integrator_realtime.live.feed import FRESHNESS_SECONDS, Feed
from integrator_realtime.live.stream import EventStream, Opened, Patience
from integrator_realtime.metrics import Metrics
from integrator_realtime.viewers import Viewer, Viewers

log = logging.getLogger(__name__)

ALONE_SECONDS = 1.0
LOST_WORD_SECONDS = 10.0
GUARD_SECONDS = 0.5
QUIET_SECONDS = 5.0
READS_AT_ONCE = 4
FULL_RETRY_SECONDS = 5


class Hub:
    """One per process; `open` and `close` belong to the event loop that serves."""

    def __init__(self, gateway: Gateway, viewers: Viewers, metrics: Metrics) -> None:
        self._gateway, self._viewers, self._metrics = gateway, viewers, metrics
        self._services: Services = gateway.services
        settings = self._services.settings
        self._most = settings.live_streams
        self._patience = Patience(settings.live_heartbeat_seconds, settings.live_stall_seconds)
        self._feeds: dict[str, Feed] = {}
        self._followers: dict[str, asyncio.Task[None]] = {}
        self._held: Counter[str] = Counter()
        self._tasks: list[asyncio.Task[None]] = []
        self._reading = asyncio.Semaphore(READS_AT_ONCE)
        self._ending = asyncio.Event()
        self.listening = False

    async def open(self) -> None:
        """Begin to listen, and to look after who may stay."""
        self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._guard())]

    async def close(self) -> None:
        """End everything that is under way."""
        self.end_all()
        tasks = [*self._tasks, *self._followers.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def end_all(self) -> None:
        """Tell every stream that this process ends, and take no more."""
        self._ending.set()
        for stream in self._streams():
            stream.end("shutdown")

    async def stream(
        self, viewer: Viewer, wanted: Wanted, last: int | None, renewed: Callable[[], Awaitable[Access]] | None
    ) -> EventStream:
        """A stream for a viewer, from after `last` on, or with what is current.

        `InvalidInput` for a `last` that was never published, `RateLimited` when the partner has too many, `Unavailable`
        while the process ends.
        """
        partner = viewer.access.partner
        if self._ending.is_set():
            raise Unavailable("this process ends; ask again")
        if self._held[partner] >= self._most:
            said = f"partner {partner} holds {self._most} streams open here, and may hold no more"
            raise RateLimited(said, retry_after=FULL_RETRY_SECONDS)
        self._held[partner] += 1
        try:
            seq, current = await run_in_threadpool(self._begin, partner, wanted, last)
            feed = self._feed(partner, seq)
            opened = Opened(
                access=viewer.access, widget=viewer.widget, wanted=wanted, current=tuple(current), last=last, seq=seq,
                renewed=renewed,
            )  # fmt: skip
            made = EventStream(opened, feed, self._services.clock, self._patience, self._closed)
        except BaseException:
            self._held[partner] -= 1
            raise
        feed.streams.add(made)
        if self._ending.is_set():
            made.end("shutdown")
        self._metrics.add("integrator_live_streams_opened_total")
        return made

    def _begin(self, partner: str, wanted: Wanted, last: int | None) -> tuple[int, list[Served]]:
        with self._services.database.partner(partner) as connection:
            seq = insights.last_seq(connection, partner)
            if last is not None and last > seq:  # of another database, or before it was restored
                raise invalid("Last-Event-ID", last, f"up to {seq}, the last that was published")
            named = wanted.subjects is not None
            return seq, live.current(connection, partner, wanted, until=seq) if named else []

    def _feed(self, partner: str, seq: int) -> Feed:
        if partner not in self._feeds:
            feed = self._feeds[partner] = Feed(self._services.database, partner, seq, self._reading)
            self._followers[partner] = asyncio.create_task(self._follow(feed))
        return self._feeds[partner]

    def _closed(self, stream: EventStream, reason: str) -> None:
        partner = stream.access.partner
        self._metrics.add("integrator_live_streams_ended_total", reason=reason)
        self._held[partner] -= 1
        feed = self._feeds[partner]
        feed.streams.discard(stream)
        if not feed.streams:
            del self._feeds[partner]
            self._followers.pop(partner).cancel()

    async def _follow(self, feed: Feed) -> None:
        """Read a partner's news when there is word of it, and now and then without."""
        while True:
            feed.news.clear()
            pause = LOST_WORD_SECONDS if self.listening else ALONE_SECONDS
            try:
                await feed.read()
                if not await feed.refresh():
                    pause = FRESHNESS_SECONDS
            except (TransientError, SQLAlchemyError) as error:
                log.warning("the news of %s wait: %s", feed.partner, type(error).__name__)
            except Exception as error:
                log.error("the news of %s were not read: %s", feed.partner, traced(error))
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await feed.news.wait()

    async def _listen(self) -> None:
        while True:
            try:
                await self._hear()
            except (RedisError, OSError, TimeoutError) as error:
                log.warning("live updates go on without Redis: %s", type(error).__name__)
            except Exception as error:
                log.error("live updates go on without Redis: %s", traced(error))
            finally:
                self.listening = False
            self._look()
            await asyncio.sleep(ALONE_SECONDS)

    async def _hear(self) -> None:
        """Hear the word of publications, for as long as Redis answers."""
        client = self._services.cache.listener()
        pubsub = client.pubsub()
        try:
            await pubsub.subscribe(PUBLISHED)
            asked = False
            while True:
                message = await pubsub.get_message(timeout=QUIET_SECONDS)
                if message is None and asked:
                    raise TimeoutError("Redis is silent")
                asked = message is None
                if message is None:
                    await pubsub.ping()
                elif message["type"] == "subscribe":  # what was said before was not heard
                    self.listening = True
                    self._look()
                elif message["type"] == "message":
                    self._look([message["data"].decode("utf-8", "replace")])
        finally:
            await pubsub.aclose()  # type: ignore[no-untyped-call]
            await client.aclose()

    def _look(self, partners: Iterable[str] | None = None) -> None:
        """Have the feeds of these partners, or all, read what is new."""
        for partner in list(self._feeds) if partners is None else partners:
            if partner in self._feeds:
                self._feeds[partner].news.set()

    async def _guard(self) -> None:
        """End the streams of who was revoked, and of pages whose origin is no longer registered."""
        while True:
            await asyncio.sleep(GUARD_SECONDS)
            try:
                await self._look_after()
            except (TransientError, SQLAlchemyError) as error:
                log.warning("who may stay could not be read: %s", type(error).__name__)
            except Exception as error:
                log.error("who may stay could not be read: %s", traced(error))

    async def _look_after(self) -> None:
        streams = self._streams()
        denied = await self._gateway.denied({stream.access for stream in streams})
        for stream in streams:
            if stream.access in denied:
                stream.end("revoked")
            elif stream.widget is not None:
                try:
                    await self._viewers.require_origin(stream.widget)
                except Forbidden:
                    stream.end("origin_removed")

    def _streams(self) -> list[EventStream]:
        return [stream for feed in self._feeds.values() for stream in feed.streams]
