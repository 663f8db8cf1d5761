"""`ops.scoring` and `ops.scored`: the last scoring of a partner and use case, between the score and publish steps.

Predictions and feature rows are JSON texts here; what they mean is the steps' business.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from integrator.storage.landing_merge import copy, session_table

COLUMNS = (("ordinal", "integer"), ("prediction", "jsonb"), ("feature_row", "jsonb"))


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """One scoring: which model, on which input, known as of when.

    Failed rows are counted, not kept; `failed_insights` are those they would have been of, as far as is known.
    """

    partner: str
    use_case: str
    run_id: str
    scored_at: datetime
    input_position: int
    as_of: datetime
    model_name: str
    model_version: str
    row_count: int
    failure_count: int
    failed_insights: tuple[str, ...] = ()


def replace(connection: Connection, scoring: Scoring, rows: Iterable[tuple[int, str, str]]) -> None:
    """Put this scoring in the place of the last one; `rows` are (ordinal, prediction, feature row)."""
    key = {"partner": scoring.partner, "use_case": scoring.use_case}
    # The header is updated and not replaced: who publishes holds it, and sees either all of this scoring or nothing.
    connection.execute(
        text("""insert into ops.scoring (partner, use_case, run_id, scored_at, input_position, as_of, model_name,
            model_version, row_count, failure_count, failed_insights)
          values (:partner, :use_case, :run_id, :scored_at, :input_position, :as_of, :model_name,
            :model_version, :row_count, :failure_count, :failed_insights)
          on conflict (partner, use_case) do update set run_id = excluded.run_id, scored_at = excluded.scored_at,
            input_position = excluded.input_position, as_of = excluded.as_of, model_name = excluded.model_name,
            model_version = excluded.model_version, row_count = excluded.row_count,
            failure_count = excluded.failure_count, failed_insights = excluded.failed_insights"""),
        scoring.__dict__ | {"failed_insights": list(scoring.failed_insights)},
    )
    connection.execute(text("delete from ops.scored where partner = :partner and use_case = :use_case"), key)
    connection.exec_driver_sql(
        "create temporary table scored_incoming (ordinal integer, prediction jsonb, feature_row jsonb) on commit drop"
    )
    copy(connection, "scored_incoming", COLUMNS, rows)
    connection.execute(
        text("""insert into ops.scored (partner, use_case, ordinal, prediction, feature_row)
        select :partner, :use_case, ordinal, prediction, feature_row from scored_incoming"""),
        key,
    )
    connection.exec_driver_sql("drop table scored_incoming")


def stage(connection: Connection, rows: Iterable[tuple[int, str, str]]) -> None:
    """Keep a scoring of some subjects in `scored_staged`, until commit or staged anew: the last scoring of all is not touched."""
    session_table(connection, "scored_staged", COLUMNS)
    copy(connection, "scored_staged", COLUMNS, rows)


@dataclass(frozen=True, kw_only=True)
class LastScoring:
    """The last scoring as a person sees it, and how many of its insights are past their time now."""

    at: datetime
    run_id: str
    model_name: str
    model_version: str
    row_count: int
    failure_count: int
    stale: int


def state(connection: Connection, partner: str, use_case: str, now: datetime) -> LastScoring | None:
    """The last scoring, without holding it; None before the first."""
    row = connection.execute(
        text("""select scored_at as at, run_id, model_name, model_version, row_count, failure_count, (
            select count(*) from insights.current c where c.partner = :partner and c.use_case = :use_case
              and c.stale_after < :now and c.status <> 'withdrawn') as stale
          from ops.scoring where partner = :partner and use_case = :use_case"""),
        {"partner": partner, "use_case": use_case, "now": now},
    ).one_or_none()
    return LastScoring(**row._mapping) if row else None


def last(connection: Connection, partner: str, use_case: str) -> Scoring | None:
    """The last scoring, held until the transaction ends; None before the first."""
    row = connection.execute(
        text("""select partner, use_case, run_id, scored_at, input_position, as_of, model_name, model_version,
          row_count, failure_count, failed_insights
        from ops.scoring where partner = :partner and use_case = :use_case for share"""),
        {"partner": partner, "use_case": use_case},
    ).one_or_none()
    return Scoring(**{**row._mapping, "failed_insights": tuple(row.failed_insights)}) if row else None


def predictions(connection: Connection, partner: str, use_case: str) -> Iterator[tuple[int, str]]:
    """(ordinal, prediction as JSON text) of the last scoring, in order."""
    rows = connection.execute(
        text("""select ordinal, prediction::text as prediction from ops.scored
        where partner = :partner and use_case = :use_case order by ordinal"""),
        {"partner": partner, "use_case": use_case},
    )
    for row in rows:
        yield row.ordinal, row.prediction
