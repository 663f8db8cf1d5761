"""The pooled lead score: learned from several partners, level of each receiver's own, nothing of any one partner in it."""

import json
from functools import cache
from typing import Any

import numpy as np
import polars as pl
import pytest

from integrator.contracts.errors import Defect, NotReady
from integrator.steps.predictions import Failure, finished
from models import registry
from models.base import Context, FittedModel
from models.lead_score import pooled_design as shape
from models.lead_score import pooled_fit as fit
from models.lead_score.pooled import POOLED_USE_CASE as CODE
from models.pooling.base import Limits, Member, PooledTraining
from models.pooling.sharing import consented, verdict
from models.rounding import sums
from models.state import plain_pickle
from tests.lead_frames import CONTEXT, leads

SEEDS = (2, 3, 4)


def member(seed: int, count: int = 600, **own: Any) -> Member:
    found = CODE.member(leads(count, seed=seed, **own), CONTEXT)
    assert found is not None
    return found


@cache
def plain(seed: int) -> Member:
    return member(seed)


@cache
def pooled() -> PooledTraining:
    return CODE.train([plain(seed) for seed in SEEDS], Limits())


def model() -> FittedModel:
    return registry.restored("lead_score", pooled().trained.model.state())


def rows(history: pl.DataFrame, count: int = 40, context: Context = CONTEXT) -> list[dict[str, Any]]:
    return CODE.rows(model(), leads(count, seed=77).drop("converted"), context, history)


def test_it_passes_the_gate_and_beats_every_left_out_partner_s_rule() -> None:
    assert verdict(pooled(), None).promote, verdict(pooled(), None).reasons
    assert len(pooled().held_out) == 3
    assert all(entry is not None and entry.pooled < entry.rule for entry in pooled().held_out)
    assert pooled().trained.sample == () and not pooled().trained.choices
    words = {(column["owner"], column.get("word")) for column in pooled().trained.model.state()["columns"]}
    assert {("plan", "pro"), ("stage", "opportunity"), ("visits", None)} <= words


def test_what_one_or_two_partners_have_alone_is_nowhere_in_it() -> None:
    rare: dict[str, Any] = {
        "canary_field": lambda i, converted, rng: f"canary_{i % 3}",
        "canary_number": lambda i, converted, rng: 90_000 + i,
        "plan": lambda i, converted, rng: ["pro", "free", "canary_plan"][i % 3],
    }
    marks = [pl.format("canary_{}", name).alias(name) for name in ("partner", "platform", "contact_id", "person_id")]
    marked = [CODE.member(leads(600, seed=seed, **rare).with_columns(marks), CONTEXT) for seed in (1, 2)]
    training = CODE.train([*(found for found in marked if found), plain(3)], Limits())
    state = training.trained.model.state()
    told = json.dumps(state["columns"]) + str(training.trained) + repr(plain_pickle(state))
    assert len(training.held_out) == 3 and "canary" not in told and "travel" not in told


def test_people_without_consent_train_nothing() -> None:
    frame = leads(900, seed=5).with_columns(pooling_allowed=pl.int_range(900) % 3 == 0)
    found = CODE.member(consented(frame), CONTEXT)
    assert found is not None and found.rows == 300
    assert CODE.member(consented(frame.with_columns(pooling_allowed=None)), CONTEXT) is None


def test_a_field_that_leaks_at_one_partner_is_used_for_none() -> None:
    told: dict[str, Any] = {"closed_with": lambda i, converted, rng: "deal" if converted else "none"}
    training = CODE.train([member(seed, **told) for seed in SEEDS], Limits())
    owners = {column["owner"] for column in training.trained.model.state()["columns"]}
    assert "closed_with" not in owners and "plan" in owners


def test_a_young_partner_is_served_at_its_own_level() -> None:
    history = leads(70, seed=9)
    found = rows(history)
    own = found[0]["pooled"]
    assert (own["leads"], own["conversions"]) == (70, int(history["converted"].sum()))
    made = model().predict(found)
    assert {entry.rung for entry in made} == {"pooled"} and {entry.status for entry in made} == {"ready"}
    assert np.mean([entry.value for entry in made]) == pytest.approx(own["rate"], abs=0.08)
    low = rows(history.with_columns(converted=pl.int_range(70) == 0))
    assert np.mean([entry.value for entry in model().predict(low)]) < own["rate"], "the level follows the partner"
    for entry in made:
        assert entry.interval is not None and entry.interval.low <= entry.value <= entry.interval.high  # type: ignore[operator]
        assert entry.value is not None and entry.baseline is not None and entry.confidence_label in ("low", "medium")
        assert sums(entry.value, entry.baseline, entry.contributions, decimals=4)
        assert not isinstance(finished(entry, 4), Failure)
        assert entry.details["family"] == "pooled" and entry.details["why"] and 1 <= entry.details["score"] <= 99
        assert "Learned from partners who share" in entry.summary


def test_a_row_s_prediction_is_its_own_and_survives_storage() -> None:
    found = json.loads(json.dumps(rows(leads(70, seed=9))))
    together = model().predict(found)
    assert [model().predict([row])[0] for row in found] == together
    assert model().predict(found[::-1]) == together[::-1]
    assert model().predict([]) == []


def test_fewer_leads_mean_a_wider_interval() -> None:
    def width(count: int) -> float:
        made = model().predict(rows(leads(count, seed=9)))
        return float(np.mean([entry.interval.high - entry.interval.low for entry in made if entry.interval]))

    assert width(30) > width(150)


@pytest.mark.parametrize("history", [leads(15, seed=9), leads(60, seed=9).with_columns(converted=pl.lit(False)), None])
def test_with_too_little_of_its_own_the_rule_speaks(history: pl.DataFrame | None) -> None:
    made = model().predict(
        rows(history, 5) if history is not None else CODE.rows(model(), leads(5).drop("converted"), CONTEXT)
    )
    assert {(entry.rung, entry.status) for entry in made} == {("rule", "refused")}


def test_a_receiver_is_judged_where_there_is_enough_to_judge_by() -> None:
    good = CODE.judge(model(), leads(500, seed=12), CONTEXT)
    assert good.reason == "better" and good.observations == 100
    assert CODE.judge(model(), leads(60, seed=12), CONTEXT).reason == "not_judged"
    assert CODE.judge(model(), leads(1).clear(), CONTEXT).reason == "not_judged"
    upside_down = leads(500, seed=12).with_columns(converted=~pl.col("converted"))
    assert CODE.judge(model(), upside_down, CONTEXT).reason == "not_better"


def test_too_few_partners_or_too_little_of_theirs_is_not_ready() -> None:
    with pytest.raises(NotReady, match="at least 3"):
        CODE.train([plain(2), plain(3)], Limits())
    assert CODE.member(leads(60), CONTEXT) is None
    assert CODE.member(leads(400).with_columns(converted=pl.lit(False)), CONTEXT) is None
    with pytest.raises(Defect, match="state_version"):
        registry.restored("lead_score", {"rung": "pooled", "state_version": 99})


def test_slopes_are_those_of_the_partners_whatever_their_levels() -> None:
    rng = np.random.default_rng(4)
    matrices = [rng.normal(size=(600, 2)) for _ in range(3)]
    outcomes = [
        (rng.random(600) < 1 / (1 + np.exp(-(level + m @ np.array([1.0, -0.5]))))).astype(float)
        for level, m in zip((-3.0, -1.0, 1.0), matrices, strict=True)
    ]
    assert fit.slopes(matrices, outcomes, [1.0, 1.0, 1.0]) == pytest.approx([1.0, -0.5], abs=0.2)


def test_the_intercept_gives_the_rate_and_shrinkage_goes_between() -> None:
    tilts = np.array([-1.0, 0.0, 2.0])
    found = fit.intercept(tilts, 0.3)
    assert (1 / (1 + np.exp(-(tilts + found)))).mean() == pytest.approx(0.3, abs=1e-9)
    assert 0.1 < fit.shrunk_rate(0, 20, 0.3) < 0.3 and fit.shrunk_rate(500, 1000, 0.1) == pytest.approx(0.49, abs=0.01)


def test_odd_values_are_not_known_rather_than_extreme() -> None:
    columns = [{"owner": "visits", "kind": "number", "form": "plain", "mean": 4.0, "scale": 2.0}]
    odd: list[Any] = [None, "many", float("inf"), 1e300, True, -1e9, 4]
    found = shape.matrix(columns, [{"attributes": {"visits": value}} for value in odd])
    assert np.isfinite(found).all() and np.abs(found).max() <= 3 and found[[0, 1, 2, 3], 0].tolist() == [0.0] * 4
