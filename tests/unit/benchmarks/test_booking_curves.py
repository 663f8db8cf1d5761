"""The booking benchmark's own parts on a few made-up searches: what an event is there, and the naive forecasts."""

import json
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from benchmarks.model_quality.booking import LONGEST, NAIVE_PACE, NAIVE_PICKUP, frame, naive
from models.attendance.booking import backtest
from models.attendance.booking.curves import past_curves
from models.attendance.booking.panel import past_panel
from models.attendance.history import prepared

FIRST = date(2013, 1, 1)


def searches(*arrivals: tuple[date, int, int]) -> pl.DataFrame:
    """One search made on the first day, so that the window is known, and those of (arrival, days before, how many)."""
    made = [(arrival - timedelta(days=before), arrival) for arrival, before, count in arrivals for _ in range(count)]
    return pl.DataFrame(
        {
            "date_time": [FIRST, *(at for at, _ in made)],
            "srch_ci": [None, *(arrival for _, arrival in made)],
            "hotel_continent": [2] * (1 + len(made)),
            "is_booking": [1] * (1 + len(made)),
        },
        schema_overrides={"date_time": pl.Datetime, "srch_ci": pl.Date},
    )


def test_an_arrival_day_is_an_event_that_fills_up() -> None:
    day = date(2013, 9, 2)
    found = frame(searches((day, 30, 2), (day, 1, 3), (day, LONGEST + 1, 9), (date(2013, 2, 1), 5, 4)), "1d")
    assert found["starts_on"].to_list() == [day], "of others not all days before it are in the data"
    assert json.loads(found["bookings"][0]) == [[30, 2], [1, 5]] and found["attendance"][0] == 5


def test_a_week_of_arrivals_is_put_together_and_late_ones_count_as_sold_on_the_day() -> None:
    monday = date(2013, 9, 2)
    found = frame(searches((monday, 2, 1), (monday + timedelta(days=4), 1, 2)), "1w", one_group=True)
    assert found["starts_on"].to_list() == [monday]
    assert json.loads(found["bookings"][0]) == [[2, 1], [0, 3]]


def test_naive_forecasts_are_what_their_names_say() -> None:
    """Every event sells half its tickets by 10 days before, so that both are exact there, and only there."""
    days = [date(2013, 8, 1) + timedelta(days=3 * n) for n in range(40)]
    found = frame(searches(*[(day, before, 4) for day in days for before in (20, 10, 2, 0)]), "1d")
    past = past_curves(prepared(found))
    cases = backtest.cases(past, past_panel(past, 365.0))
    assert cases is not None
    errors = naive(past, cases)
    assert errors[NAIVE_PICKUP] == pytest.approx(0) and errors[NAIVE_PACE] == pytest.approx(0)
    uneven = past.take(np.arange(len(past)))
    uneven.attendance[:] += np.arange(len(past)) % 2
    cases = backtest.cases(uneven, past_panel(uneven, 365.0))
    assert cases is not None and naive(uneven, cases)[NAIVE_PICKUP].mean() > 0
