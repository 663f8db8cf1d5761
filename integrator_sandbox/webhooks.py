"""A receiver of Standard Webhooks, as a host would run one: it verifies with the official package, then keeps.

What it verified lives in a file per receiver, so that it outlasts the process; a bad signature is answered with 401
and nothing is kept. The same webhook-id again is the same message.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response
from standardwebhooks.webhooks import EmptyWebhookSecretError, Webhook, WebhookVerificationError

MOST = 100
NAME = re.compile(r"^[a-z][a-z0-9_]{0,39}$")


@dataclass
class Inbox:
    """One receiver: what it verified, in order of arrival, and its file. The secret comes with each registration."""

    path: Path
    secret: str | None = None
    received: list[dict[str, Any]] = field(default_factory=list)
    known: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        if self.path.exists():
            for line in self.path.read_bytes().splitlines():
                self._remember(msgspec.json.decode(line))

    def keep(self, message: dict[str, Any]) -> None:
        """Store a verified message once."""
        if message["webhook_id"] in self.known:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:
            file.write(msgspec.json.encode(message) + b"\n")
        self._remember(message)

    def _remember(self, message: dict[str, Any]) -> None:
        self.known.add(message["webhook_id"])
        self.received.append(message)


class Inboxes:
    """The receivers there are, by name; one that was registered before the process began finds its file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.known: dict[str, Inbox] = {}

    def of(self, name: str) -> Inbox:
        """The receiver of that name, made if need be."""
        return self.known.setdefault(name, Inbox(self.folder / f"{name}.ndjson"))


def router(folder: Path) -> APIRouter:
    """The routes below ``/_sandbox/webhooks``; ``folder`` holds what was received."""
    routes = APIRouter(prefix="/_sandbox/webhooks")
    inboxes = Inboxes(folder)

    @routes.put("/{name}")
    async def register(name: str, request: Request) -> Response:
        if not NAME.fullmatch(name):
            return _json({"error": f"the name {name!r} is not {NAME.pattern}"}, 422)
        secret = msgspec.json.decode(await request.body())["secret"]
        try:
            Webhook(secret)
        except (ValueError, EmptyWebhookSecretError):
            return _json({"error": "the secret is not whsec_ and base64"}, 422)
        inbox = inboxes.of(name)
        inbox.secret = secret
        return _json({"name": name, "received": len(inbox.received)})

    @routes.post("/{name}")
    async def receive(name: str, request: Request) -> Response:
        inbox = inboxes.known.get(name)
        if inbox is None or inbox.secret is None:
            return _json({"error": "no such receiver"}, 404)
        body = await request.body()
        if not verified(inbox.secret, body, request):
            return _json({"error": "the signature does not verify"}, 401)
        document = msgspec.json.decode(body)
        data = document.get("data")
        insight = data.get("id") if isinstance(data, dict) else None
        webhook_id = request.headers["webhook-id"]
        inbox.keep({"webhook_id": webhook_id, "insight_id": insight, "body": body.decode(), "document": document})
        return Response(status_code=204)

    @routes.get("/{name}")
    def listed(name: str, insight_id: str | None = None, after: int = 0, limit: int = MOST) -> Response:
        inbox = inboxes.known.get(name)
        if inbox is None:
            return _json({"error": "no such receiver"}, 404)
        found = [one for one in inbox.received if insight_id in (None, one["insight_id"])]
        page = found[after : after + min(limit, MOST)]
        more = after + len(page) < len(found)
        return _json({"total": len(found), "results": page, "next": after + len(page) if more else None})

    return routes


def verified(secret: str, body: bytes, request: Request) -> bool:
    """Whether the official package takes the signature."""
    try:
        Webhook(secret).verify(body, dict(request.headers))
    except WebhookVerificationError:
        return False
    return True


def _json(body: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json")
