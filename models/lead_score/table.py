"""A file's contacts, or a plain table of leads and outcomes, as the training relation has them. Cells: `models.files`."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from integrator.contracts.records import Contact, Record
from models import files
from models.base import Context
from models.files import MOMENTS, Prepared, Reading, Role

KIND = "contact"
HORIZON_DAYS = 90
ROLES = (
    Role(
        column="converted",
        names=("converted", "outcome", "label", "target", "y"),
        read=files.flag,
        allowed=files.FLAGS,
        required=True,
    ),
    Role(column="created_at", names=("created_at",), read=files.moment, allowed=MOMENTS),
    Role(column="as_of", names=("as_of", "scored_at"), read=files.moment, allowed=MOMENTS),
    Role(column="contact_id", names=("contact_id", "lead_id", "id"), read=files.text),
    Role(column="person_id", names=("person_id",), read=files.text),
    Role(column="stage", names=("stage",), read=files.text),
    Role(column="source", names=("source",), read=files.text),
    Role(column="country", names=("country",), read=files.text),
    Role(column="purchases", names=("purchases",), read=files.number, allowed=files.NUMBERS),
    Role(column="spent", names=("spent",), read=files.number, allowed=files.NUMBERS),
)
SCHEMA = {
    "partner": pl.String, "platform": pl.String, "contact_id": pl.String, "person_id": pl.String,
    "as_of": pl.Datetime("us", "UTC"), "created_at": pl.Datetime("us", "UTC"), "created_weekday": pl.Int64,
    "created_hour": pl.Int64, "age_days": pl.Int64, "stage": pl.String, "source": pl.String, "country": pl.String,
    "purchases": pl.Float64, "spent": pl.Float64, "horizon_days": pl.Int64, "converted": pl.Boolean,
    "attributes": pl.String,
}  # fmt: skip


def from_table(rows: files.Rows, context: Context, reading: Reading) -> Prepared:
    """One row a lead and moment, with its outcome; without `as_of` a lead was seen when it was created.

    Without any date the moment and the horizon are unknown, and candidates are compared by stratified folds, not by time.
    """
    table = files.read(rows, ROLES, reading)
    count = len(table.lines)
    found: dict[str, Any] = {name: list(cells) for name, cells in table.columns.items()}
    created = files.in_utc(found.get("created_at", [None] * count), context.timezone)
    seen = files.in_utc(found.get("as_of", [None] * count), context.timezone)
    found["created_at"] = created
    found["as_of"] = [moment or first for moment, first in zip(seen, created, strict=True)]
    found.setdefault("contact_id", [f"line-{line}" for line in table.lines])
    prepared = _prepared(found, table.attributes, context, reading.horizon_days)
    names = sorted({name for row in table.attributes for name in row})
    problems = [*table.problems, *prepared.problems]
    return replace(prepared, named=table.named, attributes=names, problems=problems)


def from_records(records: Sequence[Record], context: Context, reading: Reading) -> Prepared:
    """Canonical contacts on the day they were created, of those whose horizon has passed.

    A file tells each contact's present state, not that of its first day, so the stage is left out; of the partner's own
    fields the training's leak check has to find those that were filled afterwards.
    """
    days = timedelta(days=reading.horizon_days or HORIZON_DAYS)
    contacts = [one for one in records if isinstance(one, Contact) and one.deleted_at is None]
    settled = [one for one in contacts if one.created_at + days <= context.as_of]
    found: dict[str, Any] = {
        "contact_id": [one.native_id for one in settled],
        "created_at": [one.created_at for one in settled],
        "as_of": [one.created_at for one in settled],
        "source": [one.source for one in settled],
        "country": [one.country for one in settled],
        "converted": [one.converted_at is not None and one.converted_at <= one.created_at + days for one in settled],
    }
    problems = files.left_out(
        len(contacts) - len(settled), len(contacts), f"they were created less than {days.days} days ago"
    )
    if any(one.stage for one in settled):
        problems.append("the stage is left out: the file tells today's, not that of the first day")
    attributes, personal = files.without_personal([one.attributes for one in settled], reading)
    return _prepared(found, attributes, context, reading.horizon_days, [*personal, *problems])


def _prepared(
    found: dict[str, Any],
    attributes: Sequence[Mapping[str, Any]],
    context: Context,
    horizon: int | None,
    problems: Sequence[str] = (),
) -> Prepared:
    count = len(attributes)
    zone = ZoneInfo(context.timezone)
    local = [moment.astimezone(zone) if moment else None for moment in found["created_at"]]
    found |= {
        "partner": [context.partner] * count,
        "platform": ["direct"] * count,
        "person_id": found.get("person_id") or found["contact_id"],
        "created_weekday": [moment.isoweekday() if moment else None for moment in local],
        "created_hour": [moment.hour if moment else None for moment in local],
        "age_days": [
            (seen.astimezone(zone).date() - first.date()).days if seen and first else None
            for seen, first in zip(found["as_of"], local, strict=True)
        ],
        "horizon_days": [horizon or (HORIZON_DAYS if any(found["as_of"]) else None)] * count,
    }
    table = files.Table(lines=range(count), columns=found, attributes=attributes, named={})
    whole = table.frame(SCHEMA)
    known = whole.filter(pl.col("converted").is_not_null())
    training = known.filter(pl.col("as_of").is_not_null()) if known["as_of"].is_not_null().any() else known
    told = [
        *problems,
        *files.left_out(count - known.height, count, "their outcome is not known"),
        *files.left_out(known.height - training.height, count, "they have no date, and others have one"),
    ]
    as_of = files.just_after(found["as_of"], context.as_of)
    return Prepared(training=files.usable(training, told), live=training, as_of=as_of, problems=told)
