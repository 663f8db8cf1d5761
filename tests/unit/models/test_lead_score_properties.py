"""What holds for every score: order, exact sums, calibration, no dependence on the rows beside it or on the process."""

import json
import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from models.base import FeatureRow, TrainConfig, Trained
from models.lead_score import attributes, calibration, candidates, explain, scorecard
from models.lead_score.spec import USE_CASE
from models.messages import catalogue
from models.rounding import sums
from tests.lead_frames import CONTEXT, leads

WORDS = catalogue("lead_score")


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    return leads(1000, 8)


@pytest.fixture(scope="module")
def models(frame: pl.DataFrame) -> dict[str, Trained]:
    return {
        name: USE_CASE.train(frame, TrainConfig(candidates=(name,)), CONTEXT)
        for name in ("logistic", "additive_boosting")
    }


@pytest.fixture(scope="module")
def rows(frame: pl.DataFrame) -> list[FeatureRow]:
    return USE_CASE.rows(frame.filter(pl.col("as_of") == frame["as_of"].max()), CONTEXT)


@pytest.mark.parametrize("name", ["logistic", "additive_boosting"])
def test_permuting_rows_permutes_predictions(name: str, models: dict[str, Trained], rows: list[FeatureRow]) -> None:
    model = models[name].model
    order = np.random.default_rng(2).permutation(len(rows))
    together = model.predict(rows)
    assert model.predict([rows[i] for i in order]) == [together[i] for i in order]
    stored = json.loads(json.dumps(rows[4]))
    assert model.predict([stored]) == [together[4]]
    assert USE_CASE.restore(model.state()).predict([stored]) == [together[4]]


ATTRIBUTES = st.dictionaries(
    st.sampled_from(["plan", "visits", "wanted_on", "is_mobile", "other"]),
    st.none() | st.booleans() | st.integers(-10**9, 10**9) | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["pro", "free", "2025-10-30", "?"]) | st.text(max_size=60),
    max_size=5,
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(
    ATTRIBUTES,
    st.none() | st.integers(0, 10**6),
    st.none() | st.integers(0, 400),
    st.none() | st.sampled_from(["lead", "opportunity", "?"]),
    st.sampled_from(["logistic", "additive_boosting"]),
)
def test_any_row_gets_a_score_that_is_whole_and_sums(
    models: dict[str, Trained], rows: list[FeatureRow], own: dict[str, Any], purchases: int | None, age: int | None,
    stage: str | None, name: str,
) -> None:  # fmt: skip
    row = rows[0] | {"attributes": own, "purchases": purchases, "age_days": age, "stage": stage}
    found = models[name].model.predict([row])[0]
    assert found.value is not None and found.baseline is not None and found.interval is not None
    assert 0 <= found.interval.low <= found.value <= found.interval.high <= 1
    assert sums(found.value, found.baseline, found.contributions, decimals=4)
    assert 1 <= found.details["score"] <= 99 and found.details["grade"] in "ABCD"
    assert len(found.summary) < 300
    for step in found.details["what_would_change_it"]:
        assert step["effect"] > 0 and step["factor"] in explain.ACTIONABLE
    json.dumps(found.details, allow_nan=False)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.3, 4.0), st.floats(-2, 2))
def test_calibration_keeps_the_order_and_repairs_the_mean(seed: int, slope: float, shift: float) -> None:
    rng = np.random.default_rng(seed)
    z = rng.normal(-1.5, 1, 2000)
    outcome = (rng.random(2000) < calibration.sigmoid(z)).astype(float)
    learned = calibration.fit(slope * z + shift, outcome, np.arange(2000), 0.0)
    probability = calibration.apply(learned, slope * z + shift)
    assert (np.diff(probability[np.argsort(z)]) >= 0).all()
    assert probability.mean() == pytest.approx(outcome.mean(), abs=0.015)
    low, high = calibration.interval(learned, slope * z + shift)
    assert ((low >= 0) & (low <= probability) & (probability <= high) & (high <= 1)).all()
    assert sum(part["persons"] for part in learned["bins"]) == 2000
    assert len(learned["bins"]) == len(learned["edges"]) + 1


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000))
def test_intervals_of_the_rate_cover_about_what_they_promise(seed: int) -> None:
    rng = np.random.default_rng(seed)
    z = rng.normal(-2, 1, 12_000)
    outcome = (rng.random(12_000) < calibration.sigmoid(z)).astype(float)
    persons = np.arange(6000)
    learned = calibration.fit(z[:6000], outcome[:6000], persons, 0.0)
    covered = calibration.coverage(learned, z[6000:], outcome[6000:], persons)
    assert 0.6 <= covered <= 0.97


@given(st.integers(0, 300), st.integers(1, 300))
def test_jeffreys_holds_the_rate_and_narrows_with_more_leads(won: int, more: int) -> None:
    size = won + more
    low, high = (float(bound[0]) for bound in calibration.jeffreys(np.array([won]), np.array([size])))
    assert 0 <= low < high <= 1
    wide = calibration.jeffreys(np.array([won * 4]), np.array([size * 4]))
    assert wide[1] - wide[0] < high - low
    if 0 < won < size:
        assert low < won / size < high


def test_an_unsure_rate_drifts_and_a_drift_widens_every_interval() -> None:
    rng = np.random.default_rng(1)
    z = rng.normal(-1, 1, 3000)
    outcome = (rng.random(3000) < calibration.sigmoid(z)).astype(float)
    widths = []
    for drift in (0.0, 0.05, 0.5):
        learned = calibration.fit(z, outcome, np.arange(3000), drift)
        low, high = calibration.interval(learned, z)
        widths.append(float((high - low).mean()))
    assert widths == sorted(widths) and widths[0] < widths[2]


@given(st.lists(st.floats(-7, 7), min_size=1, max_size=50), st.floats(-8, 8), st.floats(-8, 8))
def test_a_more_likely_lead_never_has_a_worse_place(reference: list[float], one: float, two: float) -> None:
    calibrated = {"reference": np.sort(np.round(reference, 9))}
    worse, better = calibration.places(calibrated, np.array(sorted((one, two))))
    assert worse["score"] <= better["score"] and worse["rank"] >= better["rank"] and worse["grade"] >= better["grade"]
    assert 1 <= better["rank"] <= better["ranked_among"] == len(reference) + 1


@given(st.floats(-700, 700))
def test_sigmoid_and_logit_are_inverse_and_safe(z: float) -> None:
    p = calibration.sigmoid(np.array([z]))
    assert 0 <= p[0] <= 1
    if abs(z) < 15:
        assert calibration.logit(p)[0] == pytest.approx(z, abs=1e-4)


@given(st.floats(0.001, 0.999), st.none() | st.floats(0.001, 0.999))
def test_the_trend_has_four_words(probability: float, earlier: float | None) -> None:
    found = explain.trend(probability, earlier)
    if earlier is None:
        assert found == "not_enough_information"
    elif abs(probability - earlier) <= 0.1 * earlier:
        assert found == "steady"
    else:
        assert found == ("improving" if probability > earlier else "declining")


@settings(max_examples=60)
@given(st.text(max_size=200), st.none() | st.text(max_size=200) | st.floats() | st.booleans() | st.integers())
@example("\x85", None)
def test_any_label_is_short_and_never_empty(name: str, value: Any) -> None:
    row: FeatureRow = {"as_of": "2026-01-01T00:00:00+00:00", "attributes": {name: value}}
    for kind in ("number", "category", "date"):
        if isinstance(value, float) and not math.isfinite(value):
            continue  # rows.py leaves these out
        text = explain.label({"owner": name, "name": name, "kind": kind}, row, WORDS) if name.strip(" _-") else "x: y"
        assert ": " in text and len(text) <= 95


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_effects_add_up_to_the_log_odds_and_average_to_nothing(seed: int, missing: bool) -> None:
    rng = np.random.default_rng(seed)
    matrix = rng.standard_normal((200, 3))
    if missing:
        matrix[rng.random((200, 3)) < 0.3] = np.nan
    outcome = (rng.random(200) < 0.4).astype(float)
    card = candidates.fit_logistic(matrix, outcome, 1)
    found = scorecard.effects(card, matrix)
    assert np.abs(found.mean(axis=0)).max() < 1e-9
    np.testing.assert_allclose(scorecard.log_odds(card, found), card["intercept"] + found.sum(axis=1), atol=1e-12)
    beyond = scorecard.effects(card, np.full((1, 3), 1e9))
    assert np.isfinite(beyond).all(), "a value far outside is clipped, not believed"


@settings(max_examples=50)
@given(st.lists(st.none() | st.sampled_from(["a", "b", "1", "2.5", "true", "2026-01-01", ""]), min_size=1, max_size=30))
def test_a_type_is_always_inferred_or_refused_with_a_reason(values: list[str | None]) -> None:
    kind, reason = attributes.infer(pl.Series(values, dtype=pl.String))
    assert (kind == "none") == (reason is not None)
    assert kind in ("none", "number", "date", "category")
