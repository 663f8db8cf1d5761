"""What changed among a HubSpot account's contacts since a cursor.

First the whole list, then the search by ``lastmodifieddate``. The search's index lags by seconds, hence the overlap;
it stops at 10,000 results, hence the moving window. It never shows archived contacts: their own list is read after it.
A cursor is ``{since}`` between pulls and ``{since, after}`` within the list. A backfill is a search between two times.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

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
from integrator.platforms.hubspot.client import (
    CONTACTS,
    LIST_LIMIT,
    SEARCH_LIMIT,
    SEARCH_WINDOW,
    definitions,
    next_after,
    read,
    results,
    search,
    session_for,
)
from integrator.platforms.hubspot.map import PLAIN, Reading, contact_records, reading
from integrator.platforms.hubspot.spec import SPEC

OVERLAP = timedelta(minutes=1)
LISTS_A_PAGE = 10  # answers gathered into one page, so that landing commits 500 contacts at a time


class HubSpot(Platform):
    """Contacts with their custom properties and the history of stage and conversion."""

    def pages(
        self, session: Session, account: Account, kind: str, cursor: Cursor | None, window: Window | None
    ) -> Iterator[Page]:
        """The list at first, the search after it; with every page the account's properties."""
        answer = session.get("/crm/v3/properties/contacts")
        how = reading(results(decoded("hubspot", answer)), account.settings)
        for page in _pages(session, how, cursor, stamp(server_time(answer, account.clock())), window):
            yield replace(page, fields=how.fields)

    def news(self, session: Session, account: Account, cursors: Mapping[str, Cursor | None]) -> bool:
        """Whether any contact changed after the cursor: a token and one search."""
        cursor = cursors.get("contact")
        if not resting([cursor]):
            return True
        return bool(results(search(session, _ms((cursor or {})["since"]), "GT", 0, 1)))

    def total(self, session: Session, account: Account, kind: str) -> int | None:
        """Contacts that are not archived: the total of a search."""
        body = search(session, 0, "GTE", 0, 1)
        total = body.get("total") if isinstance(body, dict) else None
        return total if isinstance(total, int) else None

    def missing(self, session: Session, account: Account) -> list[str]:
        """Missing scopes: reading contacts, reading their properties."""
        return missing_permissions(
            (
                ("crm.objects.contacts.read", lambda: session.get(CONTACTS, params={"limit": 1})),
                ("crm.schemas.contacts.read", lambda: definitions(session)),
            )
        )


PLATFORM = HubSpot(SPEC, session_for)


def _ms(text: object) -> int:
    return round(moment(text).timestamp() * 1000)


def _pages(
    session: Session, how: Reading, cursor: Cursor | None, started: str, window: Window | None
) -> Iterator[Page]:
    listing = cursor is not None and "after" in cursor
    if window is not None:
        finished: Raw = {"done": True}
        if listing:
            yield from _list(session, how, cursor or {}, finished)
            return
        low = str((cursor or {}).get("since") or stamp(window.since))
        yield from _search(session, how, _Span(low, _ms(low), finished, _ms(stamp(window.until))))
    elif cursor is None or listing:
        since = str((cursor or {}).get("since") or started)
        yield from _list(session, how, cursor or {"since": since}, {"since": since})
    else:
        since = str(cursor["since"])
        finished = {"since": max(since, started, key=moment)}
        yield from _search(session, how, _Span(since, _ms(stamp(moment(since) - OVERLAP)), finished))


def _list(session: Session, how: Reading, cursor: Cursor, finished: Raw) -> Iterator[Page]:
    """All contacts by id, from ``cursor["after"]`` on; what changes meanwhile is found by the search that follows."""
    after: str | None = cursor.get("after")
    within = {key: value for key, value in cursor.items() if key == "since"}
    records: list[Raw] = []
    answers = 0
    while True:
        body = decoded("hubspot", session.get(CONTACTS, params=_params(how, after)))
        for contact in results(body):
            records += mapped(contact, lambda c: contact_records(c, how))
        after = next_after(body)
        answers += 1
        if after is None or answers % LISTS_A_PAGE == 0:
            yield Page("contact", records, finished if after is None else {**within, "after": after})
            records = []
        if after is None:
            return


def _params(how: Reading, after: str | None) -> dict[str, Any]:
    wanted = {"limit": LIST_LIMIT, "properties": ",".join(PLAIN), "propertiesWithHistory": ",".join(how.history)}
    return wanted | ({"after": after} if after else {})


@dataclass(frozen=True)
class _Span:
    """What a search covers: ``since`` is where it resumes, ``low`` and ``until`` its bounds in milliseconds."""

    since: str
    low: int
    finished: Raw
    until: int | None = None


def _search(session: Session, how: Reading, span: _Span) -> Iterator[Page]:
    """Contacts changed since, oldest change first, so that every page's last change is a place to resume."""
    low, offset = span.low, 0
    newest = low
    while True:
        body = search(session, low, "GTE", offset, SEARCH_LIMIT, span.until)
        found = results(body)
        after = next_after(body)
        records: list[Raw] = []
        if found:
            newest = max(_ms(contact["properties"]["lastmodifieddate"]) for contact in found)
            for contact in read(session, [str(c["id"]) for c in found], PLAIN, how.history):
                records += mapped(contact, lambda c: contact_records(c, how))
        if after is None:
            break
        offset = int(after)
        resume = stamp(moment(found[-1]["properties"]["lastmodifieddate"])) if found else span.since
        yield Page("contact", records, {"since": max(span.since, resume, key=moment)})
        if offset + SEARCH_LIMIT > SEARCH_WINDOW:
            if newest == low:
                # More contacts changed at one instant than a query can return: read the whole list instead.
                yield from _list(session, how, {k: v for k, v in span.finished.items() if k == "since"}, span.finished)
                return
            low, offset = newest, 0
    if span.until is None:
        records += _archived(session, how, span.low)
    yield Page("contact", records, span.finished)


def _archived(session: Session, how: Reading, since_ms: int) -> list[Raw]:
    """Contacts archived since; HubSpot keeps them for ninety days and orders them by id, so the list is read whole."""
    records: list[Raw] = []
    after: str | None = None
    while True:
        body = decoded("hubspot", session.get(CONTACTS, params={**_params(how, after), "archived": "true"}))
        for contact in results(body):
            gone = contact.get("archivedAt") if isinstance(contact, dict) else None
            if gone and _ms(gone) >= since_ms:
                records += mapped(contact, lambda c: contact_records(c, how))
        after = next_after(body)
        if after is None:
            return records
