"""Feature rows: one JSON-able dict for each event and series to be scored now, with all that a prediction needs.

An event row is seen from today: its features are those a model was trained on, at that many lead days. A
series row holds the event rows of its coming occurrences.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from models.attendance.features import FEATURES, Floats, features
from models.attendance.history import History, flat_attributes, history, trusted_capacity, unit_key
from models.attendance.intervals import LEVEL
from models.base import Context, FeatureRow
from models.evaluation import conformal_margins, naive_scale

HORIZON_DAYS = 14
SIMILAR_DAYS = 8
RULE_ERRORS = 10
"""Past errors of the naive rule that its interval needs; with fewer it states none."""
SILENT_DAYS = 28
"""A unit without a known day for longer is served by the rule, whatever was trained."""
ENDED_DAYS = 365


def rows(live: pl.DataFrame, context: Context) -> list[FeatureRow]:
    """Rows of every scheduled event up to `HORIZON_DAYS` ahead, then of every series that has one or had one lately."""
    today = context.as_of.astimezone(ZoneInfo(context.timezone)).date()
    found = history(live)
    coming = unit_key(live).filter(
        ~pl.col("is_past")
        & (pl.col("status") == "scheduled")
        & (pl.col("starts_on") >= today)
        & (pl.col("starts_on") <= today + timedelta(days=HORIZON_DAYS))
    )
    events = _event_rows(found, coming.sort("starts_on", "unit", "event_id"), today)
    return events + _series_rows(events, live, today)


def example_rows(training: pl.DataFrame, context: Context) -> list[FeatureRow]:
    """A few rows of the last past week, seen from before it: example input for the model's registration."""
    last: date = training["starts_on"].max()  # type: ignore[assignment]
    cut = last - timedelta(days=6)
    earlier = training.filter(pl.col("starts_on") < cut)
    later = unit_key(training.filter(pl.col("starts_on") >= cut)).sort("starts_on", "unit", "event_id").head(5)
    return _event_rows(history(earlier), later, cut)


def _event_rows(found: History, coming: pl.DataFrame, today: date) -> list[FeatureRow]:
    number = {unit: index for index, unit in enumerate(found.units)}
    origin = _origin(found, today)
    facts = [_unit_facts(found, index, today) for index in range(len(found.units))]
    days = sorted(set(coming["starts_on"].to_list()))
    targets = [found.index(day) for day in days]
    holidays = np.zeros((len(found.units), len(days)))
    for row in coming.iter_rows(named=True):
        if row["unit"] in number and row["is_holiday"]:
            holidays[number[row["unit"]], days.index(row["starts_on"])] = 1.0
    matrix = _features(found, origin, targets, holidays) if found.units and days else np.empty((0, 0, len(FEATURES)))
    out = []
    for row in coming.iter_rows(named=True):
        index = number.get(row["unit"])
        values = None if index is None else matrix[index, days.index(row["starts_on"])].copy()
        out.append(_event_row(row, values, None if index is None else facts[index], found, index))
    return out


def _features(found: History, origin: int, targets: list[int], holidays: Floats) -> Floats:
    """Features of each target; one that others' counted events lie beside or behind is seen from its own day."""
    early = [target for target in targets if target < origin]
    parts = [features(found, target, [target], holidays[:, [n]]) for n, target in enumerate(early)]
    if later := targets[len(early) :]:
        parts.append(features(found, origin, later, holidays[:, len(early) :]))
    return np.concatenate(parts, axis=1)


def _event_row(
    row: dict[str, Any], values: Floats | None, facts: dict[str, Any] | None, found: History, index: int | None
) -> FeatureRow:
    named = {} if values is None else {name: _json(value) for name, value in zip(FEATURES, values, strict=True)}
    capacity = row["capacity"] if row["capacity"] and row["capacity"] > 0 else None
    if named and index is not None:
        own = np.array([float(capacity) if capacity else float(found.capacity[index])])
        named["capacity"] = _json(float(trusted_capacity(found.people[[index]], own)[0]))
    return {
        "subject": {"kind": "event", "id": str(row["event_id"]), "platform": str(row["platform"])},
        "unit": row["unit"],
        "series_id": row["series_id"],
        "at": row["starts_at"].isoformat(),
        "date": row["starts_on"].isoformat(),
        "capacity": capacity,
        "features": named,
        "attributes": flat_attributes(row["attributes"]),
        "history": facts,
        "similar": None if facts is None or index is None else _similar(found, index, row["starts_on"].isoweekday()),
    }


def _series_rows(events: Sequence[FeatureRow], live: pl.DataFrame, today: date) -> list[FeatureRow]:
    coming: dict[tuple[str, str], list[FeatureRow]] = {}
    for row in events:
        if row["series_id"] is not None:
            coming.setdefault((row["subject"]["platform"], str(row["series_id"])), []).append(row)
    recent = live.filter(
        pl.col("series_id").is_not_null()
        & (pl.col("starts_on") > today - timedelta(days=SILENT_DAYS))
        & (pl.col("starts_on") <= today)
    )
    for platform, series in recent.select("platform", "series_id").unique().iter_rows():
        coming.setdefault((str(platform), str(series)), [])
    return [
        {"subject": {"kind": "series", "id": series, "platform": platform}, "occurrences": found}
        for (platform, series), found in sorted(coming.items())
    ]


def _origin(found: History, today: date) -> int:
    """The first day not known yet: today, or tomorrow where today's events are over and counted."""
    return max(found.index(today), found.days) if found.units else 0


def _unit_facts(found: History, index: int, today: date) -> dict[str, Any]:
    people = found.people[index]
    known = np.flatnonzero(np.isfinite(people))
    errors = people[7:] - people[:-7]
    errors = errors[np.isfinite(errors)][-90:]
    low: float | None = None
    high: float | None = None
    if len(errors) >= RULE_ERRORS:
        low, high = conformal_margins(errors, np.zeros(len(errors)), LEVEL)
    scale = naive_scale(people)
    return {
        "known_days": len(known),
        "span_days": int(known[-1] - known[0]) + 1,
        "silent_days": (today - found.day(int(known[-1]))).days,
        "scale": _json(scale) or 0.0,
        "rule_low": None if low is None else min(low, 0.0),
        "rule_high": None if high is None else max(high, 0.0),
    }


def _similar(found: History, index: int, weekday: int) -> dict[str, Any]:
    """Mean of the last same weekdays of the unit; of its last known days where it has none of that weekday."""
    people = found.people[index]
    known = np.isfinite(people)
    same = people[known & (found.weekdays == weekday)][-SIMILAR_DAYS:]
    if len(same):
        return {"mean": float(same.mean()), "count": len(same), "weekday": weekday}
    other = people[known][-SIMILAR_DAYS:]
    return {"mean": float(other.mean()), "count": len(other), "weekday": None}


def _json(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
