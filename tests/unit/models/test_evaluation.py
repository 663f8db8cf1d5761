"""Metrics against values worked out by hand; splits; conformal margins that hold what they promise."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integrator.contracts.errors import InvalidInput
from models import evaluation as ev


def test_mase_by_hand() -> None:
    history = [10, 20, 30, 40, 50, 60, 70, 12, 18]
    assert ev.naive_scale(history) == pytest.approx(2.0)
    assert ev.mase([10, 20], [12, 24], history) == pytest.approx(1.5)


def test_mase_skips_unknown_days_and_has_no_scale_for_a_constant() -> None:
    assert ev.naive_scale([1, np.nan, 3, 4, 5, 6, 7, 3, 9]) == pytest.approx(2.0)
    assert math.isnan(ev.mase([1], [1], [5] * 20))
    assert math.isnan(ev.naive_scale([1, 2, 3]))


def test_smape_pinball_coverage_by_hand() -> None:
    assert ev.smape([100, 0], [50, 0]) == pytest.approx(100 / 3)
    assert ev.pinball([10, 10], [8, 14], 0.9) == pytest.approx((0.9 * 2 + 0.1 * 4) / 2)
    assert ev.coverage([1, 2, 3, 4], [1, 1, 1, 1], [2, 2, 2, 4]) == 0.75


def test_probability_metrics_by_hand() -> None:
    assert ev.log_loss([1, 0], [0.5, 0.5]) == pytest.approx(math.log(2))
    assert ev.brier([1, 0], [0.8, 0.4]) == pytest.approx(0.1)
    assert ev.auc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]) == pytest.approx(0.75)
    assert ev.auc([0, 1], [0.5, 0.5]) == 0.5
    assert math.isnan(ev.auc([1, 1], [0.1, 0.2]))
    assert math.isfinite(ev.log_loss([1], [0.0]))


def test_calibration_error_of_a_calibrated_and_a_shifted_forecast() -> None:
    random = np.random.default_rng(1)
    probability = random.uniform(size=20_000)
    outcome = (random.uniform(size=20_000) < probability).astype(float)
    assert ev.calibration_error(outcome, probability) < 0.02
    assert ev.calibration_error(outcome, np.clip(probability + 0.2, 0, 1)) > 0.15


def test_lengths_must_agree() -> None:
    with pytest.raises(InvalidInput, match="two equal lengths"):
        ev.mae([1, 2, 3], [1, 2])
    with pytest.raises(InvalidInput):
        ev.mae([], [])


def test_rolling_origins_end_at_the_last_horizon() -> None:
    assert ev.rolling_origins(77, horizon=14, folds=3, minimum=28) == [35, 49, 63]
    assert ev.rolling_origins(77, horizon=14, folds=9, minimum=28, step=7) == [28, 35, 42, 49, 56, 63]
    assert ev.rolling_origins(30, horizon=14, folds=3, minimum=28) == []
    with pytest.raises(InvalidInput):
        ev.rolling_origins(30, horizon=0, folds=1, minimum=1)


def test_time_ordered_never_splits_a_moment() -> None:
    moments = [3, 1, 2, 2, 2, 2, 2, 5, 4, 2]
    train, test = ev.time_ordered(moments, 0.3)
    assert max(np.asarray(moments)[train]) < min(np.asarray(moments)[test])
    assert sorted([*train, *test]) == list(range(10))


def test_blocked_folds_only_look_back() -> None:
    moments = np.arange(100)
    folds = list(ev.blocked_folds(moments, 3))
    assert len(folds) == 3
    assert all(train.max() < test.min() for train, test in folds)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(-3, 3))
def test_each_conformal_tail_holds(seed: int, bias: float) -> None:
    random = np.random.default_rng(seed)
    actual, fresh = random.standard_exponential(400), random.standard_exponential(4000)
    low, high = ev.conformal_margins(actual, np.full(400, bias))
    assert np.mean(fresh < bias + low) < 0.17
    assert np.mean(fresh > bias + high) < 0.17
    assert 0.70 < ev.coverage(fresh, np.full(4000, bias + low), np.full(4000, bias + high)) < 0.9


def test_conformal_rank_is_the_finite_sample_one() -> None:
    assert ev.conformal_tail(np.arange(1, 10), 0.9) == 9
    assert ev.conformal_tail([1, 2, 3], 0.9) == 3
    assert math.isnan(ev.conformal_tail([], 0.9))


def test_monotone_moves_the_bounds_only() -> None:
    low, middle, high = ev.monotone([5, 1], [3, 2], [1, 9])
    assert (low.tolist(), middle.tolist(), high.tolist()) == ([3, 1], [3, 2], [3, 9])
