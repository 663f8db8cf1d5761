"""Lead score on input that no CRM should send: each gives a score, a rate, a refusal, or NotReady with counts."""

import json
from typing import Any

import numpy as np
import polars as pl
import pytest

from integrator.contracts.errors import InvalidInput, NotReady
from models.base import FeatureRow, Prediction, TrainConfig, Trained
from models.lead_score import attributes, leak
from models.lead_score.predict import LeadModel
from models.lead_score.rates import LEAST_LEADS, SOURCE_CONVERSIONS, SOURCE_LEADS, BaseRate, recent
from models.lead_score.rows import attributes_of
from models.lead_score.spec import USE_CASE
from models.lead_score.train import NEED_CONVERSIONS, NEED_SNAPSHOTS, labelled, split
from models.rounding import sums
from tests.lead_frames import CONTEXT, leads

FAST = TrainConfig(candidates=("logistic",))


def check(found: Prediction) -> None:
    """What holds for every prediction, whatever came in."""
    json.dumps([found.details, found.value, found.baseline, found.records], allow_nan=False)
    assert found.summary and len(found.summary) < 300 and "nan" not in found.summary.lower().split()
    if found.status == "refused":
        assert found.value is None and found.interval is None and found.contributions == ()
        return
    assert found.value is not None and found.baseline is not None and found.interval is not None
    assert 0 <= found.interval.low <= found.value <= found.interval.high <= 1
    assert sums(found.value, found.baseline, found.contributions, decimals=4)


ODD_FIELDS: dict[str, Any] = {
    "all_missing": lambda i, converted, rng: None,
    "one_value": lambda i, converted, rng: "same",
    "every_value_once": lambda i, converted, rng: f"code-{i}",
    "many_rare": lambda i, converted, rng: f"shop-{rng.integers(500)}",
    "mostly_missing": lambda i, converted, rng: 1.5 if i % 50 == 0 else None,
    "mixed": lambda i, converted, rng: [1, "two", True, None, 3.5][i % 5],
    "enormous": lambda i, converted, rng: 1e300 * rng.random(),
    "tiny": lambda i, converted, rng: 1e-300 * rng.random(),
    "infinite": lambda i, converted, rng: float("inf") if i % 3 else 1.0,
    "one_outlier": lambda i, converted, rng: 1e12 if i == 7 else float(i % 9),
    "old|new": lambda i, converted, rng: f"2025-0{1 + i % 9}-11",
    "due": lambda i, converted, rng: f"2025-1{i % 3}-01",
    "as_of": lambda i, converted, rng: f"2024-0{1 + i % 9}-11",
    "stage": lambda i, converted, rng: "shadow",
    "a" * 120: lambda i, converted, rng: "b" * 300 if i % 2 else "c" * 300,
    "": lambda i, converted, rng: i % 4,
    "line\nbreak": lambda i, converted, rng: f"x\n{i % 3}",
}


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    return leads(1200, 8, **ODD_FIELDS)


@pytest.fixture(scope="module")
def trained(frame: pl.DataFrame) -> Trained:
    return USE_CASE.train(frame, FAST, CONTEXT)


@pytest.fixture(scope="module")
def rows(frame: pl.DataFrame) -> list[FeatureRow]:
    return USE_CASE.rows(frame.filter(pl.col("as_of") == frame["as_of"].max()), CONTEXT)


def test_odd_fields_are_used_or_dropped_with_a_reason_and_stop_nothing(
    trained: Trained, rows: list[FeatureRow]
) -> None:
    assert isinstance(trained.model, LeadModel)
    used = {column["owner"] for column in trained.model.encoder["columns"]}
    for name in ("one_value", "every_value_once"):
        assert name not in used and trained.dropped[name]
    assert "all_missing" not in used and not any("old|new" in owner for owner in used - {"old|new"})
    assert {"plan", "visits", "many_rare", "one_outlier"} <= used
    assert all(np.isfinite(score.metrics["log_loss"]) for score in trained.backtest.scores)
    for prediction in trained.model.predict(rows):
        check(prediction)


@pytest.fixture(scope="module")
def without(frame: pl.DataFrame) -> Trained:
    config = TrainConfig(candidates=("logistic",), excluded_attributes=tuple(ODD_FIELDS))
    return USE_CASE.train(frame, config, CONTEXT)


def test_excluded_fields_stay_out_with_all_that_is_derived_from_them(without: Trained, rows: list[FeatureRow]) -> None:
    assert set(ODD_FIELDS) - {"all_missing", "stage"} <= set(without.dropped)
    assert isinstance(without.model, LeadModel)
    assert not {column["owner"] for column in without.model.encoder["columns"]} & (set(ODD_FIELDS) - {"stage"})
    for prediction in without.model.predict(rows[:5]):
        check(prediction)


def test_what_was_left_out_is_said_though_the_rule_won(frame: pl.DataFrame) -> None:
    config = TrainConfig(candidates=("base_rate",), excluded_attributes=("plan",))
    found = USE_CASE.train(frame, config, CONTEXT)
    assert found.backtest.chosen == "base_rate"
    assert "excluded" in found.dropped["plan"] and "one_value" in found.dropped


@pytest.mark.parametrize(
    "own",
    [
        {},
        {"plan": "never seen"},
        {"plan": 7, "visits": "many", "wanted_on": True},
        {"plan": None, "visits": float("nan")},
        {"visits": float("-inf")},
        {"visits": 10**30},
        {"visits": -(10**9)},
        {"wanted_on": "9999-12-31"},
        {"wanted_on": "0001-01-01"},
        {"wanted_on": "2025-13-45"},
        {"plan": "x" * 100_000},
        {"plan": "\u202e\u0000\n"},
        {"new": [1, 2]},
    ],
    ids=lambda own: str(own)[:40],
)
def test_unseen_values_at_scoring_still_get_a_score(
    own: dict[str, Any], trained: Trained, rows: list[FeatureRow]
) -> None:
    check(trained.model.predict([rows[0] | {"attributes": attributes_of(own)}])[0])


@pytest.mark.parametrize("name", ["stage", "source", "country", "age_days", "purchases", "spent", "created_hour"])
def test_any_one_built_in_field_may_be_missing(name: str, trained: Trained, rows: list[FeatureRow]) -> None:
    check(trained.model.predict([rows[0] | {name: None}])[0])
    check(USE_CASE.rule().predict([rows[0] | {name: None}])[0])


def test_what_is_no_object_is_refused_and_nothing_else_is() -> None:
    assert attributes_of(None) == attributes_of("") == attributes_of("{}") == {}
    assert attributes_of('{"a": Infinity, "b": NaN, "c": 1, "d": [1], "e": {"f": 1}, "g": null}') == {"c": 1}
    with pytest.raises(InvalidInput, match="a JSON object"):
        attributes_of("[1, 2]")


def test_a_single_class_in_the_latest_part_is_not_ready_with_its_counts(frame: pl.DataFrame) -> None:
    late = frame["as_of"] > frame["as_of"].sort()[int(0.7 * frame.height)]
    odd = frame.with_columns(converted=pl.col("converted") & ~late)
    with pytest.raises(NotReady, match="the test part of its split has 0 conversions"):
        USE_CASE.train(odd, FAST, CONTEXT)


def test_the_same_snapshot_said_twice_changes_no_person_s_count(frame: pl.DataFrame) -> None:
    twice = pl.concat([frame, frame])
    assert USE_CASE.readiness(twice, CONTEXT).requirements[0] == USE_CASE.readiness(frame, CONTEXT).requirements[0]
    both, _ = labelled(twice, TrainConfig())
    once, _ = labelled(frame, TrainConfig())
    assert len(np.unique(both.persons)) == len(np.unique(once.persons))
    train_part, test_part = split(both)
    assert not set(train_part.persons) & set(test_part.persons), "a copy is never on the other side"


def test_readiness_at_the_boundary(frame: pl.DataFrame) -> None:
    won, open_ = frame.filter("converted"), frame.filter(~pl.col("converted"))
    # the first and the last moment stay, so that the history is long enough whatever is cut
    for conversions, snapshots, ready in (
        (NEED_CONVERSIONS, NEED_SNAPSHOTS, True),
        (NEED_CONVERSIONS - 1, NEED_SNAPSHOTS, False),
        (NEED_CONVERSIONS, NEED_SNAPSHOTS - 1, False),
    ):
        some = pl.concat([won.head(conversions), open_.head(snapshots - conversions)])
        found = USE_CASE.readiness(some, CONTEXT)
        assert [r.have for r in found.requirements[:2]] == [conversions, snapshots]
        assert found.ready is ready and found.rung == ("partner" if ready else "rule")


def test_history_at_the_boundary(frame: pl.DataFrame) -> None:
    first = frame["as_of"].min()
    assert first is not None
    for months, ready in ((4, True), (3, True), (2, False)):
        some = frame.filter(pl.col("as_of") <= pl.lit(first) + pl.duration(days=30 * months))
        history = USE_CASE.readiness(some, CONTEXT).requirements[2]
        assert (history.have, history.need, history.met) == (30 * months + 1, 90, ready)


def test_a_window_that_leaves_too_little_is_not_ready(frame: pl.DataFrame) -> None:
    with pytest.raises(NotReady, match="of each outcome are needed"):
        USE_CASE.train(frame, TrainConfig(candidates=("logistic",), window_days=10), CONTEXT)


def test_candidates_are_kept_and_the_rule_is_always_among_them(frame: pl.DataFrame) -> None:
    found = USE_CASE.train(frame, TrainConfig(candidates=("base_rate",)), CONTEXT)
    assert [score.candidate for score in found.backtest.scores] == ["base_rate"] == [found.backtest.chosen]
    assert isinstance(found.model, BaseRate) and found.backtest.plot_png is None
    with pytest.raises(InvalidInput, match=r"forest.*base_rate, logistic, additive_boosting, pairwise_boosting, blend"):
        USE_CASE.train(frame, TrainConfig(candidates=("logistic", "forest")), CONTEXT)


@pytest.mark.parametrize(
    ("leads_known", "status"), [(0, "refused"), (LEAST_LEADS - 1, "refused"), (LEAST_LEADS, "fallback")]
)
def test_the_rule_needs_its_least_leads(leads_known: int, status: str, rows: list[FeatureRow]) -> None:
    rates = {"leads": leads_known, "conversions": leads_known // 10, "by_source": {}}
    found = BaseRate(rates).predict([rows[0]])[0]
    check(found)
    assert found.status == status
    if status == "refused":
        assert f"{LEAST_LEADS - leads_known} more leads" in found.summary


def test_a_platform_that_tells_no_conversion_gets_its_reason_and_no_rate_of_nothing(
    frame: pl.DataFrame, rows: list[FeatureRow]
) -> None:
    found = BaseRate({"leads": 4500, "conversions": 0, "by_source": {}}).predict([rows[0]])[0]
    check(found)
    assert found.status == "refused" and "none of 4500 leads is known to have converted within 30 days" in found.summary
    silent = frame.with_columns(converted=pl.lit(False))
    assert USE_CASE.readiness(silent, CONTEXT).rung == "none"
    assert USE_CASE.rule().predict(USE_CASE.rows(frame.head(1), CONTEXT, history=silent))[0].status == "refused"


@pytest.mark.parametrize(("conversions", "value"), [(1, 0.0025), (400, 1.0)])
def test_a_rate_of_one_or_all_still_has_an_interval(conversions: int, value: float, rows: list[FeatureRow]) -> None:
    found = BaseRate({"leads": 400, "conversions": conversions, "by_source": {}}).predict([rows[0]])[0]
    check(found)
    assert found.value == value and found.interval is not None and found.interval.high > found.interval.low


def test_a_source_has_a_rate_of_its_own_from_enough_leads_on() -> None:
    def rate(count: int, won: int) -> dict[str, Any]:
        outcome = np.array([1.0] * won + [0.0] * (count - won))
        return recent([{"source": "web"}] * count, outcome, np.zeros(count, dtype=np.int64))["by_source"]  # type: ignore[no-any-return]

    assert rate(SOURCE_LEADS, SOURCE_CONVERSIONS) == {"web": [SOURCE_LEADS, SOURCE_CONVERSIONS, SOURCE_LEADS]}
    assert rate(SOURCE_LEADS - 1, SOURCE_CONVERSIONS) == rate(SOURCE_LEADS, SOURCE_CONVERSIONS - 1) == {}


def test_a_source_with_a_very_long_name_is_told_shortly(rows: list[FeatureRow]) -> None:
    source = "autumn campaign " * 30
    rates = {"leads": 900, "conversions": 90, "by_source": {source: [300, 60]}}
    check(BaseRate(rates).predict([rows[0] | {"source": source}])[0])


PLANTED: dict[str, tuple[Any, bool]] = {
    "the outcome itself": (lambda y, rng: y, True),
    "the outcome, with some noise": (lambda y, rng: y + 0.05 * rng.standard_normal(len(y)), True),
    "its opposite": (lambda y, rng: 1 - y, True),
    "filled in when won": (lambda y, rng: np.where(y > 0, rng.random(len(y)), np.nan), True),
    "emptied when won": (lambda y, rng: np.where(y > 0, np.nan, rng.random(len(y))), True),
    "filled in for most that won": (lambda y, rng: np.where((y > 0) & (rng.random(len(y)) < 0.4), 1.0, np.nan), True),
    "pure noise": (lambda y, rng: rng.standard_normal(len(y)), False),
    "strong but honest": (lambda y, rng: y + rng.standard_normal(len(y)), False),
    "missing at random": (
        lambda y, rng: np.where(rng.random(len(y)) < 0.5, np.nan, y + rng.standard_normal(len(y))),
        False,
    ),
    "never known": (lambda y, rng: np.full(len(y), np.nan), False),
    "constant": (lambda y, rng: np.ones(len(y)), False),
    "known for nineteen": (lambda y, rng: np.where(np.arange(len(y)) < 19, y, np.nan), False),
}


@pytest.mark.parametrize("name", PLANTED)
@pytest.mark.parametrize("rate", [0.03, 0.3])
def test_the_leak_check_finds_what_was_planted_and_keeps_what_is_honest(name: str, rate: float) -> None:
    rng = np.random.default_rng(12)
    outcome = (rng.random(4000) < rate).astype(float)
    make, is_leak = PLANTED[name]
    honest = outcome + 1.5 * rng.standard_normal(4000)
    matrix = np.column_stack([make(outcome, rng), honest])
    columns = [{"owner": "planted", "kind": "number"}, {"owner": "honest", "kind": "number"}]
    found = leak.find(columns, matrix, outcome, np.arange(4000))
    assert set(found.dropped) == ({"planted"} if is_leak else set())
    assert "honest" not in found.suspects and not set(found.dropped) & set(found.suspects)
    allowed = leak.find(columns, matrix, outcome, np.arange(4000), allowed=("planted",))
    assert "planted" not in allowed.dropped and "honest" not in allowed.dropped


def test_a_leaking_date_takes_its_span_with_it() -> None:
    columns: list[dict[str, Any]] = [
        {"kind": "date", "name": "signed", "owner": "signed"},
        {"kind": "date", "name": "due", "owner": "due"},
        {"kind": "span", "name": "signed|due", "owner": "signed_to_due"},
    ]
    kept, matrix = attributes.without({"columns": columns}, np.ones((4, 3)), ["signed"])
    assert [column["name"] for column in kept["columns"]] == ["due"] and matrix.shape == (4, 1)
