"""`integrator.signing_key`: the keys tokens are signed with, private parts wrapped by the master key."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

LOCK = 0x1D7E6A71


@dataclass(frozen=True)
class StoredKey:
    """One key; `wrapped` opens with the master key only."""

    kid: str
    wrapped: bytes
    public_jwk: Mapping[str, Any]
    retired_at: datetime | None = None
    created_at: datetime | None = None


def lock(connection: Connection) -> None:
    """One process makes a key at a time, until the transaction ends."""
    connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": LOCK})


def usable(connection: Connection, retired_after: datetime) -> list[StoredKey]:
    """Keys in force, and those retired so lately that a token may still carry them; newest first."""
    rows = connection.execute(
        text("""select kid, wrapped, public_jwk, retired_at, created_at from integrator.signing_key
        where retired_at is null or retired_at > :after order by created_at desc, kid"""),
        {"after": retired_after},
    )
    return [StoredKey(row.kid, bytes(row.wrapped), row.public_jwk, row.retired_at, row.created_at) for row in rows]


def add(connection: Connection, key: StoredKey, now: datetime) -> None:
    """Store a key."""
    connection.execute(
        text("""insert into integrator.signing_key (kid, wrapped, public_jwk, created_at)
        values (:kid, :wrapped, cast(:public_jwk as jsonb), :now)"""),
        {"kid": key.kid, "wrapped": key.wrapped, "public_jwk": json.dumps(dict(key.public_jwk)), "now": now},
    )


def retire_others(connection: Connection, kid: str, now: datetime) -> None:
    """Sign with `kid` alone from now on."""
    connection.execute(
        text("update integrator.signing_key set retired_at = :now where kid <> :kid and retired_at is null"),
        {"kid": kid, "now": now},
    )
