"""Sale lines with a history for the test of booking curves, and what they came to, counted the long way."""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tests.conftest import NOW
from tests.integration.dbt_runs import land

DAY = timedelta(days=1)
EVENTS = {"opening": 1, "premiere": -12, "gala": 60, "matinee": -40, "late": 3}
"""Event → days from `NOW` to its start."""


@dataclass(frozen=True)
class Said:
    """One version of a line: what was said of it at `at`; sold at `sold`."""

    sale: str
    event: str
    at: datetime
    sold: datetime
    quantity: int
    refunded: int = 0
    status: str = "paid"
    deleted: bool = False

    @property
    def net(self) -> int:
        """Units sold and kept."""
        if self.status not in ("paid", "refunded") or (self.status == "refunded" and not self.refunded):
            return 0
        return max(self.quantity - self.refunded, 0)

    @property
    def gross(self) -> int:
        """Units sold, whatever became of them."""
        return self.quantity if self.status in ("paid", "refunded") else 0


def said() -> list[Said]:
    """A seeded mix: seen at once or weeks later, refunded in part or whole, cancelled, pending, moved, deleted, advance."""
    dice = random.Random(11)
    found: list[Said] = []
    for number in range(150):
        sale = f"line{number}"
        event = dice.choice(list(EVENTS))
        sold = NOW - timedelta(days=dice.randrange(0, 90), minutes=dice.randrange(0, 1440))
        at = sold + dice.choice([timedelta(0), timedelta(0), timedelta(hours=5), 20 * DAY, -2 * DAY])
        quantity = dice.randrange(1, 6)
        first = Said(sale, event, at, sold, quantity, status=dice.choice(["paid", "paid", "paid", "pending"]))
        found.append(first)
        for _ in range(dice.choice([0, 0, 1, 2])):
            at += timedelta(days=dice.randrange(1, 12), minutes=7)
            refunded = dice.choice([0, 1, quantity])
            found.append(
                Said(
                    sale, dice.choice([event, event, event, "gala"]), at, sold, quantity, refunded,
                    dice.choice(["paid", "refunded", "cancelled"]), dice.random() < 0.1,
                )
            )  # fmt: skip
    return found


def plant_bookings(connection: Any) -> None:
    """The events in Tokyo, where the evening's sales are the next day's, and all lines of `said`."""
    for event, days in EVENTS.items():
        land(
            connection, "event", "stage", event, NOW - 100 * DAY, starts_at=NOW + days * DAY, timezone="Asia/Tokyo",
            capacity=400, status="completed" if days < 0 else "scheduled", on_sale_at=NOW - 95 * DAY,
        )  # fmt: skip
    for one in said():
        land(
            connection, "sale", "stage", one.sale, one.at, event_id=one.event, sold_at=one.sold, unit_price=20,
            quantity=one.quantity, refunded_quantity=one.refunded, status=one.status,
            deleted_at=one.at if one.deleted else None,
        )  # fmt: skip


def tickets(event: str, moment: datetime) -> int:
    """Tickets of an event as known at a moment: of each line the version valid then, or the first one, whole."""
    lines: dict[str, list[Said]] = {}
    for one in said():
        lines.setdefault(one.sale, []).append(one)
    total = 0
    for versions in lines.values():
        valid = [one for one in versions if one.at <= moment]
        known = valid[-1] if valid else versions[0]
        if known.event == event and known.sold <= moment and not (known.deleted and valid):
            total += known.net if valid else known.gross
    return total
