"""Conformal intervals of booking forecasts, one pair of margins for each bucket of days left. Arrays only.

Residuals are logarithms of people (plus one) over forecast: errors grow with the event, and none goes below zero.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.attendance.booking.backtest import BOOKING, Cases
from models.attendance.booking.buckets import BUCKETS, bucket
from models.evaluation import conformal_margins

Floats = NDArray[np.float64]
LEVEL = 0.8
FEWEST = 25
"""Cases a bucket needs for margins of its own; with fewer it shares those of the buckets further from the start."""
RARELY = 0.05
"""How often fewer people came than the floor says, for the tickets sold by then."""


@dataclass(frozen=True)
class Margins:
    """By bucket: logarithms added to the forecast for P10 and P90, and people that come at least for a ticket sold."""

    low: Floats
    high: Floats
    floor: Floats

    def bounds(self, left: Floats, people: Floats, sold: Floats, limit: Floats) -> tuple[Floats, Floats, Floats]:
        """P10, P50 and P90: monotone, not negative, within `limit`, P10 not below what the tickets sold bring."""
        index = bucket(left)
        middle = np.minimum(np.maximum(people, 0.0), limit)
        low = np.expm1(np.log1p(middle) + self.low[index])
        high = np.expm1(np.log1p(middle) + self.high[index])
        low = np.maximum(low, np.minimum(self.floor[index] * sold, middle))
        return np.clip(low, 0.0, middle), middle, np.clip(high, middle, limit)

    def plain(self) -> dict[str, Any]:
        """As a model's state keeps it."""
        return {"low": self.low.tolist(), "high": self.high.tolist(), "floor": self.floor.tolist()}

    @staticmethod
    def restored(plain: Mapping[str, Any]) -> "Margins":
        """The margins that gave `plain`."""
        return Margins(*(np.asarray(plain[name], dtype=np.float64) for name in ("low", "high", "floor")))


def fit_margins(found: Cases, name: str = BOOKING, keep: NDArray[np.bool_] | None = None) -> Margins:
    """Margins of a candidate's cases, or of those that `keep` marks."""
    use = np.ones(len(found), dtype=bool) if keep is None else keep
    residual = np.log1p(found.actual) - np.log1p(found.forecast[name])
    share = found.actual / np.maximum(found.panel.sold, 1.0)
    low, high, floor = np.zeros(len(BUCKETS)), np.zeros(len(BUCKETS)), np.zeros(len(BUCKETS))
    for number in range(len(BUCKETS)):
        own = _enough(found.panel.bucket, use, number)
        if own.any():
            low[number], high[number] = conformal_margins(residual[own], np.zeros(int(own.sum())), LEVEL)
            floor[number] = min(1.0, float(np.quantile(share[own], RARELY)))
    return Margins(np.minimum(low, 0.0), np.maximum(high, 0.0), floor)


def inside(found: Cases, name: str = BOOKING) -> Floats:
    """For every case 1 where the people that came lie within the interval fitted without its own fold, else 0."""
    out = np.full(len(found), np.nan)
    folds = np.unique(found.fold)
    for fold in folds if len(folds) > 1 else []:
        own = found.fold == fold
        rows = found.panel.take(own)
        low, _, high = fit_margins(found, name, ~own).bounds(
            rows.left, found.forecast[name][own], rows.sold, rows.limit
        )  # fmt: skip
        # People are whole: the ends are rounded as the insight shows them.
        out[own] = (found.actual[own] >= np.round(low)) & (found.actual[own] <= np.round(high))
    return out


def coverage(found: Cases, name: str = BOOKING) -> float | None:
    """Share of `inside`; None with fewer than two folds."""
    hits = inside(found, name)
    return float(hits.mean()) if np.isfinite(hits).all() and len(hits) else None


def _enough(buckets: NDArray[np.intp], use: NDArray[np.bool_], number: int) -> NDArray[np.bool_]:
    """The bucket's own cases; with those further out, then all, where they are too few."""
    for own in (buckets == number, buckets >= number):
        if (own & use).sum() >= FEWEST:
            return own & use
    return use
