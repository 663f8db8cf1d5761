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


def events(
    connection: Connection, partner: str, limit: int = 100, *, kind: str | None = None, about: str | None = None
) -> list[dict[str, Any]]:
    """A partner's last events, newest first; of one kind, or about one connection, if that is said."""
    rows = connection.execute(
        text("""select at, kind, data from ops.event_log
          where partner = :partner and (cast(:kind as text) is null or kind = :kind)
            and (cast(:about as text) is null or data ->> 'connection' = :about)
          order by event_id desc limit :limit"""),
        {"partner": partner, "limit": limit, "kind": kind, "about": about},
    )
    return [dict(row._mapping) for row in rows]


def audit(
    connection: Connection,
    actor: str,
    partner: str | None,
    action: str,
    subject: str,
    now: datetime,
    data: Mapping[str, Any],
) -> None:
    """Append one administrative change; one without a partner (a signing key) needs the batch role."""
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
