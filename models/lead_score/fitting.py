"""Fitting: labelled rows in, calibrated candidates out. The one code for training, with dates or without.

How candidates are compared, and what a training hands over, is in train.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.base import FeatureRow, TrainConfig
from models.evaluation import log_loss
from models.lead_score import attributes, calibration, candidates, leak, scorecard
from models.lead_score.predict import LeadModel
from models.lead_score.splits import by_time, cross_validation
from models.messages import ENGLISH

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

SECONDS_A_DAY = 86_400
LEAST_CONVERSIONS = 20
FOLDS = 5
_LATER_SHARE = 0.2
_LATER_CONVERSIONS = 100
"""So many among the latest leads, and so many before them to fit the scorer on: then the latest alone are calibrated on.

With fewer, all leads are, by cross-fitting: a scorer of few conversions does not stand for the one of all of them.
"""


@dataclass(frozen=True)
class Labelled:
    """Training rows with their outcome (0 or 1), their moment (seconds, all 0 without dates) and their person (0, 1, …)."""

    table: attributes.Table
    outcome: Floats
    moments: NDArray[np.int64]
    persons: Indices
    horizon_days: int | None = None

    @classmethod
    def of(cls, rows: Sequence[FeatureRow], outcome: Floats) -> "Labelled":
        """Rows of as many persons, without usable dates."""
        count = len(rows)
        return cls(attributes.Table(rows), outcome, np.zeros(count, dtype=np.int64), np.arange(count))

    @property
    def rows(self) -> Sequence[FeatureRow]:
        """The feature rows."""
        return self.table.rows

    @property
    def horizon_seconds(self) -> int:
        """How long after its moment a row's outcome is known."""
        return (self.horizon_days or 0) * SECONDS_A_DAY

    @property
    def is_dated(self) -> bool:
        """Whether the rows can be told apart by time."""
        return bool(len(self.moments)) and self.moments.min() < self.moments.max()

    def take(self, index: Indices) -> "Labelled":
        """Some of the rows."""
        return Labelled(
            self.table.take(index),
            self.outcome[index],
            self.moments[index],
            self.persons[index],
            self.horizon_days,
        )

    def has_both(self, least: int) -> bool:
        """Whether there are so many rows of either outcome."""
        hits = int(self.outcome.sum())
        return hits >= least and len(self.outcome) - hits >= least


@dataclass(frozen=True)
class Fitted:
    """The candidates by name, and what none of them may use; `models` is empty where no attribute says anything.

    `unseen` is each one's log-loss, uncalibrated, on the rows that calibrated it: rows it had not been fitted to.
    """

    models: dict[str, LeadModel]
    unseen: dict[str, float]
    dropped: dict[str, str]
    suspects: dict[str, float]


def fit(data: Labelled, names: Sequence[str], config: TrainConfig, seed: int, language: str = ENGLISH) -> Fitted:
    """Encode, drop leaks, fit each candidate on all rows and calibrate it on rows it had not seen.

    Calibration is by the latest rows, scored by a candidate fitted to those whose outcome was known before, where both
    are enough: rates move. Otherwise, and without dates, by cross-fitting over folds of persons.
    """
    encoder, matrix, dropped, suspects = learnable(data, config, seed, language)
    models: dict[str, LeadModel] = {}
    unseen: dict[str, float] = {}
    if encoder["columns"] and names:
        index, raw = _unseen(data, encoder, matrix, names, [*config.excluded_attributes, *dropped], seed)
        cards = candidates.fit(names, matrix, data.outcome, seed)
        drift = calibration.drift(data.outcome, data.moments, data.persons) if data.is_dated else 0.0
        for name, card in cards.items():
            # The typical lead is the median of those calibrated on: grades and baseline speak of the same leads.
            models[name] = LeadModel(
                encoder=encoder,
                card=scorecard.recentred(card, matrix[index], float(np.median(raw[name]))),
                calibrated=calibration.fit(raw[name], data.outcome[index], data.persons[index], drift),
                coverage=None,
                candidate=name,
                horizon_days=data.horizon_days,
            )
            unseen[name] = log_loss(data.outcome[index], calibration.sigmoid(raw[name]))
    return Fitted(models, unseen, dropped, suspects)


def learnable(
    data: Labelled, config: TrainConfig, seed: int, language: str = ENGLISH
) -> tuple[dict[str, Any], Floats, dict[str, str], dict[str, float]]:
    """(encoder, its matrix, reasons of attributes left out, leaks among them, and AUCs of strong ones that stay)."""
    encoder, matrix, dropped = attributes.fit(
        data.table, data.outcome, data.persons, config.excluded_attributes, seed, language
    )
    found = leak.find(encoder["columns"], matrix, data.outcome, data.persons, config.allowed_attributes, seed, language)
    encoder, matrix = attributes.without(encoder, matrix, list(found.dropped))
    return encoder, matrix, {**dropped, **found.dropped}, found.suspects


def _unseen(
    data: Labelled, encoder: dict[str, Any], matrix: Floats, names: Sequence[str], left_out: Sequence[str], seed: int
) -> tuple[Indices, dict[str, Floats]]:
    """(which rows, their log-odds by candidate) from candidates that were fitted without them."""
    if data.is_dated:
        early, late = by_time(data.moments, data.persons, data.horizon_seconds, _LATER_SHARE)
        before, after = data.take(early), data.take(late)
        if before.has_both(_LATER_CONVERSIONS) and after.has_both(_LATER_CONVERSIONS):
            earlier, learned, _ = attributes.fit(before.table, before.outcome, before.persons, left_out, seed)
            if earlier["columns"]:
                cards = candidates.fit(names, learned, before.outcome, seed)
                unseen = attributes.transform(earlier, after.table)
                return late, {name: _raw(card, unseen) for name, card in cards.items()}
    raw = {name: np.zeros(len(matrix)) for name in names}
    for train, test in cross_validation(data.outcome, data.persons, FOLDS, seed):
        for name, card in candidates.fit(names, matrix[train], data.outcome[train], seed).items():
            raw[name][test] = _raw(card, matrix[test])
    return np.arange(len(matrix)), raw


def _raw(card: scorecard.Scorecard, matrix: Floats) -> Floats:
    return scorecard.log_odds(card, scorecard.effects(card, matrix))
