"""How forecasts are scored from an origin: the naive rule beside them, its scale, and what a partner's frame would hold."""

from datetime import date, datetime, time, timedelta

import numpy as np
import polars as pl
import pytest

from benchmarks.model_quality.origins import Steps, as_features, forecast, naive_forecast, naive_scale
from benchmarks.model_quality.speed_attendance import AHEAD, synthetic_series
from models.base import TrainConfig

FIRST = datetime.combine(date(2026, 1, 5), time())


def days(values: list[float | None], *, every: timedelta = timedelta(days=1)) -> pl.DataFrame:
    known = [(FIRST + every * n, value) for n, value in enumerate(values) if value is not None]
    return pl.DataFrame({"unit": ["a"] * len(known), "at": [at for at, _ in known], "value": [v for _, v in known]})


def test_the_naive_rule_repeats_the_last_known_same_step_over_gaps() -> None:
    before = days([1, 2, 3, 4, 5, 6, 7, 11, None, 13, None, 15, 16, 17])
    ahead = [FIRST + timedelta(days=n) for n in (14, 15, 17, 22)]
    assert naive_forecast(before, ahead, "daily").tolist() == [11.0, 2.0, 4.0, 2.0]
    assert naive_scale(before, "daily") == pytest.approx(10.0)


def test_of_two_seasons_the_one_that_repeated_better_is_the_rule() -> None:
    hour, noise = np.arange(24 * 21), np.random.default_rng(1).normal(0, 1, 24 * 21)
    by_day = (100 + 50 * np.sin(hour / 24 * 2 * np.pi) + noise).tolist()
    by_week = (100 + 80 * (hour // 24 % 7 >= 5) + noise).tolist()
    for values, lag in ((by_day, 24), (by_week, 168)):
        before = days(values, every=timedelta(hours=1))
        ahead = [FIRST + timedelta(hours=24 * 21 + 5)]
        found = naive_forecast(before, ahead, "hourly")[0]
        assert found == values[24 * 21 + 5 - lag] or lag == 24


def test_a_frame_at_an_origin_hides_what_comes_after_it() -> None:
    frame = days([1.0] * 5).with_columns(holiday=pl.Series([None, "fair", None, None, None], dtype=pl.String))
    found = as_features(frame, FIRST + timedelta(days=3), "GB")
    assert found["attendance"].to_list() == [1.0, 1.0, 1.0, None, None]
    assert found["is_past"].to_list() == [True] * 3 + [False] * 2
    assert found["status"].to_list() == ["completed"] * 3 + ["scheduled"] * 2
    assert found["is_holiday"].to_list() == [False, True, False, False, False]


@pytest.fixture(scope="module")
def scored() -> list[object]:
    random = np.random.default_rng(3)
    shape = np.array([1, 1, 1, 1.2, 1.5, 2, 0.6])[np.arange(77) % 7]
    frame = days((200 * shape * random.lognormal(0, 0.05, 77)).tolist())
    return list(
        forecast(
            Steps(cadence="daily", frame=frame),
            FIRST + timedelta(days=63),
            14,
            TrainConfig(candidates=("seasonal_mean",)),
        )
    )


def test_a_unit_is_scored_beside_its_peers_on_the_same_steps(scored: list[object]) -> None:
    [one] = scored
    assert (one.unit, one.steps, len(one.actual)) == ("a", 14, 14)  # type: ignore[attr-defined]
    assert 0 < one.ours < one.naive and one.prophet > 0 and 0.5 <= one.covered <= 1  # type: ignore[attr-defined]


def test_the_synthetic_series_are_as_many_and_as_long_as_said_and_the_same_again() -> None:
    found = synthetic_series(3, 30, seed=1)
    assert found.height == 3 * (30 + AHEAD) and found["series_id"].n_unique() == 3
    assert found.filter(~pl.col("is_past"))["attendance"].null_count() == 3 * AHEAD
    assert found.equals(synthetic_series(3, 30, seed=1)) and not found.equals(synthetic_series(3, 30, seed=2))
