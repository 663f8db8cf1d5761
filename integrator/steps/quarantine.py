"""Records in quarantine tried again, as they came or mended: marked in the transaction in which they land."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import msgspec
from sqlalchemy import Connection

from integrator.contracts.errors import NotFound
from integrator.contracts.records import KINDS, LandingResult, RecordError
from integrator.steps.push import allowed_attributes
from integrator.steps.services import Services
from integrator.storage import landing, logs, quarantine
from integrator.storage.landing_reading import Reading, read_payloads
from integrator.storage.quarantine import Filter, Kept

PAGE = 200
MOST = 10_000
NO_LIMIT = 2**62


@dataclass(frozen=True)
class Refused:
    """A record that still cannot land."""

    quarantine_id: int
    field: str | None
    value: str | None
    reason: str


@dataclass
class Replayed:
    """What became of them; `next` is the id to go on after when there were more than one call takes."""

    replayed: int = 0
    errors: list[Refused] = field(default_factory=list)
    next: int | None = None

    @property
    def refused(self) -> int:
        """How many stay in quarantine."""
        return len(self.errors)

    def document(self) -> dict[str, object]:
        """The body of an answer."""
        errors = [dict(error.__dict__) for error in self.errors]
        return {"replayed": self.replayed, "refused": self.refused, "errors": errors, "next": self.next}


def one(services: Services, partner: str, quarantine_id: int) -> Kept:
    """An entry with its payload; `NotFound` when the partner has none such."""
    with services.database.partner(partner) as connection:
        found = quarantine.kept(connection, services.database.master, partner, [quarantine_id])
    if not found:
        raise NotFound(f"there is no record {quarantine_id} in quarantine")
    return found[0]


def replay(services: Services, partner: str, quarantine_id: int, mended: bytes | None = None) -> Replayed:
    """Land one record as it came, or `mended` (one JSON object) in its place.

    Doing it twice changes nothing. A mended record that cannot land either is refused and not kept: the entry stays.
    """
    entry = one(services, partner, quarantine_id)
    total = Replayed()
    if mended is None and entry.replayed_at is not None:
        total.replayed = 1
        return total
    if mended is None:
        _land(services, partner, [entry], [_as_of_then(entry)], entry.strict, total)
    else:
        _land(services, partner, [entry], [mended], True, total, keep_reasons=False)
    _log(services, partner, total)
    return total


def replay_waiting(services: Services, partner: str, only: Filter, *, after: int = 0, most: int = MOST) -> Replayed:
    """Land what waits, oldest first; what still cannot land stays, with the reason of now."""
    total = Replayed()
    taken = 0
    while True:
        with services.database.partner(partner) as connection:
            ids = quarantine.waiting_after(connection, partner, after, min(PAGE, most - taken), only)
            entries = quarantine.kept(connection, services.database.master, partner, ids)
        for group in _alike(entries):
            _land(services, partner, group, [_as_of_then(entry) for entry in group], group[0].strict, total)
        taken += len(ids)
        after = ids[-1] if ids else after
        if len(ids) < PAGE or taken >= most:
            break
    if taken >= most:
        total.next = after
    if taken:
        _log(services, partner, total)
    return total


def _alike(entries: Sequence[Kept]) -> Iterator[list[Kept]]:
    def likeness(kept: Kept) -> tuple[str, str, bool]:
        return kept.entry.platform, kept.entry.kind, kept.strict

    for _, group in groupby(sorted(entries, key=likeness), key=likeness):
        yield list(group)


def _land(
    services: Services, partner: str, entries: Sequence[Kept], payloads: Sequence[bytes], strict: bool, total: Replayed,
    *, keep_reasons: bool = True,
) -> None:  # fmt: skip
    """Entries of one platform and kind in one transaction; adds what became of them to `total`."""
    platform, kind = entries[0].entry.platform, entries[0].entry.kind
    ids = [kept.entry.quarantine_id for kept in entries]
    if kind not in KINDS:  # a message may say it is of any
        why = f"{kind} is no kind of record; allowed: {', '.join(KINDS)}"
        total.errors += [Refused(quarantine_id, "kind", None, why) for quarantine_id in ids]
        return
    read = read_payloads(kind, payloads, strict=strict)
    refused: dict[int, RecordError] = {ids[error.line - 1]: error for _, error in read.rejected}

    def within(connection: Connection, result: LandingResult) -> None:
        refused.update({ids[error.line - 1]: error for error in result.errors})
        good = [quarantine_id for quarantine_id in ids if quarantine_id not in refused]
        quarantine.mark_replayed(connection, partner, good, services.clock())
        if keep_reasons:
            quarantine.say_why(connection, partner, refused)

    landing.land(
        services.database, partner, platform, Reading(kind, read.lines, read.records), now=services.clock(),
        allowed_attributes=allowed_attributes(services, partner, platform), within=within,
    )  # fmt: skip
    total.replayed += len(ids) - len(refused)
    total.errors += [_refused(quarantine_id, refused) for quarantine_id in ids if quarantine_id in refused]


def _refused(quarantine_id: int, refused: Mapping[int, RecordError]) -> Refused:
    error = refused[quarantine_id]
    return Refused(quarantine_id, error.field, error.value, error.reason)


def _as_of_then(kept: Kept) -> bytes:
    """The record as said when it came: without a time of its own it must not outdo what has landed since."""
    try:
        record = msgspec.json.decode(kept.payload, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return kept.payload
    if record.get("updated_at", msgspec.Raw(b"null")) != msgspec.Raw(b"null"):
        return kept.payload
    return msgspec.json.encode({**record, "updated_at": kept.entry.quarantined_at.isoformat()})


def _log(services: Services, partner: str, total: Replayed) -> None:
    with services.database.partner(partner) as connection:
        counts = {"replayed": total.replayed, "refused": total.refused}
        logs.event(connection, partner, "quarantine.replayed", services.clock(), counts)
