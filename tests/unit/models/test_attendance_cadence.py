"""Any cadence: told from the moments alone, stepped on the calendar, and carried through training, rows and sentences."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from models.attendance.cadence import BY_NAME, CADENCES, infer, starts, steps
from models.attendance.history import history
from models.base import Context, Prediction, TrainConfig, Trained
from models.registry import use_case
from tests.attendance_frames import frame

ATTENDANCE = use_case("attendance")
NOW = datetime(2026, 3, 16, tzinfo=UTC)
CONTEXT = Context(partner="arena", timezone="UTC", currency="GBP", region="GB", as_of=NOW)
FAST = TrainConfig(candidates=("seasonal_mean", "exponential_smoothing"))


def moments(first: str, count: int, every: str) -> Any:
    return np.arange(count) * np.timedelta64(1, every) + np.datetime64(first, "m")


MIDDAY = np.datetime64("2026-01-05T12:00", "m")
DAY = np.timedelta64(1440, "m")
KNOWN = {
    "every hour": ("hourly", moments("2026-01-05T00:00", 400, "h")),
    "opening hours": ("hourly", np.concatenate([moments(f"2026-01-{d:02d}T09:00", 8, "h") for d in range(5, 28)])),
    "matinee and evening": ("hourly", np.sort(np.concatenate([MIDDAY + np.arange(30) * DAY, MIDDAY + 480 + np.arange(30) * DAY]))),
    "half hours": ("half_hourly", MIDDAY + np.arange(500) * np.timedelta64(30, "m")),
    "days": ("daily", MIDDAY + np.arange(60) * DAY),
    "working days": ("daily", np.array([MIDDAY + n * DAY for n in range(60) if n % 7 < 5])),
    "weekends": ("daily", np.array([MIDDAY + n * DAY for n in range(90) if n % 7 >= 5])),
    "three days a week": ("daily", np.array([MIDDAY + n * DAY for n in range(90) if n % 7 in (0, 2, 4)])),
    "days with a closed month": ("daily", np.array([MIDDAY + n * DAY for n in range(120) if not 30 <= n < 60])),
    "Mondays": ("weekly", MIDDAY + np.arange(30) * 7 * DAY),
    "weekly, the day moves": ("weekly", MIDDAY + (np.arange(30) * 7 + np.arange(30) % 3) * DAY),
    "first of the month": ("monthly", np.arange("2020-01", "2024-01", dtype="datetime64[M]").astype("datetime64[m]")),
    "first of the quarter": ("quarterly", np.arange("2015-01", "2024-01", 3, dtype="datetime64[M]").astype("datetime64[m]")),
    "years": ("yearly", np.arange("1990", "2020", dtype="datetime64[Y]").astype("datetime64[m]")),
    "home games": ("irregular", MIDDAY + np.cumsum([4, 9, 3, 12, 6, 5, 11, 4, 8, 60, 5, 9, 4, 13, 3, 7]) * DAY),
    "one": ("daily", MIDDAY + np.arange(1) * DAY),
    "two": ("daily", MIDDAY + np.arange(2) * 5 * DAY),
}  # fmt: skip


@pytest.mark.parametrize("name", KNOWN)
def test_a_cadence_is_told_from_its_moments_in_any_order(name: str) -> None:
    expected, found = KNOWN[name]
    assert infer(found).name == expected
    assert infer(np.random.default_rng(1).permutation(np.concatenate([found, found]))).name == expected


@pytest.mark.parametrize("name", [cadence.name for cadence in CADENCES if cadence.name != "irregular"])
def test_a_step_s_number_and_its_start_are_each_other_s_inverse(name: str) -> None:
    cadence = BY_NAME[name]
    numbers = np.arange(-500, 2000, 7)
    assert steps(cadence, starts(cadence, numbers)).tolist() == numbers.tolist()
    if name == "weekly":
        assert {str(day)[:10] for day in starts(cadence, np.array([0, 1]))} == {"1969-12-29", "1970-01-05"}


def test_hours_are_local_so_that_a_change_of_clocks_moves_nothing() -> None:
    """A show at 20:00 in London is at 20:00 before and after the clocks change, an hour earlier in UTC."""
    days = [datetime(2025, 3, 20, 20, tzinfo=UTC) + timedelta(days=n) for n in range(18)]
    rows = []
    for day in days:
        utc = day - timedelta(hours=1 if day.date() >= datetime(2025, 3, 30, tzinfo=UTC).date() else 0)
        for hours in (0, 1):
            rows.append(_event("show", utc - timedelta(hours=4 * hours), 100 - 50 * hours, timezone="Europe/London"))
    grid = history(frame(rows)).grid("hourly")
    known = np.flatnonzero(np.isfinite(grid.people[0]))
    assert set((grid.first + known) % 24) == {16, 20}


def _event(series: str, at: datetime, people: float | None, **other: Any) -> dict[str, Any]:
    return {
        "partner": "arena", "platform": "pretix", "event_id": f"{series}-{at:%Y%m%d%H%M}", "series_id": series,
        "name": "x", "venue_name": "Hall", "category": "c", "starts_at": at, "starts_on": at.date(),
        "weekday": at.isoweekday(), "month": at.month, "timezone": "UTC", "region": "GB", "holiday_name": None,
        "capacity": None, "status": "completed" if at < NOW else "scheduled", "is_holiday": False, "days_out": 0,
        "attendance": None if people is None or at >= NOW else round(people), "is_past": at < NOW, "attributes": "{}",
    } | other  # fmt: skip


def _month(n: int) -> datetime:
    return datetime(2026 + (2 + n) // 12, (2 + n) % 12 + 1, 1, 12, tzinfo=UTC)


def _pattern(when: list[datetime], shape: Any) -> list[dict[str, Any]]:
    random = np.random.default_rng(4)
    return [_event("odd", at, shape(at) * random.lognormal(0, 0.03)) for at in when]


HOURS = [NOW + timedelta(hours=n) for n in range(-24 * 21, 60)]
MONTHS = [_month(n) for n in range(-60, 30)]
GAMES = [NOW + timedelta(days=int(n), hours=19) for n in np.cumsum([3, 8, 5, 12, 4, 9, 6] * 9) - 380]
FRAMES = {
    "hourly": _pattern(HOURS, lambda at: 100 + 80 * np.sin(at.hour / 24 * 2 * np.pi) + 30 * (at.isoweekday() >= 6)),
    "weekly": _pattern([NOW + timedelta(weeks=n) for n in range(-80, 20)], lambda at: 300 + at.toordinal() % 50),
    "monthly": _pattern(MONTHS, lambda at: 500 + 200 * np.sin(at.month / 12 * 2 * np.pi)),
    "quarterly": _pattern(MONTHS[1::3], lambda at: 500 + 100 * (at.month % 4)),
    "irregular": _pattern(GAMES, lambda at: 2000 + 800 * (at.isoweekday() >= 6)),
}
WORDS = {
    "hourly": ("similar Mondays at 00:00", "similar days at 00:00"),
    "weekly": ("similar weeks",),
    "monthly": ("similar Aprils",),
    "quarterly": ("similar second quarters",),
    "irregular": tuple(f"similar {day}days" for day in ("Mon", "Tues", "Wednes", "Thurs", "Fri", "Satur", "Sun")),
}


@pytest.fixture(scope="module")
def everything() -> tuple[Trained, dict[str, list[Prediction]]]:
    """One partner with a series of every cadence, trained together."""
    live = frame(
        *([{**row, "series_id": name, "event_id": f"{name} {row['event_id']}"} for row in rows] for name, rows in FRAMES.items())
    )  # fmt: skip
    found = ATTENDANCE.train(live, FAST, CONTEXT)
    said: dict[str, list[Prediction]] = {}
    rows = ATTENDANCE.rows(live, CONTEXT)
    for row, one in zip(rows, found.model.predict(rows), strict=True):
        said.setdefault(row.get("series_id") or f"series {row['subject']['id']}", []).append(one)
    return found, said


@pytest.mark.parametrize("name", FRAMES)
def test_every_cadence_has_its_own_horizon_steps_and_words(
    name: str, everything: tuple[Trained, dict[str, list[Prediction]]]
) -> None:
    found, said = everything
    horizon = found.params["horizon"][name]
    spans = found.model.state()["series"]["units"][f"series|pretix|{name}"]
    assert spans["cadence"] == name
    assert horizon == min(BY_NAME[name].horizon, found.params["steps"][name] // 3)
    coming = sum(not row["is_past"] for row in FRAMES[name])
    first = said[name][0]
    assert any(words in first.summary for words in WORDS[name]) or first.status == "fallback", first.summary
    assert len([one for one in said[name] if one.value is not None]) == min(horizon, coming)
    [series] = said[f"series {name}"]
    assert len(series.details["horizon"]) == min(horizon, coming)
    assert all(one["p10"] <= one["p50"] <= one["p90"] for one in series.details["horizon"])
    assert (series.coverage is not None or series.status == "fallback") and first.details["why"]


def test_what_lies_beyond_a_third_of_the_history_is_refused_with_the_reason() -> None:
    short = [row for row in FRAMES["monthly"] if row["starts_at"] >= _month(-24)]
    live = frame(short)
    model = ATTENDANCE.train(live, FAST, CONTEXT).model
    said = [one for one in model.predict(ATTENDANCE.rows(live, CONTEXT)) if one.subject.kind == "event"]
    assert [one.value is not None for one in said] == [True] * 8 + [False] * 4
    assert "9 months ahead, and a history of 25 months supports 8" in said[8].summary


def test_readiness_counts_the_cadence_s_own_steps() -> None:
    few = [row for row in FRAMES["monthly"] if row["starts_at"] >= _month(-10)]
    found = ATTENDANCE.readiness(frame(few), CONTEXT)
    assert not found.ready and "11 of 24 months of attendance history" in str(found)


@pytest.mark.parametrize("missing", ["region", "holiday_name", "timezone", "category", "venue_name"])
def test_a_column_that_a_frame_lacks_counts_as_unknown(missing: str) -> None:
    live = frame(FRAMES["monthly"]).drop(missing)
    assert history(live).grid("monthly").known.tolist() == [61]
    assert ATTENDANCE.rows(live, CONTEXT)


def test_start_times_alone_or_days_alone_are_enough() -> None:
    live = frame(FRAMES["monthly"])
    for column, kind in (("starts_on", pl.Date), ("starts_at", pl.Datetime(time_zone="UTC"))):
        blank = live.with_columns(pl.lit(None, dtype=kind).alias(column))
        assert history(blank).grid("monthly").known.tolist() == [61]
