"""Booking curves on the series' own backtest: asked at its origins, knowing no more than it, taken where they are better."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from models.attendance.attributes import fit_encoder
from models.attendance.backtest import backtest_of
from models.attendance.booking import gate, model
from models.attendance.booking.backtest import BOOKING
from models.attendance.booking.beside_series import Beside, beside
from models.attendance.booking.buckets import BUCKETS
from models.attendance.booking.served import SERIES, served
from models.attendance.candidates import PER_SERIES, RULE
from models.attendance.fitting import Fitted, fit_grid, plan_for
from models.attendance.history import history_of, prepared
from models.base import Backtest
from tests.attendance_frames import TODAY
from tests.booking_frames import event, frame, theatre

Pair = tuple[list[Fitted], model.Learned, pl.DataFrame]


def both(full: pl.DataFrame) -> Pair:
    """Both families, fitted to the same past."""
    learned = model.fit(full)
    assert learned is not None
    fitted = []
    for grid in history_of(full).grids:
        plan = plan_for(grid, (RULE,), None, len(grid.units))
        fitted.append(fit_grid(grid, fit_encoder([], (), []), plan, 1))
    return fitted, learned, full


@pytest.fixture(scope="module")
def pair() -> Pair:
    """Three venues, an event every five days."""
    return both(prepared(theatre(events=36)[0].filter(pl.col("is_past"))))


@pytest.fixture(scope="module")
def compared(pair: Pair) -> tuple[list[Fitted], Beside]:
    fitted, learned, full = pair
    return beside(fitted, RULE, learned, full)


@pytest.fixture(scope="module")
def table(pair: Pair) -> Backtest:
    """The series' own backtest."""
    return backtest_of(pair[0], "digest")


def test_the_candidate_is_the_booking_forecast_where_it_stands_and_the_series_elsewhere(
    pair: Pair, compared: tuple[list[Fitted], Beside]
) -> None:
    ((one,), (both, shared)) = (pair[0], compared)
    mixed, base = both[0].forecasts[BOOKING], one.forecasts[RULE]
    assert mixed.shape == base.shape and (np.isnan(mixed) == np.isnan(base)).all()
    changed = (mixed != base) & np.isfinite(base)
    assert 0 < changed.sum() <= shared.is_taken.sum()
    assert BOOKING not in one.forecasts, "what was handed in stays as it is"


def test_errors_are_of_the_same_steps_in_the_same_unit(pair: Pair, compared: tuple[list[Fitted], Beside]) -> None:
    one = pair[0][0]
    actual, base = one.folds.actual[:, list(one.judged)], one.forecasts[RULE]
    known = np.abs(actual - base) / one.folds.scale[:, list(one.judged)][..., None]
    shared = compared[1]
    assert sorted(shared.series) == pytest.approx(sorted(known[np.isfinite(known)])), "every step was on sale"
    assert shared.booking.mean() < 0.5 * shared.series.mean()
    assert all(shared.is_better())


def test_an_origin_knows_nothing_of_what_came_after_it(pair: Pair, compared: tuple[list[Fitted], Beside]) -> None:
    """Sales and people of everything from the last origin on are changed: what was said at it stays the same."""
    fitted, _, full = pair
    one = fitted[0]
    origin = one.plan.origins[one.judged[-1]]
    day = one.grid.calendar.when[:, origin].min().astype("datetime64[D]").item()
    future = pl.col("local").dt.date() >= day
    other = full.with_columns(
        pl.when(future).then(pl.col("attendance") * 3 + 50).otherwise(pl.col("attendance")).alias("attendance"),
        pl.when(future & (pl.col("local").dt.date() > day + timedelta(days=25)))
        .then(pl.col("bookings").str.replace(r"\]\]$", "], [0, 9999]]"))
        .otherwise(pl.col("bookings"))
        .alias("bookings"),
    )
    again = beside(*both(other)[:1], RULE, both(other)[1], other)[0][0]
    before = compared[0][0].forecasts[BOOKING]
    np.testing.assert_allclose(again.forecasts[BOOKING][:, :-1], before[:, :-1])
    np.testing.assert_allclose(again.forecasts[BOOKING][:, -1], before[:, -1])


def test_the_gate_takes_the_better_mixture(pair: Pair, compared: tuple[list[Fitted], Beside], table: Backtest) -> None:
    learned = pair[1]
    found = gate.joined(table, compared[0], learned, compared[1])
    assert found.chosen == BOOKING and [one.candidate for one in found.scores][-1] == BOOKING
    assert found.score(BOOKING).metrics["mase"] < found.score(PER_SERIES).metrics["mase"]
    assert found.split == table.split, "the same steps, so that it can be held against a champion of series alone"
    serving = served(learned, compared[1], found.chosen)
    assert all(serving.near) and serving.beside[SERIES][0] is not None
    assert not any(served(learned, compared[1], table.chosen).near), "the gate chose without them: series go first"


def test_where_the_series_is_better_it_speaks() -> None:
    errors = np.repeat([0.4, 1.2], 60)
    where = np.repeat([1, 4], 60)
    shared = Beside(
        bucket=where,
        day=np.arange(120.0),
        booking=errors,
        series=errors[::-1].copy(),
        is_taken=np.ones(120, dtype=bool),
    )
    better = shared.is_better()
    assert (better[1], better[4]) == (True, False)
    assert shared.errors(shared.booking)[1] == 0.4 and shared.errors(shared.booking)[0] is None
    assert len(shared.over_by(5.0).bucket) == 5


def test_a_partner_whose_events_were_never_on_sale_ahead_keeps_its_series() -> None:
    """All tickets are sold on the day: no origin has anything to ask booking curves."""
    rows = [event("Club", TODAY - timedelta(days=3 * n + 1), 1, lead=0)[0] | {"on_sale_at": None} for n in range(100)]
    full = prepared(frame(rows))
    learned = model.fit(full)
    assert learned is not None
    fitted = both(full)[0]
    mixed, shared = beside(fitted, RULE, learned, full)
    far = [n for n in range(len(BUCKETS)) if n > 0]
    assert all(shared.errors(shared.booking)[n] is None for n in far)
    np.testing.assert_array_equal(mixed[0].forecasts[BOOKING][:, :, 1:], fitted[0].forecasts[RULE][:, :, 1:])
