"""`metrics.outcome` and `metrics.decision` by word of the partner's application: finding the insight meant, and writing.

What the platforms know of outcomes is gathered in outcomes_gather.py. Nothing personal is stored: ids, numbers, codes.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, text


@dataclass(frozen=True)
class Target:
    """The current insight of one subject."""

    insight_id: str
    insight_version: int
    use_case: str
    subject_kind: str
    subject_id: str
    platform: str


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What happened to a subject; see the columns' comments. `key` is what it is known by."""

    use_case: str
    subject_kind: str
    subject_id: str
    platform: str
    happened_at: datetime
    begins_at: datetime
    value: float | None
    price: Decimal | None = None
    currency: str | None = None

    @property
    def key(self) -> tuple[str, str, str, str, datetime]:
        """Use case, subject and moment."""
        return self.use_case, self.subject_id, self.subject_kind, self.platform, self.happened_at


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Whether the advice of one version of an insight was taken."""

    target: Target
    insight_version: int
    decision: str
    reason_code: str | None
    decided_at: datetime


@dataclass(frozen=True)
class Foreseen:
    """The moments that the version in force at some time spoke of: an event's own, or those of a series."""

    event_at: datetime | None = None
    horizon: Sequence[datetime] = field(default=())


_TARGET = ", ".join(Target.__dataclass_fields__)


def by_id(connection: Connection, partner: str, ids: Collection[str]) -> dict[str, Target]:
    """A partner's insights among `ids`."""
    rows = connection.execute(
        text(f"select {_TARGET} from insights.current where partner = :partner and insight_id = any(:ids)"),
        {"partner": partner, "ids": list(ids)},
    )
    return {row.insight_id: Target(**row._mapping) for row in rows}


def by_subject(
    connection: Connection, partner: str, subjects: Collection[tuple[str, str]]
) -> dict[tuple[str, str], list[Target]]:
    """The insights of (use case, native id), several where platforms or kinds share the id."""
    rows = connection.execute(
        text(f"""select {_TARGET} from insights.current
          where partner = :partner and (use_case, subject_id) in (
            select one ->> 0, one ->> 1 from jsonb_array_elements(cast(:subjects as jsonb)) as one)
          order by platform, subject_kind"""),
        {"partner": partner, "subjects": json.dumps(sorted(subjects))},
    )
    found: dict[tuple[str, str], list[Target]] = {}
    for row in rows:
        found.setdefault((row.use_case, row.subject_id), []).append(Target(**row._mapping))
    return found


def published(connection: Connection, partner: str, ids: Collection[str]) -> set[tuple[str, int]]:
    """Every (insight id, version) there is of some insights."""
    rows = connection.execute(
        text("""select insight_id, insight_version from insights.version
          where partner = :partner and insight_id = any(:ids)"""),
        {"partner": partner, "ids": list(ids)},
    )
    return {(row.insight_id, row.insight_version) for row in rows}


def foreseen(
    connection: Connection, partner: str, asked: Collection[tuple[str, datetime]]
) -> dict[tuple[str, datetime], Foreseen]:
    """For (insight id, moment): what the version in force at the moment spoke of; nothing where none was."""
    rows = connection.execute(
        text("""select one ->> 0 as insight_id, one ->> 1 as moment, logged.feature_row ->> 'at' as event_at,
            jsonb_path_query_array(logged.prediction, '$.details.horizon[*].at') as horizon
          from jsonb_array_elements(cast(:asked as jsonb)) as one
          cross join lateral (
            select feature_row, prediction from ops.prediction_log
            where partner = :partner and insight_id = one ->> 0 and at <= cast(one ->> 1 as timestamptz)
            order by insight_version desc limit 1
          ) as logged"""),
        {"partner": partner, "asked": json.dumps([(name, moment.isoformat()) for name, moment in asked])},
    )
    return {
        (row.insight_id, datetime.fromisoformat(row.moment)): Foreseen(
            _moment(row.event_at), tuple(found for at in row.horizon if (found := _moment(at)) is not None)
        )
        for row in rows
    }


def _moment(value: Any) -> datetime | None:
    """An aware moment out of a logged row, None for anything else: rows of older models may hold another thing there."""
    try:
        found = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return found if found.tzinfo is not None else None


def write(connection: Connection, partner: str, outcomes: Iterable[Outcome], now: datetime) -> set[tuple[Any, ...]]:
    """Store what the API says, the last word of each key; the keys whose value is new or another than before.

    What is said again changes nothing, so that it is not judged again.
    """
    rows = {outcome.key: outcome for outcome in outcomes}
    changed = connection.execute(
        text("""insert into metrics.outcome as known (partner, use_case, subject_kind, subject_id, platform, happened_at,
            source, begins_at, value, price, currency, received_at)
          select :partner, o.use_case, o.subject_kind, o.subject_id, o.platform, o.happened_at, 'api', o.begins_at,
            o.value, o.price, o.currency, :now
          from jsonb_to_recordset(cast(:rows as jsonb)) as o (use_case text, subject_kind text, subject_id text,
            platform text, happened_at timestamptz, begins_at timestamptz, value double precision, price numeric,
            currency text)
          order by o.use_case, o.subject_id, o.subject_kind, o.platform, o.happened_at
          on conflict (partner, use_case, subject_id, subject_kind, platform, happened_at, source) do update
            set begins_at = excluded.begins_at, value = excluded.value, price = excluded.price,
              currency = excluded.currency, received_at = excluded.received_at, joined_at = null
            where (known.begins_at, known.value, known.price, known.currency)
              is distinct from (excluded.begins_at, excluded.value, excluded.price, excluded.currency)
          returning use_case, subject_id, subject_kind, platform, happened_at"""),
        {"partner": partner, "now": now, "rows": json.dumps([_json(o) for o in rows.values()])},
    )
    return {tuple(row) for row in changed}


def decide(connection: Connection, partner: str, decisions: Iterable[Decision], now: datetime) -> set[tuple[str, int]]:
    """Store decisions, the last of each version; the (insight id, version) whose decision is new or another."""
    rows = {(one.target.insight_id, one.insight_version): one for one in decisions}
    changed = connection.execute(
        text("""insert into metrics.decision as known (partner, insight_id, insight_version, use_case, subject_kind,
            subject_id, platform, decision, reason_code, decided_at, received_at)
          select :partner, o.insight_id, o.insight_version, o.use_case, o.subject_kind, o.subject_id, o.platform,
            o.decision, o.reason_code, o.decided_at, :now
          from jsonb_to_recordset(cast(:rows as jsonb)) as o (insight_id text, insight_version integer, use_case text,
            subject_kind text, subject_id text, platform text, decision text, reason_code text, decided_at timestamptz)
          order by o.insight_id, o.insight_version
          on conflict (partner, insight_id, insight_version) do update set decision = excluded.decision,
              reason_code = excluded.reason_code, decided_at = excluded.decided_at, received_at = excluded.received_at
            where (known.decision, known.reason_code) is distinct from (excluded.decision, excluded.reason_code)
          returning insight_id, insight_version"""),
        {"partner": partner, "now": now, "rows": json.dumps([_decided(one) for one in rows.values()])},
    )
    return {(row.insight_id, row.insight_version) for row in changed}


def _json(outcome: Outcome) -> Mapping[str, Any]:
    return {
        **vars(outcome), "happened_at": outcome.happened_at.isoformat(), "begins_at": outcome.begins_at.isoformat(),
        "price": None if outcome.price is None else str(outcome.price),
    }  # fmt: skip


def _decided(one: Decision) -> Mapping[str, Any]:
    return {
        **vars(one.target), "insight_version": one.insight_version, "decision": one.decision,
        "reason_code": one.reason_code, "decided_at": one.decided_at.isoformat(),
    }  # fmt: skip
