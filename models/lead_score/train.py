"""Training: a time-ordered comparison of the candidates, then the best one fitted on everything."""

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
from models.base import Backtest, Context, FeatureRow, FittedModel, Score, TrainConfig, Trained
from models.evaluation import auc, brier, calibration_error, log_loss, time_ordered
from models.lead_score import attributes, calibration, leak, plot, rates, scorecard
from models.lead_score.predict import LeadModel
from models.lead_score.rates import BaseRate
from models.lead_score.rows import feature_rows

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

RULE = "base_rate"
CANDIDATES = (RULE, "logistic", "additive_boosting")
NEED_CONVERSIONS = 120
NEED_SNAPSHOTS = 500
TEST_SHARE = 0.2
CALIBRATION_SHARE = 0.2
_LEAST_HISTORY_DAYS = 60
_SEGMENT_ROWS = 300
_SEGMENT_CONVERSIONS = 15
_LEAST_CONVERSIONS = 20
_SECONDS_A_DAY = 86_400


@dataclass(frozen=True)
class Labelled:
    """Training rows with their outcome (0 or 1), their moment (seconds) and their person (0, 1, …)."""

    table: attributes.Table
    outcome: Floats
    moments: NDArray[np.int64]
    persons: Indices
    horizon_seconds: int

    @property
    def rows(self) -> Sequence[FeatureRow]:
        """The feature rows."""
        return self.table.rows

    def take(self, index: Indices) -> "Labelled":
        """Some of the rows."""
        return Labelled(
            self.table.take(index),
            self.outcome[index],
            self.moments[index],
            self.persons[index],
            self.horizon_seconds,
        )


def readiness(training: pl.DataFrame, context: Context) -> Readiness:
    """Conversions (persons), labelled snapshots and days of history, against what a model of one's own needs."""
    snapshots = len(training)
    person = "person_id" if "person_id" in training.columns else "contact_id"
    conversions = training.filter(pl.col("converted"))[person].n_unique() if snapshots else 0
    days = horizon = 0
    if snapshots:
        span = training["as_of"].max() - training["as_of"].min()  # type: ignore[operator]
        days, horizon = int(span.days) + 1, int(training["horizon_days"].max())  # type: ignore[union-attr, arg-type]
    need_days = horizon + _LEAST_HISTORY_DAYS

    def left(have: int, need: int) -> int | None:
        return int(np.ceil((need - have) * days / have)) if 0 < have < need and days > 1 else None

    requirements = [
        Requirement("conversions", "conversions", conversions, NEED_CONVERSIONS, left(conversions, NEED_CONVERSIONS)),
        Requirement("snapshots", "labelled snapshots", snapshots, NEED_SNAPSHOTS, left(snapshots, NEED_SNAPSHOTS)),
        Requirement("history", "days of history", days, need_days, max(0, need_days - days) or None),
    ]
    enough = all(requirement.met for requirement in requirements)
    return Readiness(
        "lead_score", "partner" if enough else "rule" if snapshots >= rates.LEAST_LEADS else "none", requirements
    )


def train(training: pl.DataFrame, config: TrainConfig, context: Context) -> Trained:
    """Backtest all candidates, fit the best on everything; NotReady with the counts, InvalidInput on a bad config."""
    candidates = _candidates(config)
    ready = readiness(training, context)
    if not ready.ready:
        raise NotReady(f"lead_score of {context.partner} is not ready: {ready}")
    data, digest = labelled(training, config)
    train_part, test_part = split(data)
    _needs_both_classes(train_part, test_part, context)
    prepared = _prepare(train_part, config, context)
    test_matrix = attributes.transform(prepared.encoder, test_part.table)
    scores = [_score_rule(train_part, test_part)]
    probabilities: dict[str, Floats] = {}
    for name in candidates:
        if name != RULE:
            model = _fit(name, prepared, context.seed)
            probabilities[name] = model.probabilities(test_matrix)
            scores.append(_score(name, model, test_part, probabilities[name]))
    chosen = min(scores, key=lambda score: score.metrics["log_loss"])
    final, dropped, suspects = _final(chosen, data, config, context)
    if chosen.is_rule:  # it uses no attribute; what the candidates had to leave out is said all the same
        dropped, suspects = prepared.dropped, prepared.suspects
    return Trained(
        model=final,
        backtest=Backtest(
            gate_metric="log_loss",
            chosen=chosen.candidate,
            scores=tuple(scores),
            observations=len(test_part.rows),
            plot_png=plot.calibration_png(test_part.outcome, probabilities) if probabilities else None,
            split=f"{digest}:last {TEST_SHARE:.0%} by as_of",
            level=calibration.LEVEL,
        ),
        params={
            "candidate": chosen.candidate,
            "horizon_days": data.horizon_seconds // _SECONDS_A_DAY,
            "rows": len(data.rows),
            "train_rows": len(train_part.rows),
            "test_rows": len(test_part.rows),
            "conversions": int(data.outcome.sum()),
            "suspects": suspects,
            "seed": context.seed,
        },
        dropped=dropped,
        data_hash=digest,
        sample=list(data.rows[-5:]),
    )


def labelled(training: pl.DataFrame, config: TrainConfig) -> tuple[Labelled, str]:
    """Rows in order of time with what training needs beside them, and the SHA-256 of it all."""
    horizons = training["horizon_days"].unique().to_list()
    if len(horizons) != 1 or (config.horizon_days is not None and config.horizon_days != horizons[0]):
        raise invalid("horizon_days", config.horizon_days, f"the one the training rows were labelled with: {horizons}")
    frame = training.sort("as_of", "platform", "contact_id")
    if config.window_days is not None:
        frame = frame.filter(pl.col("as_of") >= pl.col("as_of").max() - pl.duration(days=config.window_days))
    rows = feature_rows(frame)
    outcome = frame["converted"].cast(pl.Float64).to_numpy()
    person = "person_id" if "person_id" in frame.columns else "contact_id"
    persons = frame[person].cast(pl.String).fill_null("").rank("dense").to_numpy().astype(np.intp) - 1
    digest = hashlib.sha256(json.dumps([rows, outcome.tolist()], sort_keys=True).encode()).hexdigest()
    moments = frame["as_of"].dt.epoch("s").to_numpy().astype(np.int64)
    return Labelled(attributes.Table(rows), outcome, moments, persons, int(horizons[0]) * _SECONDS_A_DAY), digest


def split(data: Labelled) -> tuple[Labelled, Labelled]:
    """(train, test): the test rows are the latest; every training label was known before the first of them.

    Purging by the horizon and keeping a person on one side: López de Prado 2018, "Advances in Financial Machine
    Learning", 7.4.
    """
    _, late = time_ordered(data.moments, TEST_SHARE)
    start = data.moments[late].min()
    known = data.moments + data.horizon_seconds <= start
    known &= data.moments < start
    known &= ~np.isin(data.persons, data.persons[late])
    return data.take(np.flatnonzero(known)), data.take(late)


def _candidates(config: TrainConfig) -> tuple[str, ...]:
    wanted = config.candidates or CANDIDATES
    unknown = [name for name in wanted if name not in CANDIDATES]
    if unknown:
        raise invalid("lead_score candidates", unknown, CANDIDATES)
    return tuple(name for name in CANDIDATES if name in wanted or name == RULE)


def _needs_both_classes(train_part: Labelled, test_part: Labelled, context: Context) -> None:
    for name, part in (("training", train_part), ("test", test_part)):
        hits, rows = int(part.outcome.sum()), len(part.rows)
        if hits < _LEAST_CONVERSIONS or rows - hits < _LEAST_CONVERSIONS:
            raise NotReady(
                f"lead_score of {context.partner} is not ready: the {name} part, split by time, has {hits} "
                f"conversions among {rows} snapshots; {_LEAST_CONVERSIONS} of each outcome are needed"
            )


@dataclass(frozen=True)
class Prepared:
    """A training part split into what models are fitted to and the later slice they are calibrated on, encoded."""

    encoder: dict[str, Any]
    matrix: Floats
    outcome: Floats
    later: Labelled
    later_matrix: Floats
    drift: float
    dropped: dict[str, str]
    suspects: dict[str, float]


def _prepare(data: Labelled, config: TrainConfig, context: Context) -> Prepared:
    """Fit the encoding on the earlier part, drop leaks; no person is both there and in the calibration slice."""
    early, late = time_ordered(data.moments, CALIBRATION_SHARE)
    early = early[~np.isin(data.persons[early], data.persons[late])]
    if data.outcome[early].sum() < _LEAST_CONVERSIONS / 2 or data.outcome[late].sum() < _LEAST_CONVERSIONS / 4:
        # Few moments: every second person calibrates instead.
        early, late = np.flatnonzero(data.persons % 2 == 0), np.flatnonzero(data.persons % 2 == 1)
    fitting, later = data.take(early), data.take(late)
    encoder, matrix, dropped = attributes.fit(
        fitting.table, fitting.outcome, fitting.persons, config.excluded_attributes, context.seed
    )
    leaks, suspects = leak.find(encoder["columns"], matrix, fitting.outcome)
    encoder, matrix = attributes.without(encoder, matrix, list(leaks))
    return Prepared(
        encoder=encoder,
        matrix=matrix,
        outcome=fitting.outcome,
        later=later,
        later_matrix=attributes.transform(encoder, later.table),
        drift=calibration.drift(data.outcome, data.moments, data.persons),
        dropped={**dropped, **leaks},
        suspects=suspects,
    )


def _fit(name: str, prepared: Prepared, seed: int) -> LeadModel:
    """One candidate, calibrated; its coverage is not known yet."""
    fit = scorecard.fit_logistic if name == "logistic" else scorecard.fit_boosting
    # The typical lead is one of those the probabilities are calibrated on: grades and baseline speak of the same leads.
    card = scorecard.recentred(fit(prepared.matrix, prepared.outcome, seed), prepared.later_matrix)
    raw = scorecard.log_odds(card, scorecard.effects(card, prepared.later_matrix))
    calibrated = calibration.fit(raw, prepared.later.outcome, prepared.later.persons, prepared.drift)
    return LeadModel(encoder=prepared.encoder, card=card, calibrated=calibrated, coverage=None, candidate=name)


def _final(
    chosen: Score, data: Labelled, config: TrainConfig, context: Context
) -> tuple[FittedModel, dict[str, str], dict[str, float]]:
    if chosen.candidate == RULE:
        return BaseRate(rates.recent(data.rows, data.outcome, data.moments)), {}, {}
    prepared = _prepare(data, config, context)
    model = _fit(chosen.candidate, prepared, context.seed)
    model.coverage = chosen.coverage
    return model, prepared.dropped, prepared.suspects


def _score_rule(train_part: Labelled, test_part: Labelled) -> Score:
    known = rates.recent(train_part.rows, train_part.outcome, train_part.moments)
    probability = rates.probabilities(known, test_part.rows)
    return Score(
        candidate=RULE,
        is_rule=True,
        metrics=_metrics(test_part.outcome, probability),
        coverage=None,
        segments=_segments(test_part, probability),
    )


def _score(name: str, model: LeadModel, test_part: Labelled, probability: Floats) -> Score:
    return Score(
        candidate=name,
        is_rule=False,
        metrics=_metrics(test_part.outcome, probability),
        coverage=calibration.coverage(model.calibrated, probability, test_part.outcome, test_part.persons),
        coverage_cases=calibration.judged_bins(test_part.outcome),
        segments=_segments(test_part, probability),
    )


def _metrics(outcome: Floats, probability: Floats) -> dict[str, float]:
    top = np.argsort(-probability, kind="stable")[: max(1, len(outcome) // 5)]
    return {
        "log_loss": log_loss(outcome, probability),
        "auc": auc(outcome, probability),
        "ece": calibration_error(outcome, probability),
        "brier": brier(outcome, probability),
        "lift_top_fifth": float(outcome[top].mean() / outcome.mean()),
        "recall_top_fifth": float(outcome[top].sum() / outcome.sum()),
    }


def _segments(part: Labelled, probability: Floats) -> dict[str, float]:
    """Log-loss by source, where a source has enough rows and conversions to say anything."""
    sources = np.array([str(row.get("source") or "") for row in part.rows])
    found = {}
    for source in np.unique(sources):
        inside = sources == source
        if source and inside.sum() >= _SEGMENT_ROWS and part.outcome[inside].sum() >= _SEGMENT_CONVERSIONS:
            found[f"source={source}"] = log_loss(part.outcome[inside], probability[inside])
    return found
