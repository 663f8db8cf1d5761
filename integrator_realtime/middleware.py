"""Around every request: its id, its time, its counters, its line in the request log. Plain ASGI, for speed."""

import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from integrator.security.tokens import Access
from integrator.settings import Clock
from integrator.storage.request_log import RequestEntry
from integrator_realtime.metrics import Metrics
from integrator_realtime.request_log import RequestLog

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]


class Observed:
    """The request's id is always ours: one a caller chose could collide with another partner's."""

    def __init__(self, app: Application, *, metrics: Metrics, log: RequestLog, clock: Clock) -> None:
        self.app, self.metrics, self.log, self.clock = app, metrics, log, clock

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = scope["request_id"] = f"req_{secrets.token_hex(12)}"
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
            self._note(scope, request_id, status, time.perf_counter() - started)

    def _note(self, scope: Message, request_id: str, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unmatched")
        self.metrics.add("integrator_requests_total", route=route, method=scope["method"], status=str(status))
        self.metrics.add("integrator_request_seconds_total", seconds, route=route)
        access: Access | None = scope.get("access")
        if access is not None:
            entry = RequestEntry(
                request_id, access.partner, access.client_id, self.clock(), scope["method"], route, status,
                seconds * 1000,
            )  # fmt: skip
            self.log.put(entry)
