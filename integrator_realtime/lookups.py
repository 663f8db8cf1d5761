"""The short way of a lookup: the ordinary case of `GET /v1/insights/{use_case}/{subject_id}`, before the framework.

Ordinary is: a token that was verified within the last minute, no query, no other origin's page, Redis there, one insight
in it. Whatever is not goes the long way, which alone knows errors; what has been asked of Redis by then goes with it and
is not asked again.
"""

import time
from typing import Any, NamedTuple

from integrator.contracts.insight import USE_CASES
from integrator.storage.cache import subject_key
from integrator_realtime.cors import VARY
from integrator_realtime.gateway import Gateway
from integrator_realtime.middleware import Message, Notes, Send, new_request_id
from integrator_realtime.routes.insights import ONE, PREFIX, SCOPE, answered, subject_in

ROUTE = PREFIX.decode().rstrip("/") + ONE
"""What the counters and the request log call it, whichever way it went."""
_USE_CASES = {name.encode(): name for name in USE_CASES}


class Lookups:
    """Asked of every request first."""

    def __init__(self, gateway: Gateway, notes: Notes) -> None:
        self.gateway, self.notes = gateway, notes

    async def answered(self, scope: Message, send: Send) -> bool:
        """Whether the request was an ordinary lookup, and is answered."""
        if scope["type"] != "http" or scope["method"] != "GET" or scope["query_string"]:
            return False
        raw: bytes = scope.get("raw_path") or b""
        return raw.startswith(PREFIX) and await self._answered(scope, raw[len(PREFIX) :], send)

    async def _answered(self, scope: Message, rest: bytes, send: Send) -> bool:
        started = time.perf_counter()
        name, _, raw_id = rest.partition(b"/")
        use_case = _USE_CASES.get(name)
        asked = _asked(scope["headers"])
        if use_case is None or not raw_id or asked is None:
            return False
        access = self.gateway.known(asked.token)
        subject, wants_history = subject_in(raw_id)
        if access is None or SCOPE not in access.scopes or wants_history or "\x00" in subject:
            return False
        glanced = await self.gateway.glance(scope, access, SCOPE, subject_key(access.partner, use_case, subject))
        if glanced is None:
            return False
        entry, limit_headers = glanced
        status, told = answered(entry, asked.if_none_match, self.gateway.services.clock())
        request_id = new_request_id()
        sent = [*told.lines]
        body = b"" if status == 304 else entry.document
        if status == 200:
            sent += [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]
        sent += [VARY, (b"x-request-id", request_id.encode()), *limit_headers]
        await send({"type": "http.response.start", "status": status, "headers": sent})
        await send({"type": "http.response.body", "body": body})
        source = "not_modified" if status == 304 else "cache"
        self.notes.metrics.add("integrator_insights_served_total", use_case=use_case, source=source)
        self.notes.take(request_id, ROUTE, "GET", status, time.perf_counter() - started, access)
        return True


class _Asked(NamedTuple):
    token: str
    if_none_match: str | None


def _asked(headers: Any) -> _Asked | None:
    """None for what is not ordinary: a page of another origin asks, or one of these headers stands twice or is missing."""
    authorization: bytes | None = None
    if_none_match: bytes | None = None
    for name, value in headers:
        if name == b"authorization":
            if authorization is not None:
                return None
            authorization = value
        elif name == b"if-none-match":
            if if_none_match is not None:
                return None
            if_none_match = value
        elif name == b"origin":
            return None
    if authorization is None or authorization[:7].lower() != b"bearer ":
        return None
    tag = None if if_none_match is None else if_none_match.decode("latin-1")
    return _Asked(authorization[7:].decode("latin-1").strip(), tag)
