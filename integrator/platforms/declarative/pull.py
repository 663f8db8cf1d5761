"""What changed on a declared platform since a cursor, stream by stream.

A cursor is ``{streams: {name: …}}``: of a stream with a filter as in `integrator.platforms.changes`, of one that is read
whole ``{read_at}``, or ``{next}`` within it.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from integrator.contracts.errors import InvalidInput
from integrator.platforms.base import (
    Account,
    Cursor,
    Listing,
    Page,
    Platform,
    Raw,
    Window,
    missing_permissions,
    moment,
    stamp,
)
from integrator.platforms.changes import Answer, Ask, Changes, any_order, oldest_first, whole_second
from integrator.platforms.declarative.client import Declared, ask, declared_of, session_for, walk
from integrator.platforms.declarative.definition import Incremental, Stream
from integrator.platforms.declarative.functions import amount
from integrator.platforms.declarative.spec import SPEC
from integrator.platforms.http import Session, server_time

REFERENCES = ("native_id", "event_id", "contact_id", "series_id")
FORMATS: Mapping[str, Callable[[datetime], str | int]] = {
    "rfc3339": stamp,
    "date": lambda at: stamp(at)[:10],
    "epoch": lambda at: int(at.timestamp()),
    "epoch_ms": lambda at: int(at.timestamp()) * 1000,
}


class Declarative(Platform):
    """The streams of a definition."""

    def pages(
        self, session: Session, account: Account, kind: str, cursor: Cursor | None, window: Window | None
    ) -> Iterator[Page]:
        """Stream by stream; the last page of a backfill is an empty one of its own."""
        declared = declared_of(account)
        cursors: dict[str, Any] = dict((cursor or {}).get("streams", {}))
        for stream in declared.definition.of_kind(kind):
            if window is not None and cursors.get(stream.name, {}).get("done"):
                continue
            for records, inner, listing in _read(declared, session, stream, cursors.get(stream.name), window):
                cursors = {**cursors, stream.name: inner}
                yield Page(kind, records, {"streams": cursors}, listing)
        if window is not None:
            yield Page(kind, [], {"streams": cursors, "done": True})

    def news(self, session: Session, account: Account, cursors: Mapping[str, Cursor | None]) -> bool:
        """Whether a filtered stream shows a row not seen, or one that is read whole is due: a few requests a stream."""
        declared = declared_of(account)
        for stream in declared.definition.streams:
            known = ((cursors.get(stream.mapping.kind) or {}).get("streams") or {}).get(stream.name)
            if known is None or "next" in known or _fresh(declared, session, stream, known):
                return True
        return False

    def total(self, session: Session, account: Account, kind: str) -> int | None:
        """The streams' totals, where each has one and makes one record of a row; else None."""
        declared = declared_of(account)
        streams = declared.definition.of_kind(kind)
        if not streams or any(s.total is None or s.mapping.each or s.mapping.only for s in streams):
            return None
        totals = [s.total(ask(declared, session, s, {}).body) for s in streams if s.total is not None]
        try:
            return sum(int(found) for found in map(amount, totals) if found is not None)
        except InvalidInput:
            return None

    def missing(self, session: Session, account: Account) -> list[str]:
        """The streams that may not be read."""
        declared = declared_of(account)
        return missing_permissions(
            (stream.name, partial(ask, declared, session, stream, {})) for stream in declared.definition.streams
        )


PLATFORM = Declarative(SPEC, lambda account: session_for(declared_of(account)))


def _read(
    account: Declared, session: Session, stream: Stream, known: Raw | None, window: Window | None
) -> Iterator[tuple[list[Raw], Raw, Listing | None]]:
    """Records, the stream's cursor after them, and on the last page of a whole list what it held."""
    if stream.incremental is None:
        yield from _whole(account, session, stream, known, window)
        return
    changes = changes_of(account, stream, stream.incremental, known, window)
    asking = asking_of(account, session, stream, stream.incremental, window)
    if stream.incremental.ordered:
        pages = oldest_first(asking, changes, numbered=stream.paging.type in ("page", "offset"))
    else:
        pages = any_order(asking, changes, (known or {}).get("next"))
    for records, inner in pages:
        yield records, inner, None


def _whole(
    account: Declared, session: Session, stream: Stream, known: Raw | None, window: Window | None
) -> Iterator[tuple[list[Raw], Raw, Listing | None]]:
    state = (known or {}).get("next")
    ids: set[str] | None = set() if state is None and window is None else None
    for answer in walk(account, session, stream, {}, state):
        records = [prefixed(account, record) for row in answer.rows for record in stream.mapping.records(row)]
        if ids is not None:
            ids |= {record["native_id"] for record in records if isinstance(record.get("native_id"), str)}
        if answer.next is not None:
            yield records, {"next": answer.next}, None
            continue
        done = {"read_at": stamp(server_time(answer.http, account.clock())), **({"done": True} if window else {})}
        yield records, done, None if ids is None else Listing(f"{account.prefix}/{stream.name}", frozenset(ids))


def changes_of(
    account: Declared, stream: Stream, how: Incremental, known: Raw | None, window: Window | None
) -> Changes:
    """A reading of a filtered stream."""
    return Changes(
        lambda row: stream.changed(row) if stream.changed else "",
        lambda row: [prefixed(account, record) for record in stream.mapping.records(row)],
        known, window, overlap=timedelta(seconds=how.overlap),
        rounded=_whole_day if how.format == "date" else whole_second,
    )  # fmt: skip


def asking_of(
    account: Declared, session: Session, stream: Stream, how: Incremental, window: Window | None = None
) -> Ask:
    """A function that asks the stream for what changed since a moment."""
    write = FORMATS[how.format]

    def asking(since: datetime | None, state: Raw | None) -> Answer:
        params = {} if since is None else {how.param: f"{how.before}{write(since)}"}
        if window is not None and how.until_param:
            params[how.until_param] = f"{write(whole_second(window.until) + timedelta(seconds=1))}"
        got = ask(account, session, stream, params, state)
        return Answer(got.rows, got.next, server_time(got.http, account.clock()))

    return asking


def _whole_day(at: datetime) -> datetime:
    return moment(f"{stamp(at)[:10]}T00:00:00Z")


def _fresh(account: Declared, session: Session, stream: Stream, known: Raw) -> bool:
    how = stream.incremental
    if how is None:
        return account.clock() - moment(known["read_at"]) >= timedelta(hours=stream.every_hours)
    return changes_of(account, stream, how, known, None).fresh(asking_of(account, session, stream, how))


def prefixed(account: Declared, record: Raw) -> Raw:
    """The record with its own id and those it refers to marked as this definition's."""
    for field in REFERENCES:
        value = record.get(field)
        if isinstance(value, str):
            record[field] = f"{account.prefix}:{value}"
    return record
