"""Whether data moved away from what a model was trained on: two frames in, one result a column out. Pure.

Numbers by the two-sample Kolmogorov-Smirnov test, categories by the chi-square test, both of scipy; many columns at once
are corrected for by Benjamini & Hochberg 1995. What is missing counts as a value of its own. With many rows every
difference is significant, so a column has drifted only when the difference is large as well.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

FEATURE, PREDICTION = "feature", "prediction"
KS, TVD = "kolmogorov_smirnov", "total_variation"
THRESHOLD = 0.1
"""Largest gap between two distribution functions, or half the sum of all differences in share, that is let pass."""
ALPHA = 0.01
"""Share of false alarms among the columns said to have drifted."""
SHARE = 0.3
"""Share of columns from which on the whole is said to have drifted."""
LEAST_REFERENCE, LEAST_CURRENT = 100, 50
MOST_ROWS = 20_000
MOST_COLUMNS = 200
MOST_LEVELS = 30
UNIQUE = 0.5
"""Share of different texts from which on a column is ids or names, and says nothing of a distribution."""
MISSING, OTHER = "(missing)", "(other)"
ATTRIBUTES = "attributes"


@dataclass(frozen=True, kw_only=True)
class Drift:
    """One column: `value` of the statistic, `p_value` corrected for all columns; `drifted` None where not judged."""

    feature: str
    about: str = FEATURE
    statistic: str
    value: float | None = None
    p_value: float | None = None
    threshold: float = THRESHOLD
    drifted: bool | None = None
    n_reference: int
    n_current: int
    reason: str | None = None


def compare(reference: pl.DataFrame, current: pl.DataFrame, *, about: str = FEATURE, seed: int = 0) -> list[Drift]:
    """Every column that both frames have, in the columns' order; rows beyond `MOST_ROWS` are sampled.

    Columns are numbers, booleans or texts; moments, ids and names are passed over.
    """
    reference, current = (_sampled(frame, seed) for frame in (reference, current))
    found = [
        _column(name, about, reference[name], current[name])
        for name in reference.columns[:MOST_COLUMNS]
        if name in current.columns and _speaks(reference[name]) and _speaks(current[name])
    ]
    return _corrected(found)


def share(results: Sequence[Drift]) -> tuple[int, int]:
    """How many of how many judged features have drifted."""
    judged = [one for one in results if one.about == FEATURE and one.drifted is not None]
    return sum(bool(one.drifted) for one in judged), len(judged)


def has_drifted(results: Sequence[Drift]) -> bool | None:
    """Whether the whole has: `SHARE` of the features, or the predictions; None when nothing could be judged."""
    judged = [one for one in results if one.drifted is not None]
    if not judged:
        return None
    drifted, features = share(results)
    moved = any(one.drifted for one in judged if one.about == PREDICTION)
    return moved or (features > 0 and drifted >= SHARE * features)


def flattened(frame: pl.DataFrame, column: str = ATTRIBUTES, seed: int = 0) -> pl.DataFrame:
    """The frame with the attributes of a JSON column as columns of their own, `attributes.colour`; sampled as `compare` does.

    An attribute is a number where all its known values are, else a text.
    """
    if column not in frame.columns:
        return frame
    frame = _sampled(frame, seed)
    maps = [_map(value) for value in frame[column].to_list()]
    names = sorted({name for found in maps for name in found})[:MOST_COLUMNS]
    columns = [_series(f"{column}.{name}", [found.get(name) for found in maps]) for name in names]
    return frame.drop(column).with_columns(columns)


def _map(value: Any) -> Mapping[str, Any]:
    found = json.loads(value) if isinstance(value, str) and value else value
    return found if isinstance(found, Mapping) else {}


def _series(name: str, values: Sequence[Any]) -> pl.Series:
    known = [value for value in values if value is not None]
    if known and all(isinstance(value, int | float) and not isinstance(value, bool) for value in known):
        return pl.Series(name, [None if value is None else float(value) for value in values], pl.Float64)
    return pl.Series(name, [None if value is None else str(value) for value in values], pl.String)


def _sampled(frame: pl.DataFrame, seed: int) -> pl.DataFrame:
    return frame if frame.height <= MOST_ROWS else frame.sample(MOST_ROWS, seed=seed)


def _speaks(column: pl.Series) -> bool:
    kind = column.dtype
    if kind.is_numeric() or kind == pl.Boolean or kind == pl.Null:
        return True
    if kind != pl.String:
        return False
    known = column.drop_nulls()
    return len(known) < LEAST_CURRENT or known.n_unique() <= max(MOST_LEVELS, UNIQUE * len(known))


def _column(name: str, about: str, reference: pl.Series, current: pl.Series) -> Drift:
    is_number = all(one.dtype.is_numeric() or one.dtype == pl.Null for one in (reference, current))
    result = Drift(
        feature=name, about=about, statistic=KS if is_number else TVD, n_reference=len(reference), n_current=len(current)
    )  # fmt: skip
    if len(reference) < LEAST_REFERENCE or len(current) < LEAST_CURRENT:
        return replace(
            result, reason=f"{len(reference)} of {LEAST_REFERENCE} rows then, {len(current)} of {LEAST_CURRENT} now"
        )
    if len(reference) == reference.null_count() and len(current) == current.null_count():
        return replace(result, reason="never filled")
    value, p_value = (_numbers if is_number else _levels)(reference, current)
    return replace(result, value=value, p_value=p_value)


def _numbers(reference: pl.Series, current: pl.Series) -> tuple[float, float]:
    from scipy.stats import ks_2samp

    # Below every number: a value that is missing more often moves the distribution as a small one would.
    then, now = (_filled(one) for one in (reference, current))
    result = ks_2samp(then, now, method="asymp")
    return float(result.statistic), float(result.pvalue)


def _filled(column: pl.Series) -> Any:
    values = column.cast(pl.Float64).to_numpy().astype(np.float64)
    return np.where(np.isnan(values), -np.inf, values)


def _levels(reference: pl.Series, current: pl.Series) -> tuple[float, float]:
    from scipy.stats import chi2_contingency

    then, now = (one.cast(pl.String).fill_null(MISSING) for one in (reference, current))
    kept = then.value_counts(sort=True)[then.name][: MOST_LEVELS - 1].to_list()
    counts = np.array([[(one == level).sum() for level in kept] for one in (then, now)], dtype=np.float64)
    rest = np.array([[len(then)], [len(now)]]) - counts.sum(axis=1, keepdims=True)
    table = np.hstack([counts, rest])
    table = table[:, table.sum(axis=0) > 0]
    shares = table / table.sum(axis=1, keepdims=True)
    distance = float(np.abs(shares[0] - shares[1]).sum() / 2)
    return distance, float(chi2_contingency(table, correction=False).pvalue) if table.shape[1] > 1 else 1.0


def _corrected(results: Sequence[Drift]) -> list[Drift]:
    judged = [one for one in results if one.p_value is not None and math.isfinite(one.p_value)]
    if not judged:
        return list(results)
    from scipy.stats import false_discovery_control

    corrected = dict(
        zip((one.feature for one in judged), false_discovery_control([one.p_value for one in judged]), strict=True)
    )
    return [
        replace(
            one, p_value=float(corrected[one.feature]),
            drifted=bool(corrected[one.feature] < ALPHA and (one.value or 0.0) >= one.threshold),
        )
        if one.feature in corrected else one
        for one in results
    ]  # fmt: skip
