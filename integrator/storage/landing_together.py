"""Landing small bodies together: what came while one batch was being landed goes in as the next, in three round trips.

Single records would otherwise wait for one another, each for its own commit. The rule of versions is `landing_merge`'s
own; the rows stand in a parameter and not in the staging table. What the short way cannot do raises `Apart`: then each
is landed by itself.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from itertools import chain, repeat
from operator import attrgetter
from typing import Any

import msgspec
from sqlalchemy import Connection

from integrator.contracts.records import Contact, LandingResult, Record, RecordError
from integrator.storage import quarantine
from integrator.storage.crypto import MasterKey
from integrator.storage.database import Database
from integrator.storage.landing_merge import ANY_LATE, CLOSE_OLDER, INSERT_NEW, LOCK, filled
from integrator.storage.landing_personal import ERASED, POLICIES, Batch, remember, to_vault
from integrator.storage.landing_reading import Reading
from integrator.storage.landing_rows import Part, hashes, json_rows, staged
from integrator.storage.partners import CURRENT_KEY, DataKey, unwrapped
from integrator.storage.personal import WHOLE, AttributeGuard, Split, identity_hash, split

Within = Callable[[Connection, DataKey, Sequence[LandingResult]], None]
_ID = attrgetter("native_id")


class Apart(Exception):
    """These have to be landed one by one: a key is in two of them, or one is a late arrival."""


@dataclass(frozen=True)
class _Known:
    """What the first round trip tells; the partner's records are locked from then on."""

    key: DataKey
    erased: frozenset[bytes]
    policies: Mapping[str, str]


def land_together(
    database: Database,
    partner: str,
    platform: str,
    readings: Sequence[Reading],
    *,
    now: datetime,
    allowed_attributes: Iterable[str] = (),
    within: Within | None = None,
) -> list[LandingResult]:
    """Land readings of one kind in one transaction; a result for each, with its own lines and counts.

    `within` runs before the commit, with the partner's data key. Whatever fails takes all of it back.
    """
    kind, records = readings[0].kind, [record for reading in readings for record in reading.records]
    if len(set(map(_ID, records))) < len(records):
        raise Apart
    digests = hashes(database.master.derive(f"landing:{partner}"), records)
    identity_key = database.master.derive(f"identity:{partner}")
    persons = [set(_persons(identity_key, kind, platform, record)) for record in records]
    with database.service() as connection:  # of the partner, from the first statement of `_begun` on
        known = _begun(connection, database.master, (partner, platform, kind), set().union(*persons))
        batch = Batch(connection, partner, platform, kind, now, known.key, identity_key)
        parts = list(zip(
            range(len(records)), records, digests, _splits(batch, records, allowed_attributes, known.policies), strict=True
        ))  # fmt: skip
        erased = {place for place, hashes_ in enumerate(persons) if hashes_ & known.erased}
        kept = [part for part in parts if part[0] not in erased]
        landed = _merged(batch, kept) if kept else set()
        to_vault(batch, kept)
        results = list(_results(batch, readings, landed, erased))
        if within is not None:
            within(connection, known.key, results)
    return results


def _begun(connection: Connection, master: MasterKey, scope: tuple[str, str, str], persons: set[bytes]) -> _Known:
    """Take the lock, then read what has to be known under it; sent in one go, each statement seeing the one before."""
    partner, platform, kind = scope
    driver: Any = connection.connection.driver_connection
    with driver.pipeline():
        driver.execute("select set_config('integrator.partner', %(partner)s, true)", {"partner": partner})
        driver.execute(_LOCK, {"scope": f"{partner}/{platform}/{kind}"})
        key = driver.execute(_KEY, {"partner": partner})
        tombs = driver.execute(_TOMBS, {"partner": partner, "hashes": list(persons)})
        policies = driver.execute(_POLICIES, {"partner": partner, "platform": platform, "kind": kind})
    return _Known(
        unwrapped(master, partner, key.fetchone()),
        frozenset(bytes(tomb) for (tomb,) in tombs),
        dict(policies.fetchall()),
    )


def _splits(
    batch: Batch, records: Sequence[Record], allowed: Iterable[str], policies: Mapping[str, str]
) -> Iterable[Split]:
    if batch.kind != Contact.kind and not any(record.attributes for record in records):
        return repeat(WHOLE, len(records))
    guard = AttributeGuard(frozenset(allowed), policies)
    guard.learn(records)
    remember(batch, guard)
    return [split(record, guard, batch.identity_key) for record in records]


def _persons(identity_key: bytes, kind: str, platform: str, record: Record) -> Iterator[bytes]:
    """The hashes an erasure may have left behind for whoever this record is about."""
    found = [identity_hash(identity_key, "native", f"{kind}/{platform}/{record.native_id}")]
    if isinstance(record, Contact):
        found += (
            identity_hash(identity_key, "email", record.email),
            identity_hash(identity_key, "phone", record.phone),
        )
    return (one for one in found if one is not None)


def _merged(batch: Batch, kept: Sequence[Part]) -> set[str]:
    """The keys of the records that became versions."""
    driver: Any = batch.connection.connection.driver_connection
    facts = {
        "partner": batch.partner, "platform": batch.platform, "arrived_at": batch.now,
        "rows": json_rows(batch.kind, kept),
    }  # fmt: skip
    statements = _statements(batch.kind)
    landed = {native_id for (native_id,) in driver.execute(statements.insert, facts)}
    if len(landed) < len(kept) and driver.execute(statements.close, facts).rowcount:
        landed.update(native_id for (native_id,) in driver.execute(statements.insert, facts))
    if len(landed) < len(kept) and driver.execute(statements.late, facts).fetchone()[0]:
        raise Apart
    return landed


def _results(batch: Batch, readings: Sequence[Reading], landed: set[str], erased: set[int]) -> Iterator[LandingResult]:
    """Each reading's own counts and lines; `erased` are places in all records together."""
    first = 0
    for reading in readings:
        quarantine.add(
            batch.connection, batch.key, batch.partner, batch.platform, batch.kind, reading.rejected, batch.now,
            strict=reading.strict,
        )  # fmt: skip
        gone = [
            RecordError(line, "native_id", None, ERASED)
            for place, line in enumerate(reading.lines, start=first)
            if place in erased
        ]
        accepted = sum(record.native_id in landed for record in reading.records)
        errors = sorted(chain((error for _, error in reading.rejected), gone), key=attrgetter("line"))
        yield LandingResult(accepted, len(reading.records) - len(gone) - accepted, len(errors), errors)
        first += len(reading.records)


class _Statements(msgspec.Struct, frozen=True):
    insert: str
    close: str
    late: str


@cache
def _statements(kind: str) -> _Statements:
    """`landing_merge`'s statements, reading the rows where they otherwise read the staging table of that name."""
    columns = ", ".join(f"{name} {kind_}" for name, kind_ in staged(kind))
    rows = f"with incoming_{kind} as (select * from json_to_recordset(cast(:rows as json)) as row ({columns}))\n"
    insert, close, late = (_driver(rows + filled(template, kind)) for template in (INSERT_NEW, CLOSE_OLDER, ANY_LATE))
    return _Statements(f"{insert} returning native_id", close, late)


def _driver(statement: str) -> str:
    """The same with psycopg's names for parameters: SQLAlchemy would take as long over it as PostgreSQL."""
    return re.sub(r":(\w+)", r"%(\1)s", statement)


_LOCK = _driver(LOCK)
_KEY = _driver(CURRENT_KEY)
_POLICIES = _driver(POLICIES)
_TOMBS = (
    "select identity_hash from integrator.tombstone where partner = %(partner)s and identity_hash = any(%(hashes)s)"
)
