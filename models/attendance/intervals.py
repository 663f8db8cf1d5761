"""Conformal intervals around a point forecast, one pair of margins for each horizon bucket. Arrays only.

Residuals of the backtest are divided by each unit's own scale, so that large and small venues share one set of
margins; a row's margins are multiplied by its scale again.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.evaluation import conformal_margins

Floats = NDArray[np.float64]
LEVEL = 0.8
STEADY_FOLDS = 5
"""Folds in which a shift has to help, and none in which it may not: by chance that happens once in 32 times."""
TOGETHER = 12
MOST_TAIL = 0.97
ENOUGH = 20
"""Residuals that a horizon bucket needs for margins of its own; with fewer it takes those of all."""


@dataclass(frozen=True)
class Residuals:
    """Backtest cases of one candidate, aligned: `fold` and `lead` are whole numbers, people otherwise.

    `edges` are the upper ends, in steps ahead, of the horizon buckets; later steps take the last bucket.
    """

    fold: NDArray[np.intp]
    lead: NDArray[np.intp]
    actual: Floats
    forecast: Floats
    scale: Floats
    edges: tuple[int, ...] = (7, 14)

    def part(self, keep: NDArray[np.bool_]) -> "Residuals":
        """Some of the cases."""
        return Residuals(
            self.fold[keep], self.lead[keep], self.actual[keep], self.forecast[keep], self.scale[keep], self.edges
        )


@dataclass(frozen=True)
class Margins:
    """Per bucket, in units of the scale: added to the forecast for P50, and to P50 for P10 and P90."""

    shift: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    edges: tuple[int, ...] = (7, 14)

    def at(self, lead: NDArray[np.intp] | Floats) -> tuple[Floats, Floats, Floats]:
        """(shift, low, high) for every number of steps ahead."""
        index = bucket(lead, self.edges)
        return np.asarray(self.shift)[index], np.asarray(self.low)[index], np.asarray(self.high)[index]


def edges_of(horizon: int) -> tuple[int, ...]:
    """The near and the far half of a horizon; one bucket for a horizon of one step."""
    return (-(-horizon // 2), horizon) if horizon > 1 else (1,)


def bucket(lead: NDArray[np.intp] | Floats, edges: tuple[int, ...]) -> NDArray[np.intp]:
    """The horizon bucket of every number of steps ahead."""
    return np.minimum(np.searchsorted(np.asarray(edges), np.asarray(lead)), len(edges) - 1)


def fit_margins(cases: Residuals) -> Margins:
    """Margins of both tails, and the median shift where it would have helped in every later fold."""
    shift = _useful_shift(cases)
    low, high = _tails(cases, shift)
    return Margins(tuple(shift.tolist()), tuple(low.tolist()), tuple(high.tolist()), cases.edges)


def covered(cases: Residuals) -> NDArray[np.bool_]:
    """For every case of a fold after the first: whether margins from the folds before it held it."""
    found: list[NDArray[np.bool_]] = []
    for fold in np.unique(cases.fold)[1:]:
        own = cases.part(cases.fold == fold)
        margins = fit_margins(cases.part(cases.fold < fold))
        low, _, high = bounds(margins, own.lead, own.forecast, own.scale)
        found.append((own.actual >= low) & (own.actual <= high))
    return np.concatenate(found) if found else np.zeros(0, dtype=bool)


def realized_coverage(cases: Residuals) -> float | None:
    """Share of actual values inside intervals fitted on earlier folds; None with fewer than two folds."""
    inside = covered(cases)
    return float(inside.mean()) if len(inside) else None


def bounds(
    margins: Margins, lead: NDArray[np.intp] | Floats, forecast: Floats, scale: Floats
) -> tuple[Floats, Floats, Floats]:
    """P10, P50 and P90 in people, monotone and not negative, not yet capped."""
    shift, low, high = margins.at(lead)
    middle = np.maximum(forecast + shift * scale, 0.0)
    return np.clip(middle + low * scale, 0.0, middle), middle, np.maximum(middle + high * scale, middle)


def _tails(cases: Residuals, shift: Floats) -> tuple[Floats, Floats]:
    known = cases.scale > 0
    index = bucket(cases.lead, cases.edges)
    scaled = np.where(known, (cases.actual - cases.forecast) / np.where(known, cases.scale, 1.0), np.nan) - shift[index]
    low, high = np.zeros(len(cases.edges)), np.zeros(len(cases.edges))
    for number in range(len(cases.edges)):
        own = scaled[(index == number) & known]
        if len(own) < ENOUGH:
            own = scaled[known]
        if len(own):
            low[number], high[number] = conformal_margins(own, np.zeros(len(own)), _widened(len(own), cases.edges[-1]))
    return np.minimum(low, 0.0), np.maximum(high, 0.0)


def _widened(count: int, horizon: int) -> float:
    """The level to ask of `count` residuals: a little more where few forecasts stand behind them.

    The conformal rank's (n + 1) / n holds for residuals that are exchangeable; those of one forecast go together, so a
    whole horizon counts as `TOGETHER` of them.
    """
    independent = TOGETHER * max(count / horizon, 1.0)
    tail = (1 - (1 - LEVEL) / 2) * (1 + 1 / independent)
    return 2 * min(tail, MOST_TAIL) - 1


def _useful_shift(cases: Residuals) -> Floats:
    """The median scaled residual, kept only if the one learned before lowered the error of each later fold.

    One fold's gain is chance: what came in late autumn is not what comes at Christmas.
    """
    none = np.zeros(len(cases.edges))
    later = np.unique(cases.fold)[1:]
    if len(later) < STEADY_FOLDS:
        return none
    for fold in later:
        own = cases.part(cases.fold == fold)
        learned = _median_shift(cases.part(cases.fold < fold))
        shifted = own.forecast + learned[bucket(own.lead, own.edges)] * own.scale
        if np.abs(own.actual - shifted).mean() >= np.abs(own.actual - own.forecast).mean():
            return none
    return _median_shift(cases)


def _median_shift(cases: Residuals) -> Floats:
    known = cases.scale > 0
    scaled = (cases.actual[known] - cases.forecast[known]) / cases.scale[known]
    index = bucket(cases.lead[known], cases.edges)
    return np.array([np.median(scaled[index == n]) if (index == n).any() else 0.0 for n in range(len(cases.edges))])
