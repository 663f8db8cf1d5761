"""What changed in a Stripe account since a cursor.

First the whole list, newest first: what changes meanwhile is found among the events, which are read from the time of
the list's first page on. Events are kept for 30 days: after a longer pause the last months are listed again.
A cursor is ``{since}`` between pulls and ``{since, from, after}`` within a list, whose last id is a place to resume.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from integrator.contracts.errors import InvalidInput
from integrator.platforms.base import (
    Account,
    Cursor,
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
from integrator.platforms.http import Session, decoded, server_time
from integrator.platforms.stripe.client import last_id, page, session_for
from integrator.platforms.stripe.map import changed_charge, changed_customer, listed_charge, listed_customer
from integrator.platforms.stripe.spec import SPEC

OVERLAP = timedelta(minutes=5)
EVENTS_KEPT = timedelta(days=29)  # thirty, less the time a pull takes
LISTED_AGAIN = timedelta(days=180)  # how long most charges can be refunded
STRETCH = timedelta(hours=6)  # events are read in stretches of time, oldest first, each a place to resume
COUNTED = 10_000  # the search counts exactly up to here
EVENTS = "/v1/events"


@dataclass(frozen=True)
class _Source:
    """Where records of one kind come from: a list and the events that change it."""

    path: str
    expand: str
    types: tuple[str, ...]
    listed: Callable[[Any, Mapping[str, Any]], list[Raw]]
    changed: Callable[[Any, Mapping[str, Any]], list[Raw]]


_CHARGE = ("succeeded", "pending", "failed", "expired", "captured", "updated", "refunded")
_CUSTOMER = ("created", "updated", "deleted")
SOURCES = {
    "sale": _Source(
        "/v1/charges", "data.refunds", tuple(f"charge.{one}" for one in _CHARGE), listed_charge, changed_charge
    ),
    "contact": _Source(
        "/v1/customers", "", tuple(f"customer.{one}" for one in _CUSTOMER), listed_customer, changed_customer
    ),
}


class Stripe(Platform):
    """Charges with their refunds as sales, customers as contacts."""

    def pages(
        self, session: Session, account: Account, kind: str, cursor: Cursor | None, window: Window | None
    ) -> Iterator[Page]:
        """The whole list first, then what events say has changed."""
        at = dict(cursor or {})
        if window is None and set(at) == {"since"}:
            if account.clock() - moment(at["since"]) < EVENTS_KEPT:
                yield from _changes(session, account, kind, moment(at["since"]))
                return
            # A charge is refunded within months, a customer may change at any time.
            at = {"from": stamp(moment(at["since"]) - LISTED_AGAIN)} if kind == "sale" else {}
        yield from _list(session, account, kind, at, window)

    def news(self, session: Session, account: Account, cursors: Mapping[str, Cursor | None]) -> bool:
        """Whether there is an event after the cursors: a request for each kind."""
        if not resting(cursors.values()):
            return True
        for kind, cursor in cursors.items():
            after = {"limit": 1, "created[gt]": _seconds(moment((cursor or {})["since"]))}
            if page(session, EVENTS, after | {"types[]": SOURCES[kind].types})[0]:
                return True
        return False

    def total(self, session: Session, account: Account, kind: str) -> int | None:
        """The search's total, None where it is no longer exact or the account has no search: one request."""
        with suppress(InvalidInput):
            query = {"query": "created>0", "limit": 1, "expand[]": "total_count"}
            body = decoded("stripe", session.get(f"{SOURCES[kind].path}/search", params=query))
            total = body.get("total_count") if isinstance(body, dict) else None
            return total if isinstance(total, int) and total < COUNTED else None
        return None

    def missing(self, session: Session, account: Account) -> list[str]:
        """Permissions a restricted key lacks: reading charges, customers, events."""
        return missing_permissions(
            (f"rak_{name}_read", partial(page, session, f"/v1/{name}s", {"limit": 1}))
            for name in ("charge", "customer", "event")
        )


PLATFORM = Stripe(SPEC, session_for)


def _seconds(at: datetime) -> int:
    return int(at.timestamp())


def _list(session: Session, account: Account, kind: str, at: Raw, window: Window | None) -> Iterator[Page]:
    """A list from the newest back, from where ``at`` left it."""
    source, more, resumed = SOURCES[kind], True, "after" in at
    params: Raw = {"expand[]": source.expand} if source.expand else {}
    if window is not None:
        params |= {"created[gte]": _seconds(window.since), "created[lt]": _seconds(window.until)}
    elif "from" in at:
        params["created[gte]"] = _seconds(moment(at["from"]))
    while more:
        after = {"starting_after": at["after"]} if "after" in at else {}
        try:
            items, more, answer = page(session, source.path, params | after)
        except InvalidInput:
            if not resumed:
                raise
            del at["after"]  # what the list was left at is deleted: it starts over
            resumed = False
            continue
        if window is None:
            at.setdefault("since", stamp(server_time(answer, account.clock())))
        records = [record for one in items for record in mapped(one, lambda o: source.listed(o, account.settings))]
        if more:
            at["after"] = last_id(items)
            yield Page(kind, records, dict(at))
        else:
            yield Page(kind, records, {"done": True} if window else {"since": at["since"]})


def _changes(session: Session, account: Account, kind: str, since: datetime) -> Iterator[Page]:
    """What events say has changed, a stretch of time after the other."""
    source, low, now = SOURCES[kind], since - OVERLAP, since
    while True:
        span = {"created[gte]": _seconds(low), "created[lt]": _seconds(low + STRETCH), "types[]": source.types}
        events: list[Any] = []
        more, after = True, dict[str, str]()
        while more:
            items, more, answer = page(session, EVENTS, span | after)
            events += items
            now = server_time(answer, account.clock())
            after = {"starting_after": last_id(items)} if more else {}
        records = [r for one in reversed(events) for r in mapped(one, lambda e: source.changed(e, account.settings))]
        low += STRETCH
        yield Page(kind, records, {"since": stamp(max(since, min(low, now)))})
        if low > now:
            return
