"""Lead scorers made elsewhere: how they are judged and calibrated, and how their scores are told.

A scorer answers with a probability, or anything between 0 and 1 that orders leads; what it is worth as a probability is
learned here, on leads before those it is judged on.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from integrator.contracts.errors import Defect, NotReady, PermanentError
from integrator.contracts.readiness import Readiness
from models.base import Backtest, Context, FeatureRow, FittedModel, TrainConfig, Trained
from models.evaluation import time_ordered
from models.lead_score import attributes, calibration, judging, plot, splits, train
from models.lead_score.fitting import LEAST_CONVERSIONS, Fitted, Labelled
from models.lead_score.judging import Said
from models.lead_score.offered import Column, offer, offered, schema
from models.lead_score.predict import LeadModel, Seen
from models.lead_score.rates import STATE_VERSION
from models.lead_score.sample import sample
from models.messages import catalogue
from models.outside.contract import Outside
from models.outside.shapley import sampled, typical

Floats = NDArray[np.float64]

OWNER = "outside"
_LATER_SHARE = 0.2
_DIGITS = 6
_STATE = (
    "columns",
    "reference_row",
    "players",
    "calibrated",
    "coverage",
    "candidate",
    "horizon_days",
    "scores",
    "seed",
)


class OutsideLead(LeadModel):
    """A scorer of somebody else's with our calibration around it; its parts are sampled Shapley values in log-odds."""

    def __init__(
        self,
        model: Outside,
        *,
        columns: Sequence[Column],
        reference_row: Mapping[str, Any],
        players: Sequence[str],
        calibrated: dict[str, Any],
        coverage: float | None,
        candidate: str,
        horizon_days: int | None,
        scores: Mapping[str, float],
        seed: int,
    ) -> None:
        """`columns` (name, kind, owner) are offered to `model`, which reads the `players` among them."""
        self.model = model
        self.columns = list(columns)
        self.reference_row = dict(reference_row)
        self.players = list(players)
        self.seed = seed
        super().__init__(
            encoder={"columns": [column for column in self.columns if column["name"] in set(self.players)]},
            card={}, calibrated=calibrated, coverage=coverage, candidate=candidate, horizon_days=horizon_days,
            scores=scores,
        )  # fmt: skip
        neutral = pl.DataFrame([self.reference_row], schema=schema(self.columns))
        self._neutral = neutral
        self._reference = float(log_odds(model, neutral)[0])

    @property
    def reference(self) -> float:
        """See `LeadModel.reference`."""
        return self._reference

    def state(self) -> dict[str, Any]:
        """See `FittedModel.state`; the model itself is kept beside it."""
        return {"state_version": STATE_VERSION, "model": OWNER} | {name: getattr(self, name) for name in _STATE}

    def _seen(self, rows: Sequence[FeatureRow]) -> Seen:
        table = offered(attributes.Table(rows), self.columns)
        names = [owner["owner"] for owner in self.owners]
        parts, raw, _ = sampled(lambda asked: log_odds(self.model, asked), table, self._neutral, names, seed=self.seed)
        return Seen(raw, parts, [[] for _ in rows])


class OutsideLeads:
    """See `models.outside.contract.OutsideUseCase`."""

    def readiness(self, training: pl.DataFrame, context: Context) -> Readiness:
        """As for a model of our own: judging takes as many outcomes as learning."""
        return train.readiness(training, context)

    def table(self, training: pl.DataFrame, config: TrainConfig, context: Context) -> pl.DataFrame:
        """See `OutsideUseCase.table`; `outcome` is 1 for who converted. NotReady where there are too few to judge by."""
        data, _ = train.labelled(training, config)
        before, late = _split(data, context)
        test = np.zeros(len(data.rows), dtype=bool)
        test[late] = True
        found = offered(data.table, offer(data, before, config, context.seed, context.language).columns)
        return found.with_columns(outcome=pl.Series(data.outcome), is_test=pl.Series(test))

    def train(self, training: pl.DataFrame, model: Outside, config: TrainConfig, context: Context) -> Trained:
        """Judge a scorer on the latest leads, as our own candidates are; NotReady where they are too few."""
        data, digest = train.labelled(training, config)
        before, late = _split(data, context)
        train_part, test_part = data.take(before), data.take(late)
        offers = offer(data, before, config, context.seed, context.language)
        table = offered(data.table, offers.columns)
        players = model.wants(table, offers.dropped)
        raw = log_odds(model, table)
        drift = calibration.drift(data.outcome, data.moments, data.persons)
        name = f"{OWNER}_{model.flavor}"
        said = Said()
        said.add(train_part, test_part, Fitted(models={}, unseen={}, dropped={}, suspects={}))
        said.heard(name, raw[late], _calibrated(train_part, raw[before], drift), test_part)
        scores = judging.scores(said)
        chosen = min(scores, key=lambda score: (score.metrics["log_loss"], not score.is_rule))
        losses = {score.candidate: score.metrics["log_loss"] for score in scores}
        own = next(score for score in scores if not score.is_rule)
        words = catalogue("lead_score", context.language)
        reference = typical(table[late])
        fitted = OutsideLead(
            model, columns=offers.columns, reference_row=reference.row(0, named=True), players=players,
            calibrated=_calibrated(data, raw, drift), coverage=own.coverage, candidate=name,
            horizon_days=data.horizon_days, scores=losses, seed=context.seed,
        )  # fmt: skip
        outcome, probabilities = said.together()
        return Trained(
            model=fitted,
            backtest=Backtest(
                gate_metric="log_loss", chosen=chosen.candidate, scores=scores, observations=len(outcome),
                plot_png=plot.calibration_png(outcome, {name: probabilities[name]}),
                split=f"{digest}:last {train.TEST_SHARE:.0%} by as_of", level=calibration.LEVEL,
            ),
            params={
                "candidate": name, "inputs": players, "horizon_days": data.horizon_days, "rows": len(data.rows),
                "test_rows": len(outcome), "suspects": dict(offers.suspects), "seed": context.seed,
            },
            dropped=offers.dropped,
            data_hash=digest,
            sample=sample(data.table, fitted.encoder["columns"]),
            choices=judging.choices(scores, chosen, said, words),
            data=judging.described(data),
            limits=[words("limit.outside"), words("limit.cause"), words("limit.people")],
        )  # fmt: skip

    def restore(self, state: Mapping[str, Any], model: Outside) -> FittedModel:
        """The model that gave `state`; Defect when its version or its kind is unknown."""
        if state.get("state_version") != STATE_VERSION or state.get("model") != OWNER:
            kind = (state.get("state_version"), state.get("model"))
            raise Defect(
                f"lead_score state {kind!r} is not one around a model made elsewhere: {(STATE_VERSION, OWNER)}"
            )
        return OutsideLead(model, **{name: state[name] for name in _STATE})


def log_odds(model: Outside, table: pl.DataFrame) -> Floats:
    """The model's answers as log-odds; PermanentError where one is no probability."""
    answers = model.values(table)
    if len(answers) and (answers.min() < 0 or answers.max() > 1):
        raise PermanentError(
            f"a lead scorer answers between 0 and 1, received {float(answers.min()):g} to {float(answers.max()):g}"
        )
    # Single precision answers a batch and a single row alike to seven digits only.
    return calibration.logit(np.round(answers, _DIGITS))


def _split(data: Labelled, context: Context) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """(rows to learn from, rows to be judged on), as our own candidates have them."""
    parts = splits.by_time(data.moments, data.persons, data.horizon_seconds, train.TEST_SHARE)
    for name, part in zip(("training", "test"), parts, strict=True):
        if not data.take(part).has_both(LEAST_CONVERSIONS):
            raise NotReady(f"lead_score of {context.partner}: too few outcomes in the {name} part to judge a model by")
    return parts


def _calibrated(data: Labelled, raw: Floats, drift: float) -> dict[str, Any]:
    """On the latest leads alone where they are enough: what the scorer was fitted to, it knows too well."""
    _, late = time_ordered(data.moments, _LATER_SHARE)
    if not data.take(late).has_both(LEAST_CONVERSIONS):
        late = np.arange(len(raw))
    return calibration.fit(raw[late], data.outcome[late], data.persons[late], drift)


OUTSIDE = OutsideLeads()
