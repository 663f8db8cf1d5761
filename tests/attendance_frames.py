"""Synthetic frames in the shape of `features.attendance`: seeded, small, with a weekday pattern and a slow trend.

Made up on purpose, for tests of mechanics only: no figure about quality may rest on them.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import numpy as np
import polars as pl

from models.base import Context, FittedModel, Trained
from models.registry import use_case

TODAY = date(2026, 3, 16)
CONTEXT = Context(
    partner="arena",
    timezone="Europe/London",
    currency="GBP",
    region="GB-ENG",
    as_of=datetime.combine(TODAY, time(6), UTC),
)
SCHEMA: dict[str, Any] = {
    "partner": pl.String,
    "platform": pl.String,
    "event_id": pl.String,
    "series_id": pl.String,
    "name": pl.String,
    "venue_name": pl.String,
    "category": pl.String,
    "starts_at": pl.Datetime(time_zone="UTC"),
    "starts_on": pl.Date,
    "weekday": pl.Int64,
    "month": pl.Int64,
    "timezone": pl.String,
    "region": pl.String,
    "holiday_name": pl.String,
    "capacity": pl.Int64,
    "status": pl.String,
    "is_holiday": pl.Boolean,
    "days_out": pl.Int64,
    "attendance": pl.Int64,
    "is_past": pl.Boolean,
    "attributes": pl.String,
}
SHAPE = (0.8, 0.85, 0.9, 1.0, 1.3, 1.6, 1.1)


def event(series: str | None, day: date, attendance: int | None, **other: Any) -> dict[str, Any]:
    """One event row; past when before `TODAY`. `other` overrides any column."""
    row = {
        "partner": "arena",
        "platform": "pretix",
        "event_id": f"{series}-{day}",
        "series_id": series,
        "name": "An evening",
        "venue_name": "Hall",
        "category": "concert",
        "starts_at": datetime.combine(day, time(19), UTC),
        "starts_on": day,
        "weekday": day.isoweekday(),
        "month": day.month,
        "timezone": "Europe/London",
        "region": "GB-ENG",
        "holiday_name": None,
        "capacity": 1000,
        "status": "completed" if day < TODAY else "scheduled",
        "is_holiday": False,
        "days_out": (day - TODAY).days,
        "attendance": attendance,
        "is_past": day < TODAY,
        "attributes": "{}",
    }
    return {**row, **other}


def synthetic_people(days: int, *, level: float, seed: int) -> list[int]:
    """Weekday pattern x slow rise x noise, for the `days` days before `TODAY`."""
    random = np.random.default_rng(seed)
    first = TODAY - timedelta(days=days)
    shape = np.array([SHAPE[(first + timedelta(days=i)).weekday()] for i in range(days)])
    rise = np.linspace(0.9, 1.2, days)
    found = level * shape * rise * random.lognormal(0, 0.06, days)
    return [round(float(value)) for value in found]


def series(
    name: str, people: Sequence[int | None], *, ahead: int = 14, gap: int = 0, **other: Any
) -> list[dict[str, Any]]:
    """A daily series ending `gap` days before today, and its scheduled events of the coming days."""
    first = TODAY - timedelta(days=len(people) + gap)
    rows = [event(name, first + timedelta(days=i), value, **other) for i, value in enumerate(people)]
    return rows + [event(name, TODAY + timedelta(days=i), None, **other) for i in range(ahead)]


def frame(*groups: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """All rows as one frame of the relation's columns."""
    return pl.DataFrame([row for group in groups for row in group], schema=SCHEMA, orient="row")


def arena(*, days: int = 63) -> pl.DataFrame:
    """Three venues with a usual history."""
    return frame(
        *(series(name, synthetic_people(days, level=level, seed=n), capacity=capacity)
          for n, (name, level, capacity) in enumerate([("hall", 400, 1000), ("club", 90, 300), ("park", 2000, 9000)]))
    )  # fmt: skip


def training(live: pl.DataFrame) -> pl.DataFrame:
    """The training relation of a live frame."""
    return live.filter(pl.col("is_past") & pl.col("attendance").is_not_null())


def speaking(trained: Trained, family: str) -> FittedModel:
    """The trained model, were `family` chosen for every series it knows, whichever won on a frame made up."""
    state = trained.model.state()
    units = {
        unit: {**facts, "family": family, "weights": {family: 1.0}, "why": "untested"}
        for unit, facts in state["series"]["units"].items()
    }
    series_state = {**state["series"], "units": units, "is_better": True}
    return use_case("attendance").restore({**state, "series": series_state})
