"""The short way of a lookup: the ordinary case of `GET /v1/insights/{use_case}/{subject_id}`, without the framework.

Ordinary is: a token that was verified within the last minute, no query, Redis there, one insight in it. Whatever is not
goes the long way, which alone knows errors; what has been asked of Redis by then goes with it and is not asked again.
"""

from dataclasses import dataclass
from typing import Any

from integrator.contracts.insight import USE_CASES
from integrator.storage.cache import subject_key
from integrator_realtime.gateway import Gateway
from integrator_realtime.metrics import Metrics
from integrator_realtime.middleware import Application, Message, Receive, Send
from integrator_realtime.routes.insights import ONE, PREFIX, SCOPE, answered, subject_in


@dataclass(frozen=True)
class _Route:
    """What the counters and the request log call it, whichever way it went."""

    path: str = PREFIX.decode().rstrip("/") + ONE


ROUTE = _Route()
_USE_CASES = {name.encode(): name for name in USE_CASES}


class Lookups:
    """Plain ASGI around the framework's router."""

    def __init__(self, app: Application, *, gateway: Gateway, metrics: Metrics) -> None:
        self.app, self.gateway, self.metrics = app, gateway, metrics

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "http" and scope["method"] == "GET" and not scope["query_string"]:
            raw: bytes = scope.get("raw_path") or b""
            if raw.startswith(PREFIX) and await self._answered(scope, raw[len(PREFIX) :], send):
                return
        await self.app(scope, receive, send)

    async def _answered(self, scope: Message, rest: bytes, send: Send) -> bool:
        name, _, raw_id = rest.partition(b"/")
        use_case = _USE_CASES.get(name)
        authorization, if_none_match = _headers(scope["headers"])
        if use_case is None or not raw_id or authorization is None or authorization[:7].lower() != b"bearer ":
            return False
        access = self.gateway.known(authorization[7:].decode("latin-1").strip())
        subject, wants_history = subject_in(raw_id)
        if access is None or SCOPE not in access.scopes or wants_history or "\x00" in subject:
            return False
        key = subject_key(access.partner, use_case, subject)
        entry = await self.gateway.glance(scope, access, SCOPE, key)
        if entry is None:
            return False
        status, headers = answered(entry, if_none_match, self.gateway.services.clock())
        scope["route"] = ROUTE
        source = "not_modified" if status == 304 else "cache"
        self.metrics.add("integrator_insights_served_total", use_case=use_case, source=source)
        sent = [(key.lower().encode(), value.encode()) for key, value in headers.items()]
        body = b"" if status == 304 else entry.document
        if status == 200:
            sent += [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": sent})
        await send({"type": "http.response.body", "body": body})
        return True


def _headers(headers: Any) -> tuple[bytes | None, str | None]:
    """Authorization and If-None-Match; a header that stands twice is for the long way to refuse or to join."""
    authorization: bytes | None = None
    if_none_match: str | None = None
    for name, value in headers:
        if name == b"authorization":
            if authorization is not None:
                return None, None
            authorization = value
        elif name == b"if-none-match":
            if if_none_match is not None:
                return None, None
            if_none_match = value.decode("latin-1")
    return authorization, if_none_match
