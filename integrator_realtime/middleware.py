"""Around every request: its id, its time, its counters, its line in the request log. Plain ASGI, for speed."""

import random
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from functools import lru_cache
from typing import Any

from integrator.contracts.counters import Key, key_of
from integrator.security.tokens import Access
from integrator.settings import Clock
from integrator.storage.request_log import RequestEntry
from integrator_realtime.metrics import Metrics
from integrator_realtime.request_log import RequestLog

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]


class Notes:
    """What is kept of every request once it is answered: its counters, and its line in the request log."""

    def __init__(self, metrics: Metrics, log: RequestLog, clock: Clock) -> None:
        self.metrics, self.log, self.clock = metrics, log, clock

    def take(
        self, request_id: str, route: str, method: str, status: int, seconds: float, access: Access | None
    ) -> None:
        """Of one request; whoever nobody knows has no line."""
        requests, lasted = _counters(route, method, status)
        self.metrics.add_all([(requests, 1), (lasted, seconds)])
        if access is not None:
            entry = RequestEntry(
                request_id, access.partner, access.client_id, self.clock(), method, route, status, seconds * 1000
            )
            self.log.put(entry)


@lru_cache(maxsize=1024)
def _counters(route: str, method: str, status: int) -> tuple[Key, Key]:
    """How many, and how long they took."""
    return (
        key_of("integrator_requests_total", route=route, method=method, status=str(status)),
        key_of("integrator_request_seconds_total", route=route),
    )


def new_request_id() -> str:
    """Ours always: one that a caller chose could collide with another partner's. Unlike any other, and no secret."""
    return f"req_{_ids.getrandbits(96):024x}"


_ids = random.Random(secrets.randbits(256))


class Observed:
    """Around all that goes through the framework."""

    def __init__(self, app: Application, *, notes: Notes) -> None:
        self.app, self.notes = app, notes

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = scope["request_id"] = new_request_id()
        started = time.perf_counter()
        status = 500

        async def observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                limits = scope.get("limit_headers", ())
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode()), *limits]
            await send(message)

        try:
            await self.app(scope, receive, observed)
        finally:
            route = getattr(scope.get("route"), "path", "unmatched")
            seconds = time.perf_counter() - started
            self.notes.take(request_id, route, scope["method"], status, seconds, scope.get("access"))
