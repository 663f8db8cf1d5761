"""Tickets, whose seats and days run out, and prices that are only asked about."""

import json
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from integrator.contracts.errors import InvalidInput
from models.base import FeatureRow
from models.pricing import optimum
from models.pricing.columns import COLUMNS, REQUIRED
from models.pricing.spec import USE_CASE
from models.rounding import sums
from tests.pricing_frames import CONTEXT, ROW, START, at, line, shop, sure

MARCH = replace(CONTEXT, as_of=datetime(2026, 3, 1, tzinfo=UTC))
EVENT = {"starts_at": "2026-02-14T19:00:00Z", "days_to_go": 20, "capacity": 500, "left": 200, "left_here": 200.0}


def ticket(left: float, days: int = 20, price: float = 100.0, **other: Any) -> FeatureRow:
    """Five tickets a day at 100: about a hundred more until the event in 20 days."""
    event = EVENT | {"left": int(left), "left_here": float(left), "days_to_go": days}
    return at(price, unit_cost=None, event=event, **other)


def test_with_seats_enough_a_ticket_is_priced_like_anything_else() -> None:
    plenty = sure(-3.0).predict([ticket(10_000)])[0]
    usual = sure(-3.0).predict([ticket(10_000) | {"event": None}])[0]
    assert plenty.value == usual.value and plenty.details["binding"] != "capacity"
    assert (plenty.details["seats_left"], plenty.details["days_to_go"]) == (10_000, 20)


def test_where_seats_run_out_the_price_that_just_sells_them_is_the_best() -> None:
    found = sure(-3.0).predict([ticket(80)])[0]
    # 100 would be asked for at 100; at −3 per unit of relative price 80 are at 100·(1 − ln(0.8)/3)
    best = 100 * (1 + math.log(100 / 80) / 3)
    assert found.value == pytest.approx(best, rel=0.02)
    assert found.value is not None and sums(found.value, 100.0, found.contributions, decimals=2)
    assert found.details["binding"] == "capacity" and "seats left until the event" in found.summary


def test_the_fewer_seats_the_higher_the_price_and_never_more_sold_than_there_are() -> None:
    values = []
    for left in (400, 120, 100, 90, 80, 60, 20):
        found = sure(-3.0).predict([ticket(left)])[0]
        assert found.value is not None and found.details["expected_quantity"] <= left
        assert found.details["expected_quantity_high"] <= left + 0.05
        assert all(point["quantity"] <= left + 0.05 for point in found.details["demand_curve"])
        values.append(found.value)
    assert values == sorted(values) and values[0] < 100 < values[-1]


def test_what_would_be_left_over_is_cleared_by_a_lower_price() -> None:
    found = sure(-3.0).predict([ticket(400)])[0]
    assert found.value is not None and found.value < 100


def test_an_event_tomorrow_has_one_day_s_sales() -> None:
    model = sure(-3.0)
    week = model.what_if(ticket(10_000, days=20), 100.0)["quantity"]
    day = model.what_if(ticket(10_000, days=1), 100.0)["quantity"]
    assert day == pytest.approx(week / 7, abs=0.1)


def test_inelastic_tickets_are_priced_where_seats_bind_and_a_sold_out_event_is_not() -> None:
    assert sure(-0.6, 0.1).predict([ticket(60)])[0].status == "ready"
    assert sure(-0.6, 0.1).predict([ticket(60) | {"event": None}])[0].status == "refused"
    gone = sure(-3.0).predict([ticket(0)])[0]
    assert gone.status == "refused" and "nothing is left to sell" in gone.summary


def tickets(day: int, *, events: int = 1, capacity: int | None = 300, sold: int | None = 120) -> pl.DataFrame:
    """A box office's rows: two tiers of one event, 60 days on sale."""
    starts = datetime(2026, 3, 1 + day, 19, tzinfo=UTC)
    records = []
    for n in range(60):
        on = START + timedelta(days=n + 50)
        for tier, quantity in (("stalls", 6), ("balcony", 2)):
            row = line("gala", on, quantity, [20.0, 22.0, 25.0, 18.0][n // 7 % 4], None, tier=tier)
            event = {
                "event_id": f"e{n % events}", "event_starts_at": starts, "event_capacity": capacity,
                "event_tickets_sold": sold, "days_to_event": (starts.date() - on).days,
            }  # fmt: skip
            records.append(row | event)
    return pl.DataFrame([{name: row.get(name) for name in COLUMNS} for row in records], schema=COLUMNS)


def test_a_row_knows_its_share_of_the_seats_left_and_the_days_to_go() -> None:
    rows = USE_CASE.rows(tickets(10), MARCH)
    by_tier = {row["tier"]: row["event"] for row in rows}
    assert by_tier["stalls"] == {
        "starts_at": "2026-03-11T19:00:00Z", "days_to_go": 10, "capacity": 300, "left": 180, "left_here": 135.0,
    }  # fmt: skip
    assert by_tier["balcony"]["left_here"] == 45.0
    assert type(by_tier["balcony"]["left_here"]) is float, "a feature row is JSON: numpy's own numbers cannot be stored"
    assert rows[0]["now"]["fields"]["days_to_event"] > 0
    json.dumps(rows, allow_nan=False)


def test_the_same_number_on_two_platforms_is_two_events() -> None:
    here = tickets(10)
    there = here.with_columns(platform=pl.lit("eventbrite"), quantity=pl.col("quantity") * 5)
    alone = {row["tier"]: row["event"]["left_here"] for row in USE_CASE.rows(here, MARCH)}
    beside = USE_CASE.rows(pl.concat([here, there]), MARCH)
    assert {row["tier"]: row["event"]["left_here"] for row in beside if row["platform"] != "eventbrite"} == alone


@pytest.mark.parametrize(
    "frame",
    [tickets(0).with_columns(event_starts_at=pl.lit(datetime(2026, 2, 1, tzinfo=UTC))), tickets(10, capacity=None),
     tickets(10, events=2), tickets(10).drop("event_id"), tickets(10).with_columns(event_id=None)],
    ids=["over", "no capacity", "several events", "no column", "no event"],
)  # fmt: skip
def test_what_is_no_ticket_to_one_coming_event_with_known_seats_has_none(frame: pl.DataFrame) -> None:
    assert {row["event"] is None for row in USE_CASE.rows(frame, MARCH)} == {True}


def test_more_sold_than_there_are_seats_leaves_none() -> None:
    rows = USE_CASE.rows(tickets(10, sold=900), CONTEXT)
    assert {row["event"]["left"] for row in rows} == {0}


@pytest.mark.parametrize("price", [81.0, 100.0, 110.0, 119.99])
def test_a_hypothetical_price_has_the_numbers_of_the_demand_curve(price: float) -> None:
    model, row = sure(-3.0), at(100.0)
    asked = model.what_if(row, price)
    assert asked["is_identified"] and asked["reason"] is None and asked["is_in_range"]
    assert asked["quantity_low"] <= asked["quantity"] <= asked["quantity_high"]
    assert asked["revenue"] == pytest.approx(asked["quantity"] * price, rel=0.01)
    assert asked["profit"] == pytest.approx(asked["quantity"] * (price - 60), rel=0.01)
    for point in model.predict([row])[0].details["demand_curve"]:
        again = model.what_if(row, point["price"])
        assert {name: again[name] for name in point} == point
    assert model.what_if(json.loads(json.dumps(row)), price) == asked, "a stored row answers the same"


def test_a_hypothetical_price_at_the_recommended_one_is_what_was_expected() -> None:
    model, row = sure(-4.0), at(100.0)
    details, value = model.predict([row])[0].details, model.predict([row])[0].value
    assert value is not None
    asked = model.what_if(row, value)
    for what in ("quantity", "revenue", "profit"):
        assert asked[what] == details[f"expected_{what}"] and asked[f"{what}_low"] == details[f"expected_{what}_low"]


def test_outside_what_was_paid_is_said_and_the_unidentified_is_not_answered() -> None:
    assert sure(-3.0).what_if(at(100.0), 200.0)["is_in_range"] is False
    asked = sure(-0.2, 1.0).what_if(at(100.0), 90.0)
    assert asked["is_identified"] is False and "cannot be told from none" in asked["reason"] and "quantity" not in asked


@pytest.mark.parametrize("price", [0, -5, math.inf, math.nan, "12"])
def test_a_price_that_is_none_is_refused(price: Any) -> None:
    with pytest.raises(InvalidInput, match="a finite number above zero"):
        sure(-3.0).what_if(at(100.0), price)


@pytest.mark.parametrize(("currency", "step"), [("JPY", 1.0), ("KWD", 0.001), ("TWD", 0.01)])
def test_money_has_its_currency_s_digits(currency: str, step: float) -> None:
    found = sure(-3.0).predict([at(1000.0, currency=currency, price_step=step)])[0]
    digits = {"JPY": 0, "KWD": 3, "TWD": 2}[currency]
    assert found.value is not None
    for amount in (
        found.value,
        found.details["expected_revenue"],
        found.details["floor"],
        found.details["expected_profit_low"],
    ):
        assert amount == round(amount, digits)


def test_a_price_equal_to_cost_is_raised_with_the_gain_in_money() -> None:
    found = sure(-3.0).predict([at(100.0, unit_cost=100.0)])[0]
    assert found.value is not None and found.value > 100.0
    assert "a week instead of 0" in found.summary and found.details["current_profit"] == 0.0


def test_every_column_but_the_required_may_be_missing_or_null() -> None:
    frame = shop(5)
    bare = frame.select(REQUIRED)
    nulls = frame.with_columns(pl.lit(None).alias(name) for name in frame.columns if name not in (*REQUIRED, "partner"))
    for odd in (bare, nulls):
        rows = USE_CASE.rows(odd, CONTEXT)
        assert len(rows) == 5 and {row["unit_cost"] for row in rows} == {None}
        assert {row["group"] for row in rows} == {""} and {row["currency"] for row in rows} == {"TWD"}
    with pytest.raises(InvalidInput, match="quantity"):
        USE_CASE.rows(frame.drop("quantity"), CONTEXT)


def test_infinite_quantities_and_fields_are_not_known() -> None:
    frame = shop(5).with_columns(
        quantity=pl.when(pl.col("product") == "p00").then(math.inf).otherwise(pl.col("quantity")),
        attributes=pl.lit('{"deal": 1e400, "shelf": "NaN"}'),
    )
    rows = USE_CASE.rows(frame, CONTEXT)
    assert [row["product"] for row in rows] == ["p01", "p02", "p03", "p04"]
    assert all(row["recent"]["fields"] == {} for row in rows)


def test_selling_out_is_the_inverse_of_demand_at_steep_and_flat_slopes() -> None:
    for slope, cost in ((-3.0, 60.0), (-1.1, 60.0), (-0.5, None)):
        price = optimum.selling_out(0.7, 100.0, slope, cost)
        assert optimum.quantity(price, 100.0, slope, cost) == pytest.approx(0.7)
    assert np.isfinite(ROW["recent"]["log_price"]).all()
