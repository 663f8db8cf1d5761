"""The pooled lead score: what raises or lowers a lead against its partner's own rate, learned from several partners.

What can be compared between partners is in pooled_design.py, the fit in pooled_fit.py, predictions in pooled_model.py.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from integrator.contracts.insight import Subject
from models.base import Context, FeatureRow, FittedModel, TrainConfig, Trained
from models.evaluation import brier, log_loss
from models.lead_score import attributes, calibration, leak, rates
from models.lead_score import pooled_design as shape
from models.lead_score import pooled_fit as fit
from models.lead_score import train as own
from models.lead_score.fitting import Labelled
from models.lead_score.pooled_model import LEAST_LEADS, STATE_VERSION, PooledLeads, facts_of
from models.lead_score.rates import METRIC
from models.memo import Memo
from models.pooling.base import POOLED, HeldOut, Judgement, Limits, Member, PooledTraining
from models.pooling.sharing import CANDIDATE, backtest_of, fingerprint, row_weights
from models.pooling.words import say

LEAST_ROWS = 100
LEAST_CONVERSIONS = 10
_CENTILES = np.linspace(0.01, 0.99, 99)


@dataclass(frozen=True)
class _Material:
    """One partner's labelled leads, and the fields that its own leak check found to be known only afterwards."""

    data: Labelled
    leaks: frozenset[str]


class PooledLeadScore:
    """See `models.pooling.base.PooledUseCase`."""

    def member(self, training: pl.DataFrame, context: Context) -> Member | None:
        """Leads with consent, if there are enough of either outcome before and after the cut that leaves it out."""
        data = _labelled(training)
        if data is None or not _can_be_judged(data):
            return None
        encoder, matrix, _ = attributes.fit(data.table, data.outcome, data.persons, (), context.seed)
        found = leak.find(encoder["columns"], matrix, data.outcome, data.persons, seed=context.seed)
        return Member(material=_Material(data, frozenset(found.dropped)), rows=len(data.rows))

    def train(self, members: Sequence[Member], limits: Limits) -> PooledTraining:
        """Leave each partner out once, then fit on all; NotReady where they are too few."""
        weights = row_weights([member.rows for member in members], limits)
        material: list[_Material] = [member.material for member in members]
        leaks = frozenset[str]().union(*(one.leaks for one in material))
        columns = shape.design([one.data.rows for one in material], leaks, limits.least_partners)
        columns = shape.scaled(columns, [one.data.rows for one in material])
        held_out, variance = _left_out(material, weights, columns)
        backtest = backtest_of(
            held_out, metric=METRIC, rule=rates.RULE, level=calibration.LEVEL,
            split=f"{fingerprint([one.data.outcome for one in material])}:leave one partner out",
        )  # fmt: skip
        state = _fitted([one.data for one in material], weights, columns) | {
            "variance": variance,
            "coverage": backtest.score(CANDIDATE).coverage,
            "alternatives": {score.candidate: round(score.metrics[METRIC], 4) for score in backtest.scores},
        }
        trained = Trained(
            model=PooledLeads(state),
            backtest=backtest,
            params={"columns": len(columns), "ridge": fit.RIDGE, "prior_leads": fit.PRIOR_LEADS},
            dropped={},
            data_hash=fingerprint([one.data.outcome for one in material]),
            sample=(),
            data={"labelled rows": sum(member.rows for member in members)},
            limits=[say(f"limit.{key}") for key in ("receivers", "lead_score")],
        )
        return PooledTraining(trained=trained, held_out=tuple(held_out))

    def judge(self, model: FittedModel, training: pl.DataFrame, context: Context) -> Judgement:
        """By log-loss on the latest of the partner's own leads, with the rate of those before."""
        data = _labelled(training)
        if data is None or not _can_be_judged(data):
            return Judgement(metric=METRIC, observations=0 if data is None else len(data.rows))
        found = _held_out(model.state(), data, model.state()["variance"])
        return Judgement(metric=METRIC, observations=found.cases, pooled=found.pooled, rule=found.rule)

    def rows(
        self, model: FittedModel, live: pl.DataFrame, context: Context, history: pl.DataFrame | None = None,
        subjects: Collection[Subject] | None = None,
    ) -> list[FeatureRow]:  # fmt: skip
        """The use case's rows, each with the partner's own recent rate and the intercept that gives it."""
        from models.lead_score.spec import USE_CASE

        found = USE_CASE.rows(live, context, history, subjects)
        data = None if history is None else LABELLED(history)
        if data is None:
            return found
        facts = facts_of(model.state(), data.rows, data.outcome, data.moments, data.persons)
        return found if facts is None else [{**row, POOLED: facts} for row in found]

    def restore(self, state: Mapping[str, Any]) -> FittedModel:
        """The pooled model that gave `state`."""
        return PooledLeads(state)


def _labelled(training: pl.DataFrame) -> Labelled | None:
    if not len(training):
        return None
    data, _ = own.labelled(training, TrainConfig())
    return data


LABELLED = Memo(_labelled)


def _can_be_judged(data: Labelled) -> bool:
    if len(data.rows) < LEAST_ROWS:
        return False
    before, after = own.split(data)
    return len(before.rows) >= LEAST_LEADS and before.outcome.sum() >= 1 and after.has_both(LEAST_CONVERSIONS)


def _fitted(data: Sequence[Labelled], weights: Sequence[float], columns: shape.Design) -> dict[str, Any]:
    """Slopes, the mean of the partners' rates, and the centiles of all leads' tilts, each partner counting once."""
    matrices = [shape.matrix(columns, one.rows) for one in data]
    slopes = fit.slopes(matrices, [one.outcome for one in data], weights)
    state: dict[str, Any] = {"state_version": STATE_VERSION, "rung": POOLED, "columns": columns, "slopes": slopes}
    centiles = [np.quantile(fit.tilt(state, matrix), _CENTILES) for matrix in matrices]
    return state | {
        "rate": float(np.mean([one.outcome.mean() for one in data])),
        "centiles": np.mean(centiles, axis=0),
    }


def _left_out(
    material: Sequence[_Material], weights: Sequence[float], columns: shape.Design
) -> tuple[list[HeldOut], float]:
    """Each partner served by a model of the others, whose differences among themselves set its intervals; and all of them."""
    states = []
    for i in range(len(material)):
        rest = [n for n in range(len(material)) if n != i]
        states.append(_fitted([material[n].data for n in rest], [weights[n] for n in rest], columns))
    off = [_excess(state, one.data) for state, one in zip(states, material, strict=True)]
    found = [
        _held_out(state, one.data, max(0.0, float(np.mean([*off[:i], *off[i + 1 :]]))))
        for i, (state, one) in enumerate(zip(states, material, strict=True))
    ]
    return found, max(0.0, float(np.mean(off)))


def _served(state: Mapping[str, Any], data: Labelled) -> tuple[Labelled, Labelled, np.ndarray[Any, Any], int]:
    """What a receiving partner would have got: (its past, the leads after, their probabilities, own persons behind)."""
    before, after = own.split(data)
    facts = facts_of(state, before.rows, before.outcome, before.moments, before.persons)
    assert facts is not None  # `_can_be_judged` asked for as many
    tilts = fit.tilt(state, shape.matrix(state["columns"], after.rows))
    return before, after, calibration.sigmoid(tilts + facts["intercept"]), facts["persons"]


def _excess(state: Mapping[str, Any], data: Labelled) -> float:
    _, after, probability, _ = _served(state, data)
    return fit.excess(probability, after.outcome, after.persons)


def _held_out(state: Mapping[str, Any], data: Labelled, variance: float) -> HeldOut:
    before, after, probability, persons = _served(state, data)
    known = rates.recent(before.rows, before.outcome, before.moments)
    by_rule = rates.probabilities(known, after.rows)
    share, intervals = fit.covered(
        probability, after.outcome, after.persons, fit.known_from(probability, persons, variance)
    )
    return HeldOut(
        pooled=log_loss(after.outcome, probability),
        rule=log_loss(after.outcome, by_rule),
        cases=len(after.rows),
        covered=share,
        intervals=intervals,
        metrics={"brier": (brier(after.outcome, probability), brier(after.outcome, by_rule))},
    )


POOLED_USE_CASE = PooledLeadScore()
