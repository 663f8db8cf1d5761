"""Records that could not land: kept whole, encrypted with the partner's data key, with the field and the reason."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, text

from integrator.contracts.records import RecordError
from integrator.contracts.validation import E_MAIL
from integrator.storage.crypto import MasterKey, decrypt, encrypt, keyed_hash
from integrator.storage.partners import DataKey, data_key

LONGEST_ID = 200
LONGEST_TEXT = 500


def storable(text: str | None) -> str | None:
    """A text for people, cut to 500 characters, without what PostgreSQL does not take: NUL and halves of characters."""
    return None if text is None else text[:LONGEST_TEXT].replace("\x00", "").encode(errors="replace").decode()


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


@dataclass(frozen=True)
class Filter:
    """Which of the waiting records; None is any."""

    kind: str | None = None
    platform: str | None = None
    field: str | None = None


@dataclass(frozen=True)
class Kept:
    """One record as it came; `strict` is how it was read then."""

    entry: Quarantined
    payload: bytes
    strict: bool
    replayed_at: datetime | None


def add(
    connection: Connection,
    key: DataKey,
    partner: str,
    platform: str,
    kind: str,
    rejected: Sequence[tuple[Mapping[str, Any] | bytes, RecordError]],
    now: datetime,
    *,
    strict: bool = True,
) -> None:
    """Keep rejected payloads; the same payload again is one entry, and waits again if it was replayed since."""
    rows = []
    for raw, error in rejected:
        payload = raw if isinstance(raw, bytes) else json.dumps(raw, sort_keys=True, default=str).encode()
        rows.append(
            {
                "partner": partner, "platform": platform, "kind": kind, "native_id": _native_id(raw, error),
                "field": storable(error.field), "reason": storable(error.reason), "key_id": key.key_id,
                "payload": encrypt(key.raw, payload, _purpose(partner)), "hash": keyed_hash(key.raw, payload), "now": now,
                "strict": strict,
            }
        )  # fmt: skip
    if rows:
        connection.execute(
            text("""insert into landing.quarantine as there (partner, platform, kind, native_id, field, reason, key_id,
                payload, payload_hash, quarantined_at, strict)
              values (:partner, :platform, :kind, :native_id, :field, :reason, :key_id, :payload, :hash, :now, :strict)
              on conflict (partner, platform, kind, payload_hash) do update set field = excluded.field,
                reason = excluded.reason, quarantined_at = excluded.quarantined_at, replayed_at = null
              where there.replayed_at is not null or there.reason <> excluded.reason"""),
            rows,
        )


def waiting(
    connection: Connection, partner: str, limit: int = 1000, *, only: Filter | None = None, before: int | None = None
) -> list[Quarantined]:
    """What has not been replayed, newest first, below the id `before`."""
    rows = connection.execute(
        text("""select quarantine_id, platform, kind, native_id, field, reason, quarantined_at from landing.quarantine
          where partner = :partner and replayed_at is null
            and (cast(:kind as text) is null or kind = :kind)
            and (cast(:platform as text) is null or platform = :platform)
            and (cast(:field as text) is null or field = :field)
            and (cast(:before as bigint) is null or quarantine_id < :before)
          order by quarantine_id desc limit :limit"""),
        {"partner": partner, "limit": limit, "before": before, **(only or Filter()).__dict__},
    )
    return [Quarantined(**row._mapping) for row in rows]


def waiting_after(connection: Connection, partner: str, after: int, limit: int, only: Filter) -> list[int]:
    """The ids of what waits, oldest first, above the id `after`."""
    rows = connection.execute(
        text("""select quarantine_id from landing.quarantine
          where partner = :partner and replayed_at is null and quarantine_id > :after
            and (cast(:kind as text) is null or kind = :kind)
            and (cast(:platform as text) is null or platform = :platform)
            and (cast(:field as text) is null or field = :field)
          order by quarantine_id limit :limit"""),
        {"partner": partner, "after": after, "limit": limit, **only.__dict__},
    )
    return [int(row.quarantine_id) for row in rows]


def kept(connection: Connection, master: MasterKey, partner: str, ids: Sequence[int]) -> list[Kept]:
    """These entries of the partner with their payloads, replayed ones too, by id; those that are not there are left out."""
    rows = connection.execute(
        text("""select quarantine_id, platform, kind, native_id, field, reason, quarantined_at, strict, replayed_at,
            key_id, payload
          from landing.quarantine where partner = :partner and quarantine_id = any(:ids) order by quarantine_id"""),
        {"partner": partner, "ids": list(ids)},
    ).all()
    keys = {key_id: data_key(connection, master, partner, key_id).raw for key_id in {row.key_id for row in rows}}
    return [
        Kept(
            Quarantined(*row[:7]), decrypt(keys[row.key_id], bytes(row.payload), _purpose(partner)), row.strict,
            row.replayed_at,
        )
        for row in rows
    ]  # fmt: skip


def payload(connection: Connection, master: MasterKey, partner: str, quarantine_id: int) -> bytes | None:
    """The record as it came; None when there is no such entry of this partner."""
    found = kept(connection, master, partner, [quarantine_id])
    return found[0].payload if found else None


def mark_replayed(connection: Connection, partner: str, ids: Sequence[int], now: datetime) -> None:
    """These have landed: called in the transaction that lands them."""
    connection.execute(
        text("""update landing.quarantine set replayed_at = :now
          where partner = :partner and quarantine_id = any(:ids) and replayed_at is null"""),
        {"partner": partner, "ids": list(ids), "now": now},
    )


def say_why(connection: Connection, partner: str, reasons: Mapping[int, RecordError]) -> None:
    """Why these still cannot land."""
    if reasons:
        connection.execute(
            text("""update landing.quarantine set field = :field, reason = :reason
              where partner = :partner and quarantine_id = :id"""),
            [
                {"partner": partner, "id": key, "field": storable(error.field), "reason": storable(error.reason)}
                for key, error in sorted(reasons.items())
            ],
        )


class _Identified(msgspec.Struct):
    native_id: str | None = None


def _native_id(raw: Mapping[str, Any] | bytes, error: RecordError) -> str | None:
    """The record's own id, for people to find it by; nothing that is at fault, or could be a person's address."""
    if error.field == "native_id":
        return None
    if isinstance(raw, bytes):
        try:
            native_id = msgspec.json.decode(raw, type=_Identified).native_id
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return None
    else:
        native_id = raw.get("native_id")
    if not isinstance(native_id, str) or E_MAIL.search(native_id):
        return None
    return storable(native_id[:LONGEST_ID])


def _purpose(partner: str) -> str:
    return f"quarantine:{partner}"
