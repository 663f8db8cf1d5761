"""How attendance moves around a unit's own level, learned over several partners' units; a young unit's place in it.

Log people = the unit's level + shared calendar effects + the unit's own departure at that weekday, hour or month. The shared
effects are by weekday, hour, month and holiday alone: no name, no attribute and no size of any unit is in them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.attendance.cadence import Ints, Moments
from models.attendance.features import weekday

Floats = NDArray[np.float64]
Pattern = dict[str, Any]
"""`effects` by factor, `noise` and `own`: variances of a step and of a unit's own departures, in log people."""

SIZES = {"weekday": 7, "hour": 24, "month": 12, "quarter": 4, "holiday": 2}
FACTORS: Mapping[str, tuple[str, ...]] = {
    "half_hourly": ("hour", "weekday", "holiday"),
    "hourly": ("hour", "weekday", "holiday"),
    "daily": ("weekday", "holiday"),
    "irregular": ("weekday", "holiday"),
    "weekly": ("month",),
    "monthly": ("month",),
    "quarterly": ("quarter",),
}
"""What moves with the calendar at each cadence; a unit's own departures are by the first of them."""
SMOOTHED = {
    "half_hourly": 337,
    "hourly": 169,
    "daily": 21,
    "irregular": 13,
    "weekly": 53,
    "monthly": 13,
    "quarterly": 5,
}
"""Known steps over which a unit's level is taken while the effects are learned."""
RIDGE = 5.0
HALF = 0.5
"""Added to people before the logarithm, so that an empty step has one."""
_LARGEST = 1.5
_LEAST_OWN = 1e-3
_ENOUGH = 3
_ROUNDS = 4


@dataclass(frozen=True)
class Steps:
    """Known steps of one unit in order: when, how many people, whether a holiday."""

    when: Moments
    people: Floats
    holiday: NDArray[np.bool_]


@dataclass(frozen=True)
class Place:
    """A unit's own part: its level and its departures by the first factor's codes, in log people."""

    level: float
    own: Floats


def codes(cadence: str, when: Moments, holiday: NDArray[np.bool_]) -> dict[str, Ints]:
    """Each factor's code of every step, from 0."""
    months = when.astype("datetime64[M]").astype(np.int64) % 12
    found = {
        "weekday": weekday(when) - 1,
        "hour": when.astype("datetime64[h]").astype(np.int64) % 24,
        "month": months,
        "quarter": months // 3,
        "holiday": holiday.astype(np.int64),
    }
    return {name: np.asarray(found[name], dtype=np.intp) for name in FACTORS[cadence]}


def fit(cadence: str, members: Sequence[Sequence[Steps]], weights: Sequence[float]) -> Pattern:
    """Shared effects under a ridge penalty, each step counting by its partner's weight.

    Both sides are taken against the unit's own moving level first, which leaves its size and its growth out of them
    (Frisch & Waugh 1933). The variances are moment estimates (DerSimonian & Laird 1986).
    """
    width = sum(SIZES[name] for name in FACTORS[cadence])
    normal, right = RIDGE * np.eye(width), np.zeros(width)
    parts = []
    for units, weight in zip(members, weights, strict=True):
        for unit in units:
            design, target = _levelled(cadence, unit)
            normal += weight * design.T @ design
            right += weight * design.T @ target
            parts.append((unit, design, target, weight))
    found = np.asarray(np.linalg.solve(normal, right), dtype=np.float64)
    noise = _weighted([(float(np.mean((t - d @ found) ** 2)), w * len(t)) for _, d, t, w in parts])
    own = _weighted([entry for part in parts for entry in _departures(cadence, *part, found, noise)])
    return {"effects": _split(cadence, found), "noise": max(noise, 1e-6), "own": max(own, _LEAST_OWN)}


def effect(cadence: str, pattern: Pattern, when: Moments, holiday: NDArray[np.bool_]) -> Floats:
    """The shared effects of steps, in log people."""
    total = np.zeros(len(when))
    for name, code in codes(cadence, when, holiday).items():
        total = total + np.asarray(pattern["effects"][name])[code]
    return total


def place(cadence: str, pattern: Pattern, unit: Steps) -> Place:
    """A unit's level and departures from few known steps: departures shrunk by how much units differ (empirical Bayes)."""
    rest = np.log(unit.people + HALF) - effect(cadence, pattern, unit.when, unit.holiday)
    main = codes(cadence, unit.when, unit.holiday)[FACTORS[cadence][0]]
    size = SIZES[FACTORS[cadence][0]]
    count = np.bincount(main, minlength=size)
    own = np.zeros(size)
    level = float(rest.mean())
    for _ in range(_ROUNDS):
        own = np.bincount(main, rest - level, minlength=size) / (count + pattern["noise"] / pattern["own"])
        level = float((rest - own[main]).mean())
    return Place(level, own)


def forecast(cadence: str, pattern: Pattern, found: Place, when: Moments, holiday: NDArray[np.bool_]) -> Floats:
    """Log people of coming steps."""
    main = codes(cadence, when, holiday)[FACTORS[cadence][0]]
    return np.asarray(found.level + found.own[main] + effect(cadence, pattern, when, holiday))


def blended(log: Floats, naive: Floats) -> Floats:
    """The forecast: half the pattern, half what the naive rule says, in log people.

    Equal weights: they lose little against learned ones and never much (Smith & Wallis 2009, "A simple explanation of the
    forecast combination puzzle"), and a unit that moves unlike the others is half its own.
    """
    return np.asarray((log + np.log(np.maximum(naive, 0.0) + HALF)) / 2)


def _levelled(cadence: str, unit: Steps) -> tuple[Floats, Floats]:
    """The factors' columns and log people, both against their moving level; a step far off counts as less far."""
    target = np.log(unit.people + HALF)
    blocks = [np.eye(SIZES[name])[code] for name, code in codes(cadence, unit.when, unit.holiday).items()]
    design = np.hstack(blocks)
    level = _moving(np.column_stack([target, design]), SMOOTHED[cadence])
    return design - level[:, 1:], np.clip(target - level[:, 0], -_LARGEST, _LARGEST)


def _moving(values: Floats, width: int) -> Floats:
    """Centred moving means down the columns, over fewer steps at the ends."""
    total = np.vstack([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
    at = np.arange(len(values))
    low, high = np.maximum(at - width // 2, 0), np.minimum(at + width // 2 + 1, len(values))
    return np.asarray((total[high] - total[low]) / (high - low)[:, None])


def _departures(
    cadence: str, unit: Steps, design: Floats, target: Floats, weight: float, found: Floats, noise: float
) -> list[tuple[float, float]]:
    """(squared mean residual beyond chance, weight) of each code of the first factor that a unit has often enough."""
    main = codes(cadence, unit.when, unit.holiday)[FACTORS[cadence][0]]
    rest = target - design @ found
    return [
        (float(rest[main == code].mean() ** 2 - noise / (main == code).sum()), weight)
        for code in np.unique(main)
        if (main == code).sum() >= _ENOUGH
    ]


def _split(cadence: str, found: Floats) -> dict[str, Floats]:
    """The factors' effects apart, each around its own mean; a holiday's against ordinary days."""
    out: dict[str, Floats] = {}
    start = 0
    for name in FACTORS[cadence]:
        part = found[start : start + SIZES[name]]
        out[name] = part - (part[0] if name == "holiday" else part.mean())
        start += SIZES[name]
    return out


def _weighted(pairs: Sequence[tuple[float, float]]) -> float:
    total = sum(weight for _, weight in pairs)
    return sum(value * weight for value, weight in pairs) / total if total > 0 else 0.0
