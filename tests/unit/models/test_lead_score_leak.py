"""Leaks that show only beside the other fields are found; honest strong fields stay; what is dropped can be allowed."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.base import TrainConfig
from models.lead_score import leak
from models.lead_score.fitting import Labelled, fit

Floats = NDArray[np.float64]
ROWS = 3000


def columns(count: int) -> list[dict[str, Any]]:
    return [{"owner": f"f{j}", "name": f"f{j}", "kind": "number"} for j in range(count)]


def known_beforehand(rng: np.random.Generator, outcome: Floats) -> Floats:
    """Five fields that together tell the outcome with an AUC of about 0.79."""
    return rng.standard_normal((len(outcome), 5)) + 0.51 * outcome[:, None]


def a_call(rng: np.random.Generator) -> tuple[Floats, Floats]:
    """A call's length follows the very doubt that decides the sale: alone it tells little more than the five do."""
    five = rng.standard_normal((ROWS, 5))
    doubt = rng.logistic(size=ROWS)
    said = 0.5 * five.sum(axis=1) + doubt
    outcome = (said > np.quantile(said, 0.89)).astype(float)
    return np.column_stack([five, np.exp(0.6 * doubt + 0.8 * rng.standard_normal(ROWS))]), outcome


def outcomes(rng: np.random.Generator) -> Floats:
    return (rng.random(ROWS) < 0.11).astype(float)


def a_pair(rng: np.random.Generator) -> tuple[Floats, Floats]:
    outcome, level = outcomes(rng), 10 * rng.standard_normal(ROWS)
    after = level + 3 * outcome + 0.7 * rng.standard_normal(ROWS)
    return np.column_stack([known_beforehand(rng, outcome), level, after]), outcome


def told_twice(rng: np.random.Generator) -> tuple[Floats, Floats]:
    outcome = outcomes(rng)
    minutes = np.exp(2.0 * outcome + rng.standard_normal(ROWS))
    return np.column_stack([known_beforehand(rng, outcome), minutes, 60 * minutes]), outcome


LEAKS = {"a call": (a_call, {"f5"}), "before and after": (a_pair, {"f5", "f6"}), "twice": (told_twice, {"f5", "f6"})}


@pytest.mark.parametrize("name", LEAKS)
def test_a_leak_that_shows_beside_the_others_is_dropped_with_its_figures(name: str) -> None:
    make, planted = LEAKS[name]
    matrix, outcome = make(np.random.default_rng(3 if name == "a call" else 1))
    who = np.arange(ROWS)
    found = leak.find(columns(matrix.shape[1]), matrix, outcome, who)
    assert set(found.dropped) == planted
    assert all("with it the outcome is told with an AUC of 0.9" in reason for reason in found.dropped.values())
    allowed = leak.find(columns(matrix.shape[1]), matrix, outcome, who, allowed=tuple(planted))
    assert allowed.dropped == {} and planted <= set(allowed.suspects), "what is allowed stays, and is told"


@pytest.mark.parametrize("strength", [0.9, 1.3, 1.5])
def test_one_honest_strong_field_stays(strength: float) -> None:
    rng = np.random.default_rng(7)
    outcome = outcomes(rng)
    matrix = np.column_stack([known_beforehand(rng, outcome), strength * outcome + rng.standard_normal(ROWS)])
    assert leak.find(columns(6), matrix, outcome, np.arange(ROWS)).dropped == {}


def test_many_honest_fields_that_tell_much_together_stay() -> None:
    rng = np.random.default_rng(8)
    outcome = outcomes(rng)
    matrix = rng.standard_normal((ROWS, 6)) + 0.85 * outcome[:, None]
    assert leak.find(columns(6), matrix, outcome, np.arange(ROWS)).dropped == {}


def test_a_span_that_tells_the_outcome_drops_the_date_that_was_filled_in_afterwards() -> None:
    rng = np.random.default_rng(9)
    outcome = outcomes(rng)
    opened = -rng.integers(0, 900, ROWS).astype(float)
    closed = opened + np.where(outcome > 0, 3.0, 40.0) + rng.integers(0, 3, ROWS)
    dates = [{"owner": name, "name": name, "kind": "date"} for name in ("closed", "opened")]
    span = {"owner": "opened_to_closed", "name": "opened|closed", "kind": "span"}
    found = leak.find([*dates, span], np.column_stack([closed, opened, closed - opened]), outcome, np.arange(ROWS))
    (owner,) = found.dropped
    assert owner in ("opened", "closed") and "the days between it and" in found.dropped[owner]


def test_few_of_a_class_are_not_judged_together() -> None:
    rng = np.random.default_rng(2)
    outcome = np.zeros(ROWS)
    outcome[:30] = 1.0
    matrix = np.column_stack([known_beforehand(rng, outcome), 2 * outcome + rng.standard_normal(ROWS)])
    assert leak.find(columns(6), matrix, outcome, np.arange(ROWS)).dropped == {}


def test_a_fit_without_dates_drops_it_and_keeps_it_where_it_is_allowed() -> None:
    matrix, outcome = a_call(np.random.default_rng(3))
    rows = [
        {"as_of": None, "attributes": {"seconds" if j == 5 else f"f{j}": float(v) for j, v in enumerate(values)}}
        for values in matrix
    ]
    data = Labelled.of(rows, outcome)
    found = fit(data, ("logistic",), TrainConfig(), 1)
    assert "seconds" in found.dropped and "allow it by name" in found.dropped["seconds"]
    used = {column["owner"] for column in found.models["logistic"].encoder["columns"]}
    assert used == {f"f{j}" for j in range(5)}
    allowed = fit(data, ("logistic",), TrainConfig(allowed_attributes=("seconds",)), 1)
    assert "seconds" in {column["owner"] for column in allowed.models["logistic"].encoder["columns"]}
    assert "seconds" in allowed.suspects
