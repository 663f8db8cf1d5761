"""Records that could not land: kept whole, encrypted with the partner's data key, with the field and the reason."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from integrator.contracts.records import RecordError
from integrator.storage.crypto import MasterKey, decrypt, encrypt, keyed_hash
from integrator.storage.partners import DataKey, data_key


def storable(text: str | None) -> str | None:
    """A text for people, without what neither PostgreSQL nor a terminal takes: NUL and halves of characters."""
    return None if text is None else text.replace("\x00", "").encode(errors="replace").decode()


@dataclass(frozen=True)
class Quarantined:
    """One record in quarantine; its payload is read apart, by `payload`."""

    quarantine_id: int
    platform: str
    kind: str
    native_id: str | None
    field: str | None
    reason: str
    quarantined_at: datetime


def add(
    connection: Connection,
    key: DataKey,
    partner: str,
    platform: str,
    kind: str,
    rejected: Sequence[tuple[Mapping[str, Any] | bytes, RecordError]],
    now: datetime,
) -> None:
    """Keep rejected payloads; the same payload again is one entry."""
    rows = []
    for raw, error in rejected:
        payload = raw if isinstance(raw, bytes) else json.dumps(raw, sort_keys=True, default=str).encode()
        native_id = raw.get("native_id") if isinstance(raw, Mapping) and error.field != "native_id" else None
        rows.append(
            {
                "partner": partner, "platform": platform, "kind": kind,
                "native_id": storable(native_id[:200]) if isinstance(native_id, str) else None,
                "field": storable(error.field), "reason": storable(error.reason), "key_id": key.key_id,
                "payload": encrypt(key.raw, payload, _purpose(partner)), "hash": keyed_hash(key.raw, payload), "now": now,
            }
        )  # fmt: skip
    if rows:
        connection.execute(
            text("""insert into landing.quarantine (partner, platform, kind, native_id, field, reason, key_id, payload,
                payload_hash, quarantined_at)
              values (:partner, :platform, :kind, :native_id, :field, :reason, :key_id, :payload, :hash, :now)
              on conflict (partner, platform, kind, payload_hash) do nothing"""),
            rows,
        )


def waiting(connection: Connection, partner: str, limit: int = 1000) -> list[Quarantined]:
    """What has not been replayed, newest first."""
    rows = connection.execute(
        text("""select quarantine_id, platform, kind, native_id, field, reason, quarantined_at from landing.quarantine
          where partner = :partner and replayed_at is null order by quarantine_id desc limit :limit"""),
        {"partner": partner, "limit": limit},
    )
    return [Quarantined(**row._mapping) for row in rows]


def payload(connection: Connection, master: MasterKey, partner: str, quarantine_id: int) -> bytes | None:
    """The record as it came; None when there is no such entry of this partner."""
    row = connection.execute(
        text("""select key_id, payload from landing.quarantine
          where partner = :partner and quarantine_id = :quarantine_id"""),
        {"partner": partner, "quarantine_id": quarantine_id},
    ).one_or_none()
    if row is None:
        return None
    key = data_key(connection, master, partner, row.key_id)
    return decrypt(key.raw, bytes(row.payload), _purpose(partner))


def _purpose(partner: str) -> str:
    return f"quarantine:{partner}"
