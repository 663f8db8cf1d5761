"""How far a challenger agrees with the champion on the same subjects. Predictions in, figures out; no outcome is known here."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.base import Prediction

Floats = NDArray[np.float64]
LEAST_RANKED = 3
"""Subjects below which an order says nothing."""


def agreement(champion: Mapping[str, Prediction], challenger: Mapping[str, Prediction]) -> dict[str, Any]:
    """Both by subject; figures in the champion's unit, differences are challenger less champion.

    `compared` subjects have a value from both. `relative_difference` is the sum of |difference| over the sum of
    |champion|; `within_interval` the share of the challenger's values inside the champion's interval;
    `rank_correlation` is Spearman's (1904). None where there is nothing to judge by.
    """
    shared = sorted(champion.keys() & challenger.keys())
    both = [key for key in shared if champion[key].value is not None and challenger[key].value is not None]
    ours = np.array([champion[key].value for key in both], dtype=np.float64)
    theirs = np.array([challenger[key].value for key in both], dtype=np.float64)
    gap = theirs - ours
    return {
        "compared": len(both),
        "same_status": _mean([champion[key].status == challenger[key].status for key in shared]),
        "mean_difference": _mean(gap),
        "mean_absolute_difference": _mean(np.abs(gap)),
        "relative_difference": _ratio(np.abs(gap).sum(), np.abs(ours).sum()),
        "within_interval": _mean([_inside(champion[key], challenger[key]) for key in both if champion[key].interval]),
        "rank_correlation": _spearman(ours, theirs),
    }


def _inside(champion: Prediction, challenger: Prediction) -> bool:
    interval, value = champion.interval, challenger.value
    return interval is not None and value is not None and interval.low <= value <= interval.high


def _mean(values: Any) -> float | None:
    return _known(np.mean(values)) if len(values) else None


def _ratio(part: float, whole: float) -> float | None:
    return _known(part / whole) if whole > 0 else None


def _spearman(ours: Floats, theirs: Floats) -> float | None:
    if len(ours) < LEAST_RANKED:
        return None
    first, second = _ranks(ours), _ranks(theirs)
    spread = float(first.std() * second.std())
    if not spread > 0:
        return None
    return _known(((first - first.mean()) * (second - second.mean())).mean() / spread)


def _ranks(values: Floats) -> Floats:
    """Ranks from 0, ties sharing their mean."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Floats = (np.cumsum(counts) - (counts + 1) / 2)[inverse]
    return ranks


def _known(value: Any) -> float | None:
    return float(value) if math.isfinite(value) else None
