"""`metrics.realized`: outcomes waiting for their predictions, the predictions standing then, and the answers stored.

Which prediction an outcome answers, and how far it was off, is decided in `integrator.steps`.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from integrator.storage.landing_merge import copy

CHAMPION, CHALLENGER = "champion", "challenger"
WHOLE_SUBJECT = ("event", "contact")
"""Kinds of subject whose outcomes are judged together; of the others each moment stands for itself."""
COLUMNS = (
    ("subject_kind", "text"), ("subject_id", "text"), ("platform", "text"), ("due_at", "timestamptz"),
    ("lead_bucket", "text"), ("role", "text"), ("model_name", "text"), ("model_version", "text"), ("rung", "text"),
    ("insight_id", "text"), ("insight_version", "integer"), ("as_of", "timestamptz"), ("predicted_at", "timestamptz"),
    ("lead_days", "double precision"), ("predicted", "double precision"), ("low", "double precision"),
    ("high", "double precision"), ("level", "double precision"), ("is_inside", "boolean"),
    ("actual", "double precision"), ("error", "double precision"), ("naive", "double precision"),
    ("naive_error", "double precision"), ("outcome_source", "text"), ("outcome_received_at", "timestamptz"),
)  # fmt: skip
JOINED = (
    ("subject_kind", "text"), ("subject_id", "text"), ("platform", "text"), ("happened_at", "timestamptz"),
    ("source", "text"), ("received_at", "timestamptz"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Waiting:
    """An outcome that was not held against its predictions yet, or belongs to one that was not."""

    subject_kind: str
    subject_id: str
    platform: str
    happened_at: datetime
    source: str
    begins_at: datetime
    value: float | None
    price: float | None
    received_at: datetime

    @property
    def subject(self) -> tuple[str, str, str]:
        """Kind, id and platform."""
        return self.subject_kind, self.subject_id, self.platform


@dataclass(frozen=True, slots=True)
class Stood:
    """A prediction in force at some moment: published (champion), or a shadow's (challenger, without a feature row)."""

    role: str
    insight_id: str
    insight_version: int | None
    model_name: str
    model_version: str
    rung: str
    as_of: datetime
    at: datetime
    prediction: Mapping[str, Any]
    feature_row: Mapping[str, Any] | None

    @property
    def made(self) -> tuple[str, str, str, int | None, datetime]:
        """What it is known by."""
        return self.insight_id, self.model_name, self.model_version, self.insight_version, self.at


_WAITING = ", ".join(Waiting.__dataclass_fields__)
_STOOD = "insight_id, insight_version, model_name, model_version, rung, as_of, at, prediction, feature_row"
_SHADOW = (
    "insight_id, null::integer as insight_version, model_name, model_version, rung, as_of, at, prediction, "
    "null::jsonb as feature_row"
)
_ASKS = "jsonb_to_recordset(cast(:asks as jsonb)) as ask (n integer, insight_id text, moment timestamptz)"
Asks = Collection[tuple[int, str, datetime]]
"""Number of the question, insight id, and the moment by which it must have been said."""


def waiting(connection: Connection, partner: str, use_case: str, most: int) -> list[Waiting]:
    """The first `most` outcomes that wait, and all that is to be judged with them; by subject and moment."""
    values = {"partner": partner, "use_case": use_case, "most": most}
    news = connection.execute(
        text("""select subject_kind, subject_id, platform, happened_at from metrics.outcome
          where partner = :partner and use_case = :use_case and joined_at is null
          order by subject_id, subject_kind, platform, happened_at limit :most"""),
        values,
    ).all()
    moments = {tuple(row) for row in news}
    subjects = {key[:3] for key in moments if key[0] in WHOLE_SUBJECT}
    rows = connection.execute(
        text(f"""select {_WAITING} from metrics.outcome
          where partner = :partner and use_case = :use_case and subject_id = any(:ids)
            and (happened_at = any(:moments) or subject_kind = any(:whole))
          order by subject_kind, subject_id, platform, happened_at, source"""),
        {
            **values, "ids": sorted({row.subject_id for row in news}),
            "moments": sorted({row.happened_at for row in news}), "whole": list(WHOLE_SUBJECT),
        },
    )  # fmt: skip
    found = (Waiting(**{**row._mapping, "price": None if row.price is None else float(row.price)}) for row in rows)
    return [one for one in found if one.subject in subjects or (*one.subject, one.happened_at) in moments]


def standing(connection: Connection, partner: str, asks: Asks) -> list[tuple[int, Stood]]:
    """For each question the published prediction in force at its moment, and each challenger's of then.

    None where nothing had been said, or what had been was taken back or refused. A prediction that answers several
    questions is one object.
    """
    if not asks:
        return []
    values = {"partner": partner, "asks": _json(asks)}
    chosen = connection.execute(
        text(f"""select ask.n, version.insight_id, version.insight_version from {_ASKS}
          cross join lateral (
            select insight_id, insight_version, status from insights.version
            where partner = :partner and insight_id = ask.insight_id and generated_at <= ask.moment
            order by insight_version desc limit 1
          ) as version
          where version.status in ('ready', 'fallback')"""),
        values,
    ).all()
    made = _logged(connection, partner, {(row.insight_id, row.insight_version) for row in chosen})
    found = [(row.n, stood) for row in chosen if (stood := made.get((row.insight_id, row.insight_version))) is not None]
    return found + _shadows(connection, values)


def _logged(connection: Connection, partner: str, keys: Collection[tuple[str, int]]) -> dict[tuple[str, int], Stood]:
    rows = connection.execute(
        text(f"""select {_STOOD} from ops.prediction_log
          where partner = :partner and (insight_id, insight_version) in (
            select one ->> 0, cast(one ->> 1 as integer) from jsonb_array_elements(cast(:keys as jsonb)) as one)"""),
        {"partner": partner, "keys": json.dumps(sorted(keys))},
    )
    return {(row.insight_id, row.insight_version): _stood(CHAMPION, row._mapping) for row in rows}


def _shadows(connection: Connection, values: Mapping[str, Any]) -> list[tuple[int, Stood]]:
    """A challenger's word stands until the partner was scored without it: promoted, replaced, or taken away."""
    rows = connection.execute(
        text(f"""select ask.n, shadow.* from {_ASKS}
          cross join lateral (
            select distinct on (model_name, model_version) use_case, {_SHADOW} from ops.shadow_prediction
            where partner = :partner and insight_id = ask.insight_id and at <= ask.moment
            order by model_name, model_version, at desc
          ) as shadow
          where (
            select max(at) from ops.shadow_scoring beside
            where beside.partner = :partner and beside.use_case = shadow.use_case and beside.at <= ask.moment
              and (beside.model_name, beside.model_version) = (shadow.model_name, shadow.model_version)
          ) >= coalesce((
            select max(at) from ops.inference_log scored
            where scored.partner = :partner and scored.use_case = shadow.use_case and scored.at <= ask.moment
              and not scored.is_shadow
          ), '-infinity')"""),
        values,
    )
    return [(row.n, _stood(CHALLENGER, row._mapping)) for row in rows]


def _stood(role: str, row: Mapping[Any, Any]) -> Stood:
    return Stood(role=role, **{name: row[name] for name in _STOOD.split(", ")})


def first_words(connection: Connection, partner: str, insight_ids: Collection[str]) -> list[Stood]:
    """What each model said first of each insight, champions' and challengers'; refusals are none."""
    values = {"partner": partner, "ids": list(insight_ids)}
    published = connection.execute(
        text(f"""select distinct on (insight_id, model_name, model_version) {_STOOD} from ops.prediction_log
          where partner = :partner and insight_id = any(:ids) and outcome in ('success', 'fallback')
          order by insight_id, model_name, model_version, insight_version"""),
        values,
    )
    shadows = connection.execute(
        text(f"""select distinct on (insight_id, model_name, model_version) {_SHADOW} from ops.shadow_prediction
          where partner = :partner and insight_id = any(:ids) and outcome in ('success', 'fallback')
          order by insight_id, model_name, model_version, at"""),
        values,
    )
    return [_stood(CHAMPION, row._mapping) for row in published] + [_stood(CHALLENGER, row._mapping) for row in shadows]


def replace(
    connection: Connection, partner: str, use_case: str, outcomes: Sequence[Waiting], answers: Iterable[Sequence[Any]],
    now: datetime,
) -> int:  # fmt: skip
    """Put answers (`COLUMNS`) in the place of those to the same outcomes, and mark the outcomes as joined; how many."""
    values = {"partner": partner, "use_case": use_case, "now": now, "whole": list(WHOLE_SUBJECT)}
    connection.exec_driver_sql(
        f"create temporary table joined ({', '.join(f'{name} {kind}' for name, kind in JOINED)}) on commit drop"
    )
    copy(connection, "joined", JOINED, ((*o.subject, o.happened_at, o.source, o.received_at) for o in outcomes))
    connection.exec_driver_sql("analyze joined")
    connection.execute(
        text("""delete from metrics.realized r using (select distinct subject_kind, subject_id, platform, happened_at
            from joined) j
          where r.partner = :partner and r.use_case = :use_case and r.subject_id = j.subject_id
            and r.subject_kind = j.subject_kind and r.platform = j.platform
            and (r.due_at = j.happened_at or r.subject_kind = any(:whole))"""),
        values,
    )
    columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS)
    connection.exec_driver_sql(f"create temporary table answered ({columns}) on commit drop")
    count = copy(connection, "answered", COLUMNS, answers)
    names = ", ".join(name for name, _ in COLUMNS)
    connection.execute(
        text(f"insert into metrics.realized (partner, use_case, at, {names}) select :partner, :use_case, :now, {names} "
             "from answered"),
        values,
    )  # fmt: skip
    # What the API has changed meanwhile has another received_at, and waits for the next time.
    connection.execute(
        text("""update metrics.outcome o set joined_at = :now from joined j
          where o.partner = :partner and o.use_case = :use_case and o.subject_id = j.subject_id
            and o.subject_kind = j.subject_kind and o.platform = j.platform and o.happened_at = j.happened_at
            and o.source = j.source and o.received_at = j.received_at"""),
        values,
    )
    connection.exec_driver_sql("drop table joined, answered")
    return count


def forget(connection: Connection, partner: str, before: datetime) -> int:
    """Drop answers that were due before a moment; how many."""
    return connection.execute(
        text("delete from metrics.realized where partner = :partner and due_at < :before"),
        {"partner": partner, "before": before},
    ).rowcount


def _json(asks: Asks) -> str:
    return json.dumps([{"n": n, "insight_id": name, "moment": moment.isoformat()} for n, name, moment in asks])
