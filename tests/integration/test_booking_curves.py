"""From Eventbrite's tickets to insights: landed, harmonized by dbt, trained, judged, scored and published as booking curves."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from typing import Any

import pytest

from integrator.contracts.insight import Insight, parse
from integrator.platforms.eventbrite.map import event_records, sale_records
from integrator.settings import Settings
from integrator.steps.explain import explain
from integrator.steps.publish import publish
from integrator.steps.score import ScoreReport, score
from integrator.steps.services import Services
from integrator.steps.train import TrainReport, train
from integrator.storage import frames, insights, landing
from integrator.storage.partners import Partner, register
from models.base import TrainConfig
from tests.attendance_frames import TODAY
from tests.booking_frames import season
from tests.conftest import NOW
from tests.integration.dbt_runs import Dbt

PARTNER = "boxoffice"
VENUES = {"Cellar": {"level": 40, "capacity": 70}, "Attic": {"level": 25, "capacity": 90}}
Item = dict[str, Any]


def noon(day: date) -> str:
    return datetime.combine(day, time(12), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def event_of(row: Item) -> Item:
    """An event as Eventbrite's list has it."""
    day: date = row["starts_on"]
    return {
        "id": row["event_id"],
        "name": {"text": row["name"]},
        "start": {"timezone": "Europe/London", "utc": f"{day}T19:00:00Z"},
        "end": {"utc": f"{day}T22:00:00Z"},
        "changed": noon(day - timedelta(days=100)),
        "status": "live" if day >= TODAY else "completed",
        "capacity": row["capacity"],
        "venue": {"name": row["venue_name"], "address": {"country": "GB"}},
        "category": {"name": "Music"},
        "ticket_availability": {"start_sales_date": {"utc": noon(day - timedelta(days=30))}},
    }


def tickets_of(row: Item) -> list[Item]:
    """Its attendees, one a ticket, as the curve says they came in; every twentieth was given back two days later."""
    found: list[Item] = []
    sold = 0
    for days_out, total in json.loads(row["bookings"]):
        at = row["starts_on"] - timedelta(days=days_out)
        for _ in range(max(total - sold, 0)):
            number = len(found)
            is_back = number % 20 == 19 and days_out > 3 and at + timedelta(days=2) < TODAY
            found.append(
                {
                    "id": f"{row['event_id']}-{number}", "event_id": row["event_id"], "order_id": f"o{number}",
                    "created": noon(at), "changed": noon(at + timedelta(days=2)) if is_back else noon(at),
                    "costs": {"base_price": {"currency": "GBP", "value": 1500}}, "quantity": 1,
                    "status": "Not Attending" if is_back else "Attending", "refunded": is_back, "cancelled": is_back,
                }
            )  # fmt: skip
        sold = max(total, sold)
    return found


def counted(came: int, _: str) -> int:
    """As many tickets as were checked in."""
    return came


@dataclass(frozen=True)
class Built:
    services: Services
    tickets: dict[str, list[Item]]
    trained: TrainReport
    scored: ScoreReport

    @property
    def insights(self) -> dict[str, Insight]:
        with self.services.database.partner(PARTNER) as connection:
            served = insights.current(connection, PARTNER, "attendance")
        return {one.subject.id: one for one in (parse(each.document) for each in served)}


@pytest.fixture(scope="module")
def built(database: Any, server: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    """One partner's past and coming events, landed as the pull lands them, through dbt and the steps."""
    services = Services(Settings(home=tmp_path_factory.mktemp("home")), database, server.redis_url, lambda: NOW)
    register(database, Partner(partner=PARTNER, timezone="Europe/London", currency="GBP", region="GB-ENG"), NOW)
    tickets: dict[str, list[Item]] = {}
    events: list[Item] = []
    for seed, (venue, facts) in enumerate(VENUES.items()):
        rows, truths = season(venue, events=24, every=6, ahead=28, seed=seed, lead=30, refund_rate=0.0, **facts)
        for row in rows:
            sold = tickets_of(row)
            came = min(int(truths[row["event_id"]]["people"]), sum(not one["refunded"] for one in sold))
            events += event_records(event_of(row), NOW, partial(counted, came))
            tickets[row["event_id"]] = sold
    sales = [record for sold in tickets.values() for one in sold for record in sale_records(one)]
    for kind, records in (("event", events), ("sale", sales)):
        landed = landing.write(database, PARTNER, "eventbrite", kind, records, now=NOW)
        assert not landed.errors and landed.accepted == len(records)
    dbt = Dbt(database, tmp_path_factory.mktemp("dbt"))
    dbt.night(NOW, "--select", "+attendance_training", "--resource-type", "model")
    config = TrainConfig(candidates=("booking_curve",))
    trained = train(services, PARTNER, "attendance", config, run_id="run-1")
    scored = score(services, PARTNER, "attendance", run_id="run-1")
    publish(services, PARTNER, "attendance", run_id="run-1")
    yield Built(services, tickets, trained, scored)


def test_curves_come_out_as_the_tickets_went_in(built: Built) -> None:
    frame = frames.read_features(built.services.database, "attendance", PARTNER)
    given_back = 0
    for row in frame.iter_rows(named=True):
        expected: dict[int, int] = {}
        for one in built.tickets[row["event_id"]]:
            days_out = (row["starts_on"] - datetime.fromisoformat(one["created"]).date()).days
            expected[days_out] = expected.get(days_out, 0) + 1
            if one["refunded"]:
                given_back += 1
                expected[days_out - 2] = expected.get(days_out - 2, 0) - 1
        sold, points = 0, []
        for days_out in sorted(expected, reverse=True):
            sold += expected[days_out]
            points.append([days_out, sold])
        assert json.loads(row["bookings"]) == points, row["event_id"]
        assert row["tickets_sold"] == sold and row["average_price"] in (None, 15.0)
    assert frame.height == len(built.tickets) and given_back > 20


def test_the_gate_promotes_booking_curves(built: Built) -> None:
    report = built.trained
    assert report.promoted and report.trained is not None and report.verdict is not None
    assert report.trained.backtest.chosen == "booking_curve"
    assert report.verdict.reasons[0].startswith("booking_curve beats the naive rule")
    assert any(choice.subject.startswith("events on sale") for choice in report.trained.choices)


def test_events_on_sale_get_booking_curve_insights(built: Built) -> None:
    on_sale = {event for event, sold in built.tickets.items() if date.fromisoformat(event[-10:]) >= TODAY and sold}
    found = {event: built.insights[event] for event in on_sale}
    assert len(found) > 6 and built.scored.by_outcome["failure"] == 0
    for event, insight in found.items():
        details = insight.details
        assert (insight.status, insight.rung, details["family"]) == ("ready", "partner", "booking_curve")
        assert 0 <= details["p10"] <= details["p50"] <= details["p90"] <= details["capacity"]
        kept = sum(not one["refunded"] for one in built.tickets[event])
        assert details["tickets_sold"] == kept and f": {kept}, " in insight.explanation.summary
    assert max(date.fromisoformat(event[-10:]) for event in found) > TODAY + timedelta(days=14)


def test_a_booking_insight_can_be_made_again(built: Built) -> None:
    some = next(one for one in built.insights.values() if one.details.get("family") == "booking_curve")
    again = explain(built.services, some.id)
    assert again.identical and again.feature_row["booking"]["sold"] == some.details["tickets_sold"]


def test_readiness_counts_the_past_events(built: Built) -> None:
    found = built.trained.readiness
    assert found is not None and found.rung == "partner"
    assert "48 of 20 past events with ticket sales and attendance" in str(found)
