"""A shop with shows, guests and a first night behind it, for the tests of streaming. Written by hand, two partners alike."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from integrator.steps.publish import publish
from integrator.steps.score import score
from integrator.steps.services import Services
from integrator.steps.stream import Touched
from integrator.storage import insights, landing
from integrator.storage.insights import Served
from models.registry import USE_CASES

DAY = timedelta(days=1)
PLATFORM = "direct"
Record = dict[str, Any]


def event(day: int, now: datetime, **changes: Any) -> Record:
    """A show of the series `late`, `day` days from now; past ones say how many came."""
    made: Record = {
        "native_id": f"show{day}", "name": "Late show", "starts_at": (now + day * DAY).isoformat(), "timezone": "UTC",
        "status": "completed" if day < 0 else "scheduled", "series_id": "late", "capacity": 200,
        "on_sale_at": (now - 60 * DAY).isoformat(),
        "updated_at": (now - 50 * DAY).isoformat(),
    }  # fmt: skip
    return made | ({"attendance": 100 + (day * 7) % 30} if day < 0 else {}) | changes


def contact(number: int, now: datetime, **changes: Any) -> Record:
    """A guest who gave an e-mail address `number % 150` days ago; every fifth has converted."""
    created = now - (number % 150 + 1) * DAY
    made: Record = {
        "native_id": f"guest{number}", "email": f"guest{number}@example.com", "created_at": created.isoformat(),
        "stage": "lead", "source": "web", "country": "DE", "consent": {"processing": "granted", "pooling": "denied"},
        "updated_at": created.isoformat(),
    }  # fmt: skip
    return made | ({"converted_at": (created + DAY).isoformat()} if number % 5 == 0 else {}) | changes


def sale(number: int, now: datetime, **changes: Any) -> Record:
    """A ticket to one of the coming shows, or one of the past ones."""
    sold = now - (number % 40) * DAY - timedelta(hours=1)
    made: Record = {
        "native_id": f"line{number}", "event_id": f"show{number % 6 + 1}", "contact_id": f"guest{number % 40}",
        "product": f"seat{number % 2}", "sold_at": sold.isoformat(), "quantity": 1 + number % 3,
        "unit_price": str(20 + number % 5), "currency": "EUR", "status": "paid", "updated_at": sold.isoformat(),
    }  # fmt: skip
    return made | changes


def land(services: Services, partner: str, kind: str, records: Iterable[Record]) -> list[Touched]:
    """Land records as every way in does; what they touch."""
    given = list(records)
    result = landing.write(services.database, partner, PLATFORM, kind, given, now=services.clock())
    assert not result.errors, result.errors
    return [Touched(kind, PLATFORM, record["native_id"]) for record in given]


def furnish(services: Services, partner: str) -> None:
    """What was there before the first night."""
    now = services.clock()
    land(services, partner, "event", [event(day, now) for day in range(-60, 8) if day])
    land(services, partner, "contact", [contact(number, now) for number in range(60)])
    land(services, partner, "sale", [sale(number, now, currency="EUR") for number in range(200)])


def publish_all(services: Services, partner: str, run_id: str) -> dict[str, tuple[int, int]]:
    """The night's score and publish; (changed, discarded) by use case."""
    found = {}
    for spec in USE_CASES:
        score(services, partner, spec.name, run_id=run_id)
        report = publish(services, partner, spec.name, run_id=run_id)
        found[spec.name] = report.changed, report.discarded
    return found


def current(services: Services, partner: str, use_case: str) -> dict[str, Served]:
    """What is published now, by subject id."""
    with services.database.partner(partner) as connection:
        return {served.subject_id: served for served in insights.current(connection, partner, use_case)}
