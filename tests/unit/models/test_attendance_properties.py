"""What holds for every forecast of attendance, whatever the row: order, caps, exact sums, no look ahead, coverage."""

import json
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.attendance import candidates, sentences
from models.attendance.attributes import fit_encoder
from models.attendance.cadence import DAILY
from models.attendance.explain import GROUPS, Inputs, contributions, shapley
from models.attendance.features import COLUMN, FEATURES, Seen, features
from models.attendance.grid import Calendar, Grid, seasons
from models.attendance.intervals import LEVEL, Margins, Residuals, bounds, fit_margins, realized_coverage
from models.base import FeatureRow, TrainConfig, Trained
from models.messages import catalogue
from models.registry import use_case
from models.rounding import additive, sums
from tests.attendance_frames import CONTEXT, arena, training

ATTENDANCE = use_case("attendance")


@cache
def trained(family: str) -> Trained:
    return ATTENDANCE.train(training(arena()), TrainConfig(candidates=(family,)), CONTEXT)


@cache
def stored() -> str:
    return json.dumps(ATTENDANCE.rows(arena(), CONTEXT))


def rows() -> list[FeatureRow]:
    found: list[FeatureRow] = json.loads(stored())
    return found


@pytest.fixture(scope="module", autouse=True)
def _warm() -> None:
    """What several tests read is made once, outside any test's own time."""
    for family in ("exponential_smoothing", "gradient_boosting", "seasonal_mean"):
        trained(family)
    stored()


@pytest.mark.parametrize("family", ["exponential_smoothing", "gradient_boosting", "seasonal_mean"])
def test_permuting_rows_permutes_predictions(family: str) -> None:
    model, whole = trained(family).model, rows()
    order = np.random.default_rng(3).permutation(len(whole))
    together = model.predict(whole)
    assert model.predict([whole[i] for i in order]) == [together[i] for i in order]
    assert model.predict(whole[7:9]) == together[7:9]
    assert model.predict([]) == []


NUMBERS = st.floats(0, 5000) | st.none()


@settings(max_examples=30, deadline=None)
@given(
    st.fixed_dictionaries(
        {name: NUMBERS for name in ("same_2_mean", "same_4_mean", "level_short", "smoothed", "last_year")}
    ),
    st.floats(0, 5000),
    st.floats(0, 5000),
    st.integers(1, 6000) | st.none(),
    st.sampled_from(["exponential_smoothing", "gradient_boosting", "seasonal_mean"]),
)
def test_any_row_gives_ordered_quantiles_within_capacity_that_add_up(
    values: dict[str, float | None], last: float, mean: float, capacity: int | None, family: str
) -> None:
    row = rows()[0]
    row["features"] |= values | {"same_1": last, "capacity": None if capacity is None else float(capacity)}
    row["capacity"], row["similar"]["mean"] = capacity, mean
    found = trained(family).model.predict([row])[0]
    if found.status == "fallback":
        return
    details = found.details
    assert found.value is not None and found.baseline is not None
    assert 0 <= details["p10"] <= details["p50"] <= details["p90"] <= (capacity or np.inf)
    assert sums(found.value, found.baseline, found.contributions, decimals=0)
    assert len(found.summary) < 300 and "nan" not in found.summary


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.floats(-0.5, 0.5), st.sampled_from([1.0, 20.0, 400.0]))
def test_intervals_cover_what_they_promise_for_venues_of_any_size(seed: int, bias: float, scale: float) -> None:
    random = np.random.default_rng(seed)
    count = 4 * 300
    cases = Residuals(
        np.repeat(np.arange(4), 300), np.tile(np.arange(1, 16), 80),
        100 * scale + scale * (random.standard_normal(count) + bias), np.full(count, 100 * scale), np.full(count, scale),
    )  # fmt: skip
    covered = realized_coverage(cases)
    assert covered is not None and abs(covered - LEVEL) <= 0.07  # four standard errors of 1,200 cases and 900 margins
    low, middle, high = bounds(fit_margins(cases), cases.lead, cases.forecast, cases.scale)
    assert (low <= middle).all() and (middle <= high).all()


def test_venues_of_different_size_share_their_margins() -> None:
    random = np.random.default_rng(5)
    scale = np.tile([5.0, 500.0], 300)
    forecast = 20 * scale
    cases = Residuals(
        np.repeat(np.arange(4), 150), np.tile(np.arange(1, 13), 50), forecast + scale * random.standard_normal(600),
        forecast, scale,
    )  # fmt: skip
    low, middle, high = bounds(
        fit_margins(cases), np.array([3, 3]), np.array([100.0, 10_000.0]), np.array([5.0, 500.0])
    )
    width = high - low
    assert width[1] / width[0] == pytest.approx(100.0)
    assert (middle - low)[1] / (middle - low)[0] == pytest.approx(100.0)


def test_one_fold_has_no_coverage_and_no_scale_gives_no_width() -> None:
    one = Residuals(np.zeros(9, int), np.ones(9, int), np.full(9, 7.0), np.full(9, 5.0), np.full(9, 2.0))
    assert realized_coverage(one) is None
    flat = Residuals(np.arange(9) % 3, np.ones(9, int), np.full(9, 7.0), np.full(9, 7.0), np.zeros(9))
    low, middle, high = bounds(fit_margins(flat), np.array([1]), np.array([7.0]), np.array([0.0]))
    assert (low[0], middle[0], high[0]) == (7.0, 7.0, 7.0)


@given(st.floats(-3, 0), st.floats(0, 3), st.floats(-2, 2), st.floats(0, 1000), st.floats(0, 100), st.integers(1, 60))
def test_bounds_are_monotone_and_never_negative(
    low: float, high: float, shift: float, forecast: float, scale: float, lead: int
) -> None:
    margins = Margins((shift, shift), (low, low * 2), (high, high * 2))
    p10, p50, p90 = bounds(margins, np.array([lead]), np.array([forecast]), np.array([scale]))
    assert 0 <= p10[0] <= p50[0] <= p90[0]


def calendar(when: Any, shape: tuple[int, int]) -> Calendar:
    """Every fifth step a fair."""
    marked = np.broadcast_to(np.arange(shape[1]) % 5 == 0, shape)
    return Calendar(
        when=np.broadcast_to(when, shape), holiday=marked.astype(np.intp), before=~marked, after=np.zeros(shape, bool)
    )


@settings(max_examples=30, deadline=None)
@given(st.integers(20, 80), st.integers(1, 14), st.integers(0, 10_000))
def test_features_know_nothing_of_their_own_day_or_later(days: int, lead: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    people = random.integers(0, 500, (2, days)).astype(float)
    people[random.random((2, days)) < 0.2] = np.nan
    origin = days // 2
    target = np.array([origin + lead - 1])
    when = np.datetime64("2026-03-16T00:00", "m") + np.arange(days + 14) * np.timedelta64(1440, "m")

    def seen(values: Any) -> Any:
        shape = values.shape
        grid = Grid(
            cadence=DAILY, units=("a", "b"), first=20528, people=values, calendar=calendar(when[: shape[1]], shape),
            holidays=("", "fair"), capacity=np.array([600.0, np.nan]), season=seasons(DAILY, people[:, :origin]),
            attributes={},
        )  # fmt: skip
        return features(Seen(grid, 7), np.array([origin]), target, calendar(when[target], (2, 1)))

    later = people.copy()
    later[:, origin:] = random.integers(0, 10**6, (2, days - origin))
    np.testing.assert_array_equal(seen(people), seen(later))
    np.testing.assert_array_equal(seen(people), seen(people[:, :origin]))
    assert (seen(people)[:, 0, COLUMN["lead"]] == lead).all()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_shapley_values_are_complete_and_a_group_that_does_nothing_gets_nothing(seed: int) -> None:
    random = np.random.default_rng(seed)
    matrix = random.uniform(1, 100, (3, len(FEATURES)))
    weights = random.normal(0, 1, len(FEATURES))
    similar = random.uniform(1, 100, 3)
    given_rows = Inputs(matrix, np.zeros((3, 0)), np.zeros((3, 5)), np.ones((1, 3)))

    def linear(inputs: Inputs) -> Any:
        return inputs.rows @ weights

    found = shapley(linear, given_rows, similar)
    assert found[:, list(GROUPS).index("attributes")] == pytest.approx(np.zeros(3))
    twice = shapley(linear, Inputs.joined([given_rows, given_rows]), np.tile(similar, 2))
    np.testing.assert_allclose(twice[3:], found, atol=1e-9)
    base = linear(given_rows) - found.sum(axis=1)
    again = shapley(linear, given_rows.take(np.array([1])), similar[[1]])
    assert again.sum() == pytest.approx(linear(given_rows)[1] - base[1])


@given(st.lists(st.floats(-500, 500), min_size=6, max_size=6), st.floats(0, 900), st.floats(0, 900), st.integers(1, 7))
def test_every_sentence_is_short_and_every_explanation_sums(
    effects: list[float], value: float, baseline: float, weekday: int
) -> None:
    value, baseline = float(round(value)), float(round(baseline))
    say = catalogue("attendance")
    parts = contributions(np.array(effects), 3.0, -2.0)
    kept = additive(value, baseline, [sentences.contribution(say, *one) for one in parts.items()], decimals=0)
    assert sums(value, baseline, kept, decimals=0)
    text = sentences.summary(say, value, baseline, say(f"weekdays.{weekday}"), kept)
    assert text.startswith("Expected attendance ") and text.endswith(".") and len(text) < 200
    assert ("above" in text) <= (value > baseline) and ("below" in text) <= (value < baseline)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20), st.floats(1, 1e5) | st.just(float("nan")))
def test_a_cap_keeps_people_between_none_and_the_house(people: list[float], capacity: float) -> None:
    found = candidates.capped(np.array(people), np.full(len(people), capacity))
    assert (found >= 0).all() and (np.isnan(capacity) or (found <= capacity).all())
    inside = [p for p in people if p >= 0 and (np.isnan(capacity) or p <= capacity)]
    assert set(inside) <= set(found.tolist())


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from("abcd"), st.sampled_from(["x", "y", "z"]) | st.integers(0, 9) | st.booleans(), max_size=4
        ),
        min_size=1,
        max_size=40,
    )
)
def test_any_attributes_are_encoded_or_dropped_with_a_reason(own: list[dict[str, Any]]) -> None:
    encoder = fit_encoder(own, ())
    names = {name for row in own for name in row}
    assert set(encoder.kept) | set(encoder.dropped) == names and not set(encoder.kept) & set(encoder.dropped)
    found = encoder.encode([*own, {}, {"a": "never seen", "b": float("inf")}])
    assert found.shape == (len(own) + 2, len(encoder.kept))
    assert np.isnan(found[-2:]).all() and not np.isinf(found).any()


@pytest.fixture(scope="module")
def shuffled() -> Trained:
    frame = training(arena()).sample(fraction=1, shuffle=True, seed=9)
    return ATTENDANCE.train(frame, TrainConfig(candidates=("gradient_boosting",)), CONTEXT)


def test_the_seed_fixes_every_choice_and_the_order_of_rows_none(shuffled: Trained) -> None:
    first = trained("gradient_boosting")
    assert shuffled.data_hash == first.data_hash and shuffled.backtest.scores == first.backtest.scores
    assert shuffled.model.predict(rows()) == first.model.predict(rows())
