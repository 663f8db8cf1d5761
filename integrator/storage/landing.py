"""The one function all ways in end in: `write`.

Records, the vault's share of them, what is quarantined and the connection's cursor are committed together, batch by
batch: a crash resumes at the batch, with nothing lost and nothing twice.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, text

from integrator.contracts.errors import InvalidInput, invalid
from integrator.contracts.records import KINDS, Contact, LandingResult, Record, RecordError
from integrator.contracts.validation import read_record
from integrator.storage import quarantine
from integrator.storage.connections import move_cursor
from integrator.storage.crypto import encrypt, keyed_hash
from integrator.storage.database import Database
from integrator.storage.landing_merge import copy, kind_values, lock, merge
from integrator.storage.partners import DataKey, data_key
from integrator.storage.personal import AttributeGuard, Split, identity_hash, split
from integrator.storage.quarantine import storable

Payload = Mapping[str, Any] | bytes
ERASED = "was erased at the person's request and is not taken in again"


@dataclass(frozen=True)
class CursorUpdate:
    """Where the connection goes on once this batch is committed."""

    connection_id: str
    kind: str
    value: Mapping[str, Any]


@dataclass(frozen=True)
class _Batch:
    """What one call works on."""

    connection: Connection
    partner: str
    platform: str
    kind: str
    now: datetime
    key: DataKey
    identity_key: bytes
    hash_key: bytes


def write(
    database: Database,
    partner: str,
    platform: str,
    kind: str,
    payloads: Iterable[Payload],
    *,
    now: datetime,
    cursor: CursorUpdate | None = None,
    allowed_attributes: Iterable[str] = (),
    strict: bool = True,
    first_line: int = 1,
) -> LandingResult:
    """Land a batch in one transaction.

    `payloads` are records as JSON-able dicts or JSON bytes; `strict=False` reads numbers from text. Lines in the
    result's errors count from `first_line`. Good records of a batch land whatever becomes of the others.
    """
    if kind not in KINDS:
        raise invalid("kind", kind, KINDS)
    raws = list(payloads)
    records, errors = _read(kind, raws, strict, first_line)
    with database.partner(partner) as connection:
        # Before what was decided about attributes is read: else a writer at once could land what is just being taken
        # out, or wait for this one while this one waits for it.
        lock(connection, partner, platform, kind)
        master = database.master
        batch = _Batch(
            connection, partner, platform, kind, now, data_key(connection, master, partner),
            master.derive(f"identity:{partner}"), master.derive(f"landing:{partner}"),
        )  # fmt: skip
        guard = AttributeGuard(frozenset(allowed_attributes), _policies(batch))
        guard.learn(record for _, record in records)
        _remember(batch, guard)
        parts = [(line, record, split(record, guard, batch.identity_key)) for line, record in records]
        parts, erased = _without_erased(batch, parts)
        merged = merge(connection, partner, platform, kind, _rows(batch, parts), now)
        _to_vault(batch, parts)
        quarantine.add(
            connection, batch.key, partner, platform, kind, [(raws[e.line - first_line], e) for e in errors], now
        )
        if cursor is not None:
            move_cursor(connection, partner, cursor.connection_id, cursor.kind, cursor.value, now)
    rejected = sorted([*errors, *erased], key=lambda error: error.line)
    return LandingResult(merged.inserted, merged.incoming - merged.inserted, len(rejected), rejected)


def _read(
    kind: str, raws: list[Payload], strict: bool, first_line: int
) -> tuple[list[tuple[int, Record]], list[RecordError]]:
    records: list[tuple[int, Record]] = []
    errors: list[RecordError] = []
    for line, raw in enumerate(raws, start=first_line):
        try:
            records.append((line, read_record(kind, raw, strict=strict)))
        except InvalidInput as error:
            field, shown, reason = error.field, _shown(raw, error.field), str(error)
            errors.append(RecordError(line, storable(field), storable(shown), storable(reason) or "not allowed"))
    return records, errors


def _shown(raw: Payload, field: str | None) -> str | None:
    """The value at fault, for the sender's eyes; never a personal one."""
    if (
        field is None
        or isinstance(raw, bytes)
        or field in Contact.PERSONAL
        or field.startswith(("attributes", "native_id"))
    ):
        return None
    value: Any = raw
    for part in field.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return None if value is None else str(value)[:100]


def _rows(batch: _Batch, parts: list[tuple[int, Record, Split]]) -> Iterable[tuple[Any, ...]]:
    encoder = msgspec.json.Encoder(order="deterministic")
    for line, record, part in parts:
        yield (
            line, record.native_id, keyed_hash(batch.hash_key, encoder.encode(record)), record.updated_at,
            record.deleted_at, record.updated_at or batch.now, json.dumps(part.attributes, ensure_ascii=False),
            *kind_values(record, part.email_hash, part.phone_hash),
        )  # fmt: skip


def _to_vault(batch: _Batch, parts: list[tuple[int, Record, Split]]) -> None:
    """Keep the newest personal fields of each record, encrypted with the partner's data key."""
    newest: dict[str, tuple[datetime, dict[str, Any]]] = {}
    for _, record, part in parts:
        moment = record.updated_at or batch.now
        if part.personal and (record.native_id not in newest or newest[record.native_id][0] <= moment):
            newest[record.native_id] = (moment, part.personal)
    if not newest:
        return
    batch.connection.exec_driver_sql(
        "create temporary table sealed (native_id text, ciphertext bytea, updated_at timestamptz) on commit drop"
    )
    purpose = vault_purpose(batch.partner, batch.kind)
    rows = (
        (native_id, encrypt(batch.key.raw, json.dumps(personal, ensure_ascii=False).encode(), purpose), moment)
        for native_id, (moment, personal) in newest.items()
    )
    copy(batch.connection, "sealed", (("native_id", ""), ("ciphertext", ""), ("updated_at", "")), rows)
    batch.connection.execute(
        text("""insert into vault.personal (partner, platform, kind, native_id, key_id, ciphertext, updated_at)
          select :partner, :platform, :kind, native_id, :key_id, ciphertext, updated_at from sealed
          on conflict (partner, platform, kind, native_id) do update set key_id = excluded.key_id,
            ciphertext = excluded.ciphertext, updated_at = excluded.updated_at
          where vault.personal.updated_at <= excluded.updated_at"""),
        {"partner": batch.partner, "platform": batch.platform, "kind": batch.kind, "key_id": batch.key.key_id},
    )
    batch.connection.exec_driver_sql("drop table sealed")


def vault_purpose(partner: str, kind: str) -> str:
    """What a vault ciphertext is bound to."""
    return f"vault:{partner}:{kind}"


def _policies(batch: _Batch) -> dict[str, str]:
    rows = batch.connection.execute(
        text("""select attribute, decision from landing.attribute_policy
        where partner = :partner and platform = :platform and kind = :kind"""),
        {"partner": batch.partner, "platform": batch.platform, "kind": batch.kind},
    )
    return {row.attribute: row.decision for row in rows}


def _remember(batch: _Batch, guard: AttributeGuard) -> None:
    """Store new decisions; an attribute found personal only now is taken out of the versions that landed before."""
    scope = {"partner": batch.partner, "platform": batch.platform, "kind": batch.kind}
    for attribute, (decision, reason) in guard.found.items():
        facts = {**scope, "attribute": attribute, "decision": decision, "reason": reason, "now": batch.now}
        batch.connection.execute(
            text("""insert into landing.attribute_policy values
              (:partner, :platform, :kind, :attribute, :decision, :reason, :now)
              on conflict (partner, platform, kind, attribute) do update set decision = excluded.decision,
                reason = excluded.reason, decided_at = excluded.decided_at"""),
            facts,
        )
        if decision == "vault":
            batch.connection.execute(text(_SCRUB.format(kind=batch.kind)), facts)


_SCRUB = """
with scrubbed as (
  update landing.{kind} set attributes = attributes - :attribute
  where partner = :partner and platform = :platform and jsonb_exists(attributes, :attribute)
  returning native_id
)
insert into ops.touched_log (partner, platform, kind, native_id, reason, at)
select distinct :partner, :platform, :kind, native_id, 'attribute to vault', :now from scrubbed
"""


def _without_erased(
    batch: _Batch, parts: list[tuple[int, Record, Split]]
) -> tuple[list[tuple[int, Record, Split]], list[RecordError]]:
    rows = batch.connection.execute(
        text("select identity_hash from integrator.tombstone where partner = :partner"), {"partner": batch.partner}
    )
    tombs = {bytes(row.identity_hash) for row in rows}
    if not tombs:
        return parts, []
    kept: list[tuple[int, Record, Split]] = []
    errors: list[RecordError] = []
    for line, record, part in parts:
        own = identity_hash(batch.identity_key, "native", f"{batch.kind}/{batch.platform}/{record.native_id}")
        if tombs & {own, part.email_hash, part.phone_hash}:
            errors.append(RecordError(line, "native_id", None, ERASED))
        else:
            kept.append((line, record, part))
    return kept, errors
