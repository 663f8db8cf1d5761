"""What changed in a pretix organizer since a cursor.

Check-ins move no timestamp, so a date is read again when it has ended since the last pull, and, as scanners upload
late, the dates of the last two days once every six hours. Single events have no filter: they are read whole. What was
deleted is only no longer shown: all dates are listed once a day, and at once when there are fewer than before.
A cursor is ``{since, settled, dates, listed}`` between pulls and has ``until`` and ``seen`` within one; a backfill's is
``{seen}`` for events, ``{since}`` for orders.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

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
    stamp,
)
from integrator.platforms.http import Session, decoded, server_time
from integrator.platforms.pretix.client import listed, page, session_for, total
from integrator.platforms.pretix.map import (
    Context,
    contact_records,
    date_records,
    ended,
    event_id,
    sale_records,
)
from integrator.platforms.pretix.spec import SPEC

OVERLAP = timedelta(minutes=1)
SETTLE_EVERY = timedelta(hours=6)
SETTLE_BACK = timedelta(days=2)
SINGLE_EVENTS_BACK = timedelta(days=30)
LIST_EVERY = timedelta(days=1)
SCOPE = "events"


class Pretix(Platform):
    """Events and series with capacity and attendance, order positions as sales, buyers as contacts."""

    def pages(
        self, session: Session, account: Account, kind: str, cursor: Cursor | None, window: Window | None
    ) -> Iterator[Page]:
        """Dates as they change or end, and orders as they change."""
        if kind != "event":
            yield from _orders(session, kind, cursor or {}, window)
        elif window is not None:
            yield from _dates_within(session, account, cursor or {}, window)
        else:
            yield from _events(session, account, cursor or {})

    def news(self, session: Session, account: Account, cursors: Mapping[str, Cursor | None]) -> bool:
        """A date changed or ended, or an order changed, since the cursors: at most three requests."""
        since = (cursors.get("event") or {}).get("since")
        if since is None:
            return True
        now = server_time(session.get("/events/", params={"page_size": 1}), account.clock())
        if _changed(session, since, since, now):
            return True
        last = (cursors.get("sale") or {}).get("since")
        params = {"modified_since": last, "page_size": 2} if last else {"page_size": 1}
        orders, _ = page(session, "/orders/", params)
        return any(last is None or moment(order["last_modified"]) > moment(last) for order in orders)

    def total(self, session: Session, account: Account, kind: str) -> int | None:
        """Dates and single events; order positions, cancelled ones too; orders (one buyer each). Test orders count too."""
        if kind == "contact":
            return total(session, "/orders/", testmode="false")
        events = list(listed(session, "/events/"))
        if kind == "event":
            return total(session, "/subevents/") + sum(not event.get("has_subevents") for event in events)
        return sum(
            total(session, f"/events/{event['slug']}/orderpositions/", include_canceled_positions="true")
            for event in events
        )

    def missing(self, session: Session, account: Account) -> list[str]:
        """Missing permissions of the token's team: events, orders."""
        return missing_permissions(
            (
                ("access to events", lambda: page(session, "/events/", {"page_size": 1})),
                ("can_view_orders", lambda: _may_view_orders(session)),
            )
        )


PLATFORM = Pretix(SPEC, session_for)


def _events(session: Session, account: Account, cursor: Cursor) -> Iterator[Page]:
    head = session.get("/subevents/", params={"page_size": 1})
    now = server_time(head, account.clock())
    since: str | None = cursor.get("since")
    until = cursor.get("until") or stamp(now)
    settled = cursor.get("settled") or until
    back = since
    if since is not None and now - moment(settled) >= SETTLE_EVERY:
        back, settled = stamp(moment(since) - SETTLE_BACK), until
    seen = set(cursor.get("seen", ()))
    kept = {key: cursor[key] for key in ("dates", "listed") if key in cursor}
    changed = None
    if since is not None and back is not None:
        changed = _changed(session, stamp(moment(since) - OVERLAP), back, now)
    events = _by_slug(session)
    met = {str(event["slug"]) for event in events if not event.get("has_subevents")}
    stands = cursor  # what is stored: within the pull it names what was seen, which must not outlast it
    for event in events:
        slug = str(event["slug"])
        if slug in seen:
            continue
        records = _event(session, event, changed, Context(event, account.settings, now, since is None), since)
        met.update(str(record["native_id"]) for record in records)
        seen.add(slug)
        if records:
            stands = {"since": since, "settled": settled, "until": until, "seen": sorted(seen), **kept}
            yield Page("event", records, stands, scope=SCOPE)
    count = _number(decoded("pretix", head).get("count"), events)
    shown = None
    if _list_again(cursor, count, now):
        # A first pull that ran through has met every date already.
        shown = Listing(SCOPE, frozenset(met) if not cursor else _shown(session, events))
        kept = {"dates": count, "listed": until}
    elif count is not None:
        kept["dates"] = count  # what came was met on the way; what goes makes the number fall again
    after = {"since": until, "settled": settled, **kept}
    if shown is not None or after != stands:
        yield Page("event", [], after, shown)


def _number(dates: object, events: list[Raw]) -> int | None:
    """How many dates and single events there are now; None when pretix does not tell."""
    singles = sum(not event.get("has_subevents") for event in events)
    return dates + singles if isinstance(dates, int) else None


def _list_again(cursor: Cursor, count: int | None, now: datetime) -> bool:
    """Whether all dates have to be listed: when there are fewer, and once a day. A list of thousands takes minutes."""
    before, last = cursor.get("dates"), cursor.get("listed")
    if before is None or last is None or count is None or count < before:
        return True
    return now - moment(last) >= LIST_EVERY


def _shown(session: Session, events: list[Raw]) -> frozenset[str]:
    """The native ids of every date and single event there is now."""
    single = {str(event["slug"]) for event in events if not event.get("has_subevents")}
    dates = listed(session, "/subevents/", ordering="id")
    return frozenset(single | {event_id(date.get("event"), date.get("id")) for date in dates})


def _by_slug(session: Session) -> list[Raw]:
    return sorted(listed(session, "/events/"), key=lambda event: str(event["slug"]))


def _dates_within(session: Session, account: Account, cursor: Cursor, window: Window) -> Iterator[Page]:
    """Dates modified or over within the window, event by event."""
    since = stamp(window.since)
    changed = _changed(session, since, since, window.until)
    seen = set(cursor.get("seen", ()))
    for event in _by_slug(session):
        slug = str(event["slug"])
        if slug in seen:
            continue
        seen.add(slug)
        if not event.get("has_subevents") and not _over(event, window.since, window.until):
            continue
        mine = {slug: [date for date in changed.get(slug, ()) if _within(date, window)]}
        records = _event(session, event, mine, Context(event, account.settings, window.until, True), None)
        if records:
            yield Page("event", records, {"seen": sorted(seen)})
    yield Page("event", [], {"done": True})


def _within(date: Mapping[str, Any], window: Window) -> bool:
    """Modified or over within the window; one that cannot be read counts, so that landing gets to quarantine it."""
    try:
        modified = window.since <= moment(date.get("last_modified")) < window.until
    except ValueError:
        return True
    return modified or _over(date, window.since, window.until)


def _changed(session: Session, since: str, back: str, now: datetime) -> dict[str, list[Any]]:
    """Dates by series: modified since ``since``, or over by ``now`` and not yet over at ``back``."""
    found: dict[Any, Any] = {}
    for date in listed(session, "/subevents/", modified_since=since, ordering="id"):
        found[date["id"]] = date
    for date in listed(session, "/subevents/", ends_after=back, date_from_before=stamp(now), ordering="id"):
        if _over(date, moment(back), now):
            found[date["id"]] = date
    by_series: dict[str, list[Any]] = {}
    for date in found.values():
        by_series.setdefault(str(date["event"]), []).append(date)
    return by_series


def _over(date: Mapping[str, Any], after: datetime, until: datetime) -> bool:
    """Whether a date ends in between; one that cannot be read counts, so that landing gets to quarantine it."""
    try:
        return after < ended(date) <= until
    except (KeyError, ValueError):
        return True


def _event(
    session: Session, event: Raw, changed: Mapping[str, list[Any]] | None, around: Context, since: str | None
) -> list[Raw]:
    """The records of one event or series; of a series only the changed dates, all of them at first."""
    path = f"/events/{event['slug']}"
    filters: dict[str, Any] = {}
    if event.get("has_subevents"):
        if changed is None:
            dates = list(listed(session, f"{path}/subevents/", ordering="id"))
        else:
            dates = changed.get(str(event["slug"]), [])
            if len(dates) == 1:
                filters = {"subevent": dates[0]["id"]}
    else:
        recent = since is None or _over(event, moment(since) - SINGLE_EVENTS_BACK, datetime.max.replace(tzinfo=UTC))
        dates = [{**event, "id": None, "active": True}] if recent else []
    if not dates:
        return []
    quotas = list(listed(session, f"{path}/quotas/", with_availability="true", **filters))
    lists = list(listed(session, f"{path}/checkinlists/", **filters))
    full = replace(around, quotas=quotas, lists=lists)
    return [record for date in dates for record in mapped(date, lambda d: date_records(d, full))]


def _may_view_orders(session: Session) -> None:
    """`Forbidden` without the permission. Over all events pretix answers it with no orders; of one event, with 403."""
    events, _ = page(session, "/events/", {"page_size": 1})
    page(session, f"/events/{events[0]['slug']}/orders/" if events else "/orders/", {"page_size": 1})


def _orders(session: Session, kind: str, cursor: Cursor, window: Window | None) -> Iterator[Page]:
    """Orders by ``last_modified``, moving the filter along: page numbers would shift under changes."""
    _may_view_orders(session)
    currencies = {str(event["slug"]): str(event["currency"]) for event in listed(session, "/events/")}
    since: str | None = cursor.get("since") or (stamp(window.since) if window else None)
    until = window.until if window else datetime.max.replace(tzinfo=UTC)
    last = since
    asked = since if since is None or window else stamp(moment(since) - OVERLAP)
    number, more = 1, True
    while more:
        params = {"ordering": "last_modified", "include_canceled_positions": "true"}
        orders, more = page(session, "/orders/", params | ({"modified_since": asked} if asked else {}), number)
        kept = [order for order in orders if not _modified_after(order, until)]
        more = more and len(kept) == len(orders)
        records = []
        for order in kept:
            records += mapped(order, lambda o: sale_records(o, currencies) if kind == "sale" else contact_records(o))
        times = [order["last_modified"] for order in kept if isinstance(order, dict) and order.get("last_modified")]
        newest = stamp(moment(max(times, key=moment))) if times else asked
        # Fifty orders of one instant cannot move the filter along: only then the page number does.
        number = number + 1 if newest == asked else 1
        asked = newest
        if newest is not None and (last is None or moment(newest) > moment(last)):
            last = newest
        if records:
            yield Page(kind, records, {"since": last})
    if window is not None:
        yield Page(kind, [], {"done": True})


def _modified_after(order: Any, until: datetime) -> bool:
    try:
        return moment(order.get("last_modified")) >= until
    except (AttributeError, ValueError):
        return False
