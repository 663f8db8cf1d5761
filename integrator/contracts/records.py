"""The three kinds of record a partner's data comes in: event, contact, sale.

Field names follow schema.org where it has one. Money is a decimal with an ISO 4217 code, time is
RFC 3339 with an offset, zones are IANA names, regions ISO 3166-2. What a partner adds of its own is
``attributes``: a flat map of string, number or boolean, used as model features without code.
"""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

AwareTime = Annotated[datetime, Meta(tz=True)]
Name = Annotated[str, Meta(min_length=1, max_length=500)]
NativeId = Annotated[str, Meta(min_length=1, max_length=200)]
Count = Annotated[int, Meta(ge=0, le=2_000_000_000)]
Money = Annotated[Decimal, Meta(extra_json_schema={"description": "decimal amount"})]
Scalar = str | int | float | bool | None

EVENT_STATUSES = ("scheduled", "postponed", "cancelled", "completed")
SALE_STATUSES = ("paid", "pending", "refunded", "cancelled")
CONSENTS = ("granted", "denied")


class Venue(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Where an event takes place; ``capacity`` in people."""

    name: str | None = None
    city: str | None = None
    region: str | None = None
    country: str | None = None
    capacity: Count | None = None


class Consent(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A contact's word; None follows the partner's default for processing and means no for pooling."""

    processing: Literal["granted", "denied"] | None = None
    pooling: Literal["granted", "denied"] | None = None


class Record(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What every record has. ``updated_at`` is null where the platform has none."""

    kind: ClassVar[str]
    native_id: NativeId
    updated_at: AwareTime | None = None
    deleted_at: AwareTime | None = None
    attributes: dict[Annotated[str, Meta(max_length=100)], Scalar] = {}


class Event(Record, frozen=True, kw_only=True):
    """Something people attend. ``attendance`` is the actual number, once known."""

    kind: ClassVar[str] = "event"
    name: Name | None = None
    starts_at: AwareTime
    ends_at: AwareTime | None = None
    timezone: str
    status: Literal["scheduled", "postponed", "cancelled", "completed"]
    venue: Venue = Venue()
    category: str | None = None
    series_id: NativeId | None = None
    on_sale_at: AwareTime | None = None
    capacity: Count | None = None
    attendance: Count | None = None


class Contact(Record, frozen=True, kw_only=True):
    """A person a partner knows. E-mail, phone and name are personal and go to the vault."""

    kind: ClassVar[str] = "contact"
    PERSONAL: ClassVar[tuple[str, ...]] = ("email", "phone", "name")
    email: str | None = None
    phone: str | None = None
    name: str | None = None
    created_at: AwareTime
    stage: str | None = None
    converted_at: AwareTime | None = None
    lost_at: AwareTime | None = None
    source: str | None = None
    consent: Consent = Consent()
    country: str | None = None


class Sale(Record, frozen=True, kw_only=True):
    """One line of a sale. Prices are per unit, in ``currency``."""

    kind: ClassVar[str] = "sale"
    event_id: NativeId | None = None
    contact_id: NativeId | None = None
    product: NativeId
    tier: str | None = None
    sold_at: AwareTime
    quantity: Count
    unit_price: Money
    list_price: Money | None = None
    unit_cost: Money | None = None
    currency: Annotated[str, Meta(pattern="^[A-Z]{3}$")]
    status: Literal["paid", "pending", "refunded", "cancelled"]
    refunded_quantity: Count = 0
    refunded_amount: Money = Decimal(0)
    channel: str | None = None


KINDS: dict[str, type[Record]] = {"event": Event, "contact": Contact, "sale": Sale}
PLURALS = {"event": "events", "contact": "contacts", "sale": "sales"}
KIND_OF_PLURAL = {plural: kind for kind, plural in PLURALS.items()}


class RecordError(msgspec.Struct, frozen=True):
    """Why one record was not landed: its line in the batch (from 1), the field at fault, the reason."""

    line: int
    field: str | None
    value: str | None
    reason: str


class LandingResult(msgspec.Struct, frozen=True):
    """What became of a batch; ``errors`` has one entry for each quarantined record."""

    accepted: int = 0
    unchanged: int = 0
    quarantined: int = 0
    errors: list[RecordError] = []

    def __add__(self, other: "LandingResult") -> "LandingResult":
        return LandingResult(
            self.accepted + other.accepted,
            self.unchanged + other.unchanged,
            self.quarantined + other.quarantined,
            self.errors + other.errors,
        )


def json_schema(kind: str) -> dict[str, object]:
    """The JSON Schema (2020-12) of one kind of record."""
    schema = msgspec.json.schema(KINDS[kind])
    for definition in schema["$defs"].values():
        for field in definition.get("properties", {}).values():
            for choice in field.get("anyOf", [field]):
                if choice.get("format") == "decimal":  # an amount is taken as text and as a number
                    choice["type"] = ["string", "number"]
    return schema
