"""Why a forecast is what it is: exact Shapley values of the point model over groups of features. No sentences.

The reference of a step is the average similar step of its unit. A group is absent when its features are those of
the reference; all coalitions of the groups that differ from it are evaluated, so the values are exact (Shapley 1953;
the "baseline Shapley" of Sundararajan & Najmi 2020, "The many Shapley values for model explanation").
"""

from collections.abc import Callable, Mapping
from math import factorial

import numpy as np
from numpy.typing import NDArray

from models.attendance.features import COLUMN
from models.attendance.prophet_family import PARTS

Floats = NDArray[np.float64]
PointModel = Callable[["Inputs"], Floats]
"""Inputs → people, one number a row."""

GROUPS: Mapping[str, tuple[str, ...]] = {
    "same_season": (
        "same_1", "same_2_mean", "same_4_mean", "same_6_median", "short_1", "short_3_mean", "weekday_mean",
    ),
    "recent_level": ("last_1", "level_short", "level_middle", "smoothed"),
    "season": ("last_year",),
    "holiday": ("is_holiday", "holiday_ratio", "before_holiday", "after_holiday"),
    "lead_time": ("lead",),
    "attributes": (),
}  # fmt: skip
PROPHET_PARTS = {"recent_level": 0, "season": 2, "holiday": 3, "attributes": 4}
ACTIONABLE = ("attributes",)
BATCH = 4_000


class Inputs:
    """What the point model reads, aligned by row: features, encoded attributes, prophet's parts, families' weights.

    `weights` is families x rows; the others have a row first.
    """

    def __init__(self, rows: Floats, encoded: Floats, parts: Floats, weights: Floats) -> None:
        self.rows, self.encoded, self.parts, self.weights = rows, encoded, parts, weights

    def take(self, index: NDArray[np.intp] | slice) -> "Inputs":
        """Some of the rows."""
        return Inputs(self.rows[index], self.encoded[index], self.parts[index], self.weights[:, index])

    @staticmethod
    def joined(several: list["Inputs"]) -> "Inputs":
        """One after the other."""
        return Inputs(
            np.concatenate([one.rows for one in several]),
            np.concatenate([one.encoded for one in several]),
            np.concatenate([one.parts for one in several]),
            np.concatenate([one.weights for one in several], axis=1),
        )

    def __len__(self) -> int:
        return len(self.rows)


def reference(given: Inputs, similar: Floats) -> Inputs:
    """The same rows, were they average similar steps: levels at `similar`, no holiday, one step ahead, no details."""
    rows, source = given.rows.copy(), given.rows
    known = np.isfinite(source)

    def put(name: str, values: Floats) -> None:
        rows[:, COLUMN[name]] = np.where(known[:, COLUMN[name]], values, np.nan)

    for name in (*GROUPS["same_season"], "smoothed"):
        put(name, similar)
    usual = source[:, COLUMN["level_long"]]
    for name in ("last_1", "level_short", "level_middle"):
        put(name, usual)
    with np.errstate(invalid="ignore", divide="ignore"):
        last_year = np.where(usual > 0, similar * source[:, COLUMN["last_year_level"]] / usual, similar)
    put("last_year", np.where(np.isfinite(last_year), last_year, similar))
    for name, value in (("is_holiday", 0.0), ("holiday_ratio", 1.0), ("before_holiday", 0.0), ("after_holiday", 0.0)):
        rows[:, COLUMN[name]] = value
    rows[:, COLUMN["lead"]] = 1.0
    parts = np.zeros_like(given.parts)
    parts[:, PARTS.index("season")] = given.parts[:, PARTS.index("season")]
    parts[:, PARTS.index("trend")] = similar - given.parts[:, PARTS.index("season")]
    return Inputs(rows, np.full_like(given.encoded, np.nan), parts, given.weights)


def shapley(model: PointModel, given: Inputs, similar: Floats) -> Floats:
    """rows x groups: each group's Shapley value in people; a row's values sum to f(row) - f(reference).

    Rows in which the same groups differ from their reference go together, so a row's values do not depend on which
    others are asked for beside it.
    """
    out = np.zeros((len(given), len(GROUPS)))
    base = reference(given, similar)
    active = _active(given, base)
    for pattern in np.unique(active):
        groups = [number for number in range(len(GROUPS)) if pattern >> number & 1]
        own = np.flatnonzero(active == pattern)
        size = max(1, BATCH >> len(groups) << 2)
        for begin in range(0, len(own), size):
            index = own[begin : begin + size]
            out[index[:, None], np.array(groups, dtype=np.intp)] = _shapley(
                model, given.take(index), base.take(index), groups
            )
    return out


def contributions(effects: Floats, shift: float, cap: float) -> dict[str, float]:
    """One row's effects by factor, unrounded: the groups, the median shift, the capacity's cut; zeros left out."""
    found = {**dict(zip(GROUPS, effects.tolist(), strict=True)), "interval_shift": shift, "capacity_cap": cap}
    return {name: effect for name, effect in found.items() if effect != 0}


def _active(given: Inputs, base: Inputs) -> NDArray[np.intp]:
    """For every row the groups that differ from the reference, as bits."""
    out = np.zeros(len(given), dtype=np.intp)
    for number, (name, columns) in enumerate(GROUPS.items()):
        picked = [COLUMN[column] for column in columns]
        differs = _differs(given.rows[:, picked], base.rows[:, picked])
        if name in PROPHET_PARTS:
            part = [PROPHET_PARTS[name]]
            differs |= _differs(given.parts[:, part], base.parts[:, part])
        if name == "attributes":
            differs |= _differs(given.encoded, base.encoded)
        out |= differs.astype(np.intp) << number
    return out


def _differs(one: Floats, other: Floats) -> NDArray[np.bool_]:
    return np.asarray(((one != other) & ~(np.isnan(one) & np.isnan(other))).any(axis=1))


def _shapley(model: PointModel, given: Inputs, base: Inputs, groups: list[int]) -> Floats:
    count = len(groups)
    if not count:
        return np.zeros((len(given), 0))
    names = list(GROUPS)
    several = []
    for mask in range(1 << count):
        rows, encoded, parts = base.rows.copy(), base.encoded, base.parts.copy()
        for place, number in enumerate(groups):
            if not mask >> place & 1:
                continue
            columns = [COLUMN[feature] for feature in GROUPS[names[number]]]
            rows[:, columns] = given.rows[:, columns]
            if names[number] == "attributes":
                encoded = given.encoded
            if names[number] in PROPHET_PARTS:
                part = PROPHET_PARTS[names[number]]
                parts[:, part] = given.parts[:, part]
        several.append(Inputs(rows, encoded, parts, given.weights))
    values = model(Inputs.joined(several)).reshape(1 << count, len(given))
    out = np.zeros((len(given), count))
    for place in range(count):
        for mask in range(1 << count):
            if mask >> place & 1:
                continue
            size = mask.bit_count()
            weight = factorial(size) * factorial(count - size - 1) / factorial(count)
            out[:, place] += weight * (values[mask | 1 << place] - values[mask])
    return out
