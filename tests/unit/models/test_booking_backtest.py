"""The booking backtest: nothing of the future, the procedure judged by what it knew, better than the naive rule."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from models.attendance.booking import backtest, final_sales
from models.attendance.booking.backtest import BOOKING, Cases
from models.attendance.booking.buckets import BUCKETS, CHECKPOINTS, bucket, bucket_name
from models.attendance.booking.curves import Curves, past_curves
from models.attendance.booking.margins import Margins, coverage, fit_margins, inside
from models.attendance.booking.panel import CANDIDATES, LEARNED, MEAN, PACE, PICKUP, RULE, Panel, past_panel
from models.attendance.booking.similar import HALF_LIVES_DAYS
from models.attendance.history import prepared
from tests.attendance_frames import TODAY
from tests.booking_frames import event, frame, theatre

YEAR = 365.0


@pytest.fixture(scope="module")
def past() -> Curves:
    return past_curves(prepared(theatre(events=45)[0]))


@pytest.fixture(scope="module")
def panel(past: Curves) -> Panel:
    return past_panel(past, YEAR)


@pytest.fixture(scope="module")
def found(past: Curves, panel: Panel) -> Cases:
    made = backtest.cases(past, panel)
    assert made is not None
    return made


def changed(past: Curves, keep: np.ndarray[Any, Any]) -> Curves:
    """The same past with other sales and people where `keep` is false."""
    factor = np.where(keep, 1.0, 7.0)
    return Curves(events=past.events, sold=past.sold * factor[:, None], attendance=past.attendance * factor)


def test_a_row_knows_only_events_that_were_over_by_its_moment(past: Curves, panel: Panel) -> None:
    middle = float(np.median(past.events.day))
    other = past_panel(changed(past, past.events.day < middle), YEAR)
    early = (panel.moment <= middle) & (past.events.day[panel.event] < middle)
    assert 0 < early.sum() < len(panel)
    for name in ("usual_final", "usual_sold", "usual_people", "rule", "middle"):
        assert (getattr(panel, name)[early] == getattr(other, name)[early]).all(), name
    assert (panel.usual_final != other.usual_final).any()


def test_a_fold_is_forecast_by_what_was_over_before_it_began(past: Curves, panel: Panel, found: Cases) -> None:
    edges = backtest.fold_edges(past, panel)
    other_past = changed(past, past.events.day < edges[1])
    other = backtest.cases(other_past, past_panel(other_past, YEAR))
    assert other is not None
    first = (found.fold == 0) & (past.events.day[found.panel.event] < edges[1])
    twin = (other.fold == 0) & (past.events.day[other.panel.event] < edges[1])
    assert first.sum() == twin.sum() > 20
    for name in (LEARNED, PICKUP, BOOKING):
        assert (found.forecast[name][first] == other.forecast[name][twin]).all(), name


def test_every_checkpoint_on_sale_is_a_row(past: Curves, panel: Panel) -> None:
    assert set(panel.left) <= set(CHECKPOINTS)
    assert (panel.left <= past.events.lead[panel.event]).all()
    assert (panel.sold == past.sold[panel.event, panel.left.astype(int)]).all()


def test_the_curve_beats_the_naive_rule_at_every_distance(found: Cases) -> None:
    assert found.errors(BOOKING).mean() < 0.5 * found.errors(RULE).mean()
    near = found.panel.bucket <= bucket([30])[0]
    assert found.errors(BOOKING)[near].mean() < 0.4 * found.errors(RULE)[near].mean()
    measured = set(found.panel.bucket.tolist())
    assert [flag for number, flag in enumerate(backtest.better_than_rule(found)) if number in measured] == [True] * 7


def test_the_intervals_cover_what_they_promise(found: Cases) -> None:
    realized = coverage(found)
    assert realized is not None and 0.75 <= realized <= 0.85
    assert np.isin(inside(found), [0.0, 1.0]).all()


def test_the_learned_model_is_no_worse_than_the_best_of_its_parts(found: Cases) -> None:
    errors = {name: found.errors(name).mean() for name in CANDIDATES}
    assert errors[LEARNED] < errors[RULE]
    assert errors[LEARNED] < 1.05 * min(errors[PICKUP], errors[PACE])
    assert min(errors, key=lambda name: errors[name]) != RULE


def test_the_learned_model_learns_what_pickup_and_pace_cannot_know() -> None:
    """Saturdays fill up twice as much at the end as other days, which are what they are compared with."""
    random = np.random.default_rng(5)
    width = sum(final_sales.GROUPS.values())
    saturday = random.random(400) < 0.2
    design = np.zeros((400, width))
    start = final_sales.GROUPS["tickets_sold"] + final_sales.GROUPS["days_left"]
    design[:, start + 5] = saturday - 0.2
    target = np.where(saturday, 0.5, -0.1) + random.normal(0, 0.05, 400)
    ridge = final_sales.fit(design, target, np.zeros(400, dtype=np.intp), np.arange(400.0))
    effect = ridge.correction(design)
    weekday = effect[:, list(final_sales.GROUPS).index("weekday")]
    assert weekday[saturday].mean() - weekday[~saturday].mean() == pytest.approx(0.6, abs=0.1)
    assert (effect.sum(axis=1) == weekday).all(), "nothing else was there to learn from"


def test_too_few_rows_teach_nothing() -> None:
    ridge = final_sales.fit(np.ones((5, 3)), np.ones(5), np.zeros(5, dtype=np.intp), np.arange(5.0))
    assert ridge is final_sales.NOTHING_LEARNED
    assert (ridge.correction(np.ones((2, sum(final_sales.GROUPS.values())))) == 0).all()


def test_a_correction_is_bounded_and_stays_a_sum() -> None:
    wild = final_sales.Ridge(np.full(sum(final_sales.GROUPS.values()), 9.0), 1.0)
    found = wild.correction(np.ones((1, sum(final_sales.GROUPS.values()))))
    assert found.sum() == pytest.approx(final_sales.WIDEST)


def test_few_cases_of_a_bucket_do_not_choose_against_all_others() -> None:
    many, one = np.zeros(200, dtype=np.intp), np.full(1, 5)
    where = np.concatenate([many, one])
    errors: Mapping[str, Any] = {
        name: np.concatenate([np.full(200, 1.0 if name == PACE else 2.0), [2.0 if name == PACE else 1.9]])
        for name in CANDIDATES
    }
    assert backtest.choose(errors, where) == [PACE] * len(BUCKETS)


def test_margins_are_monotone_capped_and_not_below_what_is_sold(found: Cases) -> None:
    margins = fit_margins(found)
    left, people = np.array([0.5, 5.0, 100.0, 399.0]), np.array([90.0, 90.0, 0.0, 500.0])
    low, middle, high = margins.bounds(
        left, people, np.array([95.0, 95.0, 0.0, 10.0]), np.array([100, 80, np.inf, 450])
    )
    assert ((low >= 0) & (low <= middle) & (middle <= high)).all()
    assert (high <= [100, 80, np.inf, 450]).all()
    assert low[0] >= margins.floor[0] * 95 - 1e-9 or low[0] == middle[0]
    again = Margins.restored(margins.plain())
    assert (again.low == margins.low).all() and (again.floor <= 1).all()


def test_no_folds_without_enough_events_before_them(past: Curves, panel: Panel) -> None:
    few = past.take(np.arange(backtest.FEWEST_OVER))
    assert not len(backtest.fold_edges(few, past_panel(few, YEAR)))
    assert backtest.cases(few, past_panel(few, YEAR)) is None
    assert len(backtest.fold_edges(past, panel)) == backtest.FOLDS
    assert (np.diff(backtest.fold_edges(past, panel)) > 0).all()


@pytest.mark.parametrize(("left", "name"), [(0.2, "0 to 1 days"), (3.5, "3 to 7 days"), (200, "over 120 days")])
def test_buckets_have_names(left: float, name: str) -> None:
    assert bucket_name(int(bucket(left))) == name


def test_the_mean_is_not_decided_by_a_wild_forecast(panel: Panel) -> None:
    sales = panel.sales(final_sales.NOTHING_LEARNED)
    assert set(sales) == {PICKUP, PACE, LEARNED, MEAN}
    assert (sales[MEAN] <= panel.room + 1e-9).all()
    members = np.array([sales[PICKUP], sales[PACE], sales[LEARNED]])
    assert ((sales[MEAN] >= members.min(axis=0) - 1e-9) & (sales[MEAN] <= members.max(axis=0) + 1e-9)).all()


def test_how_fast_the_past_loses_weight_is_learned() -> None:
    """Where demand grows by a half every month only the newest events tell; where it stays, the old ones help too."""

    def best(growth: float) -> int:
        rows = []
        for number in range(60):
            day = TODAY - timedelta(days=3 * number + 1)
            rows.append(event("Club", day, 1, appeal=growth ** (-number / 10), capacity=100_000)[0])
        past = past_curves(prepared(frame(rows)))
        outcome = backtest.judged(past, [past_panel(past, half_life) for half_life in HALF_LIVES_DAYS])
        assert outcome is not None
        return int(HALF_LIVES_DAYS[outcome[1]])

    assert best(1.5) == 30
    assert best(1.0) > 30


def test_the_first_fold_chooses_by_nothing(past: Curves, panel: Panel) -> None:
    """Its half-life is the first one, whatever would have been better."""
    other = past_panel(past, 30.0)
    outcome = backtest.judged(past, [panel, other])
    alone = backtest.cases(past, panel)
    assert outcome is not None and alone is not None
    first = alone.fold == 0
    assert (outcome[0].forecast[BOOKING][first] == alone.forecast[BOOKING][first]).all()
    assert outcome[2].forecast.keys() == outcome[0].forecast.keys()
