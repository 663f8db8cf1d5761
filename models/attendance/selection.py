"""Which family, or which weights of several, serves each series: from backtest errors alone. Nothing is fitted here.

A series' own errors are shrunk towards what the partner's series show together, so that a handful of folds does
not decide by luck, and another family than the naive rule is taken only where it is better by a margin.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.attendance.candidates import COMBINATION, Floats

PRIOR_FOLDS = 12.0
"""Folds of its own at which a series counts as much as all of the partner's together."""
MARGIN = 0.01
"""By how much the combination has to be better than the naive rule, and one family than the combination."""
THIN_MARGIN = 0.5
"""What is added for one family: all of it without a fold of the series' own, half of it with one, less with more."""
EQUAL_SHARE = 0.05
"""How far a combination's weights are shrunk to equal ones (Genre et al. 2013 find equal ones hard to beat)."""
MAX_RATIO = 5.0
TINY = 1e-9
SHARPNESS = 8
"""Power of the inverse error: a family half as wrong again as the best has a twenty-fifth of its weight."""
IN_COMBINATION = 2.0
"""Times the best family's error up to which another one takes part in the combination."""


@dataclass(frozen=True)
class Folds:
    """Backtest forecasts of one grid, capped: families x units x folds x steps ahead; NaN where there is none.

    `scale` is units x folds; `target` the step of each cell, folds x steps ahead.
    """

    families: Sequence[str]
    forecast: Floats
    actual: Floats
    scale: Floats
    target: NDArray[np.intp]
    origins: NDArray[np.intp]

    def errors(self, forecast: Floats) -> Floats:
        """Absolute errors in units of the naive scale, of families or of one forecast."""
        return np.asarray(np.abs(self.actual - forecast) / self.scale[..., None])

    def known_before(self, fold: int) -> NDArray[np.bool_]:
        """The cells that were over when `fold` began: folds x steps ahead."""
        earlier = np.arange(len(self.origins)) < fold
        return np.asarray(earlier[:, None] & (self.target < self.origins[fold]))


@dataclass(frozen=True)
class Selection:
    """For every unit: `weights` over families (families x units), the name of its choice, and the errors behind it.

    `combination` are the weights it would have, were it a combination whatever the choice.
    `scores` maps candidates, the combination among them, to the shrunk mean scaled error of each unit; `own` to
    the unshrunk one, NaN without folds; `folds` says how many folds of its own a unit had.
    """

    weights: Floats
    combination: Floats
    names: tuple[str, ...]
    scores: dict[str, Floats]
    own: dict[str, Floats]
    folds: Floats


def select(found: Folds, allowed: NDArray[np.bool_]) -> Selection:
    """Choose for every unit by the cells `allowed` (folds x steps ahead)."""
    errors = np.where(allowed, found.errors(found.forecast), np.nan)
    own = _mean(errors)
    cells = np.isfinite(errors[0]).sum(axis=(1, 2))
    folds = cells / max(1, found.target.shape[1])
    shrunk = _shrunk(own, own[0], folds)
    weights = _combination(shrunk)
    combined = np.where(allowed, found.errors(blend(found.forecast, weights)), np.nan)
    own_combined = _mean(combined[None])
    both = np.vstack([own, own_combined])
    scores = np.vstack([shrunk, _shrunk(own_combined, own[0], folds)])
    names = [*found.families, COMBINATION]
    if (weights > 0).sum(axis=0).max(initial=0) < 2:  # one family alone is no combination
        scores[-1] = np.inf
    choice = _choice(scores, folds)
    one_hot = np.zeros_like(weights)
    single = choice < len(found.families)
    one_hot[choice[single], np.flatnonzero(single)] = 1.0
    return Selection(
        weights=np.where(single, one_hot, weights),
        combination=weights,
        names=tuple(names[number] for number in choice),
        scores=dict(zip(names, scores, strict=True)),
        own=dict(zip(names, both, strict=True)),
        folds=folds,
    )


def blend(forecast: Floats, weights: Floats) -> Floats:
    """The weighted forecast of every unit, units x folds x steps; weights of a family without a forecast go to the rest."""
    spread = weights[:, :, None, None]
    known = np.isfinite(forecast)
    total = np.where(known, spread, 0.0).sum(axis=0)
    value = np.where(known & (spread > 0), forecast * spread, 0.0).sum(axis=0)
    return np.asarray(np.where(total > 0, value / np.where(total > 0, total, 1.0), forecast[0]))


def _mean(errors: Floats) -> Floats:
    """families x units; NaN where a unit has no cell."""
    known = np.isfinite(errors)
    count = known.sum(axis=(2, 3))
    return np.where(count > 0, np.where(known, errors, 0.0).sum(axis=(2, 3)) / np.maximum(count, 1), np.nan)


def _shrunk(own: Floats, rule: Floats, folds: Floats) -> Floats:
    """Each unit's error, drawn towards the rule's there times the partner's ratio to the rule; families x units.

    Units without folds get the ratio itself, as if the rule's error were 1; a family unknown there is infinite.
    """
    base = np.where(np.isfinite(rule), rule, 1.0)
    out = np.full(own.shape, np.inf)
    for number, errors in enumerate(own):
        both = np.isfinite(errors) & np.isfinite(rule)
        if not both.any():
            continue
        ratio = _ratio(errors[both], rule[both])
        mixed = (folds * np.where(both, errors, 0.0) + PRIOR_FOLDS * ratio * base) / (folds + PRIOR_FOLDS)
        out[number] = np.where(both, mixed, np.where(folds > 0, np.inf, ratio * base))
    return out


def _ratio(errors: Floats, rule: Floats) -> float:
    """The geometric mean of the units' ratios to the rule, each held within a bound: one odd unit decides nothing."""
    ratios = (errors + TINY) / (rule + TINY)
    return float(np.exp(np.mean(np.log(np.clip(ratios, 1 / MAX_RATIO, MAX_RATIO)))))


def _combination(scores: Floats) -> Floats:
    """Weights by inverse error (Bates & Granger 1969), sharpened, among families near the best; shrunk to equal ones."""
    known = np.where(np.isfinite(scores), np.maximum(scores, TINY), np.inf)
    best = np.where(np.isfinite(known).any(axis=0), known.min(axis=0), TINY)
    inside = known <= IN_COMBINATION * best
    inverse = np.where(inside, best / np.where(inside, known, 1.0), 0.0) ** SHARPNESS
    learned = inverse / np.maximum(inverse.sum(axis=0), TINY)
    equal = inside / np.maximum(inside.sum(axis=0), 1)
    weights = (1 - EQUAL_SHARE) * learned + EQUAL_SHARE * equal
    nothing = ~inside.any(axis=0)
    weights[0, nothing] = 1.0
    return np.asarray(weights)


def _choice(scores: Floats, folds: Floats) -> NDArray[np.intp]:
    """The best candidate of each unit, each to be better by a margin: one family than the combination, that than the rule.

    The rule is row 0 and the combination the last row. A combination is rarely far off, so it needs less evidence.
    """
    thin = THIN_MARGIN / (1.0 + np.maximum(folds, 0.0))
    best = np.asarray(np.argmin(scores[:-1], axis=0), dtype=np.intp)
    value, combined = scores[best, np.arange(scores.shape[1])], scores[-1]
    with np.errstate(invalid="ignore"):
        single = value < combined * (1 - MARGIN - thin)
        choice = np.where(single, best, len(scores) - 1)
        better = np.where(single, value, combined) < scores[0] * (1 - np.where(single, MARGIN + thin, MARGIN))
    return np.where(better, choice, 0)
