"""A fitted scorer as plain numbers: log-odds = intercept + an effect of each column + effects of some pairs of columns.

A scorecard is a dict: `intercept`, `centre` (of each column's effect) and `parts`, whose mean it is. A part has
`columns`, each a table over bins or a clipped line with an effect for a missing value, and `pairs`, each a table over
the bins of two of them. So contributions are exact and scoring is a lookup. How one is fitted is in candidates.py.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]
Scorecard = dict[str, Any]
Part = dict[str, Any]

CLIP = 4.0


def scorecard(parts: Sequence[Part], matrix: Floats) -> Scorecard:
    """The mean of `parts`; the typical lead, whose log-odds is the intercept, is the mean of `matrix`."""
    card: Scorecard = {
        "parts": list(parts),
        "centre": np.zeros(matrix.shape[1]),
        "intercept": float(np.mean([part["intercept"] for part in parts])),
    }
    centre = effects(card, matrix).mean(axis=0)
    return {**card, "centre": centre, "intercept": card["intercept"] + float(centre.sum())}


def blended(cards: Sequence[Scorecard], matrix: Floats) -> Scorecard:
    """All parts of some scorecards at equal weight: the mean of their log-odds, and as additive as they are."""
    return scorecard([part for card in cards for part in card["parts"]], matrix)


def effects(card: Scorecard, matrix: Floats) -> Floats:
    """Log-odds effect of each column against the typical lead, shape of `matrix`.

    Half of a pair's effect belongs to each of its columns: the Shapley value where tables are purified (each has mean
    zero over either column), see Bordt & von Luxburg 2023, "From Shapley values to generalized additive models".
    """
    found = np.zeros_like(matrix)
    for part in card["parts"]:
        for j, column in enumerate(part["columns"]):
            found[:, j] += effect(column, matrix[:, j])
        for pair, value in zip(part["pairs"], _pair_effects(part, matrix), strict=True):
            found[:, pair["first"]] += value / 2
            found[:, pair["second"]] += value / 2
    result: Floats = found / len(card["parts"]) - card["centre"]
    return result


def effect(column: dict[str, Any], values: Floats) -> Floats:
    """The uncentred log-odds effect of one column's values; NaN is `missing`."""
    if "edges" in column:
        found: Floats = np.append(column["values"], column["missing"])[codes(values, column["edges"])]
        return found
    known = np.isfinite(values)
    scaled = (np.where(known, values, 0.0) - column["mean"]) / column["scale"]
    inner: Floats = np.where(known, column["slope"] * np.clip(scaled, -CLIP, CLIP), column["missing"])
    return inner


def gain(card: Scorecard, matrix: Floats, column: int, values: Floats) -> Floats:
    """How the log-odds of each row change when one column takes other values, its pairs included."""
    changed = matrix.copy()
    changed[:, column] = values
    total = np.zeros(len(matrix))
    for part in card["parts"]:
        own = part["columns"][column]
        total += effect(own, values) - effect(own, matrix[:, column])
        for pair in part["pairs"]:
            if column in (pair["first"], pair["second"]):
                total += _pair_effect(part, pair, changed) - _pair_effect(part, pair, matrix)
    result: Floats = total / len(card["parts"])
    return result


def log_odds(card: Scorecard, found: Floats) -> Floats:
    """Uncalibrated log-odds from `effects`; summed column by column, so that no row depends on its batch."""
    total = np.full(len(found), card["intercept"])
    for j in range(found.shape[1]):
        total = total + found[:, j]
    return total


def recentred(card: Scorecard, matrix: Floats, typical: float) -> Scorecard:
    """The same scorecard, its typical lead having these log-odds; no lead's own log-odds change.

    Each column is centred on its mean over `matrix`, and what is left between mean and `typical` is shared out by the
    columns' variances.
    """
    found = effects(card, matrix)
    spread, mean = found.var(axis=0), found.mean(axis=0)
    gap = typical - card["intercept"] - float(mean.sum())
    moved = mean + gap * (spread / spread.sum() if spread.sum() > 0 else np.full(len(mean), 1 / max(1, len(mean))))
    return {**card, "centre": card["centre"] + moved, "intercept": card["intercept"] + float(moved.sum())}


def codes(values: Floats, edges: Floats) -> Indices:
    """The bin of each value; one more than the last bin where it is missing."""
    found = np.searchsorted(edges, values, side="right")
    found[~np.isfinite(values)] = len(edges) + 1
    return found


def _pair_effects(part: Part, matrix: Floats) -> list[Floats]:
    """The effects of all pairs, each column's bins being looked up once."""
    used = {j for pair in part["pairs"] for j in (pair["first"], pair["second"])}
    bins = {j: codes(matrix[:, j], part["columns"][j]["edges"]) for j in sorted(used)}
    return [pair["values"][bins[pair["first"]], bins[pair["second"]]] for pair in part["pairs"]]


def _pair_effect(part: Part, pair: dict[str, Any], matrix: Floats) -> Floats:
    first, second = (codes(matrix[:, pair[side]], part["columns"][pair[side]]["edges"]) for side in ("first", "second"))
    found: Floats = pair["values"][first, second]
    return found
