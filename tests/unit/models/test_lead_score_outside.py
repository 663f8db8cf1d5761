"""A scorer made elsewhere: what it is offered of the leads, what the leak check keeps from it, and what examples show."""

import json
from collections.abc import Mapping

import numpy as np
import polars as pl
import pytest

from integrator.contracts.errors import InvalidInput, NotReady
from models.base import TrainConfig, Trained
from models.lead_score.outside import OUTSIDE
from models.lead_score.spec import USE_CASE
from models.outside.contract import Floats, named, numbers, tensor_width
from tests.lead_frames import CONTEXT, leads


class Asks:
    """Somebody's scorer: it asks for columns by name, or for one bare tensor of all numbers, and answers their mean."""

    flavor = "sklearn"

    def __init__(self, *columns: str, width: int | None = None) -> None:
        self.columns, self.width = columns, width

    def wants(self, table: pl.DataFrame, left_out: Mapping[str, str] = {}) -> list[str]:
        if self.width is not None:
            return tensor_width(table, self.width, left_out)
        return named(table, self.columns, left_out)

    def values(self, table: pl.DataFrame) -> Floats:
        found = table.select(self.wants(table)).fill_nan(0.0).to_numpy().mean(axis=1)
        return np.asarray(1 / (1 + np.exp(-found / 4)))


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    """The flag is the outcome, the address each lead's own, and the visits are known beforehand."""
    return leads(won_flag=lambda i, converted, rng: int(converted), mail=lambda i, converted, rng: f"a{i}@example.test")


@pytest.fixture(scope="module")
def trained(frame: pl.DataFrame) -> Trained:
    return OUTSIDE.train(frame, Asks("visits", "purchases"), TrainConfig(excluded_attributes=("plan",)), CONTEXT)


def test_a_field_that_tells_the_outcome_is_neither_offered_nor_played_and_is_told(
    frame: pl.DataFrame, trained: Trained
) -> None:
    table = OUTSIDE.table(frame, TrainConfig(), CONTEXT)
    assert "won_flag" not in table.columns and {"visits", "plan", "outcome", "is_test"} <= set(table.columns)
    assert "won_flag" not in trained.params["inputs"] and "won_flag" not in json.dumps(trained.model.state()["columns"])
    assert trained.dropped["won_flag"].startswith("it alone tells the outcome (AUC 1.000)")
    assert trained.dropped["plan"] == "it was excluded by the training's settings"
    assert trained.dropped["mail"].startswith("nearly every value is different")
    own = USE_CASE.train(frame, TrainConfig(candidates=("logistic",)), CONTEXT)
    assert own.dropped["won_flag"] == trained.dropped["won_flag"], "ours is told the same"


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ("won_flag", "won_flag.*it alone tells the outcome"),
        ("plan", "plan.*it was excluded by the training's settings"),
        ("mail", "mail.*nearly every value is different"),
        ("unheard_of", "unheard_of.*visits"),
    ],
)
def test_a_signature_that_asks_for_what_is_left_out_is_refused_with_the_reason(
    frame: pl.DataFrame, asked: str, reason: str
) -> None:
    with pytest.raises(InvalidInput, match=reason):
        OUTSIDE.train(frame, Asks("visits", asked), TrainConfig(excluded_attributes=("plan",)), CONTEXT)


def test_a_tensor_made_with_the_flag_is_refused_with_what_is_left_out(frame: pl.DataFrame) -> None:
    there = numbers(OUTSIDE.table(frame, TrainConfig(), CONTEXT).drop("outcome"))
    assert OUTSIDE.train(frame, Asks(width=len(there)), TrainConfig(), CONTEXT).params["inputs"] == there
    with pytest.raises(InvalidInput, match="left out: .*; won_flag: it alone tells the outcome"):
        OUTSIDE.train(frame, Asks(width=len(there) + 1), TrainConfig(), CONTEXT)


def test_what_is_allowed_by_name_is_offered_and_told_as_strong(frame: pl.DataFrame) -> None:
    config = TrainConfig(allowed_attributes=("won_flag",))
    found = OUTSIDE.train(frame, Asks("won_flag", "visits"), config, CONTEXT)
    assert found.params["inputs"] == ["visits", "won_flag"] and "won_flag" not in found.dropped
    assert found.params["suspects"]["won_flag"] == 1.0
    assert "won_flag" in OUTSIDE.table(frame, config, CONTEXT).columns


def test_a_field_first_filled_in_among_the_leads_judged_on_is_not_offered() -> None:
    """The leak check has not seen it: nothing says that it is known beforehand."""
    late = leads(won_flag=lambda i, converted, rng: int(converted) if i % 10 >= 8 else None)
    assert "won_flag" not in OUTSIDE.table(late, TrainConfig(), CONTEXT).columns
    with pytest.raises(InvalidInput, match=r"won_flag.*every value is missing"):
        OUTSIDE.train(late, Asks("won_flag"), TrainConfig(), CONTEXT)


def test_too_few_leads_before_those_judged_on_offer_nothing() -> None:
    for ask in (OUTSIDE.table, lambda *given: OUTSIDE.train(given[0], Asks("visits"), *given[1:])):
        with pytest.raises(NotReady, match="too few outcomes in the training part"):
            ask(leads(300, 1), TrainConfig(), CONTEXT)


def test_examples_hold_what_is_read_and_nothing_that_tells_whose_they_are(
    frame: pl.DataFrame, trained: Trained
) -> None:
    own = USE_CASE.train(frame, TrainConfig(candidates=("logistic",), excluded_attributes=("plan",)), CONTEXT)
    assert own.backtest.chosen == "logistic"
    for found in (trained, own):
        assert len(found.sample) == 5
        told = json.dumps(list(found.sample))
        ids = [*frame["contact_id"], *frame["person_id"]]
        assert not any(f'"{one}"' in told for one in ids), "no id of a person"
        assert not any(word in told for word in ("created_at", "example.test", "won_flag", "token", "plan", "free"))
        assert "visits" in told
        assert [one.status for one in found.model.predict(list(found.sample))] == ["ready"] * 5, "each can be scored"
    assert set(trained.sample[0]["attributes"]) == {"visits"} and "stage" not in trained.sample[0]
    assert set(own.sample[0]["attributes"]) == {"visits", "wanted_on", "is_mobile"} and "stage" in own.sample[0]


def test_a_category_of_few_leads_is_in_no_example_and_the_rule_shows_its_source_alone() -> None:
    few = leads(900, 8, job=lambda i, converted, rng: "founder" if i in (6, 7, 895, 899) else f"j{i % 3}")
    found = USE_CASE.train(few, TrainConfig(candidates=("logistic",)), CONTEXT)
    assert "founder" not in json.dumps(list(found.sample)) and '"j0"' in json.dumps(list(found.sample))
    rule = USE_CASE.train(few, TrainConfig(candidates=("base_rate",)), CONTEXT)
    assert {name for row in rule.sample for name in row} == {
        "contact_id", "platform", "horizon_days", "language", "source", "attributes",
    }  # fmt: skip
    assert all(row["attributes"] == {} for row in rule.sample)
    assert [one.status for one in rule.model.predict(list(rule.sample))] == ["fallback"] * 5
