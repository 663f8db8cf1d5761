"""How good a forecast, a probability or an interval is: metrics, time-ordered splits, conformal margins.

Arrays in, numbers out; nothing here knows a use case. Lower is better for every metric but `auc`.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from integrator.contracts.errors import invalid

Floats = NDArray[np.float64]
EPSILON = 1e-15


def mase(actual: ArrayLike, forecast: ArrayLike, history: ArrayLike, season: int = 7) -> float:
    """Mean absolute scaled error: mean |error| over the in-sample mean |y_t - y_(t-season)| of `history`.

    Hyndman & Koehler 2006, "Another look at measures of forecast accuracy", eq. 5. NaN where the history is
    too short or its scale is zero (a constant series has no scale; leave it out of means).
    """
    scale = naive_scale(history, season)
    if not scale > 0:
        return float("nan")
    return mae(actual, forecast) / scale


def naive_scale(history: ArrayLike, season: int = 7) -> float:
    """In-sample mean absolute error of the seasonal naive forecast; NaN when no pair is known. Missing days are NaN."""
    past = _floats(history)
    if len(past) <= season:
        return float("nan")
    steps = np.abs(past[season:] - past[:-season])
    steps = steps[np.isfinite(steps)]
    return float(steps.mean()) if len(steps) else float("nan")


def mae(actual: ArrayLike, forecast: ArrayLike) -> float:
    """Mean absolute error in the unit of the data."""
    y, f = _pair(actual, forecast)
    return float(np.abs(y - f).mean())


def smape(actual: ArrayLike, forecast: ArrayLike) -> float:
    """Symmetric MAPE in per cent, 0 to 200: mean 200·|y - f| / (|y| + |f|); both zero is no error (M4)."""
    y, f = _pair(actual, forecast)
    size = np.abs(y) + np.abs(f)
    return float(np.mean(200 * np.abs(y - f) / np.where(size == 0, 1.0, size)))


def pinball(actual: ArrayLike, quantile_forecast: ArrayLike, level: float) -> float:
    """Mean pinball loss of a `level` quantile forecast (Koenker & Bassett 1978), in the unit of the data."""
    if not 0 < level < 1:
        raise invalid("quantile level", level, "a number between 0 and 1")
    y, q = _pair(actual, quantile_forecast)
    return float(np.mean(np.maximum(level * (y - q), (level - 1) * (y - q))))


def coverage(actual: ArrayLike, low: ArrayLike, high: ArrayLike) -> float:
    """Share of actual values inside [low, high], ends included."""
    y, lo = _pair(actual, low)
    _, hi = _pair(actual, high)
    return float(np.mean((y >= lo) & (y <= hi)))


def log_loss(outcome: ArrayLike, probability: ArrayLike) -> float:
    """Mean negative log-likelihood of 0/1 outcomes, in nats."""
    y, p = _pair(outcome, probability)
    p = np.clip(p, EPSILON, 1 - EPSILON)
    return float(-np.mean(y * np.log(p) + (1 - y) * np.log1p(-p)))


def brier(outcome: ArrayLike, probability: ArrayLike) -> float:
    """Mean squared error of probabilities (Brier 1950)."""
    y, p = _pair(outcome, probability)
    return float(np.mean((y - p) ** 2))


def calibration_error(outcome: ArrayLike, probability: ArrayLike, bins: int = 10) -> float:
    """Expected calibration error over bins of equal size: weighted mean |observed rate - mean probability|."""
    y, p = _pair(outcome, probability)
    order = np.argsort(p, kind="stable")
    parts = [part for part in np.array_split(order, min(bins, len(order))) if len(part)]
    return float(sum(len(part) * abs(y[part].mean() - p[part].mean()) for part in parts) / len(y))


def auc(outcome: ArrayLike, score: ArrayLike) -> float:
    """Area under the ROC curve by ranks (Mann-Whitney U), ties counted half; NaN when only one class is there."""
    y, s = _pair(outcome, score)
    positives = int(y.sum())
    negatives = len(y) - positives
    if not positives or not negatives:
        return float("nan")
    _, inverse, counts = np.unique(s, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return float((ranks[y == 1].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def rolling_origins(length: int, *, horizon: int, folds: int, minimum: int, step: int | None = None) -> list[int]:
    """Origins, oldest first: train on [:origin], test on [origin:origin + horizon].

    The last origin is `length - horizon`; earlier ones lie `step` (default: horizon) before each other, and
    none leaves less than `minimum` to train on. Empty when not even one does.
    """
    if horizon < 1 or folds < 1:
        raise invalid("horizon and folds", (horizon, folds), "whole numbers from 1")
    origins = [length - horizon - fold * (step or horizon) for fold in range(folds)]
    return sorted(origin for origin in origins if origin >= minimum)


def time_ordered(moments: ArrayLike, test_share: float = 0.2) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Indices to train and to test on: the last `test_share` by moment, equal moments never on both sides."""
    times = np.asarray(moments)
    if not 0 < test_share < 1:
        raise invalid("test share", test_share, "a number between 0 and 1")
    order = np.argsort(times, kind="stable")
    cut = times[order[min(len(order) - 1, int(len(order) * (1 - test_share)))]]
    return np.flatnonzero(times < cut), np.flatnonzero(times >= cut)


def blocked_folds(moments: ArrayLike, folds: int) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Expanding windows over time: `folds` pairs (train, test), each test block after its training rows."""
    times = np.asarray(moments)
    edges = np.quantile(times, np.linspace(0, 1, folds + 2)[1:-1], method="nearest") if len(times) else times
    for number, edge in enumerate(edges):
        end = edges[number + 1] if number + 1 < len(edges) else None
        test = times >= edge if end is None else (times >= edge) & (times < end)
        train = times < edge
        if train.any() and test.any():
            yield np.flatnonzero(train), np.flatnonzero(test)


def conformal_tail(residuals: ArrayLike, level: float) -> float:
    """The split-conformal margin of one tail: the ⌈(n + 1)·level⌉-th smallest residual.

    Feed `actual - forecast` for the upper tail and `forecast - actual` for the lower one; `level` is one
    minus that tail's miss rate (0.9 for P10 and P90). Each tail holds on its own (Romano, Patterson & Candès
    2019, "Conformalized quantile regression", theorem 2). With too few residuals the largest one is
    taken, which covers less than promised; NaN when there is none.
    """
    known = np.sort(_floats(residuals))
    known = known[np.isfinite(known)]
    if not len(known):
        return float("nan")
    rank = int(np.ceil((len(known) + 1) * level))
    return float(known[min(rank, len(known)) - 1])


def conformal_margins(actual: ArrayLike, forecast: ArrayLike, level: float = 0.8) -> tuple[float, float]:
    """(low, high) to add to a forecast so that each tail misses at most (1 - level) / 2; low is usually negative."""
    y, f = _pair(actual, forecast)
    tail = 1 - (1 - level) / 2
    return -conformal_tail(f - y, tail), conformal_tail(y - f, tail)


def monotone(low: ArrayLike, middle: ArrayLike, high: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """P10 ≤ P50 ≤ P90: the bounds are moved to the middle where they cross it, the middle never moves."""
    mid = _floats(middle)
    return np.minimum(_floats(low), mid), mid, np.maximum(_floats(high), mid)


def mean_known(values: Sequence[float]) -> float:
    """The mean of the finite values; NaN when there is none."""
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")


def _floats(values: ArrayLike) -> Floats:
    return np.asarray(values, dtype=np.float64).reshape(-1)


def _pair(actual: ArrayLike, forecast: ArrayLike) -> tuple[Floats, Floats]:
    y, f = _floats(actual), _floats(forecast)
    if len(f) == 1 and len(y) != 1:
        f = np.full(len(y), f[0])
    if len(y) != len(f) or not len(y):
        raise invalid("lengths of actual and forecast", (len(y), len(f)), "two equal lengths above zero")
    return y, f
