"""Feature rows: one JSON-able dict for each event and series to be scored now, with all that a prediction needs.

An event row is seen from now: its features are those a model was trained on, at that many steps ahead. A series
row holds the event rows of its coming occurrences.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from integrator.contracts.insight import Subject
from models.attendance.attributes import flat_attributes
from models.attendance.booking.rows import booking_facts, sold_events
from models.attendance.cadence import DAILY, Cadence, Ints, steps
from models.attendance.features import FEATURES, Seen, features
from models.attendance.grid import Calendar, Floats, Grid, naive_scales, trusted_capacity
from models.attendance.history import (
    UNNAMED,
    History,
    history_of,
    holidays_by_region,
    near_holidays,
    past,
    prepared,
)
from models.attendance.rule_errors import rule_facts, rule_lag
from models.attendance.similar import similar, similar_key
from models.base import Context, FeatureRow

SILENT_DAYS = 28
"""A unit without a known step for longer, or for four of its steps, is served by the rule, whatever was trained."""
SILENT_STEPS = 4
OFF_SEASON_DAYS = 240
"""What a league's summer may last before an irregular series counts as silent."""
ENDED_DAYS = 365
EXAMPLES = 5


def rows(live: pl.DataFrame, context: Context, subjects: Collection[Subject] | None = None) -> list[FeatureRow]:
    """Rows of every scheduled event within its cadence's horizon, then of every series that has one or had one lately.

    With `subjects`, of these alone: all coming events of their units are looked at, as an event's place among them counts.
    """
    full = prepared(live, context.timezone)
    now = context.as_of.astimezone(ZoneInfo(context.timezone)).replace(tzinfo=None)
    found = history_of(full)
    # Not by date: west of the partner's zone the day of what starts in an hour may be over where the partner is.
    # What is said to come may have begun since the frame was read, where parts of it are newer than others.
    ahead = (pl.col("starts_at").cast(pl.Datetime("us", "UTC")) >= pl.lit(context.as_of)).fill_null(value=True)
    coming = full.filter(~pl.col("is_past") & (pl.col("status") == "scheduled") & ahead).sort(
        "local", "unit", "event_id"
    )
    if subjects is not None:
        coming = coming.filter(pl.col("unit").is_in(_units_of(coming, subjects)))
    events = _with_bookings(event_rows(found, full, coming, now, context), full, coming, context)
    made = events + _series_rows(events, full, now.date(), context)
    return made if subjects is None else [row for row in made if Subject(**row["subject"]) in subjects]


def _units_of(coming: pl.DataFrame, subjects: Collection[Subject]) -> list[str]:
    """The units of the coming events that are among the subjects, or whose series is."""
    return [
        unit
        for unit, platform, event, series in coming.select("unit", "platform", "event_id", "series_id").iter_rows()
        if Subject("event", str(event), str(platform)) in subjects
        or Subject("series", str(series), str(platform)) in subjects
    ]


def example_rows(training: pl.DataFrame, context: Context) -> list[FeatureRow]:
    """A few rows of the newest past moments, seen from before them: example input for the model's registration."""
    known = past(prepared(training, context.timezone)).sort("local", "unit", "event_id")
    later = known.tail(EXAMPLES)
    cut = later["local"].min()
    earlier = known.filter(pl.col("local") < cut, pl.col("unit").is_in(later["unit"].unique().to_list()))
    if not isinstance(cut, datetime) or not earlier.height:
        return []
    return event_rows(history_of(earlier), known, later.filter(pl.col("local") >= cut), cut, context)


def _with_bookings(
    events: list[FeatureRow], full: pl.DataFrame, coming: pl.DataFrame, context: Context
) -> list[FeatureRow]:
    """The rows with what is sold of each event, and rows of those on sale that are further ahead."""
    known = sold_events(full).height
    there = {(row["subject"]["platform"], row["subject"]["id"]): row for row in events}
    out: list[FeatureRow] = []
    for event in coming.to_dicts():
        row = there.get((str(event["platform"]), str(event["event_id"])))
        facts = booking_facts(event, context.as_of, context.timezone, known)
        if row is None and facts is None:
            continue
        found = _row(event, context, DAILY) if row is None else row
        found["booking"] = None if facts is None else {**facts, "is_far": row is None}
        out.append(found)
    return out


def event_rows(
    found: History, full: pl.DataFrame, coming: pl.DataFrame, now: datetime, context: Context
) -> list[FeatureRow]:
    """Rows of the events `coming`, in its order; those beyond their cadence's horizon are left out."""
    region_days = holidays_by_region(full)
    events = coming.to_dicts()
    made: dict[int, FeatureRow] = {}
    for number, grid in enumerate(found.grids):
        own = [n for n, event in enumerate(events) if found.places.get(event["unit"], (-1, 0))[0] == number]
        if own:
            made.update(_grid_rows(grid, {n: events[n] for n in own}, now, region_days, context))
    for n, event in enumerate(events):
        if event["unit"] not in found.places and event["local"].date() < now.date() + timedelta(days=DAILY.horizon):
            made[n] = _row(event, context, DAILY)
    return [made[n] for n in sorted(made)]


def _grid_rows(
    grid: Grid, events: dict[int, dict[str, Any]], now: datetime, region_days: Any, context: Context
) -> dict[int, FeatureRow]:
    """Event number → row, of the events of one grid's units."""
    unit_of = {unit: row for row, unit in enumerate(grid.units)}
    units = np.array([unit_of[event["unit"]] for event in events.values()], dtype=np.intp)
    moments = np.array([event["local"] for event in events.values()], dtype="datetime64[m]")
    present = max(int(steps(grid.cadence, np.array([now], dtype="datetime64[m]"))[0]) - grid.first, grid.length)
    if grid.is_regular:
        target = steps(grid.cadence, moments) - grid.first
        # One that others' counted events lie beside or behind is seen from its own step.
        origin = np.minimum(present, target)
    else:
        target, origin = grid.length + _order(units, moments), np.full(len(units), grid.length)
    lead = target - origin + 1
    inside = np.flatnonzero(lead <= grid.cadence.horizon)
    if not len(inside):
        return {}
    units, moments, target, origin = units[inside], moments[inside], target[inside], origin[inside]
    every = list(events.items())
    numbers, chosen = [every[n][0] for n in inside], [every[n][1] for n in inside]
    pairs, place = np.unique(np.stack([origin, target]), axis=1, return_inverse=True)
    place = place.ravel()
    grid, calendar = _calendar(grid, chosen, units, moments, place, pairs[1], region_days)
    seen = Seen(grid, max(1, grid.cadence.horizon // 2))
    matrix = features(seen, pairs[0], pairs[1], calendar)
    alike = similar(seen, matrix, pairs[0], pairs[1])
    scales = naive_scales(grid.people, grid.season)
    facts = {unit: _facts(grid, int(unit), now.date(), scales) for unit in np.unique(units)}
    by_rule: dict[tuple[int, int], dict[str, Any]] = {}
    out: dict[int, FeatureRow] = {}
    for n, event, unit, pair in zip(numbers, chosen, units, place, strict=True):
        values = matrix[unit, pair].copy()
        steps_ahead = int(pairs[1, pair] - pairs[0, pair]) + 1
        row = _row(event, context, grid.cadence)
        row["features"] = _named(values, event, grid, int(unit))
        row["when"] = str(calendar.when[unit, pair])
        lag = int(unit), rule_lag(int(grid.season[unit]), steps_ahead)
        if lag not in by_rule:
            by_rule[lag] = rule_facts(grid, *lag)
        row["history"] = {**facts[unit], **by_rule[lag]}
        row["similar"] = {
            "mean": float(alike.mean[unit, pair]), "count": int(alike.count[unit, pair]),
            **similar_key(grid, int(unit), calendar.when[unit, pair], is_same=bool(alike.is_same[unit, pair])),
        }  # fmt: skip
        out[n] = row
    return out


def _order(units: Ints, moments: Any) -> Ints:
    """0, 1, 2 … for each unit's moments in order; equal moments share their number."""
    out = np.zeros(len(units), dtype=np.intp)
    for unit in np.unique(units):
        own = units == unit
        out[own] = np.searchsorted(np.unique(moments[own]), moments[own])
    return out


def _calendar(
    grid: Grid, events: Sequence[dict[str, Any]], units: Ints, moments: Any, place: Ints, target: Ints, region_days: Any
) -> tuple[Grid, Calendar]:
    """The targets' calendar, and the grid with the holidays' names that are new in it."""
    names = [(event["holiday_name"] or UNNAMED) if event["is_holiday"] else "" for event in events]
    if len(grid.holidays) == 1 and grid.cadence.days > 7:
        names = ["" for _ in names]
    grid = replace(grid, holidays=(*grid.holidays, *sorted(set(names) - set(grid.holidays))))
    shape = (len(grid.units), len(target))
    if grid.is_regular:
        when = np.broadcast_to(grid.moments(target), shape).copy()
    else:
        when = np.full(shape, np.datetime64("1970-01-01T00:00", "m"))
        when[units, place] = moments
    holiday = np.zeros(shape, dtype=np.intp)
    before, after = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    for name, event, unit, pair in zip(names, events, units, place, strict=True):
        if name:
            holiday[unit, pair] = grid.holidays.index(name)
        region = event["region"] or ""
        before[unit, pair] = near_holidays(when[unit, pair], region_days, region, 1)
        after[unit, pair] = near_holidays(when[unit, pair], region_days, region, -1)
    return grid, Calendar(when=when, holiday=holiday, before=before, after=after)


def _row(event: dict[str, Any], context: Context, cadence: Cadence) -> FeatureRow:
    """A row without any history yet."""
    return {
        "subject": {"kind": "event", "id": str(event["event_id"]), "platform": str(event["platform"])},
        "unit": event["unit"],
        "series_id": event["series_id"],
        "language": context.language,
        "cadence": cadence.name,
        "at": event["starts_at"].isoformat() if event["starts_at"] else event["local"].isoformat(),
        "date": event["local"].date().isoformat(),
        "capacity": event["capacity"] if event["capacity"] and event["capacity"] > 0 else None,
        "holiday": (event["holiday_name"] or UNNAMED) if event["is_holiday"] else "",
        "features": {},
        "attributes": flat_attributes(event["attributes"]),
        "history": None,
        "similar": None,
        "booking": None,
    }


def _named(values: Floats, event: dict[str, Any], grid: Grid, unit: int) -> dict[str, float | None]:
    named = {name: json_number(value) for name, value in zip(FEATURES, values, strict=True)}
    own = event["capacity"] if event["capacity"] and event["capacity"] > 0 else grid.capacity[unit]
    named["capacity"] = json_number(trusted_capacity(grid.people[[unit]], np.array([float(own)]))[0])
    return named


def _facts(grid: Grid, unit: int, today: date, scales: Floats) -> dict[str, Any]:
    known = np.flatnonzero(np.isfinite(grid.people[unit]))
    last = grid.calendar.when[unit, known[-1]].astype("datetime64[D]").item()
    silent = max(SILENT_DAYS, SILENT_STEPS * grid.cadence.days) if grid.is_regular else OFF_SEASON_DAYS
    span = int(known[-1] - known[0]) + 1
    return {
        "known": len(known),
        "span": span,
        "reach": max(1, span // 3),
        # Where others' histories stand behind it: half of a cadence's horizon, however short its own.
        "borrowed_reach": max(span // 3, grid.cadence.horizon // 2),
        "silent_days": (today - last).days,
        "is_silent": (today - last).days > silent,
        "has_ended": (today - last).days > max(ENDED_DAYS, SILENT_STEPS * grid.cadence.days),
        "scale": json_number(scales[unit]) or 0.0,
    }


def _series_rows(events: Sequence[FeatureRow], full: pl.DataFrame, today: date, context: Context) -> list[FeatureRow]:
    coming: dict[tuple[str, str], list[FeatureRow]] = {}
    for row in events:
        if row["series_id"] is not None:
            coming.setdefault((row["subject"]["platform"], str(row["series_id"])), []).append(row)
    day = pl.col("local").dt.date()
    recent = full.filter(
        pl.col("series_id").is_not_null() & (day > today - timedelta(days=SILENT_DAYS)) & (day <= today)
    )
    for platform, series in recent.select("platform", "series_id").unique().iter_rows():
        coming.setdefault((str(platform), str(series)), [])
    return [
        {
            "subject": {"kind": "series", "id": series, "platform": platform},
            "language": context.language,
            "occurrences": found,
        }
        for (platform, series), found in sorted(coming.items())
    ]


def json_number(value: float) -> float | None:
    """The number as JSON has it, at twelve digits: None for what is not finite."""
    return float(f"{value:.12g}") if np.isfinite(value) else None
