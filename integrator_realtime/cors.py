"""CORS (the Fetch standard) for the routes that a widget calls, and for registered origins alone. Plain ASGI, for speed.

No cookie is ever involved, so credentials are not allowed. A preflight names no partner: it is told whether anybody
registered the origin. The answer itself can be read by pages of the partner it belongs to, errors included.
"""

from fastapi import Request

from integrator_realtime.middleware import Application, Message, Receive, Send
from integrator_realtime.origins import Origins
from integrator_realtime.problems import problem

METHODS = "GET"
REQUEST_HEADERS = "Authorization, Last-Event-ID, If-None-Match"
ANSWER_HEADERS = (
    "ETag, Insight-Checked-At, Insight-Stale-After, Insight-Stale, RateLimit, RateLimit-Policy, Retry-After, "
    "WWW-Authenticate, X-Request-Id"
)
PREFLIGHT_SECONDS = 600
VARY = (b"vary", b"Origin")
_PREFLIGHT_VARY = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"


class Cors:
    """Between the service's own middleware and its routes."""

    def __init__(self, app: Application, *, origins: Origins) -> None:
        self.app, self.origins = app, origins

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http" or not is_widget_path(scope.get("raw_path") or scope["path"].encode()):
            await self.app(scope, receive, send)
            return
        origin = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"origin"), None)
        partners = await self.origins.partners(origin) if origin is not None else frozenset()
        if scope["method"] == "OPTIONS" and origin is not None and _asked_method(scope) is not None:
            await self._preflight(scope, receive, send, origin, allowed=bool(partners))
            return

        def headers() -> list[tuple[bytes, bytes]]:
            access = scope.get("access")
            mine = bool(partners) if access is None else access.partner in partners
            return [VARY, *(_readable(origin) if origin is not None and mine else ())]

        async def shared(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *headers()]
            await send(message)

        try:
            await self.app(scope, receive, shared)
        except Exception:  # it is answered outside of here
            scope["cors_headers"] = {name.decode(): value.decode() for name, value in headers()}
            raise

    async def _preflight(self, scope: Message, receive: Receive, send: Send, origin: str, *, allowed: bool) -> None:
        method = _asked_method(scope)
        if not allowed or method != METHODS:
            what = f"the method {method!r}" if allowed else "this origin"
            said = f"{what} is not allowed here; allowed: {METHODS}, from origins that a partner has registered"
            answer = problem(Request(scope), 403, "forbidden", said, headers={"Vary": _PREFLIGHT_VARY})
            await answer(scope, receive, send)
            return
        headers = [
            (b"access-control-allow-origin", origin.encode("latin-1")), (b"access-control-allow-methods", METHODS.encode()),
            (b"access-control-allow-headers", REQUEST_HEADERS.encode()),
            (b"access-control-max-age", str(PREFLIGHT_SECONDS).encode()), (b"vary", _PREFLIGHT_VARY.encode()),
        ]  # fmt: skip
        await send({"type": "http.response.start", "status": 204, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


def is_widget_path(raw_path: bytes) -> bool:
    """One insight, not its history; or the stream."""
    path = raw_path.partition(b"?")[0]
    return path == b"/v1/live" or (path.startswith(b"/v1/insights/") and not path.endswith(b"/history"))


def _readable(origin: str) -> list[tuple[bytes, bytes]]:
    return [
        (b"access-control-allow-origin", origin.encode("latin-1")),
        (b"access-control-expose-headers", ANSWER_HEADERS.encode()),
    ]


def _asked_method(scope: Message) -> str | None:
    name = b"access-control-request-method"
    return next((value.decode("latin-1") for header, value in scope["headers"] if header == name), None)
