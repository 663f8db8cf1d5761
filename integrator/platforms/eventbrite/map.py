"""Eventbrite's objects as canonical records: events, tickets (attendees) as sales, buyers (orders) as contacts.

A status that is not documented passes through as it is, so that landing quarantines the record.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from integrator.contracts.currencies import digits
from integrator.platforms.base import Raw, moment, stamp

EVENT_STATUS = {
    "live": "scheduled", "started": "scheduled", "ended": "completed", "completed": "completed",
    "canceled": "cancelled",
}  # fmt: skip
TICKET_STATUS = {
    "attending": "paid", "checked in": "paid", "unpaid": "pending", "not attending": "cancelled",
    "deleted": "cancelled", "transferred": "cancelled",
}  # fmt: skip
WITHHELD = "Info Requested"  # what stands for a buyer's name and address until they have given them
FACTS = ("online_event", "is_free", "format_id", "subcategory_id")


def is_event(event: Any) -> bool:
    """Whether an entry of the list is something people attend; what cannot be read is, for landing to quarantine."""
    return not isinstance(event, dict) or not (event.get("status") == "draft" or event.get("is_series_parent"))


def event_records(event: Mapping[str, Any], now: datetime, checked_in: Callable[[str], int]) -> list[Raw]:
    """An event as its versions: as scheduled, and once over with the number of tickets checked in.

    Check-ins do not move the event's ``changed``, but they are not final before its end: the second version carries
    that time, so that no past moment sees an attendance it could not have known. None where nobody scans.
    """
    venue = event.get("venue") or {}
    address = venue.get("address") or {}
    changed, over = moment(event["changed"]), moment(event["end"]["utc"])
    status = EVENT_STATUS.get(event["status"], event["status"])
    sales = (event.get("ticket_availability") or {}).get("start_sales_date") or {}
    scheduled: Raw = {
        "native_id": str(event["id"]),
        "updated_at": stamp(changed),
        "name": (event["name"] or {}).get("text") or None,
        "starts_at": event["start"]["utc"],
        "ends_at": event["end"]["utc"],
        "timezone": event["start"]["timezone"],
        "status": "scheduled" if status == "completed" else status,
        "venue": {
            "name": venue.get("name"),
            "city": address.get("city"),
            "region": address.get("region"),
            "country": address.get("country"),
            "capacity": venue.get("capacity"),
        },
        "category": (event.get("category") or {}).get("name"),
        "series_id": event.get("series_id"),
        "on_sale_at": sales.get("utc"),
        "capacity": event.get("capacity"),
        "attendance": None,
        "attributes": {fact: event[fact] for fact in FACTS if event.get(fact) is not None},
    }
    if over > now or status not in ("scheduled", "completed"):
        return [scheduled]
    completed = {
        **scheduled,
        "updated_at": stamp(max(changed, over)),
        "status": "completed",
        "attendance": checked_in(str(event["id"])) or None,
    }
    return [scheduled, completed] if changed < over else [completed]


def sale_records(attendee: Mapping[str, Any]) -> list[Raw]:
    """A ticket as its versions: as sold, and as given back. Checking in moves ``changed`` but not the sale."""
    paid = attendee["costs"]["base_price"]
    price = Decimal(paid["value"]).scaleb(-digits(paid["currency"]))
    status = TICKET_STATUS.get(str(attendee["status"]).lower(), attendee["status"])
    quantity = attendee.get("quantity") or 1
    given_back = bool(attendee["refunded"]) or bool(attendee["cancelled"]) or status == "cancelled"
    sold: Raw = {
        "native_id": str(attendee["id"]),
        "updated_at": stamp(moment(attendee["created"])),
        "event_id": attendee["event_id"],
        "contact_id": attendee["order_id"],
        "product": attendee["event_id"],
        "tier": attendee.get("ticket_class_name"),
        "sold_at": attendee["created"],
        "quantity": quantity,
        "unit_price": str(price / quantity),
        "currency": paid["currency"],
        "status": "paid" if given_back else status,
        "channel": attendee.get("affiliate"),
    }
    if not given_back:
        return [sold]
    gone = {**sold, "updated_at": stamp(moment(attendee["changed"])), "status": "cancelled"}
    if attendee["refunded"]:
        gone |= {"status": "refunded", "refunded_quantity": quantity, "refunded_amount": str(price)}
    return [sold, gone] if gone["updated_at"] > sold["updated_at"] else [gone]


def contact_records(order: Mapping[str, Any]) -> list[Raw]:
    """The buyer of an order. Buyers of several orders meet again by the hash of their e-mail address."""
    return [
        {
            "native_id": str(order["id"]),
            "updated_at": stamp(moment(order["changed"])),
            "email": _told(order.get("email")),
            "name": _told(order.get("name")),
            "created_at": order["created"],
            "stage": order["status"],
            "converted_at": order["created"] if order["status"] == "placed" else None,
        }
    ]


def _told(value: str | None) -> str | None:
    return None if value in ("", WITHHELD) else value
