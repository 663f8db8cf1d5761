"""Figures of answered predictions, reckoned by hand and against known distributions; the picture of them."""

import math

import numpy as np
import polars as pl
import pytest

from models.realized import Quality, bin_coverage, ratio, reliability, spiegelhalter, summaries
from models.realized_plot import realized_plot
from tests.answered_frames import DAY, NOW, answered, frame, leads, people

SOME = frame(
    answered(100, 90, n=1, days_ago=2, naive=120),
    answered(100, 115, n=2, days_ago=3, naive=120),
    answered(80, 80, n=2, days_ago=3, lead_bucket="7d", naive=None),
    answered(50, 90, n=3, days_ago=40, model_version="6"),
    answered(95, 90, n=1, days_ago=2, role="challenger", model_version="9", low=None, high=None),
)


def pick(found: list[Quality], **key: object) -> Quality:
    (one,) = [one for one in found if all(getattr(one, name) == value for name, value in key.items())]
    return one


def test_one_group_by_hand() -> None:
    found = summaries(SOME, NOW, is_rate=False)
    one = pick(found, window_days=30, model_version="7", lead_bucket="last", role="champion")
    assert (one.prediction_count, one.outcome_count, one.interval_count) == (2, 2, 2)
    assert (one.mae, one.bias, one.coverage, one.level) == (12.5, -2.5, 0.5, 0.8)
    assert (one.naive_mae, one.mae_ratio) == (17.5, 12.5 / 17.5) and one.lift == pytest.approx(1 - 12.5 / 17.5)
    assert (one.from_at, one.to_at) == (NOW - 3 * DAY, NOW - 2 * DAY)
    assert one.brier is None and one.reliability == ()


def test_windows_leads_versions_and_roles_are_apart_and_together() -> None:
    found = summaries(SOME, NOW, is_rate=False)
    assert pick(found, window_days=30, model_name="all", lead_bucket="all").prediction_count == 3
    assert pick(found, window_days=90, model_name="all", lead_bucket="all").prediction_count == 4
    assert pick(found, window_days=90, model_name="all", lead_bucket="all").outcome_count == 3
    assert not [one for one in found if one.window_days == 30 and one.model_version == "6"]
    shadow = pick(found, window_days=30, role="challenger", lead_bucket="last")
    assert (shadow.model_version, shadow.mae, shadow.coverage, shadow.interval_count) == ("9", 5, None, 0)
    assert {one.model_name for one in found if one.role == "challenger"} == {"attendance.alpha"}
    alone = pick(found, window_days=30, model_version="7", lead_bucket="7d")
    assert (alone.mae, alone.mae_ratio, alone.lift) == (0, None, None), "nothing of the naive rule is known"
    assert not summaries(SOME.clear(), NOW, is_rate=False)


def test_what_is_not_due_is_counted_and_not_judged() -> None:
    rows = frame(answered(0.3, 1, days_ago=-5, n=1), answered(0.2, 0, days_ago=1, n=2))
    one = pick(summaries(rows, NOW, is_rate=True), window_days=30, model_name="all", lead_bucket="last")
    assert (one.prediction_count, one.pending_count) == (1, 1) and one.auc is None
    ahead = pick(summaries(rows[:1], NOW, is_rate=True), window_days=30, model_name="all", lead_bucket="last")
    assert (ahead.prediction_count, ahead.pending_count, ahead.mae, ahead.brier) == (0, 1, None, None)


def test_rates_get_the_figures_of_rates() -> None:
    one = pick(summaries(leads(), NOW, is_rate=True), window_days=30, model_name="all", lead_bucket="all")
    assert one.auc is not None and 0.6 < one.auc < 0.85
    assert one.brier is not None and one.log_loss is not None and one.naive_log_loss is not None
    assert one.lift == pytest.approx(1 - one.log_loss / one.naive_log_loss) and one.lift > 0.02
    assert one.calibration_error is not None and one.calibration_error < 0.06
    assert one.interval_count == 10 and one.coverage is not None and one.coverage >= 0.8
    assert len(one.reliability) == 10 and sum(bin_["count"] for bin_ in one.reliability) == 600
    assert [bin_["predicted"] for bin_ in one.reliability] == sorted(bin_["predicted"] for bin_ in one.reliability)


def test_reliability_by_hand_and_of_little() -> None:
    found = reliability(np.array([0.0, 1.0, 1.0, 1.0]), np.array([0.1, 0.3, 0.8, 0.6]), bins=2)
    assert [tuple(one.values()) for one in found] == [(2, 0.2, 0.5), (2, pytest.approx(0.7), 1)]
    assert len(reliability(np.array([1.0]), np.array([0.5]))) == 1 and reliability(np.array([]), np.array([])) == []


def test_bins_are_covered_when_calibrated_and_not_when_tilted() -> None:
    assert np.mean(bin_coverage(leads())) >= 0.8
    assert np.mean(bin_coverage(leads(tilt=2.2))) <= 0.4
    assert bin_coverage(leads(40)) == [], "one bin of 25 says nothing"
    assert bin_coverage(leads().with_columns(low=pl.lit(None, pl.Float64))) == []


def test_spiegelhalter_is_standard_normal_where_rates_are_true() -> None:
    rng = np.random.default_rng(5)
    z = []
    for _ in range(300):
        rate = rng.beta(2, 5, 200)
        z.append(spiegelhalter((rng.random(200) < rate).astype(float), rate))
    assert abs(np.mean(z)) < 0.15 and 0.9 < np.std(z) < 1.1
    rate = rng.beta(2, 5, 500)
    assert abs(spiegelhalter((rng.random(500) < rate).astype(float), np.minimum(rate * 1.6, 0.99))) > 3
    assert math.isnan(spiegelhalter(np.array([1.0, 0.0]), np.array([0.5, 0.5])))


def test_a_ratio_needs_something_to_be_relative_to() -> None:
    assert ratio(2.0, 4.0) == 0.5 and ratio(2.0, 0.0) is ratio(None, 1.0) is ratio(1.0, None) is None


@pytest.fixture(scope="module")
def drawn() -> bytes | None:
    """The first picture, which brings the drawing library with it."""
    return realized_plot(people(30), NOW, is_rate=False, unit="people")


def test_a_picture_is_the_same_every_time_and_of_little_there_is_none(drawn: bytes | None) -> None:
    assert drawn is not None and drawn.startswith(b"\x89PNG")
    assert drawn == realized_plot(people(30), NOW, is_rate=False, unit="people")
    assert realized_plot(people(3), NOW, is_rate=False, unit="people") is None


@pytest.mark.parametrize("rows", [leads(60), people(30).with_columns(is_inside=pl.lit(None, pl.Boolean))])
def test_a_picture_is_drawn_of_rates_and_without_intervals(drawn: bytes | None, rows: pl.DataFrame) -> None:
    other = realized_plot(rows, NOW, is_rate=rows["use_case"][0] == "lead_score", unit="people")
    assert other is not None and other.startswith(b"\x89PNG") and other != drawn
