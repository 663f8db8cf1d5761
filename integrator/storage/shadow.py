"""`ops.shadow_prediction` and `ops.shadow_scoring`: what a challenger would have said beside the champion, never published.

A subject's prediction stands until the same version says something else of it; only then is another row written.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from integrator.storage.landing_merge import copy

COLUMNS = (
    ("insight_id", "text"), ("subject_kind", "text"), ("subject_id", "text"), ("platform", "text"),
    ("outcome", "text"), ("rung", "text"), ("value", "numeric"), ("low", "numeric"), ("high", "numeric"),
    ("level", "numeric"), ("prediction", "jsonb"),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ShadowScoring:
    """One scoring by a challenger: beside which champion, on which input, how much failed, how far both agreed."""

    partner: str
    use_case: str
    model_name: str
    model_version: str
    champion_name: str
    champion_version: str
    run_id: str
    at: datetime
    as_of: datetime
    input_position: int
    row_count: int
    failure_count: int
    reason: str | None
    agreement: Mapping[str, Any]


_FACTS = ", ".join(ShadowScoring.__dataclass_fields__)


def write(connection: Connection, scoring: ShadowScoring, rows: Iterable[Sequence[object]]) -> int:
    """Keep a scoring and those of its predictions (columns of `COLUMNS`) that are news; how many were.

    A scoring of the same run, or predictions as of the same moment, take the place of what was there.
    """
    values = {**scoring.__dict__, "agreement": json.dumps(dict(scoring.agreement))}
    connection.execute(
        text(f"""insert into ops.shadow_scoring ({_FACTS}) values (:partner, :use_case, :model_name, :model_version,
            :champion_name, :champion_version, :run_id, :at, :as_of, :input_position, :row_count, :failure_count, :reason,
            cast(:agreement as jsonb))
          on conflict (partner, use_case, model_name, model_version, run_id) do update set
            champion_name = excluded.champion_name, champion_version = excluded.champion_version, at = excluded.at,
            as_of = excluded.as_of, input_position = excluded.input_position, row_count = excluded.row_count,
            failure_count = excluded.failure_count, reason = excluded.reason, agreement = excluded.agreement"""),
        values,
    )
    names = ", ".join(name for name, _ in COLUMNS)
    staged = ", ".join(f"{name} {kind}" for name, kind in COLUMNS)
    connection.exec_driver_sql(f"create temporary table shadow_incoming ({staged}) on commit drop")
    copy(connection, "shadow_incoming", COLUMNS, rows)
    written = connection.execute(
        text(f"""with last as (
            select distinct on (insight_id) insight_id, prediction from ops.shadow_prediction
            where partner = :partner and use_case = :use_case and model_name = :model_name
              and model_version = :model_version and as_of <= :as_of
            order by insight_id, as_of desc
          )
          insert into ops.shadow_prediction (partner, use_case, model_name, model_version, as_of, input_position, at,
            run_id, {names})
          select :partner, :use_case, :model_name, :model_version, :as_of, :input_position, :at, :run_id, {names}
          from (select distinct on (insight_id) * from shadow_incoming) i
          where not exists (select from last where last.insight_id = i.insight_id and last.prediction = i.prediction)
          on conflict (partner, insight_id, model_name, model_version, as_of) do update set
            input_position = excluded.input_position, at = excluded.at, run_id = excluded.run_id,
            outcome = excluded.outcome, rung = excluded.rung, value = excluded.value, low = excluded.low,
            high = excluded.high, level = excluded.level, prediction = excluded.prediction"""),
        values,
    ).rowcount
    connection.exec_driver_sql("drop table shadow_incoming")
    return written


def sweep(connection: Connection, partner: str, use_case: str, model: tuple[str, str], before: datetime) -> int:
    """Delete what is older than `before`, but what the challenger `model` (name, version) still says; how many rows."""
    values = {
        "partner": partner, "use_case": use_case, "name": model[0], "version": model[1], "before": before,
    }  # fmt: skip
    connection.execute(
        text("delete from ops.shadow_scoring where partner = :partner and use_case = :use_case and at < :before"),
        values,
    )
    return connection.execute(
        text("""delete from ops.shadow_prediction old
        where partner = :partner and use_case = :use_case and at < :before
          and (model_name <> :name or model_version <> :version or exists (
            select from ops.shadow_prediction newer
            where newer.partner = :partner and newer.insight_id = old.insight_id and newer.model_name = old.model_name
              and newer.model_version = old.model_version and newer.as_of > old.as_of))"""),
        values,
    ).rowcount


def scorings(connection: Connection, partner: str, use_case: str, *, limit: int = 100) -> list[ShadowScoring]:
    """The last scorings by challengers, newest first."""
    rows = connection.execute(
        text(f"""select {_FACTS} from ops.shadow_scoring where partner = :partner and use_case = :use_case
        order by at desc, model_version desc limit :limit"""),
        {"partner": partner, "use_case": use_case, "limit": limit},
    )
    return [ShadowScoring(**row._mapping) for row in rows]
