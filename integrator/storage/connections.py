"""A partner's accounts on platforms: settings, sealed credentials, cursors, status."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from integrator.contracts.errors import invalid
from integrator.storage.crypto import MasterKey

STATUSES = ("active", "paused", "failed")


@dataclass(frozen=True, kw_only=True)
class PlatformConnection:
    """One account; `credentials` are in the clear here and nowhere at rest."""

    partner: str
    connection_id: str
    platform: str
    settings: Mapping[str, Any]
    credentials: Mapping[str, str]
    allowed_attributes: tuple[str, ...] = ()
    status: str = "active"
    status_reason: str | None = None
    last_synced_at: datetime | None = None

    def __repr__(self) -> str:
        return f"PlatformConnection({self.partner}/{self.connection_id}, {self.platform}, {self.status})"


def save(connection: Connection, master: MasterKey, account: PlatformConnection, now: datetime) -> None:
    """Add it, or replace its settings and credentials and set it active again."""
    connection.execute(
        text("""insert into integrator.connection (partner, connection_id, platform, settings, credentials,
            allowed_attributes, status, created_at)
          values (:partner, :connection_id, :platform, cast(:settings as jsonb), :credentials, :allowed, 'active', :now)
          on conflict (partner, connection_id) do update set settings = excluded.settings,
            credentials = excluded.credentials, allowed_attributes = excluded.allowed_attributes,
            status = 'active', status_reason = null"""),
        {
            "partner": account.partner,
            "connection_id": account.connection_id,
            "platform": account.platform,
            "settings": json.dumps(dict(account.settings)),
            "credentials": master.wrap(json.dumps(dict(account.credentials)).encode(), _purpose(account.partner)),
            "allowed": list(account.allowed_attributes),
            "now": now,
        },
    )


def for_partner(
    connection: Connection, master: MasterKey, partner: str, platform: str | None = None
) -> list[PlatformConnection]:
    """A partner's connections, of one platform if it is named, by id."""
    rows = connection.execute(
        text("""select partner, connection_id, platform, settings, credentials, allowed_attributes, status,
            status_reason, last_synced_at
          from integrator.connection
          where partner = :partner and (cast(:platform as text) is null or platform = :platform)
          order by connection_id"""),
        {"partner": partner, "platform": platform},
    )
    found = []
    for row in rows:
        facts = dict(row._mapping)
        facts["credentials"] = json.loads(master.unwrap(bytes(facts["credentials"]), _purpose(partner)))
        facts["allowed_attributes"] = tuple(facts["allowed_attributes"])
        found.append(PlatformConnection(**facts))
    return found


def set_status(connection: Connection, partner: str, connection_id: str, status: str, reason: str | None) -> None:
    """Active, paused or failed, with the reason a person reads."""
    if status not in STATUSES:
        raise invalid("status", status, STATUSES)
    connection.execute(
        text("""update integrator.connection set status = :status, status_reason = :reason
        where partner = :partner and connection_id = :connection_id"""),
        {"status": status, "reason": reason, "partner": partner, "connection_id": connection_id},
    )


def mark_synced(connection: Connection, partner: str, connection_id: str, now: datetime) -> None:
    """Remember when a pull last came to its end."""
    connection.execute(
        text("""update integrator.connection set last_synced_at = :now, status_reason = null
        where partner = :partner and connection_id = :connection_id"""),
        {"now": now, "partner": partner, "connection_id": connection_id},
    )


def cursor(connection: Connection, partner: str, connection_id: str, kind: str) -> dict[str, Any] | None:
    """Where the last landed page of that kind ended; None before the first."""
    found: dict[str, Any] | None = connection.execute(
        text("""select cursor from integrator.cursor
        where partner = :partner and connection_id = :connection_id and kind = :kind"""),
        {"partner": partner, "connection_id": connection_id, "kind": kind},
    ).scalar_one_or_none()
    return found


def move_cursor(
    connection: Connection, partner: str, connection_id: str, kind: str, value: Mapping[str, Any], now: datetime
) -> None:
    """Store where to go on; called inside the transaction that lands the page."""
    connection.execute(
        text("""insert into integrator.cursor (partner, connection_id, kind, cursor, updated_at)
          values (:partner, :connection_id, :kind, cast(:cursor as jsonb), :now)
          on conflict (partner, connection_id, kind)
          do update set cursor = excluded.cursor, updated_at = excluded.updated_at"""),
        {
            "partner": partner,
            "connection_id": connection_id,
            "kind": kind,
            "cursor": json.dumps(dict(value)),
            "now": now,
        },
    )


def _purpose(partner: str) -> str:
    return f"connection:{partner}"
