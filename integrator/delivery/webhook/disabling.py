"""Disabling an endpoint, and telling the partner: in the event log, and at its other endpoints that want to know."""

import hashlib
import json
from datetime import datetime

from sqlalchemy import Connection

from integrator.contracts.insight import rfc3339
from integrator.storage import logs, outbox, webhooks
from integrator.storage.webhooks import Endpoint

DISABLED = "endpoint.disabled"


def disable(connection: Connection, endpoint: Endpoint, reason: str, now: datetime) -> None:
    """Send nothing there any more; what waited has failed and can be asked for again.

    It is told by endpoint and without its address, which may hold a token.
    """
    partner = endpoint.partner
    webhooks.disable(connection, partner, endpoint.endpoint_id, reason)
    given_up = outbox.give_up(connection, partner, endpoint.endpoint_id, now)
    facts = {"endpoint_id": endpoint.endpoint_id, "reason": reason, "given_up": given_up}
    logs.event(connection, partner, DISABLED, now, facts)
    body = json.dumps({"type": DISABLED, "timestamp": rfc3339(now), "data": facts}, separators=(",", ":"))
    for other in webhooks.for_partner(connection, partner):
        if other.status == "active" and DISABLED in other.event_types:
            key = f"{other.endpoint_id}\x1f{endpoint.endpoint_id}\x1f{now.isoformat()}"
            message_id = f"msg_{hashlib.sha256(key.encode()).hexdigest()[:32]}"
            outbox.put(connection, partner, other.endpoint_id, message_id, DISABLED, body, now)
