"""What changed in a Salesforce org since a cursor: leads and opportunities by ``SystemModstamp``, oldest change first.

Converted leads come like all others: no query asks for IsConverted. The first read leaves the recycle bin alone, later
ones find deletions in it. A long transaction is committed after its own timestamps, hence the overlap.
A cursor is ``{since}`` between pulls. Within one it holds the last change read, ``at``, and the ids already ``seen`` of
that instant: Salesforce's own cursors close after a while, and a crash needs a place to resume that does not.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from integrator.contracts.errors import Forbidden, NotFound, Unavailable
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
from integrator.platforms.http import Session, server_time
from integrator.platforms.salesforce.client import (
    batches,
    describe,
    following,
    literal,
    names,
    optional,
    query,
    session_for,
)
from integrator.platforms.salesforce.map import (
    LEAD_NEEDS,
    LEAD_PLAIN,
    LOST_STATUSES,
    SALE_NEEDS,
    SALE_PLAIN,
    Reading,
    attribute_types,
    contact_records,
    sale_records,
)
from integrator.platforms.salesforce.spec import SPEC

OVERLAP = timedelta(minutes=10)  # the longest that a transaction may take
OBJECTS = {"contact": "Lead", "sale": "Opportunity"}
NEEDS = {"contact": LEAD_NEEDS, "sale": SALE_NEEDS}
PLAIN = {"contact": LEAD_PLAIN, "sale": SALE_PLAIN}
CHILDREN = {
    "contact": ("Histories", "(SELECT Field, OldValue, NewValue, CreatedDate FROM Histories ORDER BY CreatedDate)"),
    "sale": ("OpportunityHistories", "(SELECT StageName, CreatedDate FROM OpportunityHistories ORDER BY CreatedDate)"),
}
TRACKED = (
    "SELECT QualifiedApiName, IsFieldHistoryTracked FROM FieldDefinition"
    " WHERE EntityDefinition.QualifiedApiName = 'Lead'"
)
WON_STAGES = "SELECT ApiName, MasterLabel FROM OpportunityStage WHERE IsWon = TRUE"
ZONE = "SELECT TimeZoneSidKey FROM Organization"


class Salesforce(Platform):
    """Leads with their custom fields and field history; opportunities, where the connection wants them."""

    def pages(
        self, session: Session, account: Account, kind: str, cursor: Cursor | None, window: Window | None
    ) -> Iterator[Page]:
        """Rows with their history; nothing of what the connection does not want."""
        if not _wanted(kind, account.settings):
            return
        org = _Org(session, account, kind)
        low = _low(cursor, window)
        for rows, after in _pages(org, cursor, low, window):
            records = [one for row in rows for one in _records(org, row, low)]
            yield Page(kind, records, after, fields=org.how.fields)

    def news(self, session: Session, account: Account, cursors: Mapping[str, Cursor | None]) -> bool:
        """Whether any row changed after its cursor: a token and one query a kind."""
        wanted = {
            kind: cursor for kind, cursor in cursors.items() if kind in OBJECTS and _wanted(kind, account.settings)
        }
        if not resting(wanted.values()):
            return True
        for kind, cursor in wanted.items():
            since = literal(moment((cursor or {})["since"]))
            soql = f"SELECT Id FROM {OBJECTS[kind]} WHERE SystemModstamp > {since} LIMIT 1"
            if query(session, account.settings, soql, deleted=True)["records"]:
                return True
        return False

    def total(self, session: Session, account: Account, kind: str) -> int | None:
        """Leads, converted ones too; opportunities that are won. None of those the connection does not want."""
        if not _wanted(kind, account.settings):
            return None
        soql = f"SELECT COUNT() FROM {OBJECTS[kind]}" + (" WHERE IsWon = TRUE" if kind == "sale" else "")
        total = query(session, account.settings, soql).get("totalSize")
        return total if isinstance(total, int) else None

    def missing(self, session: Session, account: Account) -> list[str]:
        """Missing: the API itself, reading an object, reading a field we cannot do without."""
        settings = account.settings
        if missing := missing_permissions((("API Enabled", lambda: query(session, settings, ZONE)),)):
            return missing
        for kind, name in OBJECTS.items():
            if not _wanted(kind, settings):
                continue
            try:
                shown = {one["name"] for one in describe(session, settings, name)[1]["fields"]}
                query(session, settings, f"SELECT Id FROM {name} LIMIT 1")
            except Forbidden:
                missing.append(f"{name}: Read")
                continue
            missing += [f"{name}.{field}: Read Access" for field in NEEDS[kind] if field not in shown]
        return missing


PLATFORM = Salesforce(SPEC, session_for)


def _wanted(kind: str, settings: Mapping[str, Any]) -> bool:
    """Opportunities are left alone where the setting says so, as a word or a boolean."""
    return kind != "sale" or str(settings.get("opportunities", "yes")).lower() not in ("no", "false")


class _Org:
    """One pull's view of an org: what is selected, and how it is read."""

    def __init__(self, session: Session, account: Account, kind: str) -> None:
        """A few requests: the object's description, the org's zone, the fields with history or the stages that win."""
        settings = account.settings
        self.session, self.settings, self.kind = session, settings, kind
        answer, described = describe(session, settings, OBJECTS[kind])
        self.started = server_time(answer, account.clock())
        fields = [one for one in described["fields"] if names([str(one["name"])])]
        shown = {str(one["name"]) for one in fields}
        types = attribute_types(fields, settings.get("fields")) if kind == "contact" else {}
        self.relationship, child = CHILDREN[kind]
        related = {one.get("relationshipName") for one in described.get("childRelationships") or ()}
        plain = [name for name in (*NEEDS[kind], *PLAIN[kind]) if name in shown]
        self.selected = ", ".join([*plain, *types, *([child] if self.relationship in related else [])])
        self.how = Reading(
            types, frozenset(), self._zone(), self.started,
            frozenset(settings.get("lost_statuses") or LOST_STATUSES), currency=settings.get("currency"),
            labels={str(one["name"]): str(one.get("label") or one["name"]) for one in fields},
        )  # fmt: skip
        if kind == "contact" and self.relationship in related:
            tracked = {one["QualifiedApiName"] for one in self._rows(TRACKED) if one.get("IsFieldHistoryTracked")}
            self.how = replace(self.how, tracked=frozenset(tracked & {"Status", *types}))
        elif kind == "sale":
            won = {one[name] for one in self._rows(WON_STAGES) for name in ("ApiName", "MasterLabel")}
            self.how = replace(self.how, won_stages=frozenset(won))

    def _rows(self, soql: str) -> Sequence[Any]:
        return optional(lambda: query(self.session, self.settings, soql)["records"])

    def _zone(self) -> ZoneInfo:
        """The zone of the org's dates."""
        try:
            return ZoneInfo(str(self._rows(ZONE)[0]["TimeZoneSidKey"]))
        except (LookupError, ValueError, TypeError):
            return ZoneInfo("UTC")

    def soql(self, low: datetime | None, until: datetime | None) -> str:
        """Rows from ``low`` to before ``until``, oldest change first."""
        bounds = [f"SystemModstamp >= {literal(low)}"] if low else []
        bounds += [f"SystemModstamp < {literal(until)}"] if until else []
        where = f" WHERE {' AND '.join(bounds)}" if bounds else ""
        return f"SELECT {self.selected} FROM {OBJECTS[self.kind]}{where} ORDER BY SystemModstamp, Id"


@dataclass
class _Place:
    """How far a read has come: the last change and the rows seen of its instant."""

    at: str | None
    seen: set[str]

    def fresh(self, rows: Sequence[Any]) -> list[Any]:
        """The rows not seen before; the place moves on behind them. What has no time of change passes."""
        passed = []
        for row in rows:
            at, name = (row.get("SystemModstamp"), str(row.get("Id"))) if isinstance(row, dict) else (None, "")
            if at is not None and at == self.at and name in self.seen:
                continue
            passed.append(row)
            if at is not None and at != self.at:
                self.at, self.seen = at, set()
            if at is not None:
                self.seen.add(name)
        return passed


def _records(org: _Org, row: Any, low: datetime | None) -> list[Raw]:
    """A row's records, without the versions that an earlier read has brought.

    It knew more of them: a lead not yet changed tells all its fields, a changed one only those with history.
    """
    to_records = contact_records if org.kind == "contact" else sale_records
    found = mapped(_whole(org, row), lambda whole: to_records(whole, org.how))
    return [one for one in found[:-1] if low is None or moment(one["updated_at"]) >= low] + found[-1:]


def _low(cursor: Cursor | None, window: Window | None) -> datetime | None:
    """From when on changes are asked for; None in a first read."""
    if window is not None:
        return window.since
    return None if not cursor or "first" in cursor else moment(cursor["since"]) - OVERLAP


def _pages(
    org: _Org, cursor: Cursor | None, low: datetime | None, window: Window | None
) -> Iterator[tuple[list[Any], Raw]]:
    """Rows and the cursor after them."""
    held = dict(cursor or {})
    started = stamp(org.started)
    within: Raw
    finished: Raw
    if window is not None:
        within, finished = {}, {"done": True}
    elif low is None:
        since = held.get("since", started)
        within, finished = {"since": since, "first": True}, {"since": since}
    else:
        since = max(str(held["since"]), started, key=moment)
        within, finished = {"since": held["since"]}, {"since": since}
    place = _Place(held.get("at"), set(held.get("seen") or ()))
    for rows, last in _rows(org, place, low, window):
        yield rows, finished if last or place.at is None else {**within, "at": place.at, "seen": sorted(place.seen)}


def _rows(org: _Org, place: _Place, low: datetime | None, window: Window | None) -> Iterator[tuple[list[Any], bool]]:
    """Batches from the place on; where Salesforce's cursor has closed the query is asked again from there."""
    until = window.until if window else None
    while True:
        begun = place.at
        try:
            soql = org.soql(moment(begun) if begun else low, until)
            for rows, last in batches(org.session, org.settings, soql, deleted=low is not None):
                yield place.fresh(rows), last
            return
        except NotFound as error:
            if place.at == begun:
                raise Unavailable("salesforce: the query's cursor closed before it was read any further") from error


def _whole(org: _Org, row: Any) -> Any:
    """The row with all of its child rows, where they did not fit into one answer."""
    below = row.get(org.relationship) if isinstance(row, dict) else None
    while isinstance(below, dict) and not below.get("done", True):
        more = following(org.session, below)
        below = {**more, "records": [*below["records"], *more["records"]]}
        row = {**row, org.relationship: below}
    # What cannot be mapped is quarantined by this name.
    return {**row, "native_id": row.get("Id")} if isinstance(row, dict) else row
