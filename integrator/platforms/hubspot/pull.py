"""What changed among a HubSpot account's contacts since a cursor.

First the whole list, then the search by ``lastmodifieddate``. The search's index lags by seconds, hence the overlap;
it stops at 10,000 results, hence the moving window.
A cursor is ``{since}`` between pulls and ``{since, after}`` within the list.
"""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from integrator.platforms.base import (
    Clock,
    Cursor,
    Page,
    mapped,
    missing_permissions,
    moment,
    stamp,
)
from integrator.platforms.http import HttpPolicy, Session, closing, decoded, server_time
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


class HubSpot:
    """Contacts with their custom properties and the history of stage and conversion."""

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
    ) -> Iterator[Page]:
        """See `integrator.platforms.base.Platform`."""
        SPEC.require(settings, credentials)
        SPEC.require_kind(kind)
        with closing(session_for(settings, credentials, http)) as session:
            answer = session.get("/crm/v3/properties/contacts")
            how = reading(results(decoded("hubspot", answer)), settings)
            started = stamp(server_time(answer, clock()))
            if cursor is None or "after" in cursor:
                yield from _list(session, how, cursor or {"since": started})
            else:
                yield from _search(session, how, str(cursor["since"]), started)

    def has_news(
        self,
        settings: Mapping[str, Any],
        credentials: Mapping[str, str],
        cursors: Mapping[str, Cursor | None],
        *,
        clock: Clock,
        http: HttpPolicy,
    ) -> bool:
        """Whether any contact changed after the cursor: a token and one search."""
        SPEC.require(settings, credentials)
        cursor = cursors.get("contact")
        if cursor is None or "after" in cursor:
            return True
        with closing(session_for(settings, credentials, http)) as session:
            return bool(results(search(session, _ms(cursor["since"]), "GT", 0, 1)))

    def check(self, settings: Mapping[str, Any], credentials: Mapping[str, str], *, http: HttpPolicy) -> list[str]:
        """Missing scopes: reading contacts, reading their properties."""
        SPEC.require(settings, credentials)
        with closing(session_for(settings, credentials, http)) as session:
            return missing_permissions(
                (
                    ("crm.objects.contacts.read", lambda: session.get(CONTACTS, params={"limit": 1})),
                    ("crm.schemas.contacts.read", lambda: definitions(session)),
                )
            )


PLATFORM = HubSpot()


def _ms(text: object) -> int:
    return round(moment(text).timestamp() * 1000)


def _list(session: Session, how: Reading, cursor: Cursor) -> Iterator[Page]:
    """All contacts by id, from ``cursor["after"]`` on; what changes meanwhile is found by the search that follows."""
    after: str | None = cursor.get("after")
    since = cursor["since"]
    params = {"limit": LIST_LIMIT, "properties": ",".join(PLAIN), "propertiesWithHistory": ",".join(how.history)}
    records: list[dict[str, Any]] = []
    answers = 0
    while True:
        body = decoded("hubspot", session.get(CONTACTS, params=params | ({"after": after} if after else {})))
        for contact in results(body):
            records += mapped(contact, lambda c: contact_records(c, how))
        after = next_after(body)
        answers += 1
        if after is None or answers % LISTS_A_PAGE == 0:
            yield Page("contact", records, {"since": since} if after is None else {"since": since, "after": after})
            records = []
        if after is None:
            return


def _search(session: Session, how: Reading, since: str, started: str) -> Iterator[Page]:
    """Contacts changed since, oldest change first, so that every page's last change is a place to resume."""
    low, offset = _ms(stamp(moment(since) - OVERLAP)), 0
    newest = low
    while True:
        body = search(session, low, "GTE", offset, SEARCH_LIMIT)
        found = results(body)
        after = next_after(body)
        records: list[dict[str, Any]] = []
        if found:
            newest = max(_ms(contact["properties"]["lastmodifieddate"]) for contact in found)
            for contact in read(session, [str(c["id"]) for c in found], PLAIN, how.history):
                records += mapped(contact, lambda c: contact_records(c, how))
        if after is None:
            break
        offset = int(after)
        resume = stamp(moment(found[-1]["properties"]["lastmodifieddate"])) if found else since
        yield Page("contact", records, {"since": max(since, resume, key=moment)})
        if offset + SEARCH_LIMIT > SEARCH_WINDOW:
            if newest == low:
                # More contacts changed at one instant than a query can return: read the whole list instead.
                yield from _list(session, how, {"since": started})
                return
            low, offset = newest, 0
    yield Page("contact", records, {"since": max(since, started, key=moment)})
