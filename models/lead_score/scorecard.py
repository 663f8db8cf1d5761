"""The two model candidates, both in one additive form: log-odds = intercept + one effect per column.

A scorecard is a plain dict: each column either a table over bins or a clipped line, and an effect for a missing
value. Contributions are therefore exact, and scoring is a lookup.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

Floats = NDArray[np.float64]
Scorecard = dict[str, Any]

MAX_BINS = 64
_CLIP = 4.0


def fit_logistic(matrix: Floats, outcome: Floats, seed: int) -> Scorecard:
    """Ridge logistic regression on standardized columns (clipped at 4 sd), with an effect for `missing`."""
    known = np.isfinite(matrix)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, matrix, 0).sum(axis=0) / count
    scale = np.sqrt(np.where(known, (matrix - mean) ** 2, 0).sum(axis=0) / count)
    scale[scale == 0] = 1.0
    design = np.hstack([np.where(known, np.clip((matrix - mean) / scale, -_CLIP, _CLIP), 0.0), (~known).astype(float)])
    model = LogisticRegression(C=0.1, max_iter=300, random_state=seed).fit(design, outcome)
    width = matrix.shape[1]
    columns = [
        {"mean": float(mean[j]), "scale": float(scale[j]), "slope": float(c), "missing": float(m)}
        for j, (c, m) in enumerate(zip(model.coef_[0][:width], model.coef_[0][width:], strict=True))
    ]
    return _centred({"columns": columns, "intercept": float(model.intercept_[0])}, matrix)


def fit_boosting(matrix: Floats, outcome: Floats, seed: int) -> Scorecard:
    """Gradient boosting in which no tree sees two columns: a generalized additive model by trees.

    Lou, Caruana & Gehrke 2012, "Intelligible models for classification and regression". Columns are binned
    here, so that each one's whole effect can be read off by scoring its bins one at a time.
    """
    edges = [_edges(matrix[:, j]) for j in range(matrix.shape[1])]
    codes = np.column_stack([_codes(matrix[:, j], edge) for j, edge in enumerate(edges)])
    model = HistGradientBoostingClassifier(
        interaction_cst="no_interactions",
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
        model.fit(codes, outcome)
    probes, spans = _probes(edges)
    raw = model.decision_function(probes)
    columns = []
    for edge, (start, end) in zip(edges, spans, strict=True):
        effect = raw[start:end] - raw[0]
        columns.append({"edges": edge, "values": effect[:-1], "missing": float(effect[-1])})
    return _centred({"columns": columns, "intercept": float(raw[0])}, matrix)


def effects(card: Scorecard, matrix: Floats) -> Floats:
    """Log-odds effect of each column against a typical lead, shape of `matrix`; see `recentred`."""
    found = np.empty_like(matrix)
    for j, column in enumerate(card["columns"]):
        found[:, j] = effect(column, matrix[:, j]) - column["centre"]
    return found


def effect(column: dict[str, Any], values: Floats) -> Floats:
    """The uncentred log-odds effect of one column's values; NaN is `missing`."""
    known = np.isfinite(values)
    if "edges" in column:
        inner = column["values"][np.searchsorted(column["edges"], np.where(known, values, 0.0), side="right")]
    else:
        scaled = (np.where(known, values, 0.0) - column["mean"]) / column["scale"]
        inner = column["slope"] * np.clip(scaled, -_CLIP, _CLIP)
    found: Floats = np.where(known, inner, column["missing"])
    return found


def log_odds(card: Scorecard, found: Floats) -> Floats:
    """Uncalibrated log-odds from `effects`; summed column by column, so that no row depends on its batch."""
    total = np.full(len(found), card["intercept"])
    for j in range(found.shape[1]):
        total = total + found[:, j]
    return total


def recentred(card: Scorecard, matrix: Floats) -> Scorecard:
    """The same scorecard, its typical lead being the median one of `matrix`; no lead's log-odds change.

    Half of the leads are above the baseline then. Each column is centred on its mean, and what is left between mean and
    median is shared out by the columns' variances.
    """
    found = np.column_stack([effect(column, matrix[:, j]) for j, column in enumerate(card["columns"])])
    total = found.sum(axis=1)
    spread = found.var(axis=0)
    gap = float(np.median(total) - total.mean()) if spread.sum() > 0 else 0.0
    centre = found.mean(axis=0) + gap * spread / max(float(spread.sum()), 1e-12)
    columns = [{**column, "centre": float(centre[j])} for j, column in enumerate(card["columns"])]
    moved = sum(new["centre"] - old["centre"] for new, old in zip(columns, card["columns"], strict=True))
    return {"columns": columns, "intercept": card["intercept"] + moved}


def _edges(values: Floats) -> Floats:
    known = values[np.isfinite(values)]
    if not len(known):
        return np.empty(0)
    distinct = np.unique(known)
    if len(distinct) <= MAX_BINS:
        return (distinct[1:] + distinct[:-1]) / 2
    return np.unique(np.quantile(known, np.linspace(0, 1, MAX_BINS + 1)[1:-1]))


def _codes(values: Floats, edges: Floats) -> Floats:
    known = np.isfinite(values)
    return np.where(known, np.searchsorted(edges, np.where(known, values, 0.0), side="right").astype(float), np.nan)


def _probes(edges: list[Floats]) -> tuple[Floats, list[tuple[int, int]]]:
    """Rows that vary one column over all its bins, then missing, the others at bin 0; row 0 is all bin 0."""
    blocks, spans, start = [], [], 0
    for j, edge in enumerate(edges):
        block = np.zeros((len(edge) + 2, len(edges)))
        block[:, j] = [*range(len(edge) + 1), np.nan]
        blocks.append(block)
        spans.append((start, start + len(block)))
        start += len(block)
    return np.vstack(blocks), spans


def _centred(card: Scorecard, matrix: Floats) -> Scorecard:
    for j, column in enumerate(card["columns"]):
        column["centre"] = float(effect(column, matrix[:, j]).mean())
        card["intercept"] += column["centre"]
    return card
