"""The learned final-sales model: how far pickup and pace were off in the past, by what else is known of an event.

Ridge regression on the logarithm of final sales, relative to the geometric mean of the pickup and the pace forecast.
Every feature is zero for an event that is like the similar ones in all respects, so with little data, where the
penalty holds the coefficients near zero, the forecast is that mean.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.attendance.booking.buckets import BUCKETS, bucket
from models.attendance.booking.curves import Curves
from models.attendance.booking.similar import Likeness, Query, Usual

Floats = NDArray[np.float64]
WEEKDAYS = 7
PENALTIES = (10.0, 100.0, 1000.0)
WIDEST = 1.5
"""A target or a correction further than this from the mean (in logs: 4.5 times) is taken as this far."""
LEAST_OPEN = 0.02
MIN_ROWS = 60
LATER_SHARE = 0.3
"""Of the training rows, by moment, on which the penalty is chosen."""

GROUPS: Mapping[str, int] = {
    "tickets_sold": 2 * len(BUCKETS) + 3,
    "days_left": 2,
    "weekday": WEEKDAYS,
    "season": 2,
    "holiday": 1,
    "price": 1,
    "sale_length": 1,
    "usual_error": len(BUCKETS),
}
"""Columns of the design by what they say, in order."""


@dataclass(frozen=True)
class Ridge:
    """Coefficients per column of the design, divided by the columns' spread."""

    coefficients: Floats
    penalty: float

    def correction(self, design: Floats) -> Floats:
        """queries x groups: logarithms to add to the geometric mean; a row's sum is at most `WIDEST` in size."""
        parts = design * self.coefficients
        edges = np.cumsum([0, *GROUPS.values()])
        sums = [parts[:, low:high].sum(axis=1) for low, high in itertools.pairwise(edges)]
        out = np.column_stack(sums)
        total = np.abs(out.sum(axis=1))
        return np.asarray(out * np.minimum(1.0, WIDEST / np.where(total > 0, total, 1.0))[:, None])

    def plain(self) -> dict[str, Any]:
        """As a model's state keeps it."""
        return {"coefficients": self.coefficients, "penalty": self.penalty}


NOTHING_LEARNED = Ridge(np.zeros(sum(GROUPS.values())), 0.0)


def design(query: Query, past: Curves, like: Likeness, found: Usual, limit: Floats) -> Floats:
    """queries x columns of `GROUPS`; `limit` is the capacity, infinite where there is none."""
    usual_log, pickup_log, pace_log = (np.log1p(np.minimum(v, limit)) for v in forecasts(found, query.sold))
    ahead = np.log1p(query.sold) - np.log1p(np.maximum(found.sold, 0.0))
    place = np.clip(found.sold / np.where(found.final > 0, found.final, 1.0), 0.0, 1.0)
    filled = np.where(np.isfinite(limit), query.sold / np.where(np.isfinite(limit), limit, 1.0), 0.0)
    usually_filled = np.where(np.isfinite(limit), found.final / np.where(np.isfinite(limit), limit, 1.0), 0.0)
    now = np.eye(len(BUCKETS))[bucket(query.left)]
    facts, known = query.events, past.events
    weekday = np.eye(WEEKDAYS)[facts.weekday.astype(np.intp)]
    theirs = np.eye(WEEKDAYS)[known.weekday.astype(np.intp)]
    found_columns = np.column_stack(
        [
            now * (pickup_log - pace_log)[:, None],
            now * (pace_log - usual_log)[:, None],
            ahead,
            ahead * place,
            filled - usually_filled * place,
            np.log1p(query.left),
            place,
            weekday - np.column_stack([like.mean(theirs[:, day]) for day in range(WEEKDAYS)]),
            facts.season - np.column_stack([like.mean(known.season[:, part]) for part in range(2)]),
            facts.holiday - like.mean(known.holiday),
            _log_beside(like, facts.price, known.price, _small(known.price)),
            _log_beside(like, facts.lead, known.lead, 7.0),
            now,
        ]
    )
    # What is still open shrinks towards the start, and with it all that anything can say about it.
    return np.asarray(found_columns * np.maximum(1 - place, LEAST_OPEN)[:, None])


def forecasts(found: Usual, sold: Floats) -> tuple[Floats, Floats, Floats]:
    """Final sales as usual, by pickup and by pace."""
    return found.final, found.pickup(sold), found.pace(sold)


def middle(found: Usual, sold: Floats, limit: Floats) -> Floats:
    """Logarithm (of one plus) of the geometric mean of the pickup and the pace forecast, each at most `limit`."""
    return np.asarray(np.log1p(np.minimum(found.pace(sold), limit)))


def fit(matrix: Floats, target: Floats, buckets: NDArray[np.intp], moment: Floats) -> Ridge:
    """Coefficients for rows of `design`; `target` is log(1 + final sales) less `middle`. Nothing below `MIN_ROWS` rows.

    Rows weigh by how sure their number of days before the start is; the penalty is the one that, learned on the
    earlier moments, was best on the later ones.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    if len(matrix) < MIN_ROWS:
        return NOTHING_LEARNED
    # Small matrices: on a machine that others use too, several threads wait for each other.
    with threadpool_limits(limits=1):
        return _fit(matrix, target, buckets, moment)


def _fit(matrix: Floats, target: Floats, buckets: NDArray[np.intp], moment: Floats) -> Ridge:
    wanted = np.clip(target, -WIDEST, WIDEST)
    weight = _weights(wanted, buckets)
    later = moment > np.quantile(moment, 1 - LATER_SHARE)
    penalty = PENALTIES[-1]
    if 0 < later.sum() < len(later):
        earlier = ~later

        def error(strength: float) -> float:
            found = _solved(matrix[earlier], wanted[earlier], weight[earlier], strength)
            left = wanted[later] - (matrix[later] * found).sum(axis=1)
            return float((np.abs(left) * np.sqrt(weight[later])).sum())

        penalty = min(PENALTIES, key=error)
    return Ridge(_solved(matrix, wanted, weight, penalty), penalty)


def _solved(matrix: Floats, target: Floats, weight: Floats, penalty: float) -> Floats:
    """Ridge by the normal equations, penalized alike for columns of any spread (Hoerl & Kennard 1970)."""
    spread = np.sqrt((matrix**2).mean(axis=0))
    used = spread > 1e-9
    scaled = matrix[:, used] / spread[used]
    gram = scaled.T @ (scaled * weight[:, None]) + penalty * np.eye(int(used.sum()))
    out = np.zeros(matrix.shape[1])
    out[used] = np.linalg.solve(gram, scaled.T @ (target * weight)) / spread[used]
    return out


def _weights(target: Floats, buckets: NDArray[np.intp]) -> Floats:
    """One over each bucket's mean square, relative to their mean: far from the start nothing is sure."""
    out = np.ones(len(target))
    for number in np.unique(buckets):
        own = buckets == number
        out[own] = 1 / (np.mean(target[own] ** 2) + 0.0001)
    return np.asarray(out / out.mean())


def _log_beside(like: Likeness, mine: Floats, theirs: Floats, offset: float) -> Floats:
    """Log ratio to the similar events' mean; zero where either is unknown."""
    known = np.isfinite(theirs)
    value = np.where(known, np.log(np.where(known, np.maximum(theirs, 0.0), 0.0) + offset), 0.0)
    mass = like.mean(known.astype(np.float64))
    usual = like.mean(value) / np.where(mass > 0, mass, 1.0)
    out = np.log(np.maximum(np.nan_to_num(mine), 0.0) + offset) - usual
    return np.where(np.isfinite(mine) & (mass > 0), out, 0.0)


def _small(prices: Floats) -> float:
    positive = prices[np.isfinite(prices) & (prices > 0)]
    return float(np.median(positive)) / 10 if len(positive) else 1.0
