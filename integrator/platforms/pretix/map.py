"""pretix's objects as canonical records: dates of a series and single events, order positions, buyers.

An order's status letter that is not documented passes through as it is, so that landing quarantines the line.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from integrator.platforms.base import Raw, is_ours, moment, stamp

ORDER_STATUS = {"n": "pending", "p": "paid", "e": "cancelled", "c": "cancelled"}


@dataclass(frozen=True)
class Context:
    """What a date needs from around it: its parent event, the quotas and check-in lists read with it."""

    event: Mapping[str, Any]
    settings: Mapping[str, Any]
    now: datetime
    with_history: bool
    quotas: list[Mapping[str, Any]] = field(default_factory=list)
    lists: list[Mapping[str, Any]] = field(default_factory=list)


def event_id(slug: object, subevent: object) -> str:
    """A date is ``slug:id``; slugs hold no colon."""
    return f"{slug}" if subevent is None else f"{slug}:{subevent}"


def text(value: object) -> str | None:
    """A multi-lingual string in English, else in its first language, else None."""
    if isinstance(value, Mapping):
        value = value.get("en") or next((v for v in value.values() if v), None)
    return str(value).strip() or None if value else None


def ended(date: Mapping[str, Any]) -> datetime:
    """When a date is over: its end, or its start where it has none."""
    return moment(date.get("date_to") or date["date_from"])


def capacity(quotas: Iterable[Mapping[str, Any]], subevent: object) -> int | None:
    """Seats on sale: the sum over quotas, leaving out a quota whose items all lie in another one.

    ("VIP 50" inside "everyone 500" makes 500, not 550.) None without a quota, or when one is unlimited.
    """
    mine = [quota for quota in quotas if quota.get("subevent") == subevent]
    seats, seen = 0, list[frozenset[Any]]()
    for quota in sorted(mine, key=lambda q: (-len(q["items"]), q["id"])):
        items = frozenset(quota["items"])
        if any(items < other for other in seen):
            continue
        if quota["size"] is None:
            return None
        seen.append(items)
        seats += quota["size"]
    return seats if mine else None


def attendance(lists: Iterable[Mapping[str, Any]], subevent: object) -> int | None:
    """People scanned in, by the fullest check-in list of a date; None where nobody scans."""
    counts = [entry["checkin_count"] for entry in lists if entry.get("subevent") == subevent]
    return max(counts, default=0) or None


def date_records(date: Mapping[str, Any], around: Context) -> list[Raw]:
    """A date of a series, or a single event, as its versions: as scheduled, and once over with its attendance.

    The check-in count does not move pretix's ``last_modified``, but it cannot be final before the end: that is the
    time the second version carries, so that no past moment sees an attendance it could not have known.
    """
    parent = around.event
    subevent = date["id"] if parent.get("has_subevents") else None
    modified = moment(date["last_modified"]) if date.get("last_modified") else None
    over = ended(date)
    seats = capacity(around.quotas, subevent)
    name = text(date["name"])
    scheduled: Raw = {
        "native_id": event_id(parent["slug"], subevent),
        "updated_at": stamp(modified) if modified else None,
        "name": name,
        "starts_at": date["date_from"],
        "ends_at": date.get("date_to"),
        "timezone": date.get("timezone") or parent["timezone"],
        "status": "scheduled" if date.get("active", True) else "cancelled",
        "venue": {
            "name": (text(date.get("location")) or text(parent.get("location")) or name or "").split("\n")[0] or None,
            "city": around.settings.get("city"),
            "region": around.settings.get("region"),
            "country": around.settings.get("country"),
            "capacity": seats,
        },
        "series_id": None if subevent is None else parent["slug"],
        "on_sale_at": date.get("presale_start") or parent.get("presale_start"),
        "capacity": seats,
        "attendance": None,
        "attributes": {
            key: value for key, value in (date.get("meta_data") or {}).items() if value and not is_ours(key)
        },
    }
    if scheduled["status"] == "cancelled" or over > around.now:
        return [scheduled]
    known_at = stamp(max(modified, over)) if modified else None
    completed = {
        **scheduled,
        "updated_at": known_at,
        "status": "completed",
        "attendance": attendance(around.lists, subevent),
    }
    before = around.with_history and modified is not None and modified < over
    return [scheduled, completed] if before else [completed]


def sale_records(order: Mapping[str, Any], currencies: Mapping[str, str]) -> list[Raw]:
    """An order's positions as sales, one ticket each; test orders are none.

    Refunds that are done are laid against cancelled positions first, then against the others in their order.
    """
    if order["testmode"]:
        return []
    status = ORDER_STATUS.get(order["status"], order["status"])
    left = sum((Decimal(r["amount"]) for r in order.get("refunds", ()) if r["state"] == "done"), Decimal(0))
    records = []
    cancelled_first = sorted(order["positions"], key=lambda p: (not p.get("canceled"), p["positionid"]))
    for position in cancelled_first:
        price = Decimal(position["price"])
        refunded = min(price, left)
        left -= refunded
        gone = bool(position.get("canceled")) or status == "cancelled"
        records.append(
            {
                "native_id": f"{order['code']}-{position['positionid']}",
                "updated_at": order["last_modified"],
                "event_id": event_id(order["event"], position.get("subevent")),
                "contact_id": contact_id(order),
                "product": str(position["item"]),
                "tier": None if position.get("variation") is None else str(position["variation"]),
                "sold_at": order["datetime"],
                "quantity": 1,
                "unit_price": position["price"],
                "currency": currencies.get(order["event"]),
                "status": ("refunded" if refunded else "cancelled") if gone else status,
                "refunded_quantity": 1 if gone and refunded else 0,
                "refunded_amount": str(refunded),
                "channel": sales_channel(order.get("sales_channel")),
            }
        )
    return records


def contact_records(order: Mapping[str, Any]) -> list[Raw]:
    """The buyer of an order. Buyers of several orders meet again by the hash of their e-mail address."""
    if order["testmode"]:
        return []
    paid = [p["payment_date"] for p in order.get("payments", ()) if p["state"] == "confirmed" and p["payment_date"]]
    address = order.get("invoice_address") or {}
    return [
        {
            "native_id": contact_id(order),
            "updated_at": order["last_modified"],
            "email": order.get("email"),
            "phone": order.get("phone"),
            "name": address.get("name") or None,
            "created_at": order["datetime"],
            "stage": ORDER_STATUS.get(order["status"], order["status"]),
            # An order that comes paid has a payment some milliseconds older than itself.
            "converted_at": max(min(paid, key=moment), order["datetime"], key=moment) if paid else None,
            "source": sales_channel(order.get("sales_channel")),
            "country": str(address.get("country") or "") or None,
        }
    ]


def contact_id(order: Mapping[str, Any]) -> str:
    """The buyer's id, from the order code, never from the address."""
    return f"order-{order['code']}"


def sales_channel(value: object) -> str | None:
    """The channel's identifier; newer versions wrap it."""
    if isinstance(value, Mapping):
        value = value.get("identifier")
    return str(value) if value else None
