"""The pooled pricing model: what a price does elsewhere, as a prior for products with little evidence of their own.

The prior is in pooled_prior.py, the weeks it is judged on in pooled_cases.py, predictions in pooled_model.py.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from integrator.contracts.insight import Subject
from models.base import Context, FeatureRow, FittedModel, Trained
from models.evaluation import conformal_margins
from models.pooling.base import POOLED, HeldOut, Judgement, Limits, Member, PooledTraining
from models.pooling.sharing import backtest_of, fingerprint, row_weights
from models.pooling.words import say
from models.pricing import demand, folds, forecast
from models.pricing.demand import Fit, product_key
from models.pricing.forecast import RULE
from models.pricing.panel import Panel, panel
from models.pricing.pooled_cases import TEST_WEEKS, Case, case_of, relative, served, standardized
from models.pricing.pooled_model import STATE_VERSION, PooledPrices
from models.pricing.pooled_prior import Estimate, Prior, as_state, estimate_of, own_error, prior
from models.pricing.predict import LEVEL

Floats = NDArray[np.float64]

METRIC = "relative_deviance"
_EACH = 200
"""Errors of one partner that margins are taken from: its quantiles, so that each partner counts the same."""


@dataclass(frozen=True)
class _Material:
    """One partner's price effect over all its products, and its last weeks to be judged by."""

    estimate: Estimate
    case: Case


class PooledPricing:
    """See `models.pooling.base.PooledUseCase`."""

    def member(self, training: pl.DataFrame, context: Context) -> Member | None:
        """The partner's mean price effect; None where its products cannot tell one, or cannot be judged by it."""
        case = case_of(training, context.currency)
        found = panel(training, context.currency)
        if case is None or found is None:
            return None
        fit = demand.estimate(found, controls=True)
        rows = int((found.quantity[fit.units] > 0).sum())
        return Member(material=_Material(estimate_of(fit), case), rows=rows) if rows else None

    def train(self, members: Sequence[Member], limits: Limits) -> PooledTraining:
        """Leave each partner out once, then take the prior of all; NotReady where they are too few.

        Partners count by what their products tell, none beyond the largest share of it.
        """
        weights = row_weights([member.rows for member in members], limits)
        material: list[_Material] = [member.material for member in members]
        estimates = [_weighted(one.estimate, weight) for one, weight in zip(material, weights, strict=True)]
        tested = [
            served(one.case, prior([entry for m, entry in enumerate(estimates) if m != n]))
            for n, one in enumerate(material)
        ]
        errors = [np.quantile(standardized(one), (np.arange(_EACH) + 0.5) / _EACH) for one in tested]
        held_out = []
        for n, (one, said) in enumerate(zip(material, tested, strict=True)):
            margins = _margins([entry for m, entry in enumerate(errors) if m != n])
            held_out.append(
                HeldOut(
                    pooled=relative(one.case, said), rule=1.0, cases=int(said.counts.sum()),
                    covered=said.coverage(margins), intervals=int(said.counts.sum()),
                )
            )  # fmt: skip
        marks = [np.array([one.estimate.mean, one.estimate.variance]) for one in material]
        backtest = backtest_of(
            held_out, metric=METRIC, rule=RULE, split=f"{fingerprint(marks)}:leave one partner out", level=LEVEL
        )
        table = {score.candidate: float(score.metrics[METRIC]) for score in backtest.scores}
        state: dict[str, Any] = {
            "state_version": STATE_VERSION,
            "rung": POOLED,
            "prior": as_state(prior(estimates)),
            "margins": _margins(errors),
            "coverage": backtest.score("pooled").coverage,
            "scores": {"metric": METRIC, "rule": RULE, "all": table},
            "weeks": TEST_WEEKS,
        }
        trained = Trained(
            model=PooledPrices(state),
            backtest=backtest,
            params={"prior_mean": round(state["prior"]["mean"], 2), "prior_sd": round(state["prior"]["sd"], 2)},
            dropped={},
            data_hash=fingerprint(marks),
            sample=(),
            data={"product periods with sales": sum(member.rows for member in members)},
            limits=[say(f"limit.{key}") for key in ("receivers", "pricing")],
        )
        return PooledTraining(trained=trained, held_out=tuple(held_out))

    def judge(self, model: FittedModel, training: pl.DataFrame, context: Context) -> Judgement:
        """By the deviance of demand on the partner's last weeks, at the prices then taken, relative to its rule's."""
        case = case_of(training, context.currency)
        if case is None:
            return Judgement(metric=METRIC, observations=0)
        said = served(case, Prior(**model.state()["prior"]))
        return Judgement(metric=METRIC, observations=int(said.counts.sum()), pooled=relative(case, said), rule=1.0)

    def rows(
        self, model: FittedModel, live: pl.DataFrame, context: Context, history: pl.DataFrame | None = None,
        subjects: Collection[Subject] | None = None,
    ) -> list[FeatureRow]:  # fmt: skip
        """The use case's rows, each with what its product's own history says of the price, the calendar and the scatter."""
        from models.pricing.spec import USE_CASE

        rows = USE_CASE.rows(live, context, history, subjects)
        found = panel(live, context.currency)
        if found is None or not len(demand.rich(found)):
            return rows
        own = _own_facts(found, demand.estimate(found, controls=False))
        return [
            {**row, POOLED: own[key]}
            if (key := product_key((row["platform"], row["product"], row["tier"]))) in own
            else row
            for row in rows
        ]

    def restore(self, state: Mapping[str, Any]) -> FittedModel:
        """The pooled model that gave `state`."""
        return PooledPrices(state)


def _weighted(estimate: Estimate, weight: float) -> Estimate:
    """An estimate of rows that count for less tells less."""
    return Estimate(estimate.mean, estimate.variance / weight, estimate.between)


def _margins(errors: Sequence[Floats]) -> tuple[float, float]:
    whole = np.concatenate(errors)
    low, high = conformal_margins(whole, np.zeros(len(whole)), LEVEL)
    return min(low, 0.0), max(high, 0.0)


def _own_facts(found: Panel, fit: Fit) -> dict[str, dict[str, Any]]:
    """Product key → what its own history says, as plain numbers."""
    curve = forecast.curve(found, fit, forecast.SHRUNK)
    kappa = folds.kappa_of_weeks(found, demand.effects(found, curve.spec, curve.beta), curve)
    return {
        product_key(found.keys[i]): {
            "own": round(float(fit.own[n]), 6),
            "own_error": round(own_error(fit, n), 6),
            "kappa": round(float(fit.kappa[n]), 6),
            "week_kappa": round(float(kappa[i]), 6),
            "promotion_share": round(float(fit.promotion_share[n]), 6),
            "calendar": np.round(curve.beta[i, 1:], 6).tolist(),
            "spec": dict(fit.spec),
        }
        for n, i in enumerate(fit.units)
    }


POOLED_USE_CASE = PooledPricing()
