"""The point models that work on a feature matrix: seasonal naive, weekday profile, gradient boosting and their mean.

Every one maps rows of `FEATURES` (people) and encoded attributes to people, so that one explanation fits all.
Prophet, which sees whole series instead, is in prophet_family.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.attendance.features import COLUMN, FEATURES

Floats = NDArray[np.float64]

RULE = "seasonal_naive"
PROFILE = "weekday_profile"
BOOSTING = "gradient_boosting"
PROPHET = "prophet"
MEAN = "mean"
CANDIDATES = (RULE, PROFILE, PROPHET, BOOSTING, MEAN)
MEAN_OF = (RULE, PROFILE, BOOSTING)
_LEVELS = ("same_1", "same_2_mean", "same_4_mean", "same_6_median", "level_7", "level_14", "spread_28", "last_year")
_PLAIN = ("lead_days", "weekday", "month", "is_holiday")
MAX_ATTRIBUTES = 20
MAX_CATEGORIES = 20


def seasonal_naive(rows: Floats) -> Floats:
    """As many people as on the last known same weekday."""
    return rows[:, COLUMN["same_1"]]


def weekday_profile(rows: Floats) -> Floats:
    """The smoothed level times the weekday's index."""
    return np.asarray(rows[:, COLUMN["smoothed_level"]] * rows[:, COLUMN["weekday_index"]])


def boosted(model: Any, rows: Floats, encoded: Floats) -> Floats:
    """Seasonal naive plus what the trees expect on top, as a share of the unit's 28-day level."""
    scale = _scale(rows)
    return np.asarray(seasonal_naive(rows) + scale * model.predict(design(rows, encoded)))


def fit_boosting(rows: Floats, encoded: Floats, people: Floats, seed: int) -> Any:
    """One small tree ensemble over all units; absolute error, so its answer is a median. Deterministic under `seed`."""
    from sklearn.ensemble import HistGradientBoostingRegressor
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    model = HistGradientBoostingRegressor(
        loss="absolute_error",
        max_iter=80,
        learning_rate=0.05,
        max_leaf_nodes=8,
        min_samples_leaf=max(20, min(200, len(rows) // 40)),
        l2_regularization=5.0,
        max_bins=63,  # a few thousand rows: finer bins cost time and change nothing
        early_stopping=False,
        random_state=seed,
    )
    target = (people - seasonal_naive(rows)) / _scale(rows)
    matrix = design(rows, encoded)
    # The binning of scikit-learn 1.9 fails on a column without any value; a constant one is never split on either.
    matrix[:, ~np.isfinite(matrix).any(axis=0)] = 0.0
    # On a machine that others use too, OpenMP's threads wait for each other: one thread was 8 times faster.
    with threadpool_limits(limits=1):
        return model.fit(matrix, target)


def design(rows: Floats, encoded: Floats) -> Floats:
    """The scale-free matrix the trees see: levels as a share of the 28-day level, steps between them, calendar."""
    scale = _scale(rows)[:, None]
    levels = rows[:, [COLUMN[name] for name in _LEVELS]] / scale
    steps = levels[:, 1:4] - levels[:, :1]
    filling = scale / rows[:, [COLUMN["capacity"]]]
    return np.hstack([levels, steps, filling, rows[:, [COLUMN[name] for name in _PLAIN]], encoded])


def combined(candidate: str, rows: Floats, encoded: Floats, boosting: Any) -> Floats:
    """The point forecast of any candidate but prophet, not yet capped."""
    if candidate == RULE:
        return seasonal_naive(rows)
    if candidate == PROFILE:
        return weekday_profile(rows)
    if candidate == BOOSTING:
        return boosted(boosting, rows, encoded)
    parts = [combined(name, rows, encoded, boosting) for name in MEAN_OF]
    return np.asarray(np.mean(parts, axis=0))


def capped(people: Floats, capacity: Floats) -> Floats:
    """Within [0, capacity]; NaN capacity does not bind."""
    return np.asarray(np.clip(people, 0.0, np.where(np.isfinite(capacity), capacity, np.inf)))


@dataclass(frozen=True)
class Encoder:
    """How attributes become numbers: kept names with their categories (None for numbers), and why others were left."""

    kept: Mapping[str, list[str] | None]
    dropped: Mapping[str, str]

    def encode(self, rows: Sequence[Mapping[str, Any]]) -> Floats:
        """rows x kept; NaN where missing, of another type, or a category never seen."""
        out = np.full((len(rows), len(self.kept)), np.nan)
        for column, (name, categories) in enumerate(self.kept.items()):
            for number, row in enumerate(rows):
                out[number, column] = _encoded(row.get(name), categories)
        return out


def fit_encoder(rows: Sequence[Mapping[str, Any]], excluded: Sequence[str]) -> Encoder:
    """Keep attributes that are known in at least a tenth of the rows and vary; each one left out has its reason."""
    kept: dict[str, list[str] | None] = {}
    dropped: dict[str, str] = {}
    for name in sorted({name for row in rows for name in row}):
        values = [row[name] for row in rows if name in row]
        reason = _reason(name, values, len(rows), excluded)
        if reason is None and len(kept) >= MAX_ATTRIBUTES:
            reason = f"more than {MAX_ATTRIBUTES} attributes"
        if reason is not None:
            dropped[name] = reason
        else:
            texts = sorted({value for value in values if isinstance(value, str)})
            kept[name] = texts or None
    return Encoder(kept, dropped)


def _reason(name: str, values: Sequence[Any], total: int, excluded: Sequence[str]) -> str | None:
    if name in excluded:
        return "excluded by configuration"
    if len(values) * 10 < total:
        return f"known for {len(values)} of {total} days only"
    distinct = len(set(values))
    if distinct < 2:
        return "always the same"
    if any(isinstance(value, str) for value in values) and distinct > MAX_CATEGORIES:
        return f"{distinct} different texts, more than {MAX_CATEGORIES}"
    return None


def _encoded(value: Any, categories: list[str] | None) -> float:
    if categories is not None:
        return float(categories.index(value)) if value in categories else float("nan")
    if isinstance(value, bool | int | float) and np.isfinite(value):
        return float(value)
    return float("nan")


def _scale(rows: Floats) -> Floats:
    level = rows[:, COLUMN["level_28"]]
    return np.where(np.isfinite(level) & (level > 0), level, 1.0)


assert len(COLUMN) == len(FEATURES)
