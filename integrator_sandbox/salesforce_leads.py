"""What the Salesforce stand-in's objects hold: hotel searches as leads, opportunities only where a test adds them.

A booked search is converted on its arrival day, another is closed that day, at midnight in New York or at the search's
own time where that is later. The data knows no amounts, so no opportunity is made of them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from types import MappingProxyType
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from integrator_sandbox.demo import SEARCH_COLUMNS
from integrator_sandbox.state import Sandbox
from integrator_sandbox.timeline import shift

ZONE = ZoneInfo("America/New_York")
HISTORY_KEPT = timedelta(days=548)  # eighteen months
UNTRACKED = "srch_destination_id__c"  # field history takes twenty fields: Status and nineteen of the columns
TYPES = {"number": "double", "bool": "boolean", "date": "date", "enumeration": "picklist"}
OPEN, CONVERTED, LOST = "Open - Not Contacted", "Closed - Converted", "Closed - Not Converted"
STAGES = {"Prospecting": False, "Negotiation/Review": False, "Closed Won": True, "Closed Lost": False}
LEAD = {
    "Id": "id", "IsDeleted": "boolean", "LastName": "string", "FirstName": "string", "Name": "string",
    "Company": "string", "Email": "email", "Phone": "phone", "Country": "string", "LeadSource": "picklist",
    "Status": "picklist", "Rating": "picklist", "Industry": "picklist", "Description": "textarea",
    "OwnerId": "reference", "IsConverted": "boolean", "ConvertedDate": "date", "CreatedDate": "datetime",
    "LastModifiedDate": "datetime", "SystemModstamp": "datetime",
}  # fmt: skip
OPPORTUNITY = {
    "Id": "id", "IsDeleted": "boolean", "Name": "string", "StageName": "picklist", "Amount": "currency",
    "CloseDate": "date", "Type": "picklist", "LeadSource": "picklist", "IsClosed": "boolean", "IsWon": "boolean",
    "CreatedDate": "datetime", "SystemModstamp": "datetime",
}  # fmt: skip
CHANGE = ("Id", "Field", "OldValue", "NewValue", "CreatedDate")
Item = dict[str, Any]


class Table(Protocol):
    """An object that can be queried: its fields with types, its rows by key, the rows below a row."""

    children: Mapping[str, Sequence[str]]

    @property
    def fields(self) -> Mapping[str, str]:
        """Names and types, as this user may see them."""
        ...

    def present(self) -> Sequence[Any]:
        """The rows there are now, deleted ones too."""
        ...

    def value(self, key: Any, name: str) -> Any:
        """A field of a row as JSON, moments as `datetime`."""
        ...

    def below(self, key: Any, relationship: str) -> list[Item]:
        """Child rows, oldest first."""
        ...


@dataclass
class Rows:
    """A small table of ready rows; what a row lacks is null. Rows below stand under their relationship's name."""

    fields: Mapping[str, str]
    rows: Callable[[], Sequence[Item]]
    children: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def present(self) -> Sequence[Item]:
        """The rows themselves."""
        return self.rows()

    def value(self, key: Item, name: str) -> Any:
        """A row's field."""
        value = key.get(name)
        return datetime.fromisoformat(value) if value and self.fields.get(name) == "datetime" else value

    def below(self, key: Item, relationship: str) -> list[Item]:
        """A row's child rows."""
        return list(key.get(relationship) or [])


class Leads:
    """The searches on the sandbox's timeline, ids in the order they came; then what a test has added."""

    children: Mapping[str, Sequence[str]] = MappingProxyType({"Histories": CHANGE})

    def __init__(self, sandbox: Sandbox) -> None:
        """Loads the frame once."""
        self.sandbox = sandbox
        frame = sandbox.frames["agency"]
        moved = shift(sandbox.anchor, frame["date_time"].dt.date().max())  # type: ignore[arg-type]
        frame = frame.tail(sandbox.subset.contacts) if sandbox.subset.contacts else frame
        self.created: list[datetime] = []
        self.outcome: list[datetime] = []
        self.booked: list[bool] = []
        self.values: list[Item] = []
        for row in frame.iter_rows(named=True):
            created = (row["date_time"] + moved).replace(tzinfo=ZONE).astimezone(UTC)
            arrival: date | None = row["srch_ci"]
            day = None if arrival is None else datetime.combine(arrival + moved, datetime.min.time(), ZONE)
            self.created.append(created)
            self.outcome.append(created if day is None else max(created, day.astimezone(UTC)))
            self.booked.append(bool(row["is_booking"]))
            self.values.append({f"{name}__c": _json(row[name], kind, moved) for name, kind in SEARCH_COLUMNS.items()})

    @property
    def fields(self) -> Mapping[str, str]:
        """Standard fields, the data's columns, fields a test has added; without those hidden from the user."""
        own = {f"{name}__c": TYPES[kind] for name, kind in SEARCH_COLUMNS.items()}
        added = {one["name"]: one["type"] for one in self.sandbox.injected("salesforce/fields")}
        hidden = {one.get("field") for one in self.sandbox.injected("salesforce/hidden")}
        return {name: kind for name, kind in (LEAD | own | added).items() if f"Lead.{name}" not in hidden}

    @property
    def tracked(self) -> list[str]:
        """The fields whose history is kept."""
        return ["Status", *(name for name in self.values[0] if name != UNTRACKED)]

    def present(self) -> Sequence[int | Item]:
        """Positions of the leads made by now, and rows a test has added that tell when they changed."""
        now = self.sandbox.now()
        made: list[int | Item] = [position for position, at in enumerate(self.created) if at <= now]
        return made + [row for row in self.sandbox.injected("salesforce") if "SystemModstamp" in row]

    def value(self, key: int | Item, name: str) -> Any:
        """A lead's field as of now."""
        if isinstance(key, dict):
            value = key.get(name)
            return datetime.fromisoformat(value) if value and LEAD.get(name) == "datetime" else value
        written = self.sandbox.writes("salesforce").get(lead_id(key), {})
        if name in written:
            return written[name]
        for one in self.sandbox.injected("salesforce/fields"):
            if one["name"] == name:
                return one.get("value")
        return self.values[key].get(name) if name.endswith("__c") else self._standard(key, name)

    def _standard(self, position: int, name: str) -> Any:
        known = self.outcome[position] <= self.sandbox.now()
        gone = self.sandbox.removed("salesforce").get(lead_id(position))
        if name in ("SystemModstamp", "LastModifiedDate"):
            at = gone or (self.outcome[position] if known else self.created[position])
            return max(at, self.sandbox.writes("salesforce").get(lead_id(position), {"": at})[""])
        if name == "Status":
            return (CONVERTED if self.booked[position] else LOST) if known else OPEN
        converted = known and self.booked[position]
        ready = {
            "Id": lead_id(position),
            "IsDeleted": gone is not None,
            "CreatedDate": self.created[position],
            "IsConverted": converted,
            "ConvertedDate": self.outcome[position].astimezone(ZONE).date().isoformat() if converted else None,
        }
        return ready.get(name)

    def below(self, key: int | Item, relationship: str) -> list[Item]:
        """The field history of a lead: none of before eighteen months ago."""
        if isinstance(key, dict):
            return list(key.get(relationship) or [])
        now, created, outcome = self.sandbox.now(), self.created[key], self.outcome[key]
        changes: list[tuple[datetime, str, Any, Any]] = [(created, "created", None, None)]
        if outcome <= now:
            if self.booked[key]:
                changes.append((outcome, "leadConverted", None, None))
            changes.append((outcome, "Status", OPEN, CONVERTED if self.booked[key] else LOST))
        return [
            {"Id": f"017{key:012d}", "Field": name, "OldValue": old, "NewValue": new, "CreatedDate": at}
            for at, name, old, new in changes
            if at > now - HISTORY_KEPT
        ]


def tables(sandbox: Sandbox) -> dict[str, Table]:
    """Every object there is, by its name."""
    leads = Leads(sandbox)

    def definitions() -> list[Item]:
        return [
            {"QualifiedApiName": name, "IsFieldHistoryTracked": name in leads.tracked,
             "EntityDefinition.QualifiedApiName": "Lead"}
            for name in leads.fields
        ]  # fmt: skip

    return {
        "Lead": leads,
        "Opportunity": Rows(
            OPPORTUNITY, lambda: sandbox.injected("salesforce/opportunities"),
            {"OpportunityHistories": ("Id", "StageName", "CreatedDate")},
        ),
        "OpportunityStage": Rows(
            {"ApiName": "string", "MasterLabel": "string", "IsWon": "boolean"},
            lambda: [{"ApiName": name, "MasterLabel": name, "IsWon": won} for name, won in STAGES.items()],
        ),
        "Organization": Rows(
            {"Id": "id", "TimeZoneSidKey": "string"},
            lambda: [{"Id": "00D000000000001EAA", "TimeZoneSidKey": ZONE.key}],
        ),
        "FieldDefinition": Rows(
            {
                "QualifiedApiName": "string", "IsFieldHistoryTracked": "boolean",
                "EntityDefinition.QualifiedApiName": "string",
            },
            definitions,
        ),
    }  # fmt: skip


def lead_id(position: int) -> str:
    """Eighteen characters: the object's prefix, a number, and the checksum of their capitals."""
    return f"00Q{position:012d}EAA"


def _json(value: Any, kind: str, moved: timedelta) -> Any:
    if value is None:
        return None
    if kind == "date":
        return (value + moved).isoformat()
    if kind == "number":
        return float(value)
    return bool(value) if kind == "bool" else str(value)
