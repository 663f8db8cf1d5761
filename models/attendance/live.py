"""Events asked about just now: "what if it were a Friday", another start, capacity or field. The history is seen anew.

A moved event is compared with other days of its series, so its features are made again from the whole frame.
"""

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import polars as pl

from integrator.contracts.errors import InvalidInput, NotFound, invalid
from integrator.contracts.insight import Subject
from integrator.contracts.validation import check_attributes, check_year
from models.attendance.attributes import flat_attributes
from models.attendance.columns import whole
from models.base import Context, FeatureRow, FittedModel

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
LARGEST_CAPACITY = 10_000_000
NOON = time(12)
_WHEN = ("starts_at", "date", "weekday")


class LiveEvents:
    """See `models.base.LiveUseCase`."""

    @property
    def fields(self) -> Mapping[str, str]:
        """One of three ways to move an event, and what it could be besides."""
        return {
            "starts_at": "RFC 3339 with an offset", "date": "a date such as 2026-03-20", "weekday": ", ".join(WEEKDAYS),
            "capacity": f"a whole number from 1 to {LARGEST_CAPACITY}", "is_holiday": "true or false",
            "attributes": "flat map of strings, numbers, booleans",
        }  # fmt: skip

    def read(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """The facts; at most one of those that move the event."""
        for name in payload:
            if name not in self.fields:
                raise InvalidInput(f"{name!r} is not a field; allowed: {', '.join(self.fields)}", field=name)
        moved = [name for name in _WHEN if name in payload]
        if len(moved) > 1:
            raise InvalidInput(f"{' and '.join(moved)} move the event twice; allowed: one of them", field=moved[1])
        return {name: _READ[name](name, value, self.fields[name]) for name, value in payload.items()}

    def blank(self, context: Context, horizon_days: int | None) -> pl.DataFrame | None:
        """None: what nobody knows has no past to be compared with."""
        return None

    def needs_frame(self, facts: Mapping[str, Any]) -> bool:
        """Always, where anything is assumed."""
        return bool(facts)

    def reframed(
        self, live: pl.DataFrame, subject: Subject, facts: Mapping[str, Any], context: Context
    ) -> pl.DataFrame:
        """The frame with that event moved or changed; InvalidInput for a series, and for a start that is over."""
        if subject.kind != "event":
            raise InvalidInput(f"a {subject.kind} cannot be moved; allowed: one of its events", field="subject")
        frame = whole(live)
        is_it = (pl.col("event_id") == subject.id) & (pl.col("platform") == subject.platform)
        own = frame.filter(is_it)
        if not own.height:
            raise NotFound(f"there is no event {subject.id!r} to be assumed otherwise")
        event = own.row(0, named=True)
        changes: dict[str, Any] = {}
        if "capacity" in facts:
            changes["capacity"] = facts["capacity"]
        if "attributes" in facts:
            laid = {**flat_attributes(event["attributes"]), **facts["attributes"]}
            changes["attributes"] = json.dumps({name: value for name, value in laid.items() if value is not None})
        if any(name in facts for name in _WHEN):
            changes |= _moved(frame, event, facts, context)
        if "is_holiday" in facts:
            changes |= {"is_holiday": facts["is_holiday"], "holiday_name": None}
        values = [
            pl.when(is_it).then(pl.lit(value, frame.schema[name])).otherwise(pl.col(name)).alias(name)
            for name, value in changes.items()
        ]
        return frame.with_columns(values)

    def laid_over(
        self, row: FeatureRow, facts: Mapping[str, Any], context: Context, stranger: Subject | None = None
    ) -> FeatureRow:
        """As it is: what is assumed went into its frame."""
        return row

    def unused(self, model: FittedModel, row: FeatureRow, facts: Mapping[str, Any]) -> dict[str, str]:
        """Fields of the partner's own that no encoder of the model has kept."""
        grids = model.state().get("series", {}).get("grids", {})
        kept = {name for grid in grids.values() for name in grid["encoder"]["kept"]}
        left = {name for name in facts.get("attributes", {}) if name not in kept}
        return {f"attributes.{name}": "the model does not know it" for name in sorted(left)}

    def asking(self, model: FittedModel) -> FittedModel:
        """The model: an event assumed otherwise is an event."""
        return model


class _Slot(NamedTuple):
    """When an event would be: its moment, and its date where it is."""

    at: datetime
    day: date


def _moved(frame: pl.DataFrame, event: Mapping[str, Any], facts: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Start, date and holiday of the event's new place; the hour stays unless the facts say it."""
    slot = _slot(event, facts, context)
    if slot.at <= context.as_of:
        name = next(name for name in _WHEN if name in facts)
        raise invalid(name, facts[name], f"a start after {context.as_of.isoformat()}")
    holiday = _holiday(frame, event, slot.day)
    return {
        "starts_at": slot.at.astimezone(UTC), "starts_on": slot.day, "is_past": False, "is_holiday": holiday is not None,
        "holiday_name": holiday or None,
    }  # fmt: skip


def _slot(event: Mapping[str, Any], facts: Mapping[str, Any], context: Context) -> _Slot:
    zone = ZoneInfo(event["timezone"] or context.timezone)
    if "starts_at" in facts:
        moment = datetime.fromisoformat(facts["starts_at"])
        return _Slot(moment, moment.astimezone(zone).date())
    start: datetime | None = event["starts_at"]
    day: date = event["starts_on"] or (start.astimezone(zone).date() if start else context.as_of.date())
    wanted = date.fromisoformat(facts["date"]) if "date" in facts else _same_week(day, facts["weekday"], context, zone)
    hour = start.astimezone(zone).time() if start else NOON
    return _Slot(datetime.combine(wanted, hour, zone), wanted)


def _same_week(day: date, weekday: str, context: Context, zone: ZoneInfo) -> date:
    """That weekday of the event's own week; of the next one where it is over already."""
    found = day + timedelta(days=WEEKDAYS.index(weekday) - day.weekday())
    return found if found > context.as_of.astimezone(zone).date() else found + timedelta(days=7)


def _holiday(frame: pl.DataFrame, event: Mapping[str, Any], day: date) -> str | None:
    """The holiday of a day, as some event of the region marks it: its name, empty where it has none; else None."""
    marked = frame.filter(
        pl.col("is_holiday").fill_null(value=False) & (pl.col("starts_on") == day)
        & pl.col("region").eq_missing(pl.lit(event["region"]))
    )  # fmt: skip
    return str(marked["holiday_name"][0] or "") if marked.height else None


def _moment(name: str, value: Any, allowed: str) -> str:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise invalid(name, value, allowed)
    check_year(name, moment)
    return moment.isoformat()


def _day(name: str, value: Any, allowed: str) -> str:
    try:
        day = date.fromisoformat(value if isinstance(value, str) else "")
    except ValueError as error:
        raise invalid(name, value, allowed) from error
    check_year(name, day)
    return day.isoformat()


def _weekday(name: str, value: Any, allowed: str) -> str:
    if not isinstance(value, str) or value.lower() not in WEEKDAYS:
        raise invalid(name, value, allowed)
    return value.lower()


def _capacity(name: str, value: Any, allowed: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= LARGEST_CAPACITY:
        return value
    raise invalid(name, value, allowed)


def _flag(name: str, value: Any, allowed: str) -> bool:
    if not isinstance(value, bool):
        raise invalid(name, value, allowed)
    return value


def _fields(name: str, value: Any, allowed: str) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(cell, str | int | float | None) for cell in value.values()):
        raise InvalidInput(f"{name} is not allowed; allowed: {allowed}", field=name)
    check_attributes(value)
    return value


_READ = {
    "starts_at": _moment, "date": _day, "weekday": _weekday, "capacity": _capacity, "is_holiday": _flag,
    "attributes": _fields,
}  # fmt: skip

LIVE = LiveEvents()
