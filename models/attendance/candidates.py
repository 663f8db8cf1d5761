"""The point models that work on a feature matrix: seasonal naive and mean, exponential smoothing, gradient boosting.

Every one maps rows of `FEATURES` (people) and encoded attributes to people, so that one explanation fits all.
Prophet, which sees whole series instead, is in prophet_family.py; which family serves which series, in selection.py.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.attendance.features import COLUMN

Floats = NDArray[np.float64]

METRIC = "mase"
RULE = "seasonal_naive"
LAST = "last_value"
AVERAGE = "seasonal_mean"
SMOOTHING = "exponential_smoothing"
PROPHET = "prophet"
BOOSTING = "gradient_boosting"
COMBINATION = "combination"
PER_SERIES = "per_series"
FAMILIES = (RULE, LAST, AVERAGE, SMOOTHING, PROPHET, BOOSTING)
"""What a series' forecast is made of; `combination` weighs several of them, `per_series` picks for each series."""
ABSENT_SHARE = 0.15
_LEVELS = (
    "same_1", "same_2_mean", "same_4_mean", "same_6_median", "short_1", "short_3_mean", "weekday_mean", "last_1",
    "level_short", "level_middle", "smoothed", "spread", "last_year", "last_year_level",
)  # fmt: skip
_PLAIN = (
    "lead", "weekday", "hour", "month", "day_of_year", "is_holiday", "holiday_ratio", "before_holiday", "after_holiday",
)  # fmt: skip


def seasonal_naive(rows: Floats) -> Floats:
    """As many people as at the last known same step: the same weekday, hour or month."""
    return rows[:, COLUMN["same_1"]]


def last_value(rows: Floats) -> Floats:
    """The last known value, of hours that of the day before: what follows best where a pattern has just been broken."""
    day_before = rows[:, COLUMN["short_1"]]
    return np.where(np.isfinite(day_before), day_before, _known(rows, "last_1"))


def seasonal_mean(rows: Floats) -> Floats:
    """The mean of the last four same steps, times what a holiday of that name usually does."""
    return np.asarray(_known(rows, "same_4_mean") * _known_ratio(rows))


def smoothed(rows: Floats) -> Floats:
    """Exponential smoothing times what a holiday of that name usually does."""
    return np.asarray(_known(rows, "smoothed") * _known_ratio(rows))


def boosted(model: Any, rows: Floats, encoded: Floats) -> Floats:
    """Its base plus what the trees expect on top, as a share of the unit's level."""
    return np.asarray(_base(rows) + level(rows) * model.predict(design(rows, encoded)))


def fit_boosting(rows: Floats, encoded: Floats, people: Floats, seed: int) -> Any:
    """One small tree ensemble over all units; absolute error, so its answer is a median. Deterministic under `seed`."""
    from sklearn.ensemble import HistGradientBoostingRegressor
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    model = HistGradientBoostingRegressor(
        loss="absolute_error",
        max_iter=80,
        learning_rate=0.08,
        max_leaf_nodes=12,
        min_samples_leaf=max(20, min(100, len(rows) // 60)),
        l2_regularization=5.0,
        max_bins=63,  # finer bins cost time and change nothing
        early_stopping=False,
        random_state=seed,
    )
    target = (people - _base(rows)) / level(rows)
    # Coming events may lack what past ones carry; rows without any detail teach the trees what to say of those.
    absent = np.random.default_rng(seed).random(len(rows)) < ABSENT_SHARE
    matrix = design(rows, np.where(absent[:, None], np.nan, encoded))
    # The binning of scikit-learn 1.9 fails on a column without any value; a constant one is never split on either.
    matrix[:, ~np.isfinite(matrix).any(axis=0)] = 0.0
    # On a machine that others use too, OpenMP's threads wait for each other: one thread was 8 times faster.
    with threadpool_limits(limits=1):
        return model.fit(matrix, target)


def design(rows: Floats, encoded: Floats) -> Floats:
    """The scale-free matrix the trees see: levels as a share of the unit's level, steps between them, calendar."""
    scale = level(rows)[:, None]
    levels = rows[:, [COLUMN[name] for name in _LEVELS]] / scale
    steps = levels[:, 1:4] - levels[:, :1]
    growth = rows[:, [COLUMN["last_year"]]] / _positive(rows[:, [COLUMN["last_year_level"]]])
    filling = scale / rows[:, [COLUMN["capacity"]]]
    return np.hstack([levels, steps, growth, filling, rows[:, [COLUMN[name] for name in _PLAIN]], encoded])


def forecasts(
    families: Sequence[str], rows: Floats, encoded: Floats, boosting: Any | None, given: Mapping[str, Floats]
) -> dict[str, Floats]:
    """Each family's people for every row, not yet capped.

    `given` holds the forecasts of those that are not made from the matrix here, prophet's for one; NaN where there is none.
    """
    found: dict[str, Floats] = {}
    for family in families:
        if family == RULE:
            found[family] = seasonal_naive(rows)
        elif family == LAST:
            found[family] = last_value(rows)
        elif family == AVERAGE:
            found[family] = seasonal_mean(rows)
        elif family == SMOOTHING:
            found[family] = smoothed(rows)
        elif family in given:
            found[family] = given[family]
        elif boosting is not None and len(rows):
            found[family] = boosted(boosting, rows, encoded)
        else:
            found[family] = np.full(len(rows), np.nan)
    return found


def weighted(parts: Sequence[Floats], weights: Floats) -> Floats:
    """The weighted sum of forecasts, `weights` being families x rows; one whose weight is zero may be unknown.

    Added family by family, in order: a row's sum must not depend on the rows beside it, as a matrix product's may.
    """
    total = np.zeros(weights.shape[1])
    for part, weight in zip(parts, weights, strict=True):
        total = total + np.where(weight > 0, weight * part, 0.0)
    return total


def capped(people: Floats, capacity: Floats) -> Floats:
    """Within [0, capacity]; NaN capacity does not bind."""
    return np.asarray(np.clip(people, 0.0, np.where(np.isfinite(capacity), capacity, np.inf)))


def level(rows: Floats) -> Floats:
    """The unit's level over the long window, 1 where it has none: what makes rows of all units alike."""
    found = rows[:, COLUMN["level_long"]]
    return np.where(np.isfinite(found) & (found > 0), found, 1.0)


def _base(rows: Floats) -> Floats:
    """Halfway between the last same step and the smoothed forecast."""
    return np.asarray((seasonal_naive(rows) + smoothed(rows)) / 2)


def _known(rows: Floats, name: str) -> Floats:
    """A feature, the last same step where it is unknown."""
    found = rows[:, COLUMN[name]]
    return np.where(np.isfinite(found), found, seasonal_naive(rows))


def _known_ratio(rows: Floats) -> Floats:
    found = rows[:, COLUMN["holiday_ratio"]]
    return np.where(np.isfinite(found), found, 1.0)


def _positive(values: Floats) -> Floats:
    return np.where(values > 0, values, np.nan)
