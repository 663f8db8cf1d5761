"""The event log: what happened to a partner's integration, in words an operator reads. Never a payload."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text


def event(connection: Connection, partner: str, kind: str, now: datetime, data: Mapping[str, Any]) -> None:
    """Append one event; `data` holds counts, names and reasons only."""
    connection.execute(
        text("""insert into ops.event_log (partner, at, kind, data)
        values (:partner, :at, :kind, cast(:data as jsonb))"""),
        {"partner": partner, "at": now, "kind": kind, "data": json.dumps(dict(data), default=str)},
    )


def events(connection: Connection, partner: str, limit: int = 100) -> list[dict[str, Any]]:
    """A partner's last events, newest first."""
    rows = connection.execute(
        text("""select at, kind, data from ops.event_log where partner = :partner
        order by event_id desc limit :limit"""),
        {"partner": partner, "limit": limit},
    )
    return [dict(row._mapping) for row in rows]


def audit(
    connection: Connection, actor: str, partner: str, action: str, subject: str, now: datetime, data: Mapping[str, Any]
) -> None:
    """Append one administrative change."""
    connection.execute(
        text("""insert into integrator.audit_log (at, actor, partner, action, subject, data)
        values (:at, :actor, :partner, :action, :subject, cast(:data as jsonb))"""),
        {
            "at": now,
            "actor": actor,
            "partner": partner,
            "action": action,
            "subject": subject,
            "data": json.dumps(dict(data)),
        },
    )
