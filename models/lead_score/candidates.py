"""The candidates: how each kind of scorer is fitted to an encoded matrix. What a scorer is stands in scorecard.py."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from models.lead_score.scorecard import CLIP, Part, Scorecard, blended, codes, effects, log_odds, scorecard

Floats = NDArray[np.float64]

LOGISTIC, ADDITIVE, PAIRWISE, BLEND = "logistic", "additive_boosting", "pairwise_boosting", "blend"
NAMES = (LOGISTIC, ADDITIVE, PAIRWISE, BLEND)
MAX_BINS = 64
PAIR_BINS = 32
"""A pair's table has the square of it, so bins are wider where pairs are looked for."""
MOST_PAIRS = 20
_SCREENED_COLUMNS = 30
_SCREENING_BINS = 8
_SHRINKAGE = 5.0


def fit(names: Sequence[str], matrix: Floats, outcome: Floats, seed: int) -> dict[str, Scorecard]:
    """The scorecards of these candidates, by name; `matrix` is (rows, columns) with NaN for missing."""
    wanted = set(NAMES[:3]) if BLEND in names else set(names) | ({ADDITIVE} if PAIRWISE in names else set())
    found: dict[str, Scorecard] = {}
    if LOGISTIC in wanted:
        found[LOGISTIC] = fit_logistic(matrix, outcome, seed)
    if ADDITIVE in wanted:
        found[ADDITIVE] = fit_boosting(matrix, outcome, seed)
    if PAIRWISE in wanted:
        found[PAIRWISE] = fit_pairs(matrix, outcome, seed, found[ADDITIVE])
    if BLEND in names:
        found[BLEND] = blended([found[name] for name in NAMES[:3]], matrix)
    return {name: found[name] for name in NAMES if name in names}


def fit_logistic(matrix: Floats, outcome: Floats, seed: int) -> Scorecard:
    """Ridge logistic regression on standardized columns (clipped at 4 sd), with an effect for `missing`."""
    known = np.isfinite(matrix)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, matrix, 0).sum(axis=0) / count
    scale = np.sqrt(np.where(known, (matrix - mean) ** 2, 0).sum(axis=0) / count)
    scale[scale == 0] = 1.0
    design = np.hstack([np.where(known, np.clip((matrix - mean) / scale, -CLIP, CLIP), 0.0), (~known).astype(float)])
    model = LogisticRegression(C=0.1, max_iter=300, random_state=seed).fit(design, outcome)
    width = matrix.shape[1]
    columns = [
        {"mean": float(mean[j]), "scale": float(scale[j]), "slope": float(c), "missing": float(m)}
        for j, (c, m) in enumerate(zip(model.coef_[0][:width], model.coef_[0][width:], strict=True))
    ]
    return scorecard([{"columns": columns, "pairs": [], "intercept": float(model.intercept_[0])}], matrix)


def fit_boosting(matrix: Floats, outcome: Floats, seed: int) -> Scorecard:
    """Gradient boosting in which no tree sees two columns: a generalized additive model by trees.

    Lou, Caruana & Gehrke 2012, "Intelligible models for classification and regression". Columns are binned
    here, so that each one's whole effect can be read off by scoring its bins one at a time.
    """
    return scorecard([_boosted(matrix, outcome, seed, [], MAX_BINS)], matrix)


def fit_pairs(matrix: Floats, outcome: Floats, seed: int, additive: Scorecard) -> Scorecard:
    """The same with the pairs of columns that explain most of what an additive scorecard leaves over.

    Lou, Caruana, Gehrke & Hooker 2013, "Accurate intelligible models with pairwise interactions"; tables are purified
    as Lengerich et al. 2020 do, over the product of the two columns' own distributions.
    """
    return scorecard([_boosted(matrix, outcome, seed, strongest_pairs(matrix, outcome, additive), PAIR_BINS)], matrix)


def strongest_pairs(matrix: Floats, outcome: Floats, additive: Scorecard) -> list[tuple[int, int]]:
    """Pairs of columns by the Newton gain, on a coarse grid, of a table fitted to the additive scorecard's residuals."""
    found = effects(additive, matrix)
    probability = 0.5 * (1 + np.tanh(0.5 * log_odds(additive, found)))
    gradient, weight = outcome - probability, probability * (1 - probability)
    chosen = sorted(np.argsort(-found.var(axis=0), kind="stable")[:_SCREENED_COLUMNS].tolist())
    bins = {j: codes(matrix[:, j], _edges(matrix[:, j], _SCREENING_BINS)) for j in chosen}

    def explained(cells: NDArray[np.intp]) -> float:
        sums = np.bincount(cells, gradient)
        result: float = (sums**2 / (np.bincount(cells, weight) + _SHRINKAGE)).sum()
        return result

    alone = {j: explained(bins[j]) for j in chosen}
    width = _SCREENING_BINS + 2
    gains = [(explained(bins[i] * width + bins[j]) - alone[i] - alone[j], i, j) for i, j in combinations(chosen, 2)]
    ranked = sorted(gains, key=lambda pair: (-pair[0], pair[1], pair[2]))
    return [(i, j) for gained, i, j in ranked[:MOST_PAIRS] if gained > 0]


def _boosted(matrix: Floats, outcome: Floats, seed: int, pairs: list[tuple[int, int]], bins: int) -> Part:
    edges = [_edges(matrix[:, j], bins) for j in range(matrix.shape[1])]
    inside = np.column_stack([codes(matrix[:, j], edge) for j, edge in enumerate(edges)])
    design = inside.astype(np.float64)
    # A column of which these rows know nothing stays at bin 0: scikit-learn cannot bin missing values alone.
    design[~np.isfinite(matrix) & np.isfinite(matrix).any(axis=0)] = np.nan
    model = HistGradientBoostingClassifier(
        interaction_cst=[{j} for j in range(len(edges))] + [set(pair) for pair in pairs],
        learning_rate=0.1,
        max_iter=150,
        max_leaf_nodes=6,
        min_samples_leaf=max(20, len(outcome) // 400),
        l2_regularization=5.0,
        max_features=0.5,
        early_stopping=False,
        random_state=seed,
    )
    # One thread: small histograms gain nothing from more, and spinning threads on a busy machine cost tenfold.
    with threadpool_limits(limits=1):
        model.fit(design, outcome)
        base, alone, tables = _read_off(model, edges, pairs)
    part: Part = {
        "columns": [
            {"edges": edge, "values": own[:-1], "missing": float(own[-1])}
            for edge, own in zip(edges, alone, strict=True)
        ],
        "pairs": [{"first": i, "second": j, "values": table} for (i, j), table in zip(pairs, tables, strict=True)],
        "intercept": base,
    }
    return _purified(part, inside)


def _read_off(
    model: Any, edges: list[Floats], pairs: list[tuple[int, int]]
) -> tuple[float, list[Floats], list[Floats]]:
    """(log-odds at all bins 0, each column's effect by bin with missing last, each pair's table beyond those two).

    A function of at most two columns at a time is the sum of its values along the axes and the planes through a point.
    """
    levels = [np.append(np.arange(len(edge) + 1.0), np.nan) for edge in edges]
    blocks = [np.zeros((1, len(edges)))]
    for j, level in enumerate(levels):
        block = np.zeros((len(level), len(edges)))
        block[:, j] = level
        blocks.append(block)
    for i, j in pairs:
        block = np.zeros((len(levels[i]) * len(levels[j]), len(edges)))
        block[:, i], block[:, j] = np.repeat(levels[i], len(levels[j])), np.tile(levels[j], len(levels[i]))
        blocks.append(block)
    raw = np.split(model.decision_function(np.vstack(blocks)), np.cumsum([len(block) for block in blocks])[:-1])
    base = float(raw[0][0])
    alone = [found - base for found in raw[1 : len(edges) + 1]]
    tables = [
        found.reshape(len(levels[i]), len(levels[j])) - base - alone[i][:, None] - alone[j][None, :]
        for (i, j), found in zip(pairs, raw[len(edges) + 1 :], strict=True)
    ]
    return base, alone, tables


def _purified(part: Part, inside: NDArray[np.intp]) -> Part:
    """The same function, with every table's mean over either of its columns moved to the other column's own effect."""
    share = []
    for j, column in enumerate(part["columns"]):
        counts = np.bincount(inside[:, j], minlength=len(column["values"]) + 1)
        share.append(counts / counts.sum())
    for pair in part["pairs"]:
        i, j, table = pair["first"], pair["second"], pair["values"]
        rows, columns = table @ share[j], share[i] @ table
        mean = float(share[i] @ rows)
        pair["values"] = table - rows[:, None] - columns[None, :] + mean
        for own, moved in ((part["columns"][i], rows - mean), (part["columns"][j], columns - mean)):
            own["values"], own["missing"] = own["values"] + moved[:-1], own["missing"] + float(moved[-1])
        part["intercept"] += mean
    return part


def _edges(values: Floats, bins: int) -> Floats:
    known = values[np.isfinite(values)]
    if not len(known):
        return np.empty(0)
    distinct = np.unique(known)
    if len(distinct) <= bins:
        return (distinct[1:] + distinct[:-1]) / 2
    return np.unique(np.quantile(known, np.linspace(0, 1, bins + 1)[1:-1]))
