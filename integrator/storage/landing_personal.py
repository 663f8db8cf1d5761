"""Landing's care for persons: what goes to the vault, what was decided about attributes, who was erased."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from integrator.contracts.records import RecordError
from integrator.storage.crypto import encrypt
from integrator.storage.landing_rows import Part
from integrator.storage.partners import DataKey
from integrator.storage.personal import AttributeGuard, identity_hash

POLICIES = """
select attribute, decision from landing.attribute_policy
where partner = :partner and platform = :platform and kind = :kind
"""
ERASED = "was erased at the person's request and is not taken in again"


@dataclass(frozen=True)
class Batch:
    """What one call works on."""

    connection: Connection
    partner: str
    platform: str
    kind: str
    now: datetime
    key: DataKey
    identity_key: bytes


def to_vault(batch: Batch, parts: Sequence[Part]) -> None:
    """Keep the newest personal fields of each record, encrypted with the partner's data key."""
    newest: dict[str, tuple[datetime, dict[str, Any]]] = {}
    for _, record, _, part in parts:
        moment = record.updated_at or batch.now
        if part.personal and (record.native_id not in newest or newest[record.native_id][0] <= moment):
            newest[record.native_id] = (moment, part.personal)
    if not newest:
        return
    purpose = vault_purpose(batch.partner, batch.kind)
    sealed = [
        encrypt(batch.key.raw, json.dumps(personal, ensure_ascii=False).encode(), purpose)
        for _, personal in newest.values()
    ]
    batch.connection.execute(
        text("""insert into vault.personal (partner, platform, kind, native_id, key_id, ciphertext, updated_at)
          select :partner, :platform, :kind, native_id, :key_id, ciphertext, updated_at
          from unnest(cast(:ids as text[]), cast(:sealed as bytea[]), cast(:moments as timestamptz[]))
            as sealed (native_id, ciphertext, updated_at)
          on conflict (partner, platform, kind, native_id) do update set key_id = excluded.key_id,
            ciphertext = excluded.ciphertext, updated_at = excluded.updated_at
          where vault.personal.updated_at <= excluded.updated_at"""),
        {
            "partner": batch.partner, "platform": batch.platform, "kind": batch.kind, "key_id": batch.key.key_id,
            "ids": list(newest), "sealed": sealed, "moments": [moment for moment, _ in newest.values()],
        },
    )  # fmt: skip


def vault_purpose(partner: str, kind: str) -> str:
    """What a vault ciphertext is bound to."""
    return f"vault:{partner}:{kind}"


def policies(batch: Batch) -> dict[str, str]:
    """Attribute → what earlier batches decided: open, or vault."""
    rows = batch.connection.execute(
        text(POLICIES),
        {"partner": batch.partner, "platform": batch.platform, "kind": batch.kind},
    )
    return {row.attribute: row.decision for row in rows}


def remember(batch: Batch, guard: AttributeGuard) -> None:
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


def without_erased(batch: Batch, parts: Sequence[Part]) -> tuple[Sequence[Part], list[RecordError]]:
    """What may land, and a refusal for each record of an erased person; under the lock, as erasure takes it too."""
    rows = batch.connection.execute(
        text("select identity_hash from integrator.tombstone where partner = :partner"), {"partner": batch.partner}
    )
    tombs = {bytes(row.identity_hash) for row in rows}
    if not tombs:
        return parts, []
    kept: list[Part] = []
    errors: list[RecordError] = []
    for entry in parts:
        line, record, _, part = entry
        own = identity_hash(batch.identity_key, "native", f"{batch.kind}/{batch.platform}/{record.native_id}")
        if tombs & {own, part.email_hash, part.phone_hash}:
            errors.append(RecordError(line, "native_id", None, ERASED))
        else:
            kept.append(entry)
    return kept, errors
