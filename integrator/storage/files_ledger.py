"""`ops.dropped_file`: which content of which file was landed, how far, and what became of it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, text

from integrator.contracts.records import LandingResult
from integrator.storage.database import Database

KEPT_ERRORS = 1000
LOCK = 0x1D7E6A73
_COLUMNS = """file_id, partner, path, mark, mapping_mark, content_hash, kind, status, reason, batches, accepted, unchanged,
  quarantined, errors, attempts, is_reported, found_at, finished_at"""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One content of one file; `errors` are the first thousand, each with line, field, value and reason."""

    file_id: int
    partner: str
    path: str
    mark: str
    mapping_mark: str
    content_hash: bytes | None
    kind: str | None
    status: str
    reason: str | None
    batches: int
    accepted: int
    unchanged: int
    quarantined: int
    errors: list[dict[str, Any]]
    attempts: int
    is_reported: bool
    found_at: datetime
    finished_at: datetime | None


@contextmanager
def one_at_a_time(database: Database, partner: str) -> Iterator[None]:
    """Waits until nobody else lands this partner's files."""
    with database.partner(partner) as connection:
        connection.execute(
            text("select pg_advisory_xact_lock(:lock, hashtext(:partner))"), {"lock": LOCK, "partner": partner}
        )
        yield


def newest(connection: Connection, partner: str, path: str | None = None) -> dict[str, Entry]:
    """What is known of each file, by path; of one file if it is named."""
    rows = connection.execute(
        text(f"""select distinct on (path) {_COLUMNS} from ops.dropped_file
          where partner = :partner and (cast(:path as text) is null or path = :path) order by path, file_id desc"""),
        {"partner": partner, "path": path},
    )
    return {row.path: _entry(row._mapping) for row in rows}


def history(connection: Connection, partner: str, limit: int = 1000) -> list[Entry]:
    """Every content that was found, the newest first."""
    rows = connection.execute(
        text(f"select {_COLUMNS} from ops.dropped_file where partner = :partner order by file_id desc limit :limit"),
        {"partner": partner, "limit": limit},
    )
    return [_entry(row._mapping) for row in rows]


def begin(
    connection: Connection, partner: str, path: str, mark: str, mapping_mark: str, now: datetime, after: Entry | None
) -> Entry:
    """A row for what is about to be read; `after` is the row to go on with, which counts one attempt more."""
    if after is not None:
        row = connection.execute(
            text(f"""update ops.dropped_file set attempts = attempts + 1, mark = :mark
              where partner = :partner and file_id = :file_id returning {_COLUMNS}"""),
            {"partner": partner, "file_id": after.file_id, "mark": mark},
        ).one()
    else:
        row = connection.execute(
            text(f"""insert into ops.dropped_file (partner, path, mark, mapping_mark, status, attempts, found_at)
              values (:partner, :path, :mark, :mapping_mark, 'landing', 1, :now) returning {_COLUMNS}"""),
            {"partner": partner, "path": path, "mark": mark, "mapping_mark": mapping_mark, "now": now},
        ).one()
    return _entry(row._mapping)


def excuse(connection: Connection, partner: str, file_id: int) -> None:
    """Take an attempt back: that it failed was not the file's fault."""
    connection.execute(
        text("update ops.dropped_file set attempts = attempts - 1 where partner = :partner and file_id = :file_id"),
        {"partner": partner, "file_id": file_id},
    )


def identify(connection: Connection, partner: str, file_id: int, content_hash: bytes, kind: str | None) -> None:
    """What the file holds, once it was fetched."""
    connection.execute(
        text("""update ops.dropped_file set content_hash = :content_hash, kind = :kind
          where partner = :partner and file_id = :file_id"""),
        {"partner": partner, "file_id": file_id, "content_hash": content_hash, "kind": kind},
    )


def restart(connection: Connection, partner: str, file_id: int, mapping_mark: str) -> None:
    """Forget how far it came: the content or its mapping is another one now."""
    connection.execute(
        text("""update ops.dropped_file set batches = 0, accepted = 0, unchanged = 0, quarantined = 0,
            errors = '[]', attempts = 1, mapping_mark = :mapping_mark
          where partner = :partner and file_id = :file_id"""),
        {"partner": partner, "file_id": file_id, "mapping_mark": mapping_mark},
    )


def advance(connection: Connection, partner: str, file_id: int, landed: LandingResult) -> None:
    """One batch more; called inside the transaction that lands it."""
    connection.execute(
        text("""update ops.dropped_file set batches = batches + 1, accepted = accepted + :accepted,
            unchanged = unchanged + :unchanged, quarantined = quarantined + :quarantined,
            errors = case when jsonb_array_length(errors) < :most then errors || cast(:errors as jsonb) else errors end
          where partner = :partner and file_id = :file_id"""),
        {
            "partner": partner, "file_id": file_id, "accepted": landed.accepted, "unchanged": landed.unchanged,
            "quarantined": landed.quarantined, "most": KEPT_ERRORS,
            "errors": json.dumps(msgspec.to_builtins(landed.errors[:KEPT_ERRORS])),
        },
    )  # fmt: skip


def finish(
    connection: Connection, partner: str, file_id: int, status: str, now: datetime, reason: str | None = None
) -> Entry:
    """`landed` or `broken`, and why; the file is not read again until it changes."""
    row = connection.execute(
        text(f"""update ops.dropped_file set status = :status, reason = :reason, finished_at = :now
          where partner = :partner and file_id = :file_id returning {_COLUMNS}"""),
        {"partner": partner, "file_id": file_id, "status": status, "reason": reason, "now": now},
    ).one()
    return _entry(row._mapping)


def same_content(connection: Connection, partner: str, entry: Entry, mark: str) -> None:
    """The file was touched and is what it was: only its mark is new."""
    connection.execute(
        text("update ops.dropped_file set mark = :mark where partner = :partner and file_id = :file_id"),
        {"partner": partner, "file_id": entry.file_id, "mark": mark},
    )


def forget(connection: Connection, partner: str, file_id: int) -> None:
    """Take out the row of a content that turned out to be known, or that was still being written."""
    connection.execute(
        text("delete from ops.dropped_file where partner = :partner and file_id = :file_id"),
        {"partner": partner, "file_id": file_id},
    )


def mark_reported(connection: Connection, partner: str, file_id: int) -> None:
    """Its report lies beside the file."""
    connection.execute(
        text("update ops.dropped_file set is_reported = true where partner = :partner and file_id = :file_id"),
        {"partner": partner, "file_id": file_id},
    )


def _entry(row: Any) -> Entry:
    facts = dict(row)
    facts["content_hash"] = None if facts["content_hash"] is None else bytes(facts["content_hash"])
    facts["errors"] = facts["errors"][:KEPT_ERRORS]
    return Entry(**facts)
