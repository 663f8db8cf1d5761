"""Which family serves which series, by hand-made errors; smoothing, prophet's arithmetic and the rule's own interval."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.attendance import prophet_family
from models.attendance.fitting import plan_for
from models.attendance.history import history
from models.attendance.rule_errors import rule_facts, rule_lag
from models.attendance.selection import Folds, blend, select
from models.attendance.smoothing import smooth
from tests.attendance_frames import arena, frame, series, synthetic_people, training

FAMILIES = ("seasonal_naive", "seasonal_mean", "prophet")


def folds(errors: dict[str, list[float]], *, count: int = 6, steps: int = 4) -> Folds:
    """Units by column: family → its constant error on each unit, with opposite signs by family; the scale is 1."""
    units = len(errors["seasonal_naive"])
    actual = np.full((units, count, steps), 100.0)
    forecast = np.stack(
        [actual + np.array(values)[:, None, None] * (-1) ** number for number, values in enumerate(errors.values())]
    )
    origins = np.arange(count) * steps + 20
    target = origins[:, None] + np.arange(steps)
    return Folds(tuple(errors), forecast, actual, np.ones((units, count)), target, origins)


def everything(found: Folds) -> np.ndarray:
    return np.ones(found.target.shape, dtype=bool)


def test_a_clear_winner_serves_alone_and_a_loser_is_not_weighed() -> None:
    found = folds({"seasonal_naive": [2.0], "seasonal_mean": [8.0], "prophet": [0.1]})
    chosen = select(found, everything(found))
    assert chosen.names == ("prophet",)
    assert chosen.weights[:, 0].tolist() == [0.0, 0.0, 1.0]
    assert chosen.combination[1, 0] == 0.0


def test_errors_that_cancel_are_combined() -> None:
    found = folds({"seasonal_naive": [2.0], "seasonal_mean": [2.0], "prophet": [9.0]})
    chosen = select(found, everything(found))
    assert chosen.names == ("combination",)
    assert chosen.weights[:, 0].tolist() == pytest.approx([0.5, 0.5, 0.0])
    assert chosen.own["combination"][0] == pytest.approx(0.0)


def test_the_rule_stays_without_evidence() -> None:
    """All err to the same side here: nothing cancels, and half a per cent is no evidence."""
    found = folds({"seasonal_naive": [2.0], "prophet": [-1.99]})
    assert select(found, everything(found)).names == ("seasonal_naive",)


def test_a_few_folds_of_one_series_count_less_than_all_the_others() -> None:
    found = folds({"seasonal_naive": [2.0] * 20, "prophet": [*[-6.0] * 19, -0.5]}, count=2)
    chosen = select(found, everything(found))
    assert set(chosen.names[:19]) == {"seasonal_naive"}
    assert chosen.scores["prophet"][19] > chosen.own["prophet"][19]
    assert chosen.names[19] == "seasonal_naive"


def test_a_series_without_a_fold_takes_what_served_the_others() -> None:
    found = folds({"seasonal_naive": [2.0, 2.0, 2.0], "prophet": [-0.2, -0.2, -0.2]})
    found.forecast[:, 2], found.actual[2] = np.nan, np.nan
    chosen = select(found, everything(found))
    assert chosen.folds[2] == 0 and chosen.names[2] == chosen.names[0] == "prophet"


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 5))
def test_the_choice_for_a_fold_ignores_what_lies_after_its_origin(seed: int, fold: int) -> None:
    random = np.random.default_rng(seed)
    found = folds({name: random.uniform(0.5, 3, 4).tolist() for name in FAMILIES})
    # folds that overlap: a fold's last steps lie after the next one's origin
    origins = 20 + np.arange(6) * 2
    overlapping = Folds(FAMILIES, found.forecast, found.actual, found.scale, origins[:, None] + np.arange(4), origins)
    before = select(overlapping, overlapping.known_before(fold))
    later = overlapping.target >= origins[fold]
    overlapping.actual[:, later] += random.uniform(-500, 500, int(later.sum()))
    again = select(overlapping, overlapping.known_before(fold))
    assert again.names == before.names
    np.testing.assert_array_equal(again.weights, before.weights)


@given(st.integers(0, 10_000))
def test_weights_are_shares(seed: int) -> None:
    random = np.random.default_rng(seed)
    found = folds({name: random.uniform(0, 3, 5).tolist() for name in FAMILIES})
    chosen = select(found, everything(found))
    for weights in (chosen.weights, chosen.combination):
        assert (weights >= 0).all() and weights.sum(axis=0).tolist() == pytest.approx([1.0] * 5)


def test_a_family_without_a_forecast_leaves_its_weight_to_the_rest() -> None:
    forecast = np.array([[[[10.0]]], [[[30.0]]], [[[np.nan]]]])
    weights = np.array([[0.25], [0.25], [0.5]])
    assert blend(forecast, weights).item() == pytest.approx(20.0)


def test_a_horizon_is_a_third_of_the_history_and_folds_start_after_enough_of_it() -> None:
    [grid] = history(training(arena(days=63))).grids
    plan = plan_for(grid, FAMILIES, 400, 3)
    assert plan.horizon == 21 and plan.first == 21
    assert plan.origins[-1] == 63 - 21 and plan.origins[0] >= 21
    assert plan_for(grid, FAMILIES, None, 3).prophet_refits == len(plan_for(grid, FAMILIES, None, 3).origins)
    crowded = plan_for(grid, FAMILIES, None, 1_000)
    assert "prophet" not in crowded.families and crowded.prophet_refits == 0


@pytest.mark.parametrize("level", [0.0, 7.0, 1e9])
def test_smoothing_of_a_constant_is_that_constant(level: float) -> None:
    people, phase = np.full((1, 60), level), (np.arange(60) % 7)[None]
    found = smooth(people, phase, 7, np.array([30, 60]), 7)
    lead = np.arange(1, 8)
    ahead = (59 + lead) % 7
    assert found.forecast(np.full(7, 60), lead, ahead[None])[0] == pytest.approx(np.full(7, level), rel=1e-6)


def test_smoothing_follows_a_weekly_pattern_that_grows() -> None:
    days = np.arange(84)
    shape = np.array([1, 1, 1, 1.2, 1.5, 2, 0.5])[days % 7]
    truth = (100 + days) * shape
    found = smooth(truth[None, :70], (days[:70] % 7)[None], 7, np.array([70]), 7)
    forecast = found.forecast(np.full(14, 70), days[70:] - 69, (days[70:] % 7)[None])[0]
    naive = np.tile(truth[63:70], 2)
    assert np.abs(forecast - truth[70:]).mean() < 0.6 * np.abs(naive - truth[70:]).mean()


def test_smoothing_gives_a_unit_the_same_alone_and_beside_others() -> None:
    random = np.random.default_rng(2)
    people = random.uniform(10, 90, (5, 70))
    people[1, :40] = np.nan
    phase = np.broadcast_to(np.arange(70) % 7, people.shape)
    origins, lead = np.array([50, 70]), np.array([3, 3])
    together = smooth(people, phase, 7, origins, 7).forecast(origins, lead, phase[:, [2, 3]])
    alone = smooth(people[[1]], phase[[1]], 7, origins, 7).forecast(origins, lead, phase[[1]][:, [2, 3]])
    np.testing.assert_array_equal(together[1], alone[0])


def test_a_logistic_trend_runs_towards_its_capacity_and_a_linear_one_on() -> None:
    state = {
        "start": 0.0, "span": 100.0, "scale": 80.0, "capacity": None, "rate": 1.0, "offset": 0.1, "changes": [0.5],
        "change_at": [0.5], "seasons": {}, "holidays": {"fair": 0.25}, "regressors": {"0": [5.0, 2.0, 0.1]},
    }  # fmt: skip
    when = np.array(["1970-01-01", "1970-02-20", "1970-04-11", "1972-01-01"], dtype="datetime64[m]")
    none = np.full((4, 1), np.nan)
    linear = prophet_family.parts(state, when, ["", "fair", "", "unheard of"], none)
    assert linear[:3, 0].tolist() == pytest.approx([8.0, 48.0, 108.0])
    assert linear[:, 3].tolist() == [0.0, 20.0, 0.0, 0.0] and linear[:, 4].tolist() == [0.0] * 4
    assert prophet_family.parts(state, when, [""] * 4, np.full((4, 1), 7.0))[0, 4] == pytest.approx(8.0)
    full = prophet_family.parts({**state, "capacity": 1.25}, when, [""] * 4, none)[:, 0]
    assert (np.diff(full) > 0).all() and full[-1] == pytest.approx(100.0, rel=1e-3) and (full < 100.0 + 1e-9).all()


def test_the_rule_states_an_interval_from_ten_errors_and_its_coverage_from_twenty() -> None:
    for days, has_interval, is_measured in ((16, False, False), (17, True, False), (27, True, True)):
        grid = history(frame(series("a", synthetic_people(days, level=200, seed=3)))).grid("daily")
        found = rule_facts(grid, 0, rule_lag(7, 1))
        assert (found["rule_low"] is not None, found["rule_coverage"] is not None) == (has_interval, is_measured)
    assert [rule_lag(7, lead) for lead in (1, 7, 8, 14)] == [7, 7, 14, 14]
    far = rule_facts(grid, 0, rule_lag(7, 9))
    assert far["rule_low"] <= 0 <= far["rule_high"]
