"""A receiver of Standard Webhooks, as a host would run one: it verifies with the official package, then keeps.

Documents live in memory, by insight id; a bad signature is answered with 401 and nothing is kept.
"""

from dataclasses import dataclass, field
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response
from standardwebhooks.webhooks import EmptyWebhookSecretError, Webhook, WebhookVerificationError

MOST = 100


@dataclass
class Inbox:
    """One receiver: its secret and what it verified, in order of arrival."""

    secret: str
    received: list[dict[str, Any]] = field(default_factory=list)


def router() -> APIRouter:
    """The routes below ``/_sandbox/webhooks``."""
    routes = APIRouter(prefix="/_sandbox/webhooks")
    inboxes: dict[str, Inbox] = {}

    @routes.put("/{name}")
    async def register(name: str, request: Request) -> Response:
        secret = msgspec.json.decode(await request.body())["secret"]
        try:
            Webhook(secret)
        except (ValueError, EmptyWebhookSecretError):
            return _json({"error": "the secret is not whsec_ and base64"}, 422)
        kept = inboxes[name].received if name in inboxes else []
        inboxes[name] = Inbox(secret, kept)
        return _json({"name": name, "received": len(kept)})

    @routes.post("/{name}")
    async def receive(name: str, request: Request) -> Response:
        inbox = inboxes.get(name)
        if inbox is None:
            return _json({"error": "no such receiver"}, 404)
        body = await request.body()
        try:
            Webhook(inbox.secret).verify(body, dict(request.headers))
        except WebhookVerificationError:
            return _json({"error": "the signature does not verify"}, 401)
        webhook_id = request.headers["webhook-id"]
        if all(one["webhook_id"] != webhook_id for one in inbox.received):
            document = msgspec.json.decode(body)
            data = document.get("data")
            insight = data.get("id") if isinstance(data, dict) else None
            inbox.received.append(
                {"webhook_id": webhook_id, "insight_id": insight, "body": body.decode(), "document": document}
            )
        return Response(status_code=204)

    @routes.get("/{name}")
    def listed(name: str, insight_id: str | None = None, after: int = 0, limit: int = MOST) -> Response:
        inbox = inboxes.get(name)
        if inbox is None:
            return _json({"error": "no such receiver"}, 404)
        found = [one for one in inbox.received if insight_id in (None, one["insight_id"])]
        page = found[after : after + min(limit, MOST)]
        more = after + len(page) < len(found)
        return _json({"total": len(found), "results": page, "next": after + len(page) if more else None})

    return routes


def _json(body: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json")
