"""When an event sells out: where its expected curve reaches the capacity, in the event's own days."""

from datetime import UTC, date, datetime

import numpy as np
import pytest

from models.attendance.booking import sell_out
from tests.unit.models.test_booking_similar import DAY, curves, fact, query

NOW = datetime(2026, 3, 16, 12, tzinfo=UTC)


def left_at(final: float, *, sold: float = 40.0, left: float = 10.0, capacity: float | None = 100.0) -> float:
    """Days left at the sell-out of an event whose likes sold evenly over 31 days."""
    past = curves(*[fact(DAY - 20 - n) for n in range(5)])
    asked = query(fact(capacity=capacity), sold=sold, left=left)
    return float(sell_out.days_left_at_sell_out(asked, past, 365.0, np.array([final]))[0])


def test_even_sales_reach_the_capacity_where_a_straight_line_does() -> None:
    assert left_at(160.0) == pytest.approx(5.0), "half of what is still to be sold fills it"
    assert left_at(100.0) == pytest.approx(0.0), "only the last ticket does"
    assert left_at(280.0) == pytest.approx(7.5)


@pytest.mark.parametrize(
    ("final", "sold", "capacity"),
    [(99.4, 40.0, 100.0), (500.0, 40.0, None), (500.0, 100.0, 100.0), (80.0, 80.0, 100.0)],
)
def test_none_is_expected_without_a_limit_below_it_or_once_it_is_full(
    final: float, sold: float, capacity: float | None
) -> None:
    assert np.isnan(left_at(final, sold=sold, capacity=capacity))


def test_where_nothing_usually_comes_any_more_it_is_taken_to_come_evenly() -> None:
    past = curves(*[fact(DAY - 20 - n) for n in range(5)])
    past.sold[:] = 80.0
    asked = query(fact(), sold=90.0, left=10.0)
    found = sell_out.days_left_at_sell_out(asked, past, 365.0, np.array([110.0]))
    assert found[0] == pytest.approx(5.0, abs=0.51)


def test_it_stays_between_now_and_the_end_of_the_day() -> None:
    for final in (100.0, 101.0, 1e6):
        for left in (0.25, 0.9, 1.0, 29.5):
            assert 0 <= left_at(final, left=left) <= left


def test_moments_are_utc_and_never_past() -> None:
    day = date(2026, 3, 20)
    assert sell_out.expected(day, 1.5, "UTC", NOW) == "2026-03-19T12:00:00Z"
    assert sell_out.expected(day, 1.5, "America/New_York", NOW) == "2026-03-19T16:00:00Z"
    assert sell_out.expected(day, 4.9, "UTC", NOW) == "2026-03-16T12:00:00Z"
    late = NOW.replace(second=30)
    assert datetime.fromisoformat(sell_out.expected(day, 4.9, "UTC", late)) >= late


def test_a_past_sell_out_is_the_day_it_happened() -> None:
    day = date(2026, 3, 20)
    assert sell_out.reached(day, 6, "Asia/Tokyo", NOW) == "2026-03-14T14:59:00Z"
    assert sell_out.reached(day, 4, "UTC", NOW) == "2026-03-16T12:00:00Z", "today, and not later than now"
    assert sell_out.local_date("2026-03-14T14:59:00Z", "Asia/Tokyo") == "2026-03-14"
