"""One open stream: what it says, until its token, its reader or the service ends it."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import Response

from integrator.contracts.errors import TransientError, Unauthorized
from integrator.security.tokens import Access
from integrator.security.widget_tokens import Widget
from integrator.settings import Clock
from integrator.storage.insights import Served
from integrator.storage.live import Freshness, Wanted
from integrator_realtime.live import events
from integrator_realtime.live.events import News
from integrator_realtime.live.feed import Feed
from integrator_realtime.middleware import Message, Receive, Send

HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", "X-Content-Type-Options": "nosniff"}
PIECE_BYTES = 64 * 1024


class Stalled(Exception):
    """The reader took nothing for too long."""


@dataclass(frozen=True, kw_only=True)
class Opened:
    """What a stream is opened with.

    `current` are the insights of named subjects as of `seq`; `last` is the cursor a reader came back with. `renewed` says
    until when an API key is good, which lives longer than what is known of it; a token has none.
    """

    access: Access
    widget: Widget | None
    wanted: Wanted
    current: tuple[Served, ...]
    last: int | None
    seq: int
    renewed: Callable[[], Awaitable[Access]] | None


@dataclass(frozen=True)
class Patience:
    """In seconds: how long a stream may be silent, and its reader take nothing."""

    heartbeat: float
    stall: float


class EventStream(Response):
    """The answer to `GET /v1/live`; `told` is the freshness it last said, of insights that it follows by name."""

    media_type = "text/event-stream"

    def __init__(
        self, opened: Opened, feed: Feed, clock: Clock, patience: Patience, closed: Callable[["EventStream", str], None]
    ) -> None:
        """`closed` is called once, with the reason."""
        super().__init__(headers=HEADERS)
        del self.headers["content-length"]
        self.access, self.widget = opened.access, opened.widget
        self._opened, self._feed, self._clock, self._patience, self._closed = opened, feed, clock, patience, closed
        self.cursor = opened.seq if opened.last is None else opened.last
        self.told: dict[str, tuple[Freshness, bool]] = {}
        self.wake = asyncio.Event()
        self._reason: str | None = None
        self._loop = asyncio.get_running_loop()
        self._ends = self._deadline(opened.access)
        self._said_at = self._loop.time()

    def end(self, reason: str) -> None:
        """Have it end with a reason of `events.REASONS`; the first one counts."""
        self._reason = self._reason or reason
        self.wake.set()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve it, until one side ends it."""
        reason = "left"
        gone = asyncio.create_task(_disconnected(receive))
        saying = asyncio.create_task(self._say_all(send))
        try:
            await asyncio.wait((gone, saying), return_when=asyncio.FIRST_COMPLETED)
            if saying.done():
                reason = saying.result()
        finally:
            gone.cancel()
            saying.cancel()
            await asyncio.gather(gone, saying, return_exceptions=True)
            self._closed(self, reason)

    async def _say_all(self, send: Send) -> str:
        """Everything there is to say; why it ended."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        try:
            await self._begin(send)
            while (reason := await self._over()) is None:
                await self._catch_up(send)
                await self._pause(send)
        except Stalled:
            reason = "slow"
        except Unauthorized:  # an API key that is no longer good: whoever was revoked has been told so by the hub
            reason = self._reason or "token_expired"
        except (TransientError, SQLAlchemyError):
            reason = "unavailable"
        with suppress(TimeoutError):  # who reads nothing at all is not waited for any longer
            async with asyncio.timeout(self._patience.stall):
                await send({"type": "http.response.body", "body": events.end(reason), "more_body": True})
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        return reason

    async def _begin(self, send: Send) -> None:
        await self._say(send, [events.RETRY])
        if self._opened.last is None:
            await self._say_news(send, [News.of(served) for served in self._opened.current])
            await self._say(send, [events.cursor(self.cursor)])
            return
        now = self._clock()
        said = []
        for served in self._opened.current:
            if served.published_seq <= self._opened.last:  # the reader has it, and not how fresh it is by now
                fresh = self._tell(served, now)
                said.append(events.freshness(served.insight_id, fresh, now))
        await self._say(send, said)

    async def _catch_up(self, send: Send) -> None:
        """Say what was published since the cursor, from the feed or from PostgreSQL."""
        self.wake.clear()
        while self.cursor < self._feed.start:
            if self._reason is not None or self._loop.time() >= self._ends:
                return
            until = self._feed.end
            page = await self._feed.past(self._opened.wanted, self.cursor, until)
            await self._say_news(send, page)
            self.cursor = page[-1].served.published_seq if page else until
        until = self._feed.end
        await self._say_news(send, [n for n in self._feed.since(self.cursor) if self._opened.wanted.covers(n.served)])
        self.cursor = max(self.cursor, until)
        await self._say(send, self._fresher())

    async def _say_news(self, send: Send, found: list[News]) -> None:
        now = self._clock()
        for news in found:
            if self._opened.wanted.subjects is not None:
                self._tell(news.served, now)
        await self._say(send, [news.event(now) for news in found])

    def _tell(self, served: Served, now: datetime) -> Freshness:
        fresh = Freshness.of(served)
        self.told[served.insight_id] = fresh, events.is_stale(fresh, now)
        return fresh

    def _fresher(self) -> list[bytes]:
        """What has become fresher, or stale, without a new version."""
        now = self._clock()
        said = []
        for insight_id, (fresh, was_stale) in self.told.items():
            known = self._feed.known.get(insight_id, fresh)
            # What was read before the version that was said last is older than what was said with it.
            if known.insight_version != fresh.insight_version or known.checked_at < fresh.checked_at:
                known = fresh
            is_stale = events.is_stale(known, now)
            if known != fresh or is_stale != was_stale:
                self.told[insight_id] = known, is_stale
                said.append(events.freshness(insight_id, known, now))
        return said

    async def _say(self, send: Send, pieces: list[bytes]) -> None:
        """Send them, some at a time; `Stalled` when they are not taken."""
        held: list[bytes] = []
        size = 0
        for piece in pieces:
            held.append(piece)
            size += len(piece)
            if size >= PIECE_BYTES:
                await self._send(send, b"".join(held))
                held, size = [], 0
        if held:
            await self._send(send, b"".join(held))

    async def _send(self, send: Send, body: bytes) -> None:
        # A server waits for its buffer before it writes: given up while waiting, nothing of the piece is written.
        try:
            async with asyncio.timeout(self._patience.stall):
                await send({"type": "http.response.body", "body": body, "more_body": True})
        except TimeoutError as error:
            raise Stalled from error
        self._said_at = self._loop.time()

    async def _pause(self, send: Send) -> None:
        """Wait for news, and break a long silence."""
        silent_until = self._said_at + self._patience.heartbeat
        wait = min(silent_until, self._ends) - self._loop.time()
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, wait)):
                await self.wake.wait()
        if self._loop.time() >= silent_until:
            await self._say(send, [events.HEARTBEAT])

    async def _over(self) -> str | None:
        """Why it is over, if it is."""
        if self._reason is None and self._loop.time() >= self._ends:
            if self._opened.renewed is None:
                return "token_expired"
            self._ends = self._deadline(await self._opened.renewed())
            if self._loop.time() >= self._ends:
                return "revoked"
        return self._reason

    def _deadline(self, access: Access) -> float:
        return self._loop.time() + (access.expires_at - self._clock()).total_seconds()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue
