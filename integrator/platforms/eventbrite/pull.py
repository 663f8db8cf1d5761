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
    Account,
    Cursor,
    Listing,
    Page,
    Platform,
    Raw,
    Window,
    mapped,
    missing_permissions,
    moment,
    resting,
    stamp,
)
from integrator.platforms.eventbrite.client import page, pages, session_for
from integrator.platforms.eventbrite.map import contact_records, event_records, is_event, sale_records
from integrator.platforms.eventbrite.spec import SPEC
from integrator.platforms.http import Session, server_time

OVERLAP = timedelta(minutes=1)
LISTS = {"event": "events", "contact": "orders", "sale": "attendees"}
SHOWN = {"status": "live,started,ended,completed,canceled", "order_by": "created_asc"}
WHOLE = SHOWN | {"expand": "venue,category,ticket_availability"}


class Eventbrite(Platform):
    """Events with attendance once over, tickets as sales, buyers as contacts."""

    def pages(
        self, session: Session, account: Account, kind: str, cursor: Cursor | None, window: Window | None
    ) -> Iterator[Page]:
        """One list: of orders or attendees what changed, of events all."""
        yield from _read(session, account, kind, cursor or {}, window)

    def news(self, session: Session, account: Account, cursors: Mapping[str, Cursor | None]) -> bool:
        """An attendee or order changed, or an event changed or ended: two requests and the list of events."""
        if not resting(cursors.values()):
            return True
        for kind in (one for one in ("sale", "contact", "event") if one in cursors):  # the cheapest first
            since = moment((cursors[kind] or {})["since"])
            params = SHOWN if kind == "event" else {"changed_since": stamp(since + timedelta(seconds=1))}
            for items, _, answer in pages(session, _path(account, kind), params):
                span = (since + timedelta(microseconds=1), server_time(answer, account.clock()))  # after, not at
                if any(kind != "event" or _changed(one, *span, frozenset(), broken=False) for one in items):
                    return True
        return False

    def total(self, session: Session, account: Account, kind: str) -> int | None:
        """The list's own count, without drafts: one request."""
        told = page(session, _path(account, kind), SHOWN if kind == "event" else {})[1].get("object_count")
        return told if isinstance(told, int) else None

    def missing(self, session: Session, account: Account) -> list[str]:
        """What the token's owner may not see of the organization: events, orders, attendees."""
        return missing_permissions(
            (f"access to {name}", partial(page, session, _path(account, kind), {})) for kind, name in LISTS.items()
        )


PLATFORM = Eventbrite(SPEC, session_for)


def _path(account: Account, kind: str) -> str:
    return f"/organizations/{account.settings['organization']}/{LISTS[kind]}/"


def _read(session: Session, account: Account, kind: str, cursor: Cursor, window: Window | None) -> Iterator[Page]:
    """The pages of one kind; a listing of events only where this very read has seen the first page."""
    since = window.since if window else moment(cursor["since"]) if cursor.get("since") else None
    asked = None if since is None else (since if window else since - OVERLAP).replace(microsecond=0)
    until = window.until if window else moment(cursor["until"]) if cursor.get("until") else None
    listed: set[str] | None = set() if kind == "event" and not window and "continuation" not in cursor else None
    params = WHOLE if kind == "event" else {"changed_since": stamp(asked)} if asked else {}
    scanned = _scanned(session, account, asked) if kind == "event" and asked and not window else frozenset[str]()
    for items, after, answer in pages(session, _path(account, kind), params, cursor.get("continuation")):
        until = until or max(server_time(answer, account.clock()), since or datetime.min.replace(tzinfo=UTC))
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


def _scanned(session: Session, account: Account, since: datetime) -> frozenset[str]:
    """Events of which a ticket changed: scanners upload late, and that moves no event's ``changed``."""
    lists = pages(session, _path(account, "sale"), {"changed_since": stamp(since)})
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
