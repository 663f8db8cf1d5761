"""Attendance on input that no venue should send: each gives a sensible insight on a lower rung, or a refusal."""

import json
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from integrator.contracts.errors import InvalidInput, NotReady
from models.attendance.cadence import DAILY
from models.attendance.history import history
from models.attendance.rows import ENDED_DAYS, SILENT_DAYS
from models.base import Prediction, TrainConfig, Trained
from models.registry import use_case
from models.rounding import sums
from tests.attendance_frames import CONTEXT, TODAY, arena, event, frame, series, speaking, synthetic_people, training

ATTENDANCE = use_case("attendance")
FAST = TrainConfig(candidates=("exponential_smoothing",))


def usual(days: int = 63, level: float = 300, seed: int = 9) -> list[int | None]:
    return list(synthetic_people(days, level=level, seed=seed))


def closed(first: int, last: int) -> list[int | None]:
    return [None if first <= n < last else value for n, value in enumerate(usual())]


ODD: dict[str, list[dict[str, Any]]] = {
    "constant": series("odd", [250] * 63),
    "zeros": series("odd", [0] * 63),
    "one point": series("odd", [40]),
    "two points": series("odd", [40, 60]),
    "no point": series("odd", []),
    "gaps": series("odd", [value if n % 3 else None for n, value in enumerate(usual())]),
    "closed for a month": series("odd", closed(10, 40)),
    "closed for the last two weeks": series("odd", closed(49, 63)),
    "ended a year ago": series("odd", usual(), gap=ENDED_DAYS + 5),
    "silent for six weeks": series("odd", usual(), gap=42),
    "capacity below every day": series("odd", usual(), capacity=10),
    "capacity of one": series("odd", [1] * 63, capacity=1),
    "no capacity": series("odd", usual(), capacity=None),
    "capacity zero": series("odd", usual(), capacity=0),
    "negative capacity": series("odd", usual(), capacity=-5),
    "negative people": series("odd", [-3] * 63),
    "one spike": series("odd", [*([5] * 40), 1_000_000, *([5] * 22)], capacity=None),
    "huge": series("odd", [10**9 + n for n in range(63)], capacity=None),
    "only Mondays": series("odd", [value if n % 7 == 0 else None for n, value in enumerate(usual())]),
    "every day twice": series("odd", usual()) + series("odd", usual(seed=5)),
    "all holidays": series("odd", usual(), is_holiday=True),
    "all cancelled": series("odd", usual(), status="cancelled"),
    "postponed": series("odd", usual(), status="postponed"),
}


@pytest.fixture(scope="module")
def good() -> list[dict[str, Any]]:
    return series("good", usual(seed=2)) + series("fine", usual(level=90, seed=3))


@pytest.fixture(scope="module")
def trained(good: list[dict[str, Any]]) -> Trained:
    return ATTENDANCE.train(training(frame(good)), FAST, CONTEXT)


def check(found: Prediction) -> None:
    """What holds for every prediction, whatever came in."""
    json.dumps([found.details, found.value, found.baseline, found.records], allow_nan=False)
    assert found.summary and len(found.summary) < 300
    assert "nan" not in found.summary.lower() and "{" not in found.summary
    if found.status == "refused":
        assert found.value is None and found.interval is None and found.contributions == ()
        return
    assert found.value is not None and found.baseline is not None and found.value >= 0
    assert sums(found.value, found.baseline, found.contributions, decimals=0)
    if found.interval is not None:
        assert 0 <= found.interval.low <= found.value <= found.interval.high


@pytest.mark.parametrize("name", ODD)
def test_an_odd_series_beside_good_ones_is_answered(name: str, good: list[dict[str, Any]], trained: Trained) -> None:
    rows = ATTENDANCE.rows(frame(good, ODD[name]), CONTEXT)
    json.dumps(rows, allow_nan=False)
    for model in (trained.model, ATTENDANCE.rule()):
        found = model.predict(rows)
        for prediction in found:
            check(prediction)
        fine = [p for p in found if p.subject.id.startswith("good")]
        assert {p.status for p in fine} == {"ready" if model is trained.model else "fallback"}


@pytest.fixture(scope="module")
def crowd(good: list[dict[str, Any]]) -> dict[str, list[Prediction]]:
    """All odd series, each under its own name, trained and predicted together with the good ones."""
    renamed = [
        [{**row, "series_id": name, "event_id": f"{name}-{n}"} for n, row in enumerate(rows)]
        for name, rows in ODD.items()
    ]
    live = frame(good, *renamed)
    model = speaking(ATTENDANCE.train(training(live), FAST, CONTEXT), "exponential_smoothing")
    found: dict[str, list[Prediction]] = {}
    for row, prediction in zip(rows := ATTENDANCE.rows(live, CONTEXT), model.predict(rows), strict=True):
        name = row["subject"]["id"] if row["subject"]["kind"] == "series" else row["series_id"]
        found.setdefault(name, []).append(prediction)
    return found


@pytest.mark.parametrize("name", ODD)
def test_an_odd_series_is_trained_on_beside_all_others(name: str, crowd: dict[str, list[Prediction]]) -> None:
    for prediction in [*crowd.get(name, []), *crowd["good"]]:
        check(prediction)
    assert {prediction.status for prediction in crowd["good"]} == {"ready"}
    assert name in crowd or name in ("all cancelled", "postponed")


@pytest.mark.parametrize(
    "name",
    ["constant", "zeros", "two points", "no point", "gaps", "capacity below every day", "only Mondays", "one spike"],
)
def test_an_odd_series_alone_is_trained_or_not_ready_with_counts(name: str) -> None:
    live = training(frame(ODD[name]))
    ready = ATTENDANCE.readiness(live, CONTEXT)
    if not ready.ready:
        with pytest.raises(NotReady, match=r"of \d+ (days|weeks) of attendance history"):
            ATTENDANCE.train(live, FAST, CONTEXT)
        return
    found = ATTENDANCE.train(live, FAST, CONTEXT)
    assert found.backtest.rule.candidate == "seasonal_naive"
    for prediction in found.model.predict(ATTENDANCE.rows(frame(ODD[name]), CONTEXT)):
        check(prediction)


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        ("zeros", "ready", "Expected attendance 0"),
        ("two points", "fallback", "2 known days are not enough"),
        ("no point", "refused", "no past attendance is known"),
        ("ended a year ago", "refused", "days old"),
        ("silent for six weeks", "fallback", "nothing is known of the last 43 days"),
        ("negative people", "refused", "no past attendance is known"),
        ("capacity below every day", "ready", "was exceeded often"),
    ],
)
def test_the_sentence_says_what_is_wrong(
    name: str, status: str, words: str, crowd: dict[str, list[Prediction]]
) -> None:
    found = crowd[name][0]
    assert found.status == status and words in found.summary


def test_infinite_and_missing_numbers_are_not_known() -> None:
    live = frame(series("a", usual())).with_columns(pl.col("attendance").cast(pl.Float64))
    odd = pl.Series([float("inf"), float("-inf"), float("nan"), None])
    some = live.head(4).with_columns(attendance=odd)
    found = history(pl.concat([some, live.slice(4)]))
    people = found.grid("daily").people
    assert people.shape == (1, 59) and np.isfinite(people).all()


def test_more_people_than_there_are_is_a_mistake_and_not_known() -> None:
    live = frame(series("a", [50, 1, 60, 2, 70], ahead=0))
    odd = live.with_columns(attendance=pl.Series([50.0, 1e300, 60.0, 2e10, 70.0]))
    assert np.nansum(history(odd).grid("daily").people) == 180


def test_one_unit_that_prophet_cannot_fit_leaves_the_others_alone() -> None:
    """A constant series and one with a single value are none of prophet's; the rest are fitted."""
    config = TrainConfig(candidates=("prophet",))
    live = training(
        frame(
            series("flat", [250] * 63), series("two", [40, 60]), series("good", usual()), series("fine", usual(seed=3))
        )
    )
    found = ATTENDANCE.train(live, config, CONTEXT)
    fitted = set(found.model.state()["series"]["prophet"])
    assert fitted and fitted <= {"series|pretix|good", "series|pretix|fine"}


def test_attributes_that_json_cannot_hold_are_not_known() -> None:
    rows = series("a", usual(), attributes='{"rain": Infinity, "wind": NaN, "act": "band", "seats": 5}')
    for row in ATTENDANCE.rows(frame(rows), CONTEXT):
        json.dumps(row, allow_nan=False)
        own = row["attributes"] if row["subject"]["kind"] == "event" else row["occurrences"][0]["attributes"]
        assert own == {"act": "band", "seats": 5}


def test_today_s_evening_is_seen_as_today_though_its_matinee_is_counted() -> None:
    """What is over and counted today must not make today's other events look like tomorrow's."""
    evenings = series("evening", usual())
    alone = ATTENDANCE.rows(frame(evenings), CONTEXT)[0]
    matinee = event("matinee", TODAY, 77, is_past=True, status="completed")
    beside = next(r for r in ATTENDANCE.rows(frame(evenings, [matinee]), CONTEXT) if r["unit"] == alone["unit"])
    assert beside["features"]["weekday"] == TODAY.isoweekday() == alone["features"]["weekday"]
    assert beside["features"] == alone["features"]
    tomorrow = ATTENDANCE.rows(frame(evenings, [matinee]), CONTEXT)[1]
    assert (tomorrow["features"]["weekday"], tomorrow["features"]["lead"]) == (TODAY.isoweekday() + 1, 1)


@pytest.mark.parametrize(("gap", "status"), [(SILENT_DAYS - 1, "ready"), (SILENT_DAYS, "fallback")])
def test_the_model_is_silent_after_four_weeks_without_news(gap: int, status: str, good: list[dict[str, Any]]) -> None:
    live = frame(good, series("odd", usual(), gap=gap))
    model = speaking(ATTENDANCE.train(training(live), FAST, CONTEXT), "exponential_smoothing")
    rows = [r for r in ATTENDANCE.rows(live, CONTEXT) if r["subject"]["id"].startswith("odd-")]
    assert {p.status for p in model.predict(rows)} == {status}


@pytest.mark.parametrize(("days", "ready"), [(DAILY.span - 1, False), (DAILY.span, True)])
def test_readiness_at_the_least_number_of_days(days: int, ready: bool) -> None:
    live = training(frame(series("a", usual(days))))
    assert ATTENDANCE.readiness(live, CONTEXT).ready is ready


@pytest.mark.parametrize(("every", "ready"), [(2, True), (3, False)])
def test_readiness_at_the_least_number_of_known_days(every: int, ready: bool) -> None:
    known: list[int | None] = [10 if n % every == 0 else None for n in range(DAILY.span)]
    found = ATTENDANCE.readiness(training(frame(series("a", [*known, 10]))), CONTEXT)
    assert found.ready is ready
    assert found.requirements[1].have == DAILY.span // every + 1
    assert (found.requirements[1].have >= DAILY.known) is ready


@pytest.mark.parametrize(("wanted", "horizon"), [(None, 14), (7, 7), (1, 1), (400, 21)])
def test_the_horizon_is_as_asked_and_never_over_a_third_of_the_history(wanted: int | None, horizon: int) -> None:
    config = TrainConfig(candidates=("exponential_smoothing",), horizon_days=wanted)
    found = ATTENDANCE.train(training(arena(days=63)), config, CONTEXT)
    assert found.params["horizon"] == {"daily": horizon}
    assert found.model.state()["series"]["grids"]["daily"]["horizon"] == horizon
    assert ("horizon_capped" in found.params) is (wanted == 400)


def test_the_window_is_kept_and_too_short_a_one_is_not_ready() -> None:
    live = training(arena(days=90))
    config = TrainConfig(candidates=("exponential_smoothing",), window_days=50)
    found = ATTENDANCE.train(live, config, CONTEXT)
    assert (found.params["window_days"], found.params["steps"]) == (50, {"daily": 50})
    with pytest.raises(NotReady, match=f"20 of {DAILY.span} days"):
        ATTENDANCE.train(live, TrainConfig(window_days=20), CONTEXT)


def test_the_rule_is_always_compared_and_unknown_candidates_name_those_allowed() -> None:
    live = training(arena())
    found = ATTENDANCE.train(live, TrainConfig(candidates=("exponential_smoothing", "exponential_smoothing")), CONTEXT)
    assert [score.candidate for score in found.backtest.scores] == [
        "seasonal_naive", "exponential_smoothing", "combination", "per_series",
    ]  # fmt: skip
    with pytest.raises(InvalidInput) as caught:
        ATTENDANCE.train(live, TrainConfig(candidates=("exponential_smoothing", "lstm")), CONTEXT)
    for name in ("lstm", "seasonal_naive", "seasonal_mean", "exponential_smoothing", "prophet", "gradient_boosting"):
        assert name in str(caught.value)


def test_excluded_attributes_never_reach_the_model() -> None:
    people = usual()
    days = [TODAY - timedelta(days=len(people) - n) for n in range(len(people))]
    rows = [event("a", day, value, attributes=json.dumps({"rain": n % 5, "act": "xyz"[n % 3]}))
            for n, (day, value) in enumerate(zip(days, people, strict=True))]  # fmt: skip
    config = TrainConfig(candidates=("exponential_smoothing",), excluded_attributes=("rain",))
    found = ATTENDANCE.train(training(frame(rows)), config, CONTEXT)
    assert found.dropped == {"rain": "it was excluded by the training's settings"} and found.params["attributes"] == [
        "act"
    ]
    assert set(found.model.state()["series"]["grids"]["daily"]["encoder"]["kept"]) == {"act"}


def test_a_column_of_many_texts_is_left_out_with_its_count() -> None:
    live = training(arena(days=63))
    live = live.with_columns(
        attributes=pl.Series([json.dumps({"ticket_code": f"t{n}", "empty": None}) for n in range(live.height)])
    )
    found = ATTENDANCE.train(live, FAST, CONTEXT)
    assert "different texts, more than 20" in found.dropped["ticket_code"] and found.params["attributes"] == []


@pytest.mark.parametrize("level", [0, 5])
def test_a_candidate_that_can_be_fitted_to_nothing_is_not_compared(level: int) -> None:
    live = training(frame(series("still", [level] * 63)))
    found = ATTENDANCE.train(live, TrainConfig(candidates=("seasonal_naive", "prophet")), CONTEXT).backtest
    assert found.rule.metrics["mae"] == 0
    assert "prophet" not in {score.candidate for score in found.scores}
