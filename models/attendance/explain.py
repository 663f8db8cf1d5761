"""Why a forecast is what it is: exact Shapley values of the point model over feature groups, and the sentence.

The reference of a day is the average similar day of its unit. A group is absent when its features are those of
the reference; with G groups all 2^G coalitions are evaluated, so the values are exact (Shapley 1953; the
"baseline Shapley" of Sundararajan & Najmi 2020, "The many Shapley values for model explanation").
"""

from collections.abc import Callable, Mapping, Sequence
from math import factorial

import numpy as np
from numpy.typing import NDArray

from integrator.contracts.insight import Contribution
from models.attendance.features import COLUMN
from models.attendance.messages_en import DRIVERS, FACTORS, MESSAGES, WEEKDAYS

Floats = NDArray[np.float64]
PointModel = Callable[[Floats, Floats, Floats], Floats]
"""(feature rows, encoded attributes, prophet's parts) → people, one number a row."""

GROUPS: Mapping[str, tuple[str, ...]] = {
    "same_weekday": ("same_1", "same_2_mean", "same_4_mean", "same_6_median"),
    "recent_level": ("level_7", "level_14", "smoothed_level"),
    "season": ("last_year",),
    "holiday": ("is_holiday",),
    "lead_time": ("lead_days",),
    "attributes": (),
}
PROPHET_PART = {"recent_level": 0, "season": 2, "holiday": 3}
ACTIONABLE = ("attributes",)
REFERENCE_LEAD = 1.0
BATCH = 1_000


def reference(rows: Floats, similar: Floats) -> Floats:
    """The same rows, were they average similar days: levels at `similar`, no holiday, tomorrow."""
    out = rows.copy()
    for name in GROUPS["same_weekday"]:
        out[:, COLUMN[name]] = np.where(np.isfinite(rows[:, COLUMN[name]]), similar, np.nan)
    index = rows[:, COLUMN["weekday_index"]]
    usual = np.where(np.isfinite(index) & (index > 0), similar / np.where(index > 0, index, 1.0), similar)
    out[:, COLUMN["smoothed_level"]] = usual
    for name in ("level_7", "level_14"):
        out[:, COLUMN[name]] = rows[:, COLUMN["level_28"]]
    out[:, COLUMN["last_year"]] = np.where(np.isfinite(rows[:, COLUMN["last_year"]]), similar, np.nan)
    out[:, COLUMN["is_holiday"]] = 0.0
    out[:, COLUMN["lead_days"]] = REFERENCE_LEAD
    return out


def shapley(model: PointModel, rows: Floats, encoded: Floats, parts: Floats, usual: Floats, similar: Floats) -> Floats:
    """rows x groups: each group's Shapley value in people; a row's values sum to f(row) - f(reference).

    `parts` are prophet's parts (rows x 4; zeros for other families), `usual` its usual trend.
    """
    out = [
        _shapley(
            model,
            rows[i : i + BATCH],
            encoded[i : i + BATCH],
            parts[i : i + BATCH],
            usual[i : i + BATCH],
            similar[i : i + BATCH],
        )
        for i in range(0, len(rows), BATCH)
    ]
    return np.vstack(out) if out else np.empty((0, len(GROUPS)))


def _shapley(model: PointModel, rows: Floats, encoded: Floats, parts: Floats, usual: Floats, similar: Floats) -> Floats:
    names = list(GROUPS)
    base_rows, base_encoded, base_parts = reference(rows, similar), np.full_like(encoded, np.nan), parts.copy()
    base_parts[:, 0], base_parts[:, 2:] = usual, 0.0
    count = len(names)
    coalitions = range(1 << count)
    x = np.empty((len(coalitions), *rows.shape))
    a = np.empty((len(coalitions), *encoded.shape))
    p = np.empty((len(coalitions), *parts.shape))
    for mask in coalitions:
        x[mask], a[mask], p[mask] = base_rows, base_encoded, base_parts
        for number, name in enumerate(names):
            if not mask >> number & 1:
                continue
            columns = [COLUMN[feature] for feature in GROUPS[name]]
            x[mask][:, columns] = rows[:, columns]
            if name == "attributes":
                a[mask] = encoded
            if name in PROPHET_PART:
                p[mask][:, PROPHET_PART[name]] = parts[:, PROPHET_PART[name]]
    flat = model(x.reshape(-1, rows.shape[1]), a.reshape(len(x) * len(rows), -1), p.reshape(-1, parts.shape[1]))
    values = flat.reshape(len(coalitions), len(rows))
    out = np.zeros((len(rows), count))
    for number in range(count):
        for mask in coalitions:
            if mask >> number & 1:
                continue
            size = mask.bit_count()
            weight = factorial(size) * factorial(count - size - 1) / factorial(count)
            out[:, number] += weight * (values[mask | 1 << number] - values[mask])
    return out


def contributions(effects: Floats, shift: float, cap: float) -> list[Contribution]:
    """One row's effects as unrounded contributions: the groups, the median shift, the capacity's cut."""
    found = {**dict(zip(GROUPS, effects.tolist(), strict=True)), "interval_shift": shift, "capacity_cap": cap}
    return [
        Contribution(name, FACTORS[name], effect, name in ACTIONABLE) for name, effect in found.items() if effect != 0
    ]


def summary(value: float, baseline: float, weekday: int | None, kept: Sequence[Contribution]) -> str:
    """One sentence, as in: Expected attendance 900, 12 % above similar Saturdays, driven by the recent level."""
    days = MESSAGES["days"] if weekday is None else WEEKDAYS[weekday - 1]
    driver = _driver(value - baseline, kept)
    return MESSAGES["expected"].format(
        value=people(value),
        comparison=_comparison(value, baseline, days),
        driver=MESSAGES["driver"].format(driver=DRIVERS[driver].format(days=days)) if driver else "",
    )


def people(value: float) -> str:
    """A count for a sentence: thousands apart, no digits after the point."""
    return f"{value:,.0f}"


def _comparison(value: float, baseline: float, days: str) -> str:
    if baseline <= 0:
        return MESSAGES["unlike" if value > 0 else "level"].format(days=days)
    percent = round(100 * (value - baseline) / baseline)
    key = "above" if percent > 0 else "below" if percent < 0 else "level"
    return MESSAGES[key].format(percent=abs(percent), days=days)


def _driver(difference: float, kept: Sequence[Contribution]) -> str | None:
    """The largest named factor that points the way the value went; None when it hardly moved."""
    along = [part for part in kept if part.factor in DRIVERS and part.effect * difference > 0]
    return max(along, key=lambda part: abs(part.effect)).factor if along else None
