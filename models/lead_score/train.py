"""Training: a comparison of the candidates on the latest leads, then the best one fitted on everything.

How a candidate is fitted is in fitting.py; the same code serves rows without dates, which are compared by
cross-validation.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from integrator.contracts.errors import NotReady, invalid
from integrator.contracts.readiness import Readiness, Requirement
from models.base import Backtest, Context, FittedModel, Score, TrainConfig, Trained
from models.lead_score import attributes, calibration, candidates, judging, plot, rates, splits
from models.lead_score.fitting import LEAST_CONVERSIONS, Fitted, Labelled, fit
from models.lead_score.judging import Said
from models.lead_score.predict import LeadModel
from models.lead_score.rates import RULE, BaseRate
from models.lead_score.rows import feature_rows
from models.lead_score.sample import sample
from models.messages import catalogue

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

CANDIDATES = (RULE, *candidates.NAMES)
NEED_CONVERSIONS = 120
NEED_SNAPSHOTS = 500
TEST_SHARE = 0.2
FOLDS = 5
_LEAST_HISTORY_DAYS = 60
_LIMITS = ("cause", "people", "attributes", "drift")


def readiness(training: pl.DataFrame, context: Context) -> Readiness:
    """Conversions (persons), labelled snapshots and days of history, against what a model of one's own needs.

    Rows without dates are judged by their numbers alone. Without a single conversion there is no rung at all: a rate
    of nothing tells more of what the platform keeps back than of its leads.
    """
    snapshots = len(training)
    conversions = training.filter(pl.col("converted"))[_person(training)].n_unique() if snapshots else 0
    days = horizon = 0
    is_dated = not snapshots or training["as_of"].null_count() == 0
    if snapshots and is_dated:
        span = training["as_of"].max() - training["as_of"].min()  # type: ignore[operator]
        days, horizon = int(span.days) + 1, int(training["horizon_days"].max() or 0)  # type: ignore[union-attr, arg-type]
    need_days = horizon + _LEAST_HISTORY_DAYS

    def left(have: int, need: int) -> int | None:
        return int(np.ceil((need - have) * days / have)) if 0 < have < need and days > 1 else None

    counts = [
        ("conversions", conversions, NEED_CONVERSIONS, left(conversions, NEED_CONVERSIONS)),
        ("snapshots", snapshots, NEED_SNAPSHOTS, left(snapshots, NEED_SNAPSHOTS)),
    ]
    if is_dated:
        counts.append(("history", days, need_days, max(0, need_days - days) or None))
    words = catalogue("lead_score", context.language)
    requirements = [
        Requirement(name, words(f"readiness.{name}"), have, need, wait) for name, have, need, wait in counts
    ]
    enough = all(requirement.met for requirement in requirements)
    has_rate = snapshots >= rates.LEAST_LEADS and conversions > 0
    return Readiness("lead_score", "partner" if enough else "rule" if has_rate else "none", requirements)


def train(training: pl.DataFrame, config: TrainConfig, context: Context) -> Trained:
    """Compare all candidates, fit the best on everything; NotReady with the counts, InvalidInput on a bad config."""
    names = _candidates(config)
    ready = readiness(training, context)
    if not ready.ready:
        raise NotReady(f"lead_score of {context.partner} is not ready: {ready}")
    data, digest = labelled(training, config)
    compared = _compared(data, names, config, context)
    chosen = compared.chosen
    scores = {score.candidate: score.metrics["log_loss"] for score in compared.scores}
    final, dropped, suspects = _final(chosen, data, config, context, scores)
    if chosen.is_rule:  # it uses no attribute; what the candidates had to leave out is said all the same
        dropped, suspects = compared.dropped, compared.suspects
    words = catalogue("lead_score", context.language)
    return Trained(
        model=final,
        backtest=Backtest(
            gate_metric="log_loss",
            chosen=chosen.candidate,
            scores=compared.scores,
            observations=compared.observations,
            plot_png=compared.plot_png,
            split=f"{digest}:{compared.split}",
            level=calibration.LEVEL,
        ),
        params={
            "candidate": chosen.candidate,
            "horizon_days": data.horizon_days,
            "rows": len(data.rows),
            "train_rows": compared.train_rows,
            "test_rows": compared.observations,
            "conversions": int(data.outcome.sum()),
            "suspects": suspects,
            "seed": context.seed,
        },
        dropped=dropped,
        data_hash=digest,
        sample=sample(data.table, _read(final)),
        choices=judging.choices(compared.scores, chosen, compared.said, words),
        data=judging.described(data),
        limits=[
            *([] if data.horizon_days is None else [words("limit.horizon", horizon=data.horizon_days)]),
            *(words(f"limit.{name}") for name in _LIMITS),
        ],
    )


def labelled(training: pl.DataFrame, config: TrainConfig) -> tuple[Labelled, str]:
    """Rows in order of time with what training needs beside them, and the SHA-256 of it all.

    Rows of one label alone: InvalidInput when they were labelled for two horizons, or another than the config asks for.
    Where a moment is missing, none is used: the rows then have no order.
    """
    horizons = training["horizon_days"].unique().to_list()
    if len(horizons) != 1 or (config.horizon_days is not None and config.horizon_days != horizons[0]):
        raise invalid("horizon_days", config.horizon_days, f"the one the training rows were labelled with: {horizons}")
    frame = training.sort("as_of", "platform", "contact_id", nulls_last=True)
    is_dated = frame["as_of"].null_count() == 0
    if config.window_days is not None and is_dated:
        frame = frame.filter(pl.col("as_of") >= pl.col("as_of").max() - pl.duration(days=config.window_days))
    rows = feature_rows(frame)
    outcome = frame["converted"].cast(pl.Float64).to_numpy()
    named = frame[_person(frame)].cast(pl.String)
    # Who has no id is somebody apart, and not one person all together.
    who = pl.select(pl.coalesce(named, "row " + pl.int_range(len(frame)).cast(pl.String)).alias("who"))["who"]
    persons = who.rank("dense").to_numpy().astype(np.intp) - 1
    digest = hashlib.sha256(json.dumps([rows, outcome.tolist()], sort_keys=True).encode()).hexdigest()
    moments = np.zeros(len(rows), dtype=np.int64)
    if is_dated:
        moments = frame["as_of"].dt.epoch("s").to_numpy().astype(np.int64)
    return Labelled(attributes.Table(rows), outcome, moments, persons, horizons[0]), digest


def split(data: Labelled) -> tuple[Labelled, Labelled]:
    """(train, test) by time; see `splits.by_time`."""
    before, late = splits.by_time(data.moments, data.persons, data.horizon_seconds, TEST_SHARE)
    return data.take(before), data.take(late)


@dataclass(frozen=True)
class _Compared:
    """What the comparison found: the scores, the one to take, and what every candidate said of each test row."""

    scores: tuple[Score, ...]
    said: Said
    observations: int
    train_rows: int
    split: str
    dropped: dict[str, str]
    suspects: dict[str, float]
    plot_png: bytes | None

    @property
    def chosen(self) -> Score:
        return min(self.scores, key=lambda score: score.metrics["log_loss"])


def _compared(data: Labelled, names: Sequence[str], config: TrainConfig, context: Context) -> _Compared:
    """Every candidate on test rows that it was not fitted to: the latest, or those of each fold in turn."""
    parts = [split(data)] if data.is_dated else []
    if not parts:
        folded = splits.cross_validation(data.outcome, data.persons, FOLDS, context.seed)
        parts = [(data.take(before), data.take(after)) for before, after in folded]
    said = Said()
    dropped: dict[str, str] = {}
    suspects: dict[str, float] = {}
    for train_part, test_part in parts:
        _needs_both_classes(train_part, test_part, context)
        fitted: Fitted = fit(train_part, names, config, context.seed, context.language)
        said.add(train_part, test_part, fitted)
        dropped, suspects = {**fitted.dropped, **dropped}, {**fitted.suspects, **suspects}
    outcome, probabilities = said.together()
    modelled = {name: probability for name, probability in probabilities.items() if name != RULE}
    return _Compared(
        scores=judging.scores(said),
        said=said,
        observations=len(outcome),
        train_rows=len(parts[0][0].rows),
        split=f"last {TEST_SHARE:.0%} by as_of" if data.is_dated else f"{FOLDS} folds",
        dropped=dropped,
        suspects=suspects,
        plot_png=plot.calibration_png(outcome, modelled) if modelled else None,
    )


def _read(model: FittedModel) -> list[dict[str, Any]]:
    """The columns it reads of a lead; the rule's rates are by source."""
    if isinstance(model, LeadModel):
        return list(model.encoder["columns"])
    return [{"name": "source", "kind": "category"}]


def _person(frame: pl.DataFrame) -> str:
    return "person_id" if "person_id" in frame.columns else "contact_id"


def _candidates(config: TrainConfig) -> tuple[str, ...]:
    wanted = config.candidates or CANDIDATES
    unknown = [name for name in wanted if name not in CANDIDATES]
    if unknown:
        raise invalid("lead_score candidates", unknown, CANDIDATES)
    return tuple(name for name in candidates.NAMES if name in wanted)


def _needs_both_classes(train_part: Labelled, test_part: Labelled, context: Context) -> None:
    for name, part in (("training", train_part), ("test", test_part)):
        if not part.has_both(LEAST_CONVERSIONS):
            raise NotReady(
                f"lead_score of {context.partner} is not ready: the {name} part of its split has "
                f"{int(part.outcome.sum())} conversions among {len(part.rows)} snapshots; {LEAST_CONVERSIONS} of each "
                "outcome are needed"
            )


def _final(
    chosen: Score, data: Labelled, config: TrainConfig, context: Context, scores: dict[str, float]
) -> tuple[FittedModel, dict[str, str], dict[str, float]]:
    if chosen.candidate == RULE:
        known: dict[str, Any] = rates.recent(data.rows, data.outcome, data.moments, data.persons, data.horizon_seconds)
        return BaseRate(known, scores), {}, {}
    fitted = fit(data, (chosen.candidate,), config, context.seed, context.language)
    if chosen.candidate not in fitted.models:
        raise NotReady(
            f"lead_score of {context.partner} is not ready: no attribute of all its leads can be learned from"
        )
    model = fitted.models[chosen.candidate]
    model.coverage, model.scores = chosen.coverage, scores
    return model, fitted.dropped, fitted.suspects
