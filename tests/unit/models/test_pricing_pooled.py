"""The pooled pricing model: what a price does elsewhere as a prior, a product's own evidence always in it, or no price."""

import json
from functools import cache
from typing import Any

import numpy as np
import polars as pl
import pytest

from integrator.contracts.errors import Defect, NotReady
from integrator.steps.predictions import Failure, finished
from models import registry
from models.base import FittedModel, Prediction
from models.pooling.base import Limits, Member, PooledTraining
from models.pooling.sharing import verdict
from models.pricing.pooled import POOLED_USE_CASE as CODE
from models.pricing.pooled_prior import Estimate, Prior, posterior, prior
from models.rounding import sums
from models.state import plain_pickle
from tests.pricing_frames import CONTEXT, shop

ELASTICITIES = (-2.6, -3.0, -3.4)


@cache
def member(number: int) -> Member:
    found = CODE.member(shop(5, 119, elasticity=ELASTICITIES[number], seed=number + 1), CONTEXT)
    assert found is not None
    return found


@cache
def pooled() -> PooledTraining:
    return CODE.train([member(number) for number in range(3)], Limits())


def model() -> FittedModel:
    return registry.restored("pricing", pooled().trained.model.state())


def rows(live: pl.DataFrame) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(json.dumps(CODE.rows(model(), live, CONTEXT, None)))
    return found


def predicted(live: pl.DataFrame) -> list[Prediction]:
    return model().predict(rows(live))


def test_it_passes_the_gate_and_beats_every_left_out_partner_s_rule() -> None:
    found = verdict(pooled(), None)
    assert found.promote, found.reasons
    assert all(entry is not None and entry.pooled < 1 == entry.rule for entry in pooled().held_out)
    assert 0.6 <= (pooled().trained.backtest.score("pooled").coverage or 0) <= 0.97
    known = pooled().trained.model.state()["prior"]
    assert known["mean"] == pytest.approx(-3.0, abs=0.4) and 0.3 <= known["sd"] < 1.5


def test_no_product_no_price_and_no_group_is_in_it() -> None:
    marks = [pl.format("canary_{}", name).alias(name) for name in ("platform", "product", "product_group")]
    marked = [
        CODE.member(
            shop(5, 119, elasticity=e, seed=n).with_columns(*marks, unit_price=pl.col("unit_price") * 7), CONTEXT
        )
        for n, e in enumerate(ELASTICITIES)
    ]
    training = CODE.train([found for found in marked if found], Limits())
    state = training.trained.model.state()
    assert "canary" not in str(training.trained) + repr(plain_pickle(state))
    assert set(state) == {"state_version", "rung", "prior", "margins", "coverage", "scores", "weeks"}
    assert training.trained.sample == () and not training.trained.choices


def test_a_small_shop_is_priced_from_its_own_evidence_and_the_prior() -> None:
    live = shop(2, 84, seed=8)
    assert not registry.use_case("pricing").readiness(live, CONTEXT).ready, "too few products for a model of its own"
    made = predicted(live)
    assert [(entry.rung, entry.status, entry.confidence_label) for entry in made] == [("pooled", "ready", "low")] * 2
    for entry in made:
        assert entry.value is not None and entry.baseline is not None and entry.interval is not None
        assert entry.interval.low <= entry.value <= entry.interval.high
        assert sums(entry.value, entry.baseline, entry.contributions, decimals=2)
        assert not isinstance(finished(entry, 2), Failure)
        own, said = entry.details["identification"]["own_elasticity"], entry.details["elasticity"]
        assert min(own, -3.0) - 0.3 <= said <= max(own, -3.0) + 0.3
        assert entry.details["family"] == "pooled" and "partners who share" in entry.summary and entry.details["why"]


def test_a_row_s_prediction_is_its_own() -> None:
    found = rows(shop(3, 84, seed=8))
    together = model().predict(found)
    assert [model().predict([row])[0] for row in found] == together and model().predict([]) == []


@pytest.mark.parametrize(
    ("live", "reason"),
    [
        (shop(2, 35, seed=8).with_columns(pl.col("sold_on").dt.offset_by("49d")), "weeks"),
        (shop(2, 84, seed=8).with_columns(unit_price=pl.lit(100).cast(pl.Decimal(18, 6))), None),
        (shop(2, 84, elasticity=0.0, seed=8), "turning"),
        (shop(2, 84, elasticity=2.0, seed=8), "sign"),
    ],
    ids=["young", "one price", "no effect", "wrong sign"],
)
def test_what_its_own_history_cannot_identify_is_never_priced(live: pl.DataFrame, reason: str | None) -> None:
    for entry in predicted(live):
        if reason is None:
            assert (entry.rung, entry.status, entry.value) == ("rule", "fallback", entry.details["current_price"])
        else:
            assert (entry.rung, entry.status, entry.value) == ("pooled", "refused", None)
            assert entry.details["identification"]["reason"] == reason
            assert "do not stand in for sales of its own" in entry.summary


def test_evidence_that_hardly_counts_is_left_to_speak_alone() -> None:
    found = rows(shop(1, 84, seed=8))
    found[0]["pooled"] |= {"own": -3.0, "own_error": 4.0}
    (entry,) = model().predict(found)
    assert entry.status == "refused" and entry.details["identification"]["reason"] == "none"


def test_the_prior_is_wide_where_partners_or_products_differ() -> None:
    alike = prior([Estimate(-3.0, 0.01, 0.02)] * 3)
    apart = prior([Estimate(mean, 0.01, 0.02) for mean in (-1.5, -3.0, -4.5)])
    mixed = prior([Estimate(-3.0, 0.01, 1.0)] * 3)
    assert alike.mean == apart.mean == pytest.approx(-3.0) and alike.sd < min(apart.sd, mixed.sd)
    assert apart.sd > 1.3 and mixed.sd > 0.9
    assert prior([Estimate(1.0, 0.01, 0.02)] * 3).mean == 0.0, "demand does not rise with the price"


def test_own_evidence_moves_the_prior_by_its_share() -> None:
    mean, sd, share = posterior(Prior(-3.0, 0.5), -2.0, 0.5)
    assert [mean, sd, share] == pytest.approx([-2.5, 0.5 / np.sqrt(2), 0.5])
    assert posterior(Prior(-3.0, 0.5), -2.0, 50.0)[0] == pytest.approx(-3.0, abs=0.001)


def test_a_receiver_is_judged_on_its_last_weeks_where_there_are_enough() -> None:
    good = CODE.judge(model(), shop(4, 112, seed=9), CONTEXT)
    assert good.reason == "better" and good.observations >= 12
    assert CODE.judge(model(), shop(4, 40, seed=9), CONTEXT).reason == "not_judged"
    assert CODE.judge(model(), shop(4, 112, seed=9).clear(), CONTEXT).reason == "not_judged"
    steep = CODE.judge(model(), shop(4, 112, elasticity=3.0, seed=9), CONTEXT)
    assert steep.pooled is not None and steep.pooled > good.pooled  # type: ignore[operator]


def test_too_few_partners_or_too_little_of_theirs_is_not_ready() -> None:
    with pytest.raises(NotReady, match="at least 3"):
        CODE.train([member(0), member(1)], Limits())
    assert CODE.member(shop(5, 40), CONTEXT) is None
    assert CODE.member(shop(5, 119).clear(), CONTEXT) is None
    one_price = shop(5, 119).with_columns(unit_price=pl.lit(100).cast(pl.Decimal(18, 6)))
    assert CODE.member(one_price, CONTEXT) is None
    with pytest.raises(Defect, match="state_version"):
        registry.restored("pricing", {"rung": "pooled", "state_version": 99})
