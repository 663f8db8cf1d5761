"""The one function all ways in end in: `write`.

Records, the vault's share of them, what is quarantined and the connection's cursor are committed together, batch by
batch: a crash resumes at the batch, with nothing lost and nothing twice.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import repeat
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection

from integrator.contracts.errors import invalid
from integrator.contracts.records import KINDS, Contact, LandingResult, Record
from integrator.storage import quarantine
from integrator.storage.connections import move_cursor
from integrator.storage.crypto import MasterKey
from integrator.storage.database import Database
from integrator.storage.landing_merge import Merged, lock, merge, stage, staging, unstage
from integrator.storage.landing_personal import Batch, policies, remember, to_vault, without_erased
from integrator.storage.landing_reading import Payload, Reading, read_payloads
from integrator.storage.landing_rows import csv, hashes
from integrator.storage.partners import data_key
from integrator.storage.personal import WHOLE, AttributeGuard, Split, split

Within = Callable[[Connection, LandingResult], None]
_ATTRIBUTES = attrgetter("attributes")


@dataclass(frozen=True)
class CursorUpdate:
    """Where the connection goes on once this batch is committed."""

    connection_id: str
    kind: str
    value: Mapping[str, Any]


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
    known(kind)
    reading = read_payloads(kind, payloads, strict=strict, first_line=first_line)
    within: Within | None = None
    if cursor is not None:

        def within(connection: Connection, _: LandingResult) -> None:
            move_cursor(connection, partner, cursor.connection_id, cursor.kind, cursor.value, now)

    return land(database, partner, platform, reading, now=now, allowed_attributes=allowed_attributes, within=within)


def known(kind: str) -> None:
    """Refuse what is no kind of record; `InvalidInput` names those there are."""
    if kind not in KINDS:
        raise invalid("kind", kind, KINDS)


def land(
    database: Database,
    partner: str,
    platform: str,
    reading: Reading,
    *,
    now: datetime,
    allowed_attributes: Iterable[str] = (),
    within: Within | None = None,
) -> LandingResult:
    """Land what was read, in one transaction; `within` has its last word before the commit.

    What needs no decision about attributes is made ready and copied over before the lock is taken, so that of two
    batches at once one is read while the other is merged.
    """
    digests = hashes(database.master.derive(f"landing:{partner}"), reading.records)
    with database.partner(partner) as connection, staging(connection):
        result = land_in(
            connection, database.master, partner, platform, reading, digests, now=now,
            allowed_attributes=allowed_attributes,
        )  # fmt: skip
        if within is not None:
            within(connection, result)
    return result


def land_in(
    connection: Connection,
    master: MasterKey,
    partner: str,
    platform: str,
    reading: Reading,
    digests: Sequence[bytes],
    *,
    now: datetime,
    allowed_attributes: Iterable[str] = (),
) -> LandingResult:
    """The same in a transaction of the caller's, inside `staging`; `digests` are the records' keyed hashes."""
    kind, records = reading.kind, reading.records
    distinct = len({record.native_id for record in records}) == len(records)
    batch = Batch(
        connection, partner, platform, kind, now, data_key(connection, master, partner),
        master.derive(f"identity:{partner}"),
    )  # fmt: skip
    parts = list(zip(reading.lines, records, digests, _splits(batch, records, allowed_attributes), strict=True))
    if parts:
        stage(connection, kind, csv(kind, parts))
        lock(connection, partner, platform, kind)
    kept, erased = without_erased(batch, parts)
    if erased:
        unstage(connection, kind, [error.line for error in erased])
    merged = Merged(0, 0)
    if kept:
        merged = merge(connection, partner, platform, kind, now, count=len(kept), distinct=distinct)
    to_vault(batch, kept)
    quarantine.add(connection, batch.key, partner, platform, kind, reading.rejected, now, strict=reading.strict)
    rejected = sorted([*(error for _, error in reading.rejected), *erased], key=lambda error: error.line)
    return LandingResult(merged.inserted, merged.incoming - merged.inserted, len(rejected), rejected)


def _splits(batch: Batch, records: Sequence[Record], allowed: Iterable[str]) -> Iterable[Split]:
    if batch.kind != Contact.kind and not any(map(_ATTRIBUTES, records)):
        return repeat(WHOLE, len(records))
    # Before what was decided about attributes is read: else a writer at once could land what is just being taken
    # out, or wait for this one while this one waits for it.
    lock(batch.connection, batch.partner, batch.platform, batch.kind)
    guard = AttributeGuard(frozenset(allowed), policies(batch))
    guard.learn(records)
    remember(batch, guard)
    return [split(record, guard, batch.identity_key) for record in records]
