"""What a prediction said of an outcome, and which outcome a lead's prediction has: read off the documents, no database.

A use case without an entry here is held by its value and its interval, and by nothing else.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from integrator.storage.realized import Waiting

JUST_BEFORE = timedelta(microseconds=1)
BUCKETS: Mapping[str, Mapping[str, timedelta]] = {
    "attendance": {
        "last": JUST_BEFORE,
        **{f"{days}d": timedelta(days=days) for days in (1, 3, 7, 14, 28, 56)},
    }
}
"""Where several predictions precede an outcome: the one standing so long before it. Fixed, so that a partner scored
every hour is judged by as many as one scored every night, and far ahead and near are told apart."""
LAST, FIRST = "last", "first"
WEEK = timedelta(days=7)
HORIZON_DAYS = 90
"""Of a lead whose prediction does not say it."""


@dataclass(frozen=True)
class Expected:
    """What was said: the value, and the interval with its level where one was given."""

    value: float
    low: float | None = None
    high: float | None = None
    level: float | None = None


def buckets(use_case: str) -> Mapping[str, timedelta]:
    """The lead buckets of a use case: how long before the outcome a prediction must have stood."""
    return BUCKETS.get(use_case, {LAST: JUST_BEFORE})


def expected(use_case: str, prediction: Mapping[str, Any], outcome: Waiting) -> Expected | None:
    """What a prediction said of an outcome; None where it said nothing of it: a date or a price beyond what it spoke of."""
    found = SAID.get(use_case, _said)(prediction, outcome)
    return found if found is not None and math.isfinite(found.value) else None


def _said(prediction: Mapping[str, Any], outcome: Waiting) -> Expected | None:
    value = prediction.get("value")
    if value is None:
        return None
    interval = prediction.get("interval")
    if not interval:
        return Expected(float(value))
    return Expected(float(value), float(interval["low"]), float(interval["high"]), float(interval["level"]))


def _people(prediction: Mapping[str, Any], outcome: Waiting) -> Expected | None:
    """An event's own value; of a series the entry of that moment, P10 to P90 being its interval."""
    if outcome.subject_kind != "series":
        return _said(prediction, outcome)
    for entry in prediction.get("details", {}).get("horizon") or ():
        if entry.get("p50") is not None and datetime.fromisoformat(entry["at"]) == outcome.happened_at:
            low, high = entry.get("p10"), entry.get("p90")
            known = low is not None and high is not None
            return Expected(float(entry["p50"]), low, high, 0.8 if known else None)
    return None


def _demand(prediction: Mapping[str, Any], outcome: Waiting) -> Expected | None:
    """Units that were expected at the price taken, read off the demand curve of a week and scaled to the period.

    The interval is a week's and does not scale, so other periods have none. A price beyond the curve was not spoken of.
    """
    details = prediction.get("details", {})
    share = (outcome.happened_at - outcome.begins_at) / WEEK
    curve = details.get("demand_curve") or ()
    asked = details.get("current_price") if outcome.price is None else outcome.price

    def said(name: str) -> float | None:
        if not curve:  # the naive rule keeps the price, whatever it is
            found = details.get(f"expected_{name}")
            return None if found is None else float(found)
        known = [(float(point["price"]), float(point[name])) for point in curve if point.get(name) is not None]
        return interpolated(known, asked)

    quantity, low, high = (said(name) for name in ("quantity", "quantity_low", "quantity_high"))
    if quantity is None:
        return None
    # A week with a change to or from summer time is an hour off.
    if low is None or high is None or abs(share - 1) > 0.01:
        return Expected(quantity * share)
    return Expected(quantity * share, low, high, _level(prediction))


def _level(prediction: Mapping[str, Any]) -> float:
    interval = prediction.get("interval")
    return float(interval["level"]) if interval else 0.8


def interpolated(curve: Sequence[tuple[float, float]], x: float | None) -> float | None:
    """y of a piecewise linear curve at x; None beyond its ends, with half a per cent of slack for rounded prices."""
    points = sorted(curve)
    if x is None or not points or not points[0][0] * 0.995 <= x <= points[-1][0] * 1.005:
        return None
    x = min(max(x, points[0][0]), points[-1][0])
    for (left, low), (right, high) in pairwise(points):
        if left <= x <= right:
            return low if right == left else low + (high - low) * (x - left) / (right - left)
    return points[0][1]


SAID: Mapping[str, Callable[[Mapping[str, Any], Waiting], Expected | None]] = {
    "attendance": _people,
    "pricing": _demand,
}


def due(prediction: Mapping[str, Any], feature_row: Mapping[str, Any] | None, as_of: datetime) -> datetime:
    """The end of the horizon that a lead's prediction speaks of."""
    days = prediction.get("details", {}).get("horizon_days") or (feature_row or {}).get("horizon_days") or HORIZON_DAYS
    return as_of + timedelta(days=float(days))


def lead_answer(outcomes: Sequence[Waiting], as_of: datetime, due_at: datetime) -> tuple[Waiting, float] | None:
    """The outcome of a lead within (as_of, due_at], as 1 or 0; None while it is open. The API's word comes first.

    A "did not convert" of the API is final for what was predicted before it, unless a conversion came after all.
    """
    for source in ("api", "platform"):
        said = [one for one in outcomes if one.source == source and one.value is not None and one.happened_at > as_of]
        inside = [one for one in said if one.value == 1 and one.happened_at <= due_at]
        if inside:
            return inside[0], 1.0
        over = [one for one in said if one.happened_at >= due_at or (source == "api" and one.value == 0)]
        if over:
            return over[0], 0.0
    return None
