"""A Salesforce lead and its field history as versions of one canonical contact; a won opportunity as a sale.

Only fields whose history is kept are known at an earlier moment; of the others the present version alone tells.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from integrator.platforms.base import CustomField, Raw, is_ours, moment, stamp

LEAD_NEEDS = ("Id", "IsDeleted", "CreatedDate", "SystemModstamp", "IsConverted", "ConvertedDate", "Status")
LEAD_PLAIN = ("Email", "Phone", "MobilePhone", "FirstName", "LastName", "LeadSource", "CountryCode", "Country")
LEAD_EXTRA = ("Rating", "Industry", "NumberOfEmployees", "AnnualRevenue")
SALE_NEEDS = ("Id", "IsDeleted", "SystemModstamp", "StageName", "IsWon", "CloseDate", "Amount")
SALE_PLAIN = ("Type", "LeadSource", "CurrencyIsoCode")
LOST_STATUSES = ("Closed - Not Converted", "Unqualified")
NUMBERS = frozenset({"double", "currency", "percent", "int", "long"})
# Left out: references, addresses, e-mail and phone, long and encrypted text, which no model should see.
TEXTS = frozenset({"string", "picklist", "multipicklist", "combobox", "date", "datetime", "time"})
HISTORY_KEPT = timedelta(days=548)  # eighteen months; what Salesforce deletes by then cannot be told from no change
TOGETHER = timedelta(seconds=1)  # one save writes its history within a second, not at one instant


@dataclass(frozen=True)
class Reading:
    """How an org is read: the attributes' types, the fields with history, the zone of its dates, what lost means."""

    types: Mapping[str, str]
    tracked: frozenset[str]
    zone: ZoneInfo
    now: datetime
    lost_statuses: frozenset[str] = frozenset(LOST_STATUSES)
    won_stages: frozenset[str] = frozenset()
    currency: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def fields(self) -> dict[str, CustomField]:
        """The org's own fields, as a page tells them."""
        kinds = {"boolean": "boolean"} | dict.fromkeys(NUMBERS, "number")
        return {
            name: CustomField(kinds.get(kind, "string"), self.labels.get(name))
            for name, kind in self.types.items()
            if name.endswith("__c")
        }


def attribute_types(described: Sequence[Mapping[str, Any]], wanted: Sequence[str] | None) -> dict[str, str]:
    """Custom fields of a plain type and a few standard ones, or those the connection names; Salesforce's types."""
    return {
        str(one["name"]): str(one["type"])
        for one in described
        if (one["name"] in wanted if wanted else one.get("custom") or one["name"] in LEAD_EXTRA)
        and one["name"] not in (*LEAD_NEEDS, *LEAD_PLAIN)
        and not is_ours(str(one["name"]))
        and (one["type"] == "boolean" or one["type"] in NUMBERS | TEXTS)
    }


def typed(value: Any, kind: str) -> str | int | float | bool | None:
    """A field's value in its type, history's text too; what is no number in a number field raises ValueError."""
    if value is None or value == "":
        return None
    if kind in NUMBERS:
        number = float(value)
        return int(number) if number.is_integer() else number
    if kind == "boolean":
        return value is True or str(value).lower() == "true"
    return str(value)


def day_end(text: str, zone: ZoneInfo) -> datetime:
    """The last second of a date: what bears it came at any time of that day, and is known for sure only then."""
    return datetime.combine(date.fromisoformat(text), time(23, 59, 59), zone).astimezone(UTC)


@dataclass(frozen=True)
class _Change:
    """One entry of the field history."""

    at: datetime
    name: str
    old: Any
    new: Any


def contact_records(lead: Mapping[str, Any], read: Reading) -> list[Raw]:
    """The versions of a lead, oldest first, each with ``updated_at`` when it came to be; of a deleted one its end."""
    created, modified = moment(lead["CreatedDate"]), moment(lead["SystemModstamp"])
    changes = _changes(lead.get("Histories"), created, modified)
    fixed: Raw = {"native_id": str(lead["Id"]), "created_at": stamp(created)}
    if lead.get("IsDeleted"):
        return [{**fixed, "updated_at": stamp(modified), "deleted_at": stamp(modified)}]
    name = " ".join(part for part in (lead.get("FirstName"), lead.get("LastName")) if part)
    fixed |= {
        "email": lead.get("Email") or None,
        "phone": lead.get("Phone") or lead.get("MobilePhone") or None,
        "name": name or None,
        "source": lead.get("LeadSource") or None,
        "country": lead.get("CountryCode") or lead.get("Country") or None,
    }
    converted = _converted(lead, changes, created, modified, read)
    known = _at_creation(lead, changes, read)
    lost: datetime | None = None
    versions: list[Raw] = []
    for at, written in _versions(changes, created, modified, read):
        known.update(written)
        if at == modified:
            known = {**lead}
        if known.get("Status") not in read.lost_statuses:
            lost = None
        elif lost is None:
            lost = _since(changes, "Status", at)
        attributes = {
            key: value for key, kind in read.types.items() if (value := typed(known.get(key), kind)) is not None
        }
        versions.append(
            {
                **fixed,
                "updated_at": stamp(at),
                "stage": known.get("Status") or None,
                "converted_at": stamp(converted) if converted is not None and converted <= at else None,
                "lost_at": None if lost is None else stamp(lost),
                "attributes": attributes,
            }
        )
    return versions


def _changes(histories: Any, created: datetime, modified: datetime) -> list[_Change]:
    """The history, oldest first, within the life of the lead."""
    entries = (histories or {}).get("records") or []
    found = [
        _Change(min(max(moment(one["CreatedDate"]), created), modified), one["Field"], one["OldValue"], one["NewValue"])
        for one in entries
    ]
    return sorted(found, key=lambda change: change.at)


def _converted(
    lead: Mapping[str, Any], changes: Sequence[_Change], created: datetime, modified: datetime, read: Reading
) -> datetime | None:
    """When a lead was converted: by its history, else at the end of the day that is told, which is when we know it.

    Conversion changes the lead, so it was not later than the last change.
    """
    if not lead.get("IsConverted"):
        return None
    for change in changes:
        if change.name == "leadConverted":
            return change.at
    told = lead.get("ConvertedDate")
    return min(max(created, day_end(told, read.zone)), modified) if told else modified


def _at_creation(lead: Mapping[str, Any], changes: Sequence[_Change], read: Reading) -> dict[str, Any]:
    """The fields with history as they were in the beginning: before the first change, or as ever."""
    known = {name: lead.get(name) for name in read.tracked}
    for change in reversed(changes):
        if change.name in read.tracked:
            known[change.name] = change.old
    return known


def _since(changes: Sequence[_Change], name: str, at: datetime) -> datetime:
    """When a field came to the value it has at a moment: its last change until then."""
    return max((change.at for change in changes if change.name == name and change.at <= at), default=at)


def _versions(
    changes: Sequence[_Change], created: datetime, modified: datetime, read: Reading
) -> list[tuple[datetime, dict[str, Any]]]:
    """Creation, changes gathered by save, and the present state, which is told apart by its moment alone."""
    if created < read.now - HISTORY_KEPT:
        return [(modified, {})]
    versions: list[tuple[datetime, dict[str, Any]]] = [(created, {})]
    for change in changes:
        if change.name not in read.tracked:
            continue
        if change.at - versions[-1][0] > TOGETHER:
            versions.append((change.at, {}))
        versions[-1][1][change.name] = change.new
    return [version for version in versions if modified - version[0] > TOGETHER] + [(modified, {})]


def sale_records(opportunity: Mapping[str, Any], read: Reading) -> list[Raw]:
    """A won opportunity as one sale of its type; one won once and not any more as cancelled; another is no sale."""
    modified = moment(opportunity["SystemModstamp"])
    history = (opportunity.get("OpportunityHistories") or {}).get("records") or []
    won = bool(opportunity["IsWon"])
    if not won and not any(one.get("StageName") in read.won_stages for one in history):
        return []
    sale: Raw = {
        "native_id": str(opportunity["Id"]),
        "updated_at": stamp(modified),
        "product": opportunity.get("Type") or "opportunity",
        "sold_at": stamp(min(day_end(opportunity["CloseDate"], read.zone), modified)),
        "quantity": 1,
        "unit_price": opportunity["Amount"],
        "currency": opportunity.get("CurrencyIsoCode") or read.currency,
        "status": "paid" if won else "cancelled",
        "channel": opportunity.get("LeadSource") or None,
    }
    return [sale | ({"deleted_at": stamp(modified)} if opportunity.get("IsDeleted") else {})]
