"""What every request meets before its platform: ordered faults, the credential, the rate limit; and a Date header.

The Date header follows the sandbox's clock, as a platform's follows its own.
"""

import time
import uuid
from collections.abc import Callable, Mapping
from email.utils import format_datetime
from typing import Any

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from integrator_sandbox.demo import PRETIX_TOKEN, SHOPIFY_TOKEN
from integrator_sandbox.state import Sandbox

Answer = tuple[int, dict[str, str], Any]
Rule = Callable[[str, str], Answer | None]


class Gate:
    """ASGI middleware in front of the platforms' paths; other paths pass."""

    def __init__(self, app: ASGIApp, sandbox: Sandbox, rules: Mapping[str, Rule] | None = None) -> None:
        """``app`` is what lies behind; ``rules`` are those of platforms that bring their own: path, token → refusal."""
        self.app = app
        self.sandbox = sandbox
        self.rules: dict[str, Rule] = {
            "pretix": self._pretix,
            "hubspot": self._hubspot,
            "shopify": self._shopify,
            **(rules or {}),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let through."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        date = format_datetime(self.sandbox.now(), usegmt=True).encode()

        async def dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"date", date), *self._quota(platform)]
            await send(message)

        platform, refusal = self._ask(scope)
        if refusal is None:
            await self.app(scope, receive, dated)
            return
        status, headers, body = refusal
        raw = [(b"content-type", b"application/json"), *((k.encode(), v.encode()) for k, v in headers.items())]
        await dated({"type": "http.response.start", "status": status, "headers": raw})
        await dated({"type": "http.response.body", "body": msgspec.json.encode(body)})

    def _ask(self, scope: Scope) -> tuple[str, Answer | None]:
        path = str(scope["path"])
        platform = path.split("/")[1]
        rule = self.rules.get(platform)
        if rule is None:
            return platform, None
        self.sandbox.requests[platform] = self.sandbox.requests.get(platform, 0) + 1
        fault = self.sandbox.faults.next_for(platform, path)
        if fault is not None:
            headers = {} if fault.retry_after is None else {"retry-after": f"{fault.retry_after:g}"}
            return platform, (fault.status, headers, _fault_body(platform, fault.status))
        names = {b"authorization": b"authorization", b"x-shopify-access-token": b"x-shopify-access-token"}
        token = next((value for name, value in scope["headers"] if name in names), b"").decode("latin-1")
        return platform, rule(path, token)

    def _quota(self, platform: str) -> list[tuple[bytes, bytes]]:
        if platform != "hubspot":
            return []
        limit = self.sandbox.hubspot_limit
        return [
            (b"x-hubspot-ratelimit-max", str(limit.limit).encode()),
            (b"x-hubspot-ratelimit-remaining", str(limit.remaining).encode()),
            (b"x-hubspot-ratelimit-interval-milliseconds", str(round(limit.seconds * 1000)).encode()),
        ]

    def _pretix(self, path: str, token: str) -> Answer | None:
        if token != f"Token {PRETIX_TOKEN}":
            return 401, {}, {"detail": "Invalid token."}
        wait = self.sandbox.pretix_limit.take()
        if wait is None:
            return None
        return 429, {"retry-after": f"{wait:.2f}"}, {"detail": "Request was throttled."}

    def _hubspot(self, path: str, token: str) -> Answer | None:
        if path.startswith("/hubspot/oauth/"):
            return None
        expires = self.sandbox.hubspot_tokens.get(token.removeprefix("Bearer "))
        if expires is None or expires < time.monotonic():
            kind = "INVALID_AUTHENTICATION" if expires is None else "EXPIRED_AUTHENTICATION"
            message = "Authentication credentials not found or expired."
            return 401, {}, {"status": "error", "message": message, "correlationId": _id(), "category": kind}
        if self.sandbox.hubspot_limit.take() is not None:
            return 429, {}, limit_body("ten_secondly_rolling", "TEN_SECONDLY_ROLLING")
        if path.endswith("/search") and self.sandbox.hubspot_search_limit.take() is not None:
            return 429, {}, limit_body("secondly", "SECONDLY")
        return None

    def _shopify(self, path: str, token: str) -> Answer | None:
        if path.startswith(("/shopify/bulk/", "/shopify/admin/oauth/")) or token == SHOPIFY_TOKEN:
            return None
        said = "[API] Invalid API key or access token (unrecognized login or wrong password)"
        return 401, {}, {"errors": said}


def limit_body(limit: str, policy: str) -> dict[str, str]:
    """HubSpot's documented body of a 429."""
    return {
        "status": "error",
        "message": f"You have reached your {limit} limit.",
        "errorType": "RATE_LIMIT",
        "correlationId": _id(),
        "policyName": policy,
    }


def _fault_body(platform: str, status: int) -> Any:
    if platform == "salesforce":
        codes = {401: "INVALID_SESSION_ID", 403: "INSUFFICIENT_ACCESS", 503: "SERVER_UNAVAILABLE"}
        return [{"message": "ordered", "errorCode": codes.get(status, "UNKNOWN_EXCEPTION")}]
    if platform == "hubspot":
        return limit_body("secondly", "SECONDLY") if status == 429 else {"status": "error", "message": "internal error"}
    return {"errors": "ordered"} if platform == "shopify" else {"detail": "ordered"}


def _id() -> str:
    return str(uuid.uuid4())
