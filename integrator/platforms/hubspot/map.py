"""A HubSpot contact and its property history as versions of one canonical contact.

Every property has its own timestamps: a version holds what was known at its time and nothing later, so a stage that
came in May is not known in March.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from integrator.platforms.base import CustomField, Raw, is_ours, moment, stamp

STAGE = "lifecyclestage"
LEAD_STATUS = "hs_lead_status"
PERSONAL = ("email", "phone", "firstname", "lastname")
PLAIN = (*PERSONAL, "country", "createdate", "lastmodifieddate", "hs_analytics_source")
TOGETHER = timedelta(seconds=1)  # one save writes its properties within milliseconds, not at one instant


@dataclass(frozen=True)
class Reading:
    """How an account's properties are read: types of the custom ones, and which values mean won or lost."""

    types: Mapping[str, str]
    converted_stages: frozenset[str]
    lost_statuses: frozenset[str]
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def fields(self) -> dict[str, CustomField]:
        """The custom properties as our attributes will be."""
        ours = {"number": "number", "bool": "boolean"}
        return {name: CustomField(ours.get(kind, "string"), self.labels.get(name)) for name, kind in self.types.items()}

    @property
    def history(self) -> list[str]:
        """The properties asked for with their history."""
        return [STAGE, LEAD_STATUS, *self.types]


def reading(definitions: Sequence[Mapping[str, Any]], settings: Mapping[str, Any]) -> Reading:
    """Custom properties, or those the connection names; ``customer`` is won, ``UNQUALIFIED`` lost, unless said."""
    wanted = settings.get("properties")
    types = {
        str(one["name"]): str(one["type"])
        for one in definitions
        if (one["name"] in wanted if wanted else not one.get("hubspotDefined"))
        and one["name"] not in (STAGE, LEAD_STATUS, *PLAIN)
        and not is_ours(str(one["name"]))
    }
    return Reading(
        types,
        frozenset(settings.get("converted_stages") or ("customer",)),
        frozenset(settings.get("lost_statuses") or ("UNQUALIFIED",)),
        {str(one["name"]): str(one["label"]) for one in definitions if one["name"] in types and one.get("label")},
    )


def typed(value: str | None, kind: str) -> str | int | float | bool | None:
    """A property's text in its type; text that is no number in a number property raises ValueError."""
    if value is None or value == "":
        return None
    if kind == "number":
        number = float(value)
        return int(number) if number.is_integer() else number
    if kind == "bool":
        return value == "true"
    return value


def contact_records(contact: Mapping[str, Any], read: Reading) -> list[Raw]:
    """The versions of a contact, oldest first, each with ``updated_at`` when it came to be."""
    properties = contact["properties"]
    created = moment(properties["createdate"])
    changes = _changes(contact.get("propertiesWithHistory") or {}, created)
    name = " ".join(part for part in (properties.get("firstname"), properties.get("lastname")) if part)
    fixed: Raw = {
        "native_id": str(contact["id"]),
        "email": properties.get("email") or None,
        "phone": properties.get("phone") or None,
        "name": name or None,
        "created_at": stamp(created),
        "source": properties.get("hs_analytics_source") or None,
        "country": properties.get("country") or None,
    }
    known: dict[str, str | None] = {}
    converted_at: str | None = None
    lost_at: str | None = None
    versions: list[Raw] = []
    for at, written in _versions(changes, created):
        known.update(written)
        since = stamp(at)
        if converted_at is None and known.get(STAGE) in read.converted_stages:
            converted_at = since
        lost_at = (lost_at or since) if known.get(LEAD_STATUS) in read.lost_statuses else None
        attributes = {
            key: value for key, kind in read.types.items() if (value := typed(known.get(key), kind)) is not None
        }
        versions.append(
            {
                **fixed,
                "updated_at": since,
                "stage": known.get(STAGE) or None,
                "converted_at": converted_at,
                "lost_at": lost_at,
                "attributes": attributes,
            }
        )
    if contact.get("archived") and contact.get("archivedAt"):
        gone = stamp(moment(contact["archivedAt"]))
        versions.append({**versions[-1], "updated_at": gone, "deleted_at": gone})
    return versions


def _changes(
    histories: Mapping[str, Sequence[Mapping[str, Any]]], created: datetime
) -> list[tuple[datetime, str, str | None]]:
    """Every write, oldest first; what was written before the contact was made counts as made with it."""
    changes = [
        (max(moment(entry["timestamp"]), created), name, entry.get("value"))
        for name, entries in histories.items()
        for entry in reversed(entries)
    ]
    return sorted(changes, key=lambda change: change[0])


def _versions(
    changes: Sequence[tuple[datetime, str, str | None]], created: datetime
) -> list[tuple[datetime, dict[str, str | None]]]:
    """Writes gathered into versions; the first is the creation, also when nothing was written then."""
    versions: list[tuple[datetime, dict[str, str | None]]] = [(created, {})]
    for at, name, value in changes:
        if at - versions[-1][0] > TOGETHER:
            versions.append((at, {}))
        versions[-1][1][name] = value
    return versions
