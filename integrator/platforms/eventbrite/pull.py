"""What changed in an Eventbrite organization since a cursor.

Orders and attendees have ``changed_since``. Events have no filter: the list is read whole, which also tells what is no
longer shown, and of it is kept what changed, what ended, and what has ended but had tickets scanned since.
A cursor is ``{since}`` between pulls and ``{since, until, continuation}`` within one.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from integrator.contracts.errors import NotFound
from integrator.platforms.base import (
    Clock,
    Cursor,
    Listing,
    Page,
    Raw,
    Window,
    done,
    mapped,
    missing_permissions,
    moment,
    stamp,
)
from integrator.platforms.eventbrite.client import page, pages, session_for
from integrator.platforms.eventbrite.map import contact_records, event_records, is_event, sale_records
from integrator.platforms.eventbrite.spec import SPEC
from integrator.platforms.http import HttpPolicy, Session, closing, server_time

OVERLAP = timedelta(minutes=1)
LISTS = {"event": "events", "contact": "orders", "sale": "attendees"}
SHOWN = {"status": "live,started,ended,completed,canceled", "order_by": "created_asc"}
WHOLE = SHOWN | {"expand": "venue,category,ticket_availability"}


class Eventbrite:
    """Events with attendance once over, tickets as sales, buyers as contacts."""

    spec = SPEC

    def pull(
        self,
        kind: str,
        settings: Mapping[str, Any],
        credentials: Mapping[str, str],
        cursor: Cursor | None,
        *,
        clock: Clock,
        http: HttpPolicy,
        window: Window | None = None,
    ) -> Iterator[Page]:
        """See `integrator.platforms.base.Platform`."""
        SPEC.require(settings, credentials)
        SPEC.require_kind(kind)
        if not done(cursor):
            with closing(session_for(settings, credentials, http)) as session:
                yield from _read(session, kind, settings, cursor or {}, clock, window)

    def has_news(
        self,
        settings: Mapping[str, Any],
        credentials: Mapping[str, str],
        cursors: Mapping[str, Cursor | None],
        *,
        clock: Clock,
        http: HttpPolicy,
    ) -> bool:
        """An attendee or order changed, or an event changed or ended: two requests and the list of events."""
        SPEC.require(settings, credentials)
        if any(set(cursor or {}) != {"since"} for cursor in cursors.values()):
            return True
        with closing(session_for(settings, credentials, http)) as session:
            for kind in (one for one in ("sale", "contact", "event") if one in cursors):  # the cheapest first
                since = moment((cursors[kind] or {})["since"])
                params = SHOWN if kind == "event" else {"changed_since": stamp(since + timedelta(seconds=1))}
                for items, _, answer in pages(session, _path(settings, kind), params):
                    span = (since + timedelta(microseconds=1), server_time(answer, clock()))  # after, not at
                    if any(kind != "event" or _changed(one, *span, frozenset(), broken=False) for one in items):
                        return True
        return False

    def count(
        self, kind: str, settings: Mapping[str, Any], credentials: Mapping[str, str], *, clock: Clock, http: HttpPolicy
    ) -> int | None:
        """The list's own count, without drafts: one request."""
        SPEC.require(settings, credentials)
        SPEC.require_kind(kind)
        with closing(session_for(settings, credentials, http)) as session:
            told = page(session, _path(settings, kind), SHOWN if kind == "event" else {})[1].get("object_count")
            return told if isinstance(told, int) else None

    def check(self, settings: Mapping[str, Any], credentials: Mapping[str, str], *, http: HttpPolicy) -> list[str]:
        """What the token's owner may not see of the organization: events, orders, attendees."""
        SPEC.require(settings, credentials)
        with closing(session_for(settings, credentials, http)) as session:
            return missing_permissions(
                (f"access to {name}", partial(page, session, _path(settings, kind), {})) for kind, name in LISTS.items()
            )


PLATFORM = Eventbrite()


def _path(settings: Mapping[str, Any], kind: str) -> str:
    return f"/organizations/{settings['organization']}/{LISTS[kind]}/"


def _read(
    session: Session, kind: str, settings: Mapping[str, Any], cursor: Cursor, clock: Clock, window: Window | None
) -> Iterator[Page]:
    """The pages of one kind; a listing of events only where this very read has seen the first page."""
    since = window.since if window else moment(cursor["since"]) if cursor.get("since") else None
    asked = None if since is None else (since if window else since - OVERLAP).replace(microsecond=0)
    until = window.until if window else moment(cursor["until"]) if cursor.get("until") else None
    listed: set[str] | None = set() if kind == "event" and not window and "continuation" not in cursor else None
    params = WHOLE if kind == "event" else {"changed_since": stamp(asked)} if asked else {}
    scanned = _scanned(session, settings, asked) if kind == "event" and asked and not window else frozenset[str]()
    for items, after, answer in pages(session, _path(settings, kind), params, cursor.get("continuation")):
        until = until or max(server_time(answer, clock()), since or datetime.min.replace(tzinfo=UTC))
        if kind == "event":
            items = [one for one in items if is_event(one)]
            if listed is not None:
                listed |= {str(one["id"]) for one in items if isinstance(one, dict) and "id" in one}
            items = [one for one in items if asked is None or _changed(one, asked, until, scanned)]
        elif window:
            items = [one for one in items if _within(one, window)]
        records = [record for one in items for record in mapped(one, _mapper(session, kind, until))]
        if after is not None:
            state = {} if since is None or window else {"since": stamp(since)}
            yield Page(kind, records, {**state, "until": stamp(until), "continuation": after})
            continue
        gone = None if listed is None else Listing("events", frozenset(listed))
        yield Page(kind, records, {"done": True} if window else {"since": stamp(until)}, gone)


def _mapper(session: Session, kind: str, now: datetime) -> Callable[[Any], list[Raw]]:
    if kind == "event":
        return lambda event: event_records(event, now, partial(_checked_in, session))
    return contact_records if kind == "contact" else sale_records


def _checked_in(session: Session, event_id: str) -> int:
    """Tickets scanned at an event; Eventbrite has no count of them. None at one deleted since it was listed."""
    lists = pages(session, f"/events/{event_id}/attendees/", {"status": "attending"})
    with suppress(NotFound):
        return sum(1 for items, _, _ in lists for one in items if isinstance(one, dict) and one.get("checked_in"))
    return 0


def _scanned(session: Session, settings: Mapping[str, Any], since: datetime) -> frozenset[str]:
    """Events of which a ticket changed: scanners upload late, and that moves no event's ``changed``."""
    lists = pages(session, _path(settings, "sale"), {"changed_since": stamp(since)})
    return frozenset(str(one.get("event_id")) for items, _, _ in lists for one in items if isinstance(one, dict))


def _changed(event: Any, since: datetime, until: datetime, scanned: frozenset[str], *, broken: bool = True) -> bool:
    """Whether an event changed, ended, or had tickets scanned after its end; what cannot be read is ``broken``."""
    try:
        over = moment(event["end"]["utc"])
        moved = since <= moment(event["changed"]) < until or since < over <= until
        return moved or (over <= until and str(event["id"]) in scanned)
    except (KeyError, TypeError, ValueError):
        return broken


def _within(one: Any, window: Window) -> bool:
    """Whether an order or attendee changed in a backfill's window; ``changed_since`` has no upper end."""
    try:
        return window.since <= moment(one["changed"]) < window.until
    except (KeyError, TypeError, ValueError):
        return True
