"""A partner's accounts on platforms: settings, sealed credentials, cursors, status.

Credentials are sealed with the partner's data key; those sealed with the master key come from before `rotate`.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from integrator.contracts.errors import NotFound, invalid
from integrator.storage.crypto import MasterKey, decrypt, encrypt
from integrator.storage.partners import DataKey, add_data_key, data_key

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
    key = data_key(connection, master, account.partner)
    connection.execute(
        text("""insert into integrator.connection (partner, connection_id, platform, settings, credentials, key_id,
            allowed_attributes, status, created_at)
          values (:partner, :connection_id, :platform, cast(:settings as jsonb), :credentials, :key_id, :allowed,
            'active', :now)
          on conflict (partner, connection_id) do update set settings = excluded.settings,
            credentials = excluded.credentials, key_id = excluded.key_id,
            allowed_attributes = excluded.allowed_attributes, status = 'active', status_reason = null"""),
        {
            "partner": account.partner,
            "connection_id": account.connection_id,
            "platform": account.platform,
            "settings": json.dumps(dict(account.settings)),
            "credentials": _seal(key, account.partner, account.credentials),
            "key_id": key.key_id,
            "allowed": list(account.allowed_attributes),
            "now": now,
        },
    )


def for_partner(
    connection: Connection,
    master: MasterKey,
    partner: str,
    platform: str | None = None,
    connection_id: str | None = None,
) -> list[PlatformConnection]:
    """A partner's connections, of one platform or of one name if that is said, by id."""
    rows = connection.execute(
        text("""select partner, connection_id, platform, settings, credentials, key_id, allowed_attributes, status,
            status_reason, last_synced_at
          from integrator.connection
          where partner = :partner and (cast(:platform as text) is null or platform = :platform)
            and (cast(:connection_id as text) is null or connection_id = :connection_id)
          order by connection_id"""),
        {"partner": partner, "platform": platform, "connection_id": connection_id},
    )
    found = []
    for row in rows.all():
        facts = dict(row._mapping)
        facts["credentials"] = _unseal(connection, master, partner, facts.pop("key_id"), bytes(facts["credentials"]))
        facts["allowed_attributes"] = tuple(facts["allowed_attributes"])
        found.append(PlatformConnection(**facts))
    return found


def get(connection: Connection, master: MasterKey, partner: str, connection_id: str) -> PlatformConnection:
    """One connection; `NotFound` names those there are."""
    found = for_partner(connection, master, partner, connection_id=connection_id)
    if not found:
        names: Iterable[str] = connection.execute(
            text("select connection_id from integrator.connection where partner = :partner order by connection_id"),
            {"partner": partner},
        ).scalars()
        raise NotFound(f"connection {connection_id!r} does not exist; there are: {', '.join(names) or 'none'}")
    return found[0]


def others(connection: Connection, partner: str, connection_id: str, platform: str) -> list[str]:
    """The ids of a partner's other accounts on the platform of this one, whatever their status."""
    rows = connection.execute(
        text("""select connection_id from integrator.connection
        where partner = :partner and platform = :platform and connection_id <> :connection_id order by connection_id"""),
        {"partner": partner, "platform": platform, "connection_id": connection_id},
    )
    return list(rows.scalars())


def remove(connection: Connection, partner: str, connection_id: str) -> bool:
    """Forget an account with its cursors, backfills and listings; what landed stays. Whether it was there."""
    found = connection.execute(
        text("delete from integrator.connection where partner = :partner and connection_id = :connection_id"),
        {"partner": partner, "connection_id": connection_id},
    )
    return bool(found.rowcount)


def keep_credentials(
    connection: Connection, master: MasterKey, partner: str, connection_id: str, fresh: Mapping[str, str]
) -> None:
    """Replace single credential fields, such as a refresh token that was rotated; the rest stays."""
    row = connection.execute(
        text("""select credentials, key_id from integrator.connection
          where partner = :partner and connection_id = :connection_id for update"""),
        {"partner": partner, "connection_id": connection_id},
    ).one_or_none()
    if row is None:
        raise NotFound(f"connection {connection_id!r} does not exist any more")
    held = _unseal(connection, master, partner, row.key_id, bytes(row.credentials))
    _reseal(connection, data_key(connection, master, partner), partner, connection_id, {**held, **fresh})


def rotate(connection: Connection, master: MasterKey, partner: str, now: datetime) -> list[str]:
    """Seal every account's credentials with a fresh data key, which is the current one from now on; their names."""
    key = add_data_key(connection, master, partner, now)
    rows = connection.execute(
        text("""select connection_id, credentials, key_id from integrator.connection
          where partner = :partner order by connection_id for update"""),
        {"partner": partner},
    ).all()
    for row in rows:
        held = _unseal(connection, master, partner, row.key_id, bytes(row.credentials))
        _reseal(connection, key, partner, row.connection_id, held)
    return [row.connection_id for row in rows]


def _reseal(
    connection: Connection, key: DataKey, partner: str, connection_id: str, credentials: Mapping[str, str]
) -> None:
    connection.execute(
        text("""update integrator.connection set credentials = :credentials, key_id = :key_id
        where partner = :partner and connection_id = :connection_id"""),
        {
            "credentials": _seal(key, partner, credentials),
            "key_id": key.key_id,
            "partner": partner,
            "connection_id": connection_id,
        },
    )


def _seal(key: DataKey, partner: str, credentials: Mapping[str, str]) -> bytes:
    return encrypt(key.raw, json.dumps(dict(credentials)).encode(), _purpose(partner))


def _unseal(
    connection: Connection, master: MasterKey, partner: str, key_id: str | None, sealed: bytes
) -> dict[str, str]:
    if key_id is None:
        plain = master.unwrap(sealed, _purpose(partner))
    else:
        plain = decrypt(data_key(connection, master, partner, key_id).raw, sealed, _purpose(partner))
    held: dict[str, str] = json.loads(plain)
    return held


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
