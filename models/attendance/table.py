"""A file's events, or a plain table of attendance, as the training relation has them. How cells are read: `models.files`."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from integrator.contracts.errors import invalid
from integrator.contracts.records import Event, Record
from integrator.contracts.validation import known_zone
from models import files
from models.attendance.columns import COLUMNS
from models.base import Context
from models.files import MOMENTS, Holidays, Prepared, Reading, Role

KIND = "event"
COUNTED = ("scheduled", "completed")
ROLES = (
    Role(
        column="starts_at",
        names=(
            "starts_at", "at", "timestamp", "datetime", "date_time", "ts", "ds", "date", "day", "time",
            "week", "month", "quarter",
        ),
        read=files.moment,
        allowed=MOMENTS,
        required=True,
    ),
    Role(
        column="attendance",
        names=("attendance", "value", "y", "people", "visitors", "count"),
        read=files.number,
        allowed=files.NUMBERS,
        required=True,
    ),
    Role(column="series_id", names=("series_id", "unit", "series", "unique_id", "site"), read=files.text),
    Role(column="event_id", names=("event_id", "native_id", "id"), read=files.text),
    Role(column="venue_name", names=("venue_name", "venue"), read=files.text),
    Role(column="category", names=("category",), read=files.text),
    Role(column="capacity", names=("capacity",), read=files.number, allowed=files.NUMBERS),
    Role(column="region", names=("region",), read=files.text),
    Role(column="timezone", names=("timezone",), read=files.text, allowed="an IANA name"),
    Role(column="status", names=("status",), read=files.text),
    Role(column="is_holiday", names=("is_holiday", "holiday"), read=files.flag, allowed=files.FLAGS),
)  # fmt: skip
FURTHER = {"partner": pl.String, "local_hour": pl.Int64, "weekday": pl.Int64, "month": pl.Int64, "days_out": pl.Int64}


def from_table(rows: files.Rows, context: Context, reading: Reading) -> Prepared:
    """One row a unit and moment; a row without attendance is still to come, or a gap. Times without a zone are local.

    Without a column that tells units apart, the table is one series.
    """
    table = files.read(rows, ROLES, reading)
    count = len(table.lines)
    zones = [zone or context.timezone for zone in table.columns.get("timezone", [None] * count)]
    for line, zone in zip(table.lines, zones, strict=True):
        if not known_zone(zone):
            raise invalid(f"line {line}, column timezone", zone, "an IANA name such as Europe/Berlin")
    moments = table.columns["starts_at"]
    starts = [files.in_utc([moment], zone)[0] for moment, zone in zip(moments, zones, strict=True)]
    found: dict[str, Any] = {name: list(cells) for name, cells in table.columns.items()}
    found |= {"starts_at": starts, "timezone": zones}
    found["region"] = [region or context.region for region in found.get("region", [None] * count)]
    found.setdefault("event_id", [f"line-{line}" for line in table.lines])
    found.setdefault("status", [None] * count)
    if not any(name in found for name in ("series_id", "venue_name", "category")):
        found["series_id"] = ["series"] * count
    known = [start for start, people in zip(starts, found["attendance"], strict=True) if people is not None]
    as_of = files.just_after(known, context.as_of)
    prepared = _prepared(found, table.attributes, context, as_of, reading.holidays)
    names = sorted({name for row in table.attributes for name in row})
    problems = [*table.problems, *prepared.problems]
    return replace(prepared, named=table.named, attributes=names, problems=problems)


def from_records(records: Sequence[Record], context: Context, reading: Reading) -> Prepared:
    """Canonical events as known now, or just after the last of them where all are past."""
    events = [record for record in records if isinstance(record, Event) and record.deleted_at is None]
    as_of = min(context.as_of, files.just_after([event.starts_at for event in events], context.as_of))
    found: dict[str, Any] = {
        "event_id": [event.native_id for event in events],
        "series_id": [event.series_id for event in events],
        "venue_name": [event.venue.name for event in events],
        "category": [event.category for event in events],
        "region": [_region(event, context) for event in events],
        "timezone": [event.timezone for event in events],
        "capacity": [event.venue.capacity if event.capacity is None else event.capacity for event in events],
        "status": [event.status for event in events],
        "starts_at": [event.starts_at for event in events],
        "attendance": [event.attendance if event.starts_at < as_of else None for event in events],
    }
    attributes, personal = files.without_personal([event.attributes for event in events], reading)
    prepared = _prepared(found, attributes, context, as_of, reading.holidays)
    return replace(prepared, problems=[*personal, *prepared.problems])


def _region(event: Event, context: Context) -> str:
    """As harmonize has it: the venue's region, with its country where it is not said, else the partner's."""
    region, country = event.venue.region, event.venue.country
    if region is not None and region[2:3] == "-":
        return region
    if country is not None and len(country) == 2:
        return f"{country}-{region}" if region is not None else country
    return context.region


def _prepared(
    found: dict[str, Any],
    attributes: Sequence[Mapping[str, Any]],
    context: Context,
    as_of: datetime,
    holidays: Holidays,
) -> Prepared:
    """What a calendar and a clock add, and which rows do not count."""
    count = len(attributes)
    dated = [start is not None for start in found["starts_at"]]
    local = [
        start.astimezone(ZoneInfo(zone)) if start is not None else None
        for start, zone in zip(found["starts_at"], found["timezone"], strict=True)
    ]
    days = [moment.date() if moment is not None else None for moment in local]
    names = _holiday_names(days, found["region"], holidays)
    today = as_of.astimezone(ZoneInfo(context.timezone)).date()
    told = found.get("is_holiday", [None] * count)
    found |= {
        "partner": [context.partner] * count,
        "platform": ["direct"] * count,
        "starts_on": days,
        "local_hour": [moment.hour if moment else None for moment in local],
        "weekday": [day.isoweekday() if day else None for day in days],
        "month": [day.month if day else None for day in days],
        "days_out": [(day - today) // timedelta(days=1) if day else None for day in days],
        "is_past": [start < as_of if start else None for start in found["starts_at"]],
        "holiday_name": names,
        "is_holiday": [bool(name) if own is None else own for own, name in zip(told, names, strict=True)],
        "status": [
            status or ("completed" if start and start < as_of else "scheduled")
            for status, start in zip(found["status"], found["starts_at"], strict=True)
        ],
    }
    table = files.Table(lines=range(count), columns=found, attributes=attributes, named={})
    whole = table.frame({**COLUMNS, **FURTHER}).filter(pl.Series(dated, dtype=pl.Boolean))
    people = pl.col("attendance")
    wrong = whole.filter(people.is_infinite() | (people < 0)).height
    live = whole.filter((people.is_finite() & (people >= 0)) | people.is_null())
    past = live.filter(pl.col("is_past") & pl.col("status").is_in(COUNTED))
    training = past.filter(pl.col("attendance").is_not_null())
    problems = [
        *files.left_out(count - whole.height, count, "they have no date"),
        *files.left_out(wrong, count, "their attendance is infinite or below zero"),
        *files.left_out(past.height - training.height, count, "they are past and their attendance is not known"),
    ]
    return Prepared(training=files.usable(training, problems), live=live, as_of=as_of, problems=problems)


def _holiday_names(days: Sequence[date | None], regions: Sequence[str], holidays: Holidays) -> list[str | None]:
    years: dict[str, set[int]] = {}
    for day, region in zip(days, regions, strict=True):
        if day is not None:
            years.setdefault(region, set()).add(day.year)
    calendars = {region: holidays(region, sorted(found)) for region, found in years.items()}
    return [calendars[region].get(day) if day is not None else None for day, region in zip(days, regions, strict=True)]
