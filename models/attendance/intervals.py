"""Conformal intervals around a point forecast, one pair of margins for each horizon bucket. Arrays only.

Residuals of the backtest are divided by each unit's own seasonal-naive scale, so that large and small venues
share one set of margins; a row's margins are multiplied by its scale again.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.evaluation import conformal_margins, coverage

Floats = NDArray[np.float64]
LEVEL = 0.8
BUCKETS = (7, 14)
"""Upper ends, in lead days, of the horizon buckets; later days take the last bucket."""


@dataclass(frozen=True)
class Residuals:
    """Backtest cases of one candidate, aligned: `fold` and `lead` are whole numbers, people otherwise."""

    fold: NDArray[np.intp]
    lead: NDArray[np.intp]
    actual: Floats
    forecast: Floats
    scale: Floats


@dataclass(frozen=True)
class Margins:
    """Per bucket, in units of the seasonal-naive scale: added to the forecast for P50, and to P50 for P10 and P90."""

    shift: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    def at(self, lead: NDArray[np.intp] | Floats) -> tuple[Floats, Floats, Floats]:
        """(shift, low, high) for every lead day."""
        index = bucket(lead)
        return np.asarray(self.shift)[index], np.asarray(self.low)[index], np.asarray(self.high)[index]


def bucket(lead: NDArray[np.intp] | Floats) -> NDArray[np.intp]:
    """The horizon bucket of every lead day."""
    return np.minimum(np.searchsorted(np.asarray(BUCKETS), np.asarray(lead)), len(BUCKETS) - 1)


def fit_margins(cases: Residuals) -> Margins:
    """Margins of both tails, and the median shift where it would have helped on the last fold."""
    shift = _useful_shift(cases)
    low, high = _tails(cases, shift)
    return Margins(tuple(shift.tolist()), tuple(low.tolist()), tuple(high.tolist()))


def realized_coverage(cases: Residuals) -> float | None:
    """Share of actual values inside intervals fitted without their own fold; None with fewer than two folds."""
    inside: list[float] = []
    weights: list[int] = []
    for fold in np.unique(cases.fold):
        own = cases.fold == fold
        if own.all():
            return None
        margins = fit_margins(_subset(cases, ~own))
        low, _, high = bounds(margins, cases.lead[own], cases.forecast[own], cases.scale[own])
        inside.append(coverage(cases.actual[own], low, high))
        weights.append(int(own.sum()))
    return float(np.average(inside, weights=weights)) if inside else None


def bounds(
    margins: Margins, lead: NDArray[np.intp] | Floats, forecast: Floats, scale: Floats
) -> tuple[Floats, Floats, Floats]:
    """P10, P50 and P90 in people, monotone and not negative, not yet capped."""
    shift, low, high = margins.at(lead)
    middle = np.maximum(forecast + shift * scale, 0.0)
    return np.clip(middle + low * scale, 0.0, middle), middle, np.maximum(middle + high * scale, middle)


def _tails(cases: Residuals, shift: Floats) -> tuple[Floats, Floats]:
    known = cases.scale > 0
    index = bucket(cases.lead)
    scaled = np.where(known, (cases.actual - cases.forecast) / np.where(known, cases.scale, 1.0), np.nan) - shift[index]
    low, high = np.zeros(len(BUCKETS)), np.zeros(len(BUCKETS))
    for number in range(len(BUCKETS)):
        own = scaled[(index == number) & known]
        if not len(own):
            own = scaled[known]
        if len(own):
            low[number], high[number] = conformal_margins(own, np.zeros(len(own)), LEVEL)
    return np.minimum(low, 0.0), np.maximum(high, 0.0)


def _useful_shift(cases: Residuals) -> Floats:
    """The median scaled residual, kept only if the one learned before the last fold lowered that fold's error."""
    last = cases.fold == cases.fold.max()
    none = np.zeros(len(BUCKETS))
    if last.all():
        return none
    learned = _median_shift(_subset(cases, ~last))
    shifted = cases.forecast + learned[bucket(cases.lead)] * cases.scale
    before = np.abs(cases.actual - cases.forecast)[last].mean()
    after = np.abs(cases.actual - shifted)[last].mean()
    return _median_shift(cases) if after < before else none


def _median_shift(cases: Residuals) -> Floats:
    known = cases.scale > 0
    scaled = (cases.actual[known] - cases.forecast[known]) / cases.scale[known]
    index = bucket(cases.lead[known])
    return np.array([np.median(scaled[index == n]) if (index == n).any() else 0.0 for n in range(len(BUCKETS))])


def _subset(cases: Residuals, keep: NDArray[np.bool_]) -> Residuals:
    return Residuals(cases.fold[keep], cases.lead[keep], cases.actual[keep], cases.forecast[keep], cases.scale[keep])
