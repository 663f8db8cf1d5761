"""Training, prediction, intervals and explanation of attendance, on synthetic series."""

import json
from typing import Any

import numpy as np
import polars as pl
import pytest

from integrator.contracts.errors import Defect, InvalidInput, NotReady
from models.attendance.attributes import fit_encoder
from models.attendance.explain import GROUPS, Inputs, reference, shapley
from models.attendance.features import COLUMN, FEATURES
from models.attendance.intervals import Residuals, bounds, fit_margins, realized_coverage
from models.base import Prediction, TrainConfig, Trained
from models.registry import use_case
from models.rounding import sums
from tests.attendance_frames import (
    CONTEXT,
    TODAY,
    arena,
    event,
    frame,
    series,
    speaking,
    synthetic_people,
    training,
)

ATTENDANCE = use_case("attendance")
FAST = TrainConfig(candidates=("gradient_boosting", "seasonal_mean"))


@pytest.fixture(scope="module")
def live() -> pl.DataFrame:
    return arena()


@pytest.fixture(scope="module")
def trained(live: pl.DataFrame) -> Trained:
    return ATTENDANCE.train(training(live), FAST, CONTEXT)


@pytest.fixture(scope="module")
def again(live: pl.DataFrame) -> Trained:
    return ATTENDANCE.train(training(live), FAST, CONTEXT)


@pytest.fixture(scope="module")
def prophet(live: pl.DataFrame) -> Trained:
    found = ATTENDANCE.train(training(live), TrainConfig(candidates=("prophet",)), CONTEXT)
    assert set(found.model.state()["series"]["prophet"]) == set(found.model.state()["series"]["units"])
    return found


@pytest.fixture(scope="module")
def predictions(trained: Trained, live: pl.DataFrame) -> list[Prediction]:
    return trained.model.predict(ATTENDANCE.rows(live, CONTEXT))


def test_the_backtest_has_the_rule_and_every_candidate(trained: Trained) -> None:
    backtest = trained.backtest
    assert [score.candidate for score in backtest.scores] == [
        "seasonal_naive", "gradient_boosting", "seasonal_mean", "combination", "per_series",
    ]  # fmt: skip
    assert backtest.rule.candidate == "seasonal_naive" and backtest.chosen in ("per_series", "gradient_boosting")
    best = backtest.score(backtest.chosen)
    assert best.metrics["mase"] < backtest.rule.metrics["mase"]
    assert {"smape", "mae", "pinball_p10", "pinball_p90"} < set(best.metrics)
    assert best.coverage is not None and 0.6 < best.coverage <= 1
    assert best.coverage_cases == 3 * 14 * 3, "the first of four judged folds teaches the first margins"
    assert {"weekdays", "weekends", "near horizon", "far horizon"} == set(best.segments)
    assert backtest.plot_png is not None and backtest.plot_png.startswith(b"\x89PNG")
    assert backtest.observations == 4 * 14 * 3


def test_training_twice_gives_the_same_numbers(trained: Trained, again: Trained, live: pl.DataFrame) -> None:
    rows = ATTENDANCE.rows(live, CONTEXT)
    assert again.model.predict(rows) == trained.model.predict(rows)
    assert (again.data_hash, again.backtest.split) == (trained.data_hash, trained.backtest.split)
    assert again.backtest.scores == trained.backtest.scores


def test_a_stored_row_alone_or_among_others_predicts_the_same(trained: Trained, live: pl.DataFrame) -> None:
    rows = json.loads(json.dumps(ATTENDANCE.rows(live, CONTEXT)))
    together = trained.model.predict(rows)
    model = ATTENDANCE.restore(trained.model.state())
    for number in (0, 20, len(rows) - 1):
        assert model.predict([rows[number]]) == [together[number]]


def test_every_prediction_is_whole_bounded_and_adds_up(predictions: list[Prediction]) -> None:
    assert {prediction.status for prediction in predictions} == {"ready"}
    for found in predictions:
        assert found.value is not None and found.interval is not None and found.baseline is not None
        assert found.value == round(found.value)
        assert 0 <= found.interval.low <= found.value <= found.interval.high <= found.details["capacity"]
        assert sums(found.value, found.baseline, found.contributions, decimals=0)
        assert found.details["p50"] == found.value
        assert {"p10", "p90", "sell_out_at", "family", "alternatives", "why"} < set(found.details)


def test_a_series_speaks_of_its_next_occurrence(predictions: list[Prediction]) -> None:
    by_id = {found.subject.id: found for found in predictions}
    series_found, first = by_id["club"], by_id["club-2026-03-16"]
    assert series_found.value == first.value
    assert len(series_found.details["horizon"]) == 14
    assert series_found.details["horizon"][0] == {
        "at": "2026-03-16T19:00:00+00:00", **{key: first.details[key] for key in ("p10", "p50", "p90")}
    }  # fmt: skip
    assert series_found.summary.startswith("Next on 2026-03-16: expected attendance ")


def test_the_sentence_is_plain(predictions: list[Prediction]) -> None:
    summary = predictions[0].summary
    assert summary.startswith("Expected attendance ")
    assert "similar Mondays" in summary
    assert all(len(found.summary) < 300 and "{" not in found.summary for found in predictions)


def test_quantiles_are_ordered_everywhere(predictions: list[Prediction]) -> None:
    for found in predictions:
        details = found.details
        assert found.interval is not None
        assert (found.interval.low, found.interval.high) == (details["p10"], details["p90"])
        for one in [details, *details.get("horizon", [])]:
            assert one["p10"] <= one["p50"] <= one["p90"] <= details["capacity"]


def test_prophet_predicts_explains_and_loads_back(prophet: Trained, live: pl.DataFrame) -> None:
    rows = json.loads(json.dumps(ATTENDANCE.rows(live, CONTEXT)))[:6]
    model = speaking(prophet, "prophet")
    found = model.predict(rows)
    assert ATTENDANCE.restore(model.state()).predict(rows) == found
    assert all(
        p.details["family"] == "prophet" and sums(p.value or 0, p.baseline or 0, p.contributions, decimals=0)
        for p in found
    )
    assert all(isinstance(fit["rate"], float) for fit in prophet.model.state()["series"]["prophet"].values())


def test_shapley_of_an_additive_and_of_an_interacting_model() -> None:
    rows = np.full((2, len(FEATURES)), 10.0)
    rows[:, COLUMN["is_holiday"]] = 1.0
    similar = np.array([4.0, 10.0])
    given = Inputs(rows, np.zeros((2, 0)), np.zeros((2, 5)), np.ones((1, 2)))

    def product(inputs: Inputs) -> Any:
        return inputs.rows[:, COLUMN["same_1"]] * inputs.rows[:, COLUMN["is_holiday"]]

    effects = shapley(product, given, similar)
    names = list(GROUPS)
    assert effects[:, names.index("holiday")].tolist() == pytest.approx([7.0, 10.0])
    assert effects[:, names.index("same_season")].tolist() == pytest.approx([3.0, 0.0])
    gap = product(given) - product(reference(given, similar))
    assert effects.sum(axis=1).tolist() == pytest.approx(gap.tolist())


def test_margins_cover_and_are_learned_without_their_own_fold() -> None:
    random = np.random.default_rng(7)
    count = 4 * 280
    cases = Residuals(
        np.repeat(np.arange(4), 280), np.tile(np.arange(1, 15), 80), 100 + random.normal(0, 10, count),
        np.full(count, 100.0), np.full(count, 5.0),
    )  # fmt: skip
    assert 0.75 < (realized_coverage(cases) or 0) < 0.85
    low, middle, high = bounds(
        fit_margins(cases), np.array([1, 14, 30]), np.array([100.0, 0.0, 100.0]), np.full(3, 5.0)
    )
    assert (low <= middle).all() and (middle <= high).all() and (low >= 0).all()


@pytest.mark.parametrize(("folds", "shifted"), [(6, 110.0), (5, 100.0)])
def test_a_steady_bias_becomes_a_shift_and_a_short_one_none(folds: int, shifted: float) -> None:
    count = folds * 20
    forecast, fold = np.full(count, 100.0), np.repeat(np.arange(folds), 20)
    cases = Residuals(fold, np.tile(np.arange(1, 11), count // 10), forecast + 10, forecast, np.full(count, 5.0))
    _, middle, _ = bounds(fit_margins(cases), np.array([3]), np.array([100.0]), np.array([5.0]))
    assert middle.tolist() == [shifted]


def test_attributes_are_encoded_or_dropped_with_a_reason() -> None:
    rows = [{"rain": n % 3, "act": "xyz"[n % 3], "same": 1, "id": f"n{n}", "out": n} for n in range(60)]
    rows[0]["rare"] = 5
    encoder = fit_encoder(rows, ("out",))
    assert dict(encoder.kept) == {"act": ["x", "y", "z"], "rain": None}
    assert set(encoder.dropped) == {"same", "id", "out", "rare"}
    assert encoder.dropped["out"] == "it was excluded by the training's settings"
    assert encoder.encode([{"act": "y", "rain": 2.5}])[0].tolist() == [1.0, 2.5]
    assert np.isnan(encoder.encode([{"act": "unseen", "rain": float("inf")}, {}])).all()


def test_too_little_history_is_not_ready_with_counts() -> None:
    short = training(frame(series("a", synthetic_people(30, level=50, seed=1))))
    with pytest.raises(NotReady, match="30 of 42 days of attendance history, about 12 days"):
        ATTENDANCE.train(short, FAST, CONTEXT)
    with pytest.raises(NotReady, match="0 of 42"):
        ATTENDANCE.train(training(frame()), FAST, CONTEXT)


def test_a_fold_on_which_nobody_was_open_is_left_out() -> None:
    people: list[int | None] = list(synthetic_people(63, level=400, seed=1))
    closed = len(people) - 3
    people[closed] = None
    live = training(frame(series("hall", people)))
    found = use_case("attendance").train(
        live, TrainConfig(horizon_days=1, candidates=("exponential_smoothing", "seasonal_mean")), CONTEXT
    )
    assert found.params["folds"] == {"daily": 7} and found.backtest.observations == 6


def test_configuration_is_checked() -> None:
    with pytest.raises(InvalidInput, match="candidate 'arima' is not allowed"):
        ATTENDANCE.train(training(arena()), TrainConfig(candidates=("arima",)), CONTEXT)
    with pytest.raises(InvalidInput, match="horizon_days"):
        ATTENDANCE.train(training(arena()), TrainConfig(horizon_days=0), CONTEXT)
    with pytest.raises(Defect, match="state_version 99"):
        ATTENDANCE.restore({"state_version": 99})


def rule(live: pl.DataFrame) -> dict[str, Prediction]:
    return {found.subject.id: found for found in ATTENDANCE.rule().predict(ATTENDANCE.rows(live, CONTEXT))}


def test_two_points_give_the_rule_without_an_interval() -> None:
    found = rule(frame(series("a", [40, 60])))["a-2026-03-16"]
    assert (found.status, found.rung, found.value, found.interval) == ("fallback", "rule", 60, None)
    assert found.confidence_label == "low"
    assert "2 known days are not enough" in found.summary


def test_no_history_is_refused_with_what_would_mend_it() -> None:
    found = rule(frame(series("a", [])))["a"]
    assert (found.status, found.value, found.interval, found.contributions) == ("refused", None, None, ())
    assert "One past event" in found.summary


def test_an_event_without_a_series_borrows_from_its_venue() -> None:
    live = frame(series(None, [100] * 8, ahead=0), [event(None, TODAY, None, event_id="gala")])
    found = rule(live)["gala"]
    assert (found.status, found.value) == ("fallback", 100)


def test_a_series_without_an_event_ahead_is_refused() -> None:
    found = rule(frame(series("a", [5] * 30, ahead=0)))["a"]
    assert found.status == "refused"
    assert found.details["horizon"] == []


def test_a_rule_sentence_says_why_and_what_would_mend_it(trained: Trained) -> None:
    row = next(r for r in ATTENDANCE.rows(arena(), CONTEXT) if r["subject"]["id"] == "club-2026-03-16")
    floored = speaking(trained, "seasonal_naive").predict([row])[0]
    assert "as on the last known Monday: here no model was closer by enough" in floored.summary
    state = trained.model.state()
    unknown = ATTENDANCE.restore({**state, "series": {**state["series"], "units": {}}})
    assert "next retraining" in unknown.predict([row])[0].summary
    assert "no model beats that yet" in ATTENDANCE.rule().predict([row])[0].summary
    one = rule(frame(series("a", [40])))["a-2026-03-16"]
    assert "1 known day is not enough for a model, 21 would be" in one.summary
    full = {**row, "capacity": 10}
    assert (
        ATTENDANCE.rule()
        .predict([full])[0]
        .summary.endswith("Its stated capacity of 10 was exceeded often and is not taken as a limit.")
    )


def test_a_year_of_silence_is_refused_a_month_gets_the_rule() -> None:
    old = rule(frame(series("a", [5] * 30, gap=400)))["a"]
    assert old.status == "refused" and "401 days old" in old.summary
    month = rule(frame(series("a", [5] * 30, gap=40)))["a"]
    assert month.status == "fallback" and "nothing is known of the last 41 days" in month.summary


@pytest.mark.parametrize("level", [0, 250])
def test_a_constant_series_stays_constant(level: int) -> None:
    found = rule(frame(series("a", [level] * 63)))["a-2026-03-16"]
    assert found.value == level
    assert found.interval is not None and found.interval.low == found.interval.high == level


@pytest.fixture(scope="module")
def mixed() -> dict[str, Prediction]:
    """Bad series beside good ones, trained and predicted together."""
    gaps: list[int | None] = [
        value if n % 3 else None for n, value in enumerate(synthetic_people(63, level=300, seed=9))
    ]
    live = frame(
        series("zeros", [0] * 63), series("constant", [250] * 63), series("gaps", gaps), series("two", [4, 9]),
        series("over", synthetic_people(63, level=300, seed=8), capacity=100), series("no_size", [7, 9] * 31, capacity=None),
    )  # fmt: skip
    trained = ATTENDANCE.train(training(live), TrainConfig(candidates=("exponential_smoothing",)), CONTEXT)
    return {p.subject.id: p for p in trained.model.predict(ATTENDANCE.rows(live, CONTEXT))}


def test_bad_series_beside_good_ones_do_not_stop_training(mixed: dict[str, Prediction]) -> None:
    assert mixed["zeros"].value == 0
    assert mixed["constant"].value == 250
    assert mixed["two"].status == "fallback"
    assert (mixed["over"].value or 0) > 100, "a capacity that was often exceeded does not cap"
    assert all(
        p.value is not None and np.isfinite(p.value) for p in mixed.values() if not p.subject.id.startswith("two")
    )
    json.dumps([p.details for p in mixed.values()], allow_nan=False)
