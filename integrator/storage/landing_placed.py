"""Landing what came with a place in a log (Kafka): records and deletions of one partner, together with how far it landed.

All of a partner's share of a batch is one transaction, whatever kinds and platforms are in it, because one position
stands for all of it. What stands at or below the position has landed before and is skipped.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby

from sqlalchemy import Connection, text

from integrator.contracts.records import LandingResult, RecordError
from integrator.storage import quarantine, stream_offsets
from integrator.storage.crypto import MasterKey
from integrator.storage.database import Database
from integrator.storage.landing import land_in
from integrator.storage.landing_delete import delete
from integrator.storage.landing_merge import empty, lock, staging
from integrator.storage.landing_reading import Reading, read_payloads
from integrator.storage.landing_rows import hashes
from integrator.storage.partners import data_key
from integrator.storage.stream_offsets import Place

DIRECT = "direct"
# How long another writer of the same records is waited for; a worker has few threads for all partners.
LOCK_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why something cannot land: `reason` is one of a few words for machines, `words` are for the partner's eyes."""

    reason: str
    field: str | None
    words: str


@dataclass(frozen=True, slots=True)
class Placed:
    """One thing to land, where it stood and when it was said.

    `payload` is a record as JSON, None for a deletion, whose `platform` may be left open: it is then the one where the
    record stands. With a `refusal` it can only go to quarantine.
    """

    place: Place
    offset: int
    at: datetime
    platform: str | None
    kind: str
    native_id: str
    payload: bytes | None
    refusal: Refusal | None = None


Refused = Sequence[tuple[Placed, Refusal]]


@dataclass
class LandedHere:
    """What became of them: counts, how many had landed before, what was refused, and the keys of what may have changed."""

    result: LandingResult = field(default_factory=LandingResult)
    skipped: int = 0
    refused: list[tuple[Placed, Refusal]] = field(default_factory=list)
    touched: set[tuple[str, str, str]] = field(default_factory=set)
    """Kind, platform, native id."""


def land_placed(
    database: Database,
    partner: str,
    things: Sequence[Placed],
    *,
    now: datetime,
    attributes_of: Callable[[str], Iterable[str]],
    tell: Callable[[Refused], None],
) -> LandedHere:
    """Land them in their order, in one transaction with the partner's new positions.

    `attributes_of` gives a platform's allowed attributes; `tell` hears before the commit of whatever was refused, and
    takes all of it back by raising. A deletion counts from when it was said, not from when it is read: what the
    producer has made anew since then stays.
    """
    with database.partner(partner) as connection, staging(connection):
        connection.execute(text("select set_config('lock_timeout', :most, true)"), {"most": f"{LOCK_SECONDS}s"})
        held = stream_offsets.hold(connection, partner, {thing.place for thing in things}, now)
        fresh = [thing for thing in things if thing.offset > held[thing.place]]
        work = _Work(
            connection, database.master, partner, now, attributes_of, LandedHere(skipped=len(things) - len(fresh))
        )
        if fresh:
            work.land(fresh)
            if work.landed.refused:
                work.quarantine()
                tell(work.landed.refused)
            stream_offsets.move(connection, partner, _last(fresh), now)
    return work.landed


@dataclass
class _Work:
    """One transaction."""

    connection: Connection
    master: MasterKey
    partner: str
    now: datetime
    attributes_of: Callable[[str], Iterable[str]]
    landed: LandedHere

    def land(self, things: Sequence[Placed]) -> None:
        """All of them, deletions and records by turns."""
        self.landed.refused += [(thing, thing.refusal) for thing in things if thing.refusal is not None]
        wanted = [thing for thing in things if thing.refusal is None]
        # All locks in one order, before anything is landed: no two workers may wait for each other.
        for kind, platform in sorted({(thing.kind, thing.platform) for thing in wanted if thing.platform is not None}):
            lock(self.connection, self.partner, platform, kind)
        for is_deletion, segment in groupby(wanted, key=lambda thing: thing.payload is None):
            if is_deletion:
                for thing in segment:
                    self._delete(thing)
                continue
            for (kind, platform), group in _grouped(segment).items():
                self._write(platform, kind, group)

    def _write(self, platform: str, kind: str, group: Sequence[Placed]) -> None:
        reading = read_payloads(kind, [thing.payload for thing in group if thing.payload is not None])
        self.landed.refused += [
            (group[error.line - 1], Refusal("record-invalid", error.field, error.reason))
            for _, error in reading.rejected
        ]
        good = Reading(kind, reading.lines, reading.records)
        if good.records:
            digests = hashes(self.master.derive(f"landing:{self.partner}"), good.records)
            self.landed.result += land_in(
                self.connection, self.master, self.partner, platform, good, digests, now=self.now,
                allowed_attributes=self.attributes_of(platform),
            )  # fmt: skip
            empty(self.connection, kind)
            self.landed.touched |= {(kind, platform, record.native_id) for record in good.records}

    def _delete(self, thing: Placed) -> None:
        """On the platform it means; one that may mean several is refused. Deletions are rare, so they go one by one."""
        platforms = (
            [thing.platform] if thing.platform else _living(self.connection, self.partner, thing.kind, thing.native_id)
        )
        if len(platforms) > 1:
            words = f"deleted on one of several platforms; allowed: a header platform of {', '.join(platforms)}"
            self.landed.refused.append((thing, Refusal("platform-ambiguous", "platform", words)))
            return
        deleted = 0
        for platform in platforms:
            at = min(thing.at, self.now)
            deleted = delete(self.connection, self.partner, platform, thing.kind, [thing.native_id], at)
            self.landed.touched.add((thing.kind, platform, thing.native_id))
        self.landed.result += LandingResult(accepted=deleted, unchanged=1 - deleted)

    def quarantine(self) -> None:
        """Keep what was refused, for the partner to see and to mend."""
        key = data_key(self.connection, self.master, self.partner)
        for thing, why in self.landed.refused:
            error = RecordError(1, why.field, None, why.words)
            quarantine.add(
                self.connection, key, self.partner, thing.platform or DIRECT, thing.kind, [(thing.payload or b"", error)],
                self.now,
            )  # fmt: skip
            self.landed.result += LandingResult(quarantined=1, errors=[error])


def _grouped(things: Iterable[Placed]) -> dict[tuple[str, str], list[Placed]]:
    groups: dict[tuple[str, str], list[Placed]] = {}
    for thing in things:
        groups.setdefault((thing.kind, thing.platform or DIRECT), []).append(thing)
    return dict(sorted(groups.items()))


def _last(things: Iterable[Placed]) -> dict[Place, int]:
    last: dict[Place, int] = {}
    for thing in things:
        last[thing.place] = max(last.get(thing.place, stream_offsets.NOTHING), thing.offset)
    return last


def _living(connection: Connection, partner: str, kind: str, native_id: str) -> list[str]:
    """On which platforms the record stands and is not deleted."""
    rows = connection.execute(
        text(f"""select platform from landing.{kind} where partner = :partner and native_id = :native_id
          and valid_to is null and deleted_at is null order by platform"""),
        {"partner": partner, "native_id": native_id},
    )
    return list(rows.scalars())
