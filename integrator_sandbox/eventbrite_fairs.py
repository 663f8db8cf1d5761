"""What the Eventbrite stand-in's lists hold: shop days as events, who came from a district as its checked-in tickets.

A customer on a day is a ticket, the basket's total its price. Only dates are known, so a ticket is sold and scanned at
noon of the day. The calendar is published four weeks before its first day, the only date here the data does not give.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from integrator_sandbox.demo import FAIRS
from integrator_sandbox.state import Sandbox
from integrator_sandbox.timeline import shift

ZONE = ZoneInfo("Asia/Taipei")
OPENS, NOON, CLOSES = time(10, 0), time(12, 0), time(20, 0)
PUBLISHED_BEFORE = timedelta(weeks=4)
FIRST_EVENT, FIRST_TICKET, FIRST_ORDER = 700_000_000_000, 9_000_000_000, 12_000_000_000
Item = dict[str, Any]
Ticket = tuple[int, str, datetime, int]


class Fairs:
    """Events, attendees and orders on the sandbox's timeline, in the order they came to be."""

    def __init__(self, sandbox: Sandbox) -> None:
        """Loads the frame once."""
        self.sandbox = sandbox
        frame = sandbox.frames["fairs"]
        moved = shift(sandbox.anchor, frame["day"].max())  # type: ignore[arg-type]
        days: list[date] = frame["day"].unique().sort().to_list()
        self.published = _at(days[0] + moved, OPENS) - PUBLISHED_BEFORE
        kept = set(days[-sandbox.subset.days :] if sandbox.subset.days else days)
        self.days: dict[str, tuple[str, date]] = {}
        self.tickets: list[Ticket] = []
        self.built: dict[tuple[str, int], Item] = {}
        ids: dict[tuple[str, date], str] = {}
        rows = frame.select("district", "day", "total").iter_rows()
        for number, (district, day, total) in enumerate(rows):
            if day not in kept:
                continue
            key = (district, day + moved)
            event = ids.setdefault(key, str(FIRST_EVENT + len(ids)))
            self.days[event] = key
            self.tickets.append((number, event, _at(day + moved, NOON), total))

    def events(self) -> list[Item]:
        """The events shown now, and those a test has added."""
        gone = self.sandbox.removed("eventbrite")
        shown = [self._event(event, *key) for event, key in self.days.items() if event not in gone]
        return (shown if self.published <= self.sandbox.now() else []) + self.sandbox.injected("eventbrite")

    def attendees(self, event: str | None = None) -> list[Item]:
        """The tickets sold by now, of one event or of all; those a test gave back are cancelled."""
        sold = self._sold("attendee", _attendee, event)
        for one in self.sandbox.injected("eventbrite/refunds"):
            back = {"changed": one["at"], "checked_in": False, "cancelled": True, "refunded": True}
            sold = [a | back | {"status": "Not Attending"} if a["id"] == one["attendee"] else a for a in sold]
        added = self.sandbox.injected("eventbrite/attendees")
        return sold + [one for one in added if event in (None, one.get("event_id"))]

    def orders(self) -> list[Item]:
        """One order a ticket. Nobody's name or address is known."""
        return self._sold("order", _order) + self.sandbox.injected("eventbrite/orders")

    def _sold(self, name: str, build: Callable[[Ticket], Item], event: str | None = None) -> list[Item]:
        """What became of the tickets sold by now, each built once."""
        now, shown = self.sandbox.now(), []
        for one in self.tickets:
            if one[2] <= now and event in (None, one[1]):
                key = (name, one[0])
                if key not in self.built:
                    self.built[key] = build(one)
                shown.append(self.built[key])
        return shown

    def _event(self, event: str, district: str, day: date) -> Item:
        now, start, end = self.sandbox.now(), _at(day, OPENS), _at(day, CLOSES)
        name = f"Shop day, district {district}"
        return {
            "id": event,
            "name": {"text": name, "html": name},
            "start": {"timezone": ZONE.key, "utc": iso(start), "local": f"{day}T{OPENS}"},
            "end": {"timezone": ZONE.key, "utc": iso(end), "local": f"{day}T{CLOSES}"},
            "created": iso(self.published),
            "changed": iso(self.published),
            "capacity": None,
            "status": "completed" if end <= now else "started" if start <= now else "live",
            "currency": "TWD",
            "online_event": False,
            "is_free": False,
            "is_series": True,
            "is_series_parent": False,
            "series_id": f"{district}000",
            "venue_id": "1",
            "venue": {"id": "1", "name": "Ta-Feng", "capacity": None, "address": {"city": None, "country": "TW"}},
            "category_id": None,
            "category": None,
            "organization_id": FAIRS,
        }


def _attendee(ticket: Ticket) -> Item:
    number, event, at, total = ticket
    price = {"currency": "TWD", "value": total * 100, "major_value": f"{total}.00", "display": f"NT${total}.00"}
    return {
        "id": str(FIRST_TICKET + number),
        "created": iso(at),
        "changed": iso(at),
        "ticket_class_id": "1",
        "ticket_class_name": "Basket",
        "quantity": 1,
        "costs": {"base_price": price, "gross": price},
        "profile": {},
        "checked_in": True,
        "cancelled": False,
        "refunded": False,
        "status": "Checked In",
        "event_id": event,
        "order_id": str(FIRST_ORDER + number),
    }


def _order(ticket: Ticket) -> Item:
    number, event, at, _ = ticket
    return {
        "id": str(FIRST_ORDER + number),
        "created": iso(at),
        "changed": iso(at),
        "name": "Info Requested",
        "email": "Info Requested",
        "status": "placed",
        "event_id": event,
    }


def _at(day: date, hour: time) -> datetime:
    return datetime.combine(day, hour, ZONE).astimezone(UTC)


def iso(at: datetime) -> str:
    """Whole seconds and Z, as Eventbrite writes."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
