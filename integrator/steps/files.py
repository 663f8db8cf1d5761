"""Dropped files: found, landed once, reported. A broken file is reported and left alone until it changes.

Identity is the path and its mark (etag, or size and time), then the content's hash: a file that was only touched is not
landed again, a changed one is. Each batch is committed together with its mark in the ledger, so that a landing that was
broken off goes on behind its last batch; landing a batch twice would change nothing either.
"""

import hashlib
import logging
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import Connection

from integrator.contracts.errors import Conflict, IntegratorError, NotFound, PermanentError, TransientError, invalid
from integrator.contracts.insight import rfc3339
from integrator.contracts.records import KIND_OF_PLURAL, PLURALS, LandingResult
from integrator.steps.services import Services
from integrator.storage import files, files_ledger, landing, logs
from integrator.storage.files_drop import Drop, Dropped
from integrator.storage.files_ledger import Entry
from integrator.storage.landing_reading import Payload, read_payloads

if TYPE_CHECKING:
    from integrator.platforms.declarative.mapping import RecordMapping

PLATFORM = "direct"
BATCH = 5000
MOST_ATTEMPTS = 3
log = logging.getLogger(__name__)
Batch = tuple[list[int], bool, list[Payload]]
"""The line of each record, whether types are exact, the records."""


@dataclass(frozen=True)
class Reading:
    """How a file is read: its kind, the mapping if there is one, and what tells a changed mapping."""

    kind: str | None
    mapping: "RecordMapping | None" = None
    mark: str = ""
    problem: str | None = None


@dataclass(frozen=True)
class Waiting:
    """A file that is to be landed, and what the ledger knows of it."""

    file: Dropped
    reading: Reading
    known: Entry | None

    @property
    def identity(self) -> str:
        """Another one whenever the file or its mapping changes."""
        return f"{self.file.path}@{self.file.mark}+{self.reading.mark}"


@dataclass(frozen=True)
class FilesReport:
    """What one pass over a partner's files did; `entries` as they stand in the ledger."""

    landed: LandingResult = field(default_factory=LandingResult)
    entries: tuple[Entry, ...] = ()


def open_drop(services: Services) -> Drop | None:
    """The drop of the settings, None where there is none."""
    settings = services.settings
    if not settings.drop_url:
        return None
    options = settings.drop_options
    return Drop(
        settings.drop_url, options.get_secret_value() if options else None, settle_seconds=settings.drop_settle_seconds
    )


def waiting(services: Services, partner: str, kind: str | None = None, *, at_once: bool = False) -> list[Waiting]:
    """A partner's files that are not landed as they are now, by path; of one kind if it is named.

    A file that is still being written waits for the next look, unless `at_once`. What has no kind is counted to events.
    """
    drop = open_drop(services)
    if drop is None:
        return []
    with services.database.partner(partner) as connection:
        known = files_ledger.newest(connection, partner)
    readings: dict[str, Reading] = {}
    found = []
    for file in drop.files(partner):
        if not (file.is_settled or at_once):
            continue
        if file.folder not in readings:
            readings[file.folder] = _reading(drop, partner, file.folder)
        reading, entry = readings[file.folder], known.get(file.path)
        if kind in (None, reading.kind or "event") and not _is_done(entry, file, reading):
            found.append(Waiting(file, reading, entry))
    return found


def unreported(services: Services, partner: str) -> list[Entry]:
    """What is done and has no report beside it yet."""
    with services.database.partner(partner) as connection:
        entries = files_ledger.newest(connection, partner).values()
    return [entry for entry in entries if entry.status != "landing" and not entry.is_reported]


def land(services: Services, partner: str, kind: str | None = None, *, at_once: bool = False) -> FilesReport:
    """Land what waits, file by file; one that fails stops alone, and what may pass is raised after the last.

    `NotFound` when no drop is configured.
    """
    drop = open_drop(services)
    if drop is None:
        raise NotFound("no drop is configured; INTEGRATOR_DROP_URL names a folder or a bucket")
    report, failures = FilesReport(), list[Exception]()
    with files_ledger.one_at_a_time(services.database, partner):
        for one in waiting(services, partner, kind, at_once=at_once):
            try:
                entry = _land_one(services, drop, one)
            except Exception as error:  # whatever one file holds, the others go on
                log.warning("%s: %s", one.file.path, type(error).__name__)
                failures.append(error)
                continue
            if entry is not None:
                counts = LandingResult(entry.accepted, entry.unchanged, entry.quarantined)
                report = FilesReport(report.landed + counts, (*report.entries, entry))
        for entry in unreported(services, partner):
            _tell(services, drop, entry)
    if failures:
        raise failures[0]
    return report


def document(entry: Entry) -> dict[str, Any]:
    """The report that lies beside a file, as `integrator load` would have answered."""
    return {
        "file": PurePosixPath(entry.path).name, "status": entry.status, "reason": entry.reason,
        "kind": PLURALS[entry.kind] if entry.kind else None, "accepted": entry.accepted, "unchanged": entry.unchanged,
        "quarantined": entry.quarantined, "errors": entry.errors,
        "sha256": entry.content_hash.hex() if entry.content_hash else None,
        "finished_at": rfc3339(entry.finished_at) if entry.finished_at else None,
    }  # fmt: skip


def _is_done(entry: Entry | None, file: Dropped, reading: Reading) -> bool:
    """Landed, or broken under the same mapping: a mended mapping makes a broken file worth another try."""
    if entry is None or entry.mark != file.mark or entry.status == "landing":
        return False
    return entry.status == "landed" or entry.mapping_mark == reading.mark


def _reading(drop: Drop, partner: str, folder: str) -> Reading:
    """The mapping in the file's own folder, else the folder's name, else the partner's mapping."""
    kind = KIND_OF_PLURAL.get(folder)
    found = drop.mapping(partner, folder) if folder else None
    if found is None and kind is not None:
        return Reading(kind)
    found = found or drop.mapping(partner, "")
    if found is None:
        allowed = ", ".join(KIND_OF_PLURAL)
        return Reading(
            None, problem=f"what it holds is not said: put it into a folder {allowed}, or a mapping.yaml beside it"
        )
    from integrator.platforms.declarative.mapping import load_mapping

    path, text = found
    mark = hashlib.sha256(text).hexdigest()
    try:
        mapping = load_mapping(text, name=path.partition("/")[2])
    except IntegratorError as error:
        return Reading(kind, mark=mark, problem=str(error))
    return Reading(mapping.kind, mapping, mark)


def _land_one(services: Services, drop: Drop, one: Waiting) -> Entry | None:
    """One file, to its end; None where it went, is being written, or is what it was."""
    entry = _begun(services, one)
    try:
        if one.reading.problem is not None:
            raise PermanentError(one.reading.problem)
        if entry.attempts > MOST_ATTEMPTS:
            raise PermanentError(f"its landing was broken off {MOST_ATTEMPTS} times")
        _require_format(one.file)
        with tempfile.TemporaryDirectory(prefix="integrator-drop-") as folder:
            copy = Path(folder) / f"records{PurePosixPath(one.file.path).suffix.lower()}"
            content_hash = drop.fetch(one.file, copy)
            if _is_known(services, one, entry, content_hash):
                return None
            entry = _resumed(services, entry, content_hash, one.reading)
            _read_on(services, one, entry, copy)
    except Conflict:
        _forget(services, one, entry)
        return None
    except PermanentError as error:
        return _finished(services, entry, "broken", _plain(error, one.file))
    except TransientError:
        _excuse(services, entry)
        raise
    except Exception as error:
        if entry.attempts < MOST_ATTEMPTS:
            raise
        return _finished(services, entry, "broken", f"it cannot be read: {type(error).__name__}")
    return _finished(services, entry, "landed", None)


def _begun(services: Services, one: Waiting) -> Entry:
    """The ledger's row: that of a landing which was broken off, or a new one."""
    known = one.known
    is_rest = known is not None and known.status == "landing"
    with services.database.partner(one.file.partner) as connection:
        return files_ledger.begin(
            connection, one.file.partner, one.file.path, one.file.mark, one.reading.mark, services.clock(),
            known if is_rest else None,
        )  # fmt: skip


def _is_known(services: Services, one: Waiting, entry: Entry, content_hash: bytes) -> bool:
    """Whether the file was touched and holds what was landed from it last."""
    known = one.known
    if known is None or known.status != "landed" or known.content_hash != content_hash:
        return False
    with services.database.partner(one.file.partner) as connection:
        files_ledger.forget(connection, one.file.partner, entry.file_id)
        files_ledger.same_content(connection, one.file.partner, known, one.file.mark)
    return True


def _resumed(services: Services, entry: Entry, content_hash: bytes, reading: Reading) -> Entry:
    """The entry with its content known; from the start if that, or its mapping, is another than when it was begun."""
    with services.database.partner(entry.partner) as connection:
        if entry.content_hash not in (None, content_hash) or entry.mapping_mark != reading.mark:
            files_ledger.restart(connection, entry.partner, entry.file_id, reading.mark)
            entry = replace(entry, batches=0)
        files_ledger.identify(connection, entry.partner, entry.file_id, content_hash, reading.kind)
    return entry


def _read_on(services: Services, one: Waiting, entry: Entry, copy: Path) -> None:
    """Land every batch that is not landed yet, each in one transaction with its mark in the ledger."""
    kind = one.reading.kind
    assert kind is not None
    for number, (lines, strict, payloads) in enumerate(_batches(copy, one.reading)):
        if number < entry.batches:
            continue

        def advance(connection: Connection, result: LandingResult, lines: list[int] = lines) -> None:
            # Landing counts the records of its batch; the sender's lines are the file's.
            told = [msgspec.structs.replace(error, line=lines[error.line - 1]) for error in result.errors]
            told_result = msgspec.structs.replace(result, errors=told)
            files_ledger.advance(connection, entry.partner, entry.file_id, told_result)

        landing.land(
            services.database, entry.partner, PLATFORM, read_payloads(kind, payloads, strict=strict),
            now=services.clock(), within=advance,
        )  # fmt: skip


def _batches(copy: Path, reading: Reading) -> Iterator[Batch]:
    kind, mapping = reading.kind, reading.mapping
    assert kind is not None
    if mapping is None:
        for first, strict, payloads in files.batches(copy, kind, BATCH):
            yield list(range(first, first + len(payloads))), strict, list(payloads)
        return
    for lines, found in files.rows(copy, BATCH):
        yield from _cut([(line, one) for line, row in zip(lines, found, strict=True) for one in _mapped(mapping, row)])


def _mapped(mapping: "RecordMapping", row: Payload) -> Iterator[Payload]:
    """The records of a row; what is no object (a broken line) goes on as it is, for landing to reject."""
    if isinstance(row, Mapping):
        yield from mapping.records(row)
    else:
        yield row


def _cut(mapped: list[tuple[int, Payload]]) -> Iterator[Batch]:
    """A mapping may make many records of a row, or none: batches stay of one size, and one without records is one too."""
    for start in range(0, max(len(mapped), 1), BATCH):
        part = mapped[start : start + BATCH]
        yield [line for line, _ in part], False, [record for _, record in part]


def _require_format(file: Dropped) -> None:
    ending = PurePosixPath(file.path).suffix.lower()
    if ending not in files.FORMATS:
        raise invalid("the file's ending", ending, files.FORMATS)


def _plain(error: Exception, file: Dropped) -> str:
    """The reason in the sender's terms: the copy that was read has another name."""
    suffix = PurePosixPath(file.path).suffix.lower()
    return str(error).replace(f"records{suffix}", PurePosixPath(file.path).name)[:2000]


def _forget(services: Services, one: Waiting, entry: Entry) -> None:
    with services.database.partner(entry.partner) as connection:
        if one.known is None or one.known.file_id != entry.file_id:
            files_ledger.forget(connection, entry.partner, entry.file_id)
        else:
            files_ledger.excuse(connection, entry.partner, entry.file_id)


def _excuse(services: Services, entry: Entry) -> None:
    with services.database.partner(entry.partner) as connection:
        files_ledger.excuse(connection, entry.partner, entry.file_id)


def _finished(services: Services, entry: Entry, status: str, reason: str | None) -> Entry:
    now = services.clock()
    with services.database.partner(entry.partner) as connection:
        done = files_ledger.finish(connection, entry.partner, entry.file_id, status, now, reason)
        logs.event(connection, entry.partner, f"file.{status}", now, {
            "path": done.path, "accepted": done.accepted, "unchanged": done.unchanged, "quarantined": done.quarantined,
            "reason": reason,
        })  # fmt: skip
    return done


def _tell(services: Services, drop: Drop, entry: Entry) -> None:
    """Lay the report beside the file; a drop that may only be read has the ledger's word alone."""
    try:
        drop.report(entry.path, document(entry))
    except TransientError as error:
        log.warning("the report of %s waits: %s", entry.path, error)
        return
    except PermanentError as error:
        log.warning("the report of %s cannot be written: %s", entry.path, error)
    with services.database.partner(entry.partner) as connection:
        files_ledger.mark_reported(connection, entry.partner, entry.file_id)
