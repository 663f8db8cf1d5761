"""What a prediction said of an outcome, and what became of a lead: pure readings of documents."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrator.steps.realized import preferred
from integrator.steps.realized_answers import (
    Expected,
    buckets,
    due,
    expected,
    interpolated,
    lead_answer,
)
from integrator.storage.realized import Waiting

NOW = datetime(2026, 3, 16, 12, tzinfo=UTC)
DAY, WEEK = timedelta(days=1), timedelta(days=7)


def outcome(value: float | None = 1.0, at: datetime = NOW, *, source: str = "platform", **more: Any) -> Waiting:
    facts = {"subject_kind": "event", "subject_id": "e", "platform": "p", "begins_at": at, "price": None, **more}
    return Waiting(happened_at=at, source=source, value=value, received_at=NOW, **facts)


def test_by_value_and_interval_unless_told_otherwise() -> None:
    said = {"value": 3, "interval": {"level": 0.8, "low": 1, "high": 5}}
    assert (
        expected("attendance", said, outcome()) == expected("something_new", said, outcome()) == Expected(3, 1, 5, 0.8)
    )
    assert expected("attendance", {"value": 3, "interval": None}, outcome()) == Expected(3)
    assert expected("attendance", {"value": None}, outcome()) is None
    assert expected("attendance", {"value": float("nan")}, outcome()) is None


def test_a_series_by_the_entry_of_the_moment_in_whatever_zone() -> None:
    entry = {"at": "2026-03-16T13:00:00+01:00", "p10": 1, "p50": 2, "p90": 3}
    said = {"value": 9, "details": {"horizon": [{"at": "2026-03-15T12:00:00Z", "p50": None}, entry]}}
    assert expected("attendance", said, outcome(subject_kind="series")) == Expected(2, 1, 3, 0.8)
    assert expected("attendance", said, outcome(subject_kind="series", at=NOW + DAY)) is None
    assert expected("attendance", {"value": 9, "details": {}}, outcome(subject_kind="series")) is None


def test_demand_scales_with_the_period_and_its_interval_does_not() -> None:
    curve = [
        {"price": price, "quantity": quantity, "quantity_low": quantity - 10, "quantity_high": quantity + 20}
        for price, quantity in ((10, 60), (14, 20))
    ]
    details = {"current_price": 14, "expected_quantity": 40, "demand_curve": curve}
    said = {"value": 12, "interval": {"level": 0.8, "low": 11, "high": 13}, "details": details}
    week = outcome(begins_at=NOW - WEEK, price=11, subject_kind="product")
    assert expected("pricing", said, week) == Expected(50, 40, 70, 0.8)
    assert expected("pricing", said, outcome(begins_at=NOW - 2 * WEEK, price=11)) == Expected(100)
    assert expected("pricing", said, outcome(begins_at=NOW - WEEK, price=15)) is None, "beyond the curve"
    unsold = expected("pricing", said, outcome(0, begins_at=NOW - WEEK))
    assert unsold is not None and unsold.value == 20, "nothing sold: the current price was asked"
    summer = expected("pricing", said, outcome(begins_at=NOW - WEEK + timedelta(hours=1), price=12))
    assert summer is not None and summer.low == 30
    assert expected("pricing", {"value": None, "details": {}}, week) is None
    keeps = {
        "value": 12,
        "interval": None,
        "details": {"current_price": 12, "expected_quantity": 35, "demand_curve": []},
    }
    assert expected("pricing", keeps, week) == Expected(35)


@given(
    points=st.lists(st.tuples(st.floats(1, 100), st.floats(0, 1000)), min_size=2, max_size=9, unique_by=lambda p: p[0]),
    part=st.floats(0, 1),
)
def test_a_curve_is_read_between_its_points_and_nowhere_else(points: list[tuple[float, float]], part: float) -> None:
    curve = sorted(points)
    x = curve[0][0] + part * (curve[-1][0] - curve[0][0])
    y = interpolated(points, x)
    assert y is not None and min(q for _, q in curve) - 1e-6 <= y <= max(q for _, q in curve) + 1e-6
    assert interpolated(points, curve[-1][0] * 1.01) is interpolated(points, curve[0][0] * 0.9) is None
    assert interpolated([], 1) is None
    assert interpolated(points, curve[0][0]) == pytest.approx(curve[0][1]) and interpolated(points, None) is None


def test_a_curve_of_one_point_holds_at_that_point() -> None:
    assert interpolated([(10.0, 5.0)], 10.04) == 5 and interpolated([(10.0, 5.0)], 11) is None


def test_the_horizon_a_lead_was_predicted_for() -> None:
    assert due({"details": {"horizon_days": 30}}, None, NOW) == NOW + 30 * DAY
    assert due({"details": {}}, {"horizon_days": 60}, NOW) == NOW + 60 * DAY
    assert due({}, None, NOW) == NOW + 90 * DAY


@pytest.mark.parametrize(
    ("outcomes", "answer"),
    [
        ([outcome(1, NOW + 5 * DAY)], 1),
        ([outcome(1, NOW + 31 * DAY)], 0),
        ([outcome(0, NOW + 30 * DAY)], 0),
        ([outcome(0, NOW + 9 * DAY)], None),
        ([outcome(0, NOW + 9 * DAY, source="api")], 0),
        ([outcome(0, NOW + 9 * DAY, source="api"), outcome(1, NOW + 20 * DAY, source="api")], 1),
        ([outcome(0, NOW + 9 * DAY, source="api"), outcome(1, NOW + 5 * DAY)], 0),
        ([outcome(1, NOW + 9 * DAY, source="api"), outcome(0, NOW + 30 * DAY)], 1),
        ([outcome(1, NOW - DAY)], None),
        ([outcome(None, NOW + DAY)], None),
        ([], None),
    ],
)
def test_whether_a_lead_kept_its_horizon(outcomes: list[Waiting], answer: float | None) -> None:
    found = lead_answer(outcomes, NOW, NOW + 30 * DAY)
    assert (None if found is None else found[1]) == answer


def test_one_outcome_for_each_event_and_each_moment_of_a_series() -> None:
    platform, word = outcome(880), outcome(870, source="api")
    assert preferred([platform, word]) == preferred([word, platform]) == [word]
    moved = outcome(880, NOW + DAY)
    assert preferred([platform, moved]) == [moved]
    series = [outcome(1, NOW + n * DAY, subject_kind="series") for n in range(3)]
    assert len(preferred([*series, outcome(2, NOW, subject_kind="series", source="api")])) == 3


def test_leads_are_fixed() -> None:
    assert list(buckets("attendance")) == ["last", "1d", "3d", "7d", "14d", "28d", "56d"]
    assert list(buckets("pricing")) == list(buckets("something_new")) == ["last"]
