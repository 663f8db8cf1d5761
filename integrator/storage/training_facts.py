"""What serves a partner and since when, and what has come since its training: read off logs, for drift and retraining.

Cheap enough for a sensor's look: no model is loaded and no registry asked.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text


@dataclass(frozen=True, kw_only=True)
class Serving:
    """The model behind the last scoring. `trained_at` and `trained_rows` are None where no training of it is on record."""

    partner: str
    use_case: str
    model_name: str
    model_version: str
    run_id: str
    trained_at: datetime | None
    trained_rows: int | None


_SERVING = """
  select scoring.partner, scoring.use_case, scoring.model_name, scoring.model_version, scoring.run_id, trained.at as trained_at,
    (
      select step.row_count from ops.step_runs as step
      where step.partner = scoring.partner and step.step = 'train' and step.use_case = scoring.use_case
        and step.status = 'success' and step.row_count > 0 and step.started_at <= trained.at
      order by step.step_run_id desc limit 1
    ) as trained_rows
  from ops.scoring as scoring
  left join lateral (
    select min(at) as at from metrics.model_quality as figure
    where figure.partner = scoring.partner and figure.use_case = scoring.use_case
      and figure.model_name = scoring.model_name and figure.model_version = scoring.model_version
  ) as trained on true"""


def serving(connection: Connection, partner: str, use_case: str) -> Serving | None:
    """What made the last scoring; None before the first."""
    row = connection.execute(
        text(f"{_SERVING} where scoring.partner = :partner and scoring.use_case = :use_case"),
        {"partner": partner, "use_case": use_case},
    ).one_or_none()
    return Serving(**row._mapping) if row else None


@dataclass(frozen=True, kw_only=True)
class Learned:
    """A partner's own serving model beside what came after its use case was last trained, whatever came of that.

    `rows_then` are labelled rows of that training, None where it failed; `told_since` outcomes that the API alone told since.
    """

    partner: str
    use_case: str
    model_version: str
    tried_at: datetime
    rows_then: int | None
    told_since: int
    failed_checks: tuple[str, ...]


def learned(connection: Connection) -> list[Learned]:
    """Of all partners that a model of their own serves (the batch role's look), by partner and use case."""
    rows = connection.execute(
        text(f"""select serving.partner, serving.use_case, serving.model_version,
            coalesce(tried.at, serving.trained_at) as tried_at, tried.row_count as rows_then,
            (
              select count(*) from metrics.outcome as told
              where told.partner = serving.partner and told.use_case = serving.use_case and told.source = 'api'
                and told.received_at > coalesce(tried.at, serving.trained_at) and not exists (
                  select from metrics.outcome as twin
                  where twin.partner = told.partner and twin.use_case = told.use_case
                    and twin.subject_id = told.subject_id and twin.subject_kind = told.subject_kind
                    and twin.platform = told.platform and twin.happened_at = told.happened_at
                    and twin.source = 'platform')
            ) as told_since,
            array(
              select failed.name || ': ' || failed.observed from metrics.model_check as failed
              where failed.partner = serving.partner and failed.use_case = serving.use_case
                and failed.passed = false and failed.at > coalesce(tried.at, serving.trained_at)
              order by failed.name
            ) as failed_checks
          from ({_SERVING}) as serving
          left join lateral (
            select step.finished_at as at, nullif(step.row_count, 0) as row_count from ops.step_runs as step
            where step.partner = serving.partner and step.step = 'train' and step.use_case = serving.use_case
              and (step.status = 'failed' or (step.status = 'success' and step.row_count > 0))
            order by step.step_run_id desc limit 1
          ) as tried on true
          where serving.trained_at is not null and serving.model_name = serving.use_case || '.' || serving.partner
          order by serving.partner, serving.use_case""")
    )
    return [Learned(**{**row._mapping, "failed_checks": tuple(row.failed_checks)}) for row in rows]


@dataclass(frozen=True, kw_only=True)
class Refused:
    """A training of a partner's own that the gate refused, and how many labelled rows it had."""

    at: datetime
    rows: int


def last_refused(connection: Connection, partner: str, use_case: str) -> Refused | None:
    """The last training, where the gate refused it and nothing has happened to the champion since."""
    row = connection.execute(
        text("""select at, kind, cast(data ->> 'rows' as integer) as rows from ops.event_log
          where partner = :partner and data ->> 'use_case' = :use_case and kind = any(:kinds)
          order by event_id desc limit 1"""),
        {"partner": partner, "use_case": use_case, "kinds": list(_MOVES)},
    ).one_or_none()
    if row is None or row.kind != "model.refused" or row.rows is None:
        return None
    return Refused(at=row.at, rows=row.rows)


_MOVES = (
    "model.promoted", "model.refused", "model.retired", "model.rolled_back", "model.unreadable", "model.refused_live",
)  # fmt: skip


def labelled(connection: Connection, relation: str) -> dict[str, int]:
    """Rows of a training relation in `features` by partner (the batch role's look); empty while there is no such relation."""
    there: bool = connection.execute(
        text("select to_regclass(:name) is not null"), {"name": f"features.{relation}"}
    ).scalar_one()
    if not there:
        return {}
    rows = connection.execute(text(f"select partner, count(*) as n from features.{relation} group by partner"))
    return {row.partner: int(row.n) for row in rows}


def labelled_of(connection: Connection, relation: str, partner: str) -> int:
    """The same of one partner, by the batch role too."""
    found: int = connection.execute(
        text(f"select count(*) from features.{relation} where partner = :partner"), {"partner": partner}
    ).scalar_one()
    return found


def predicted(connection: Connection, partner: str, use_case: str, model: Serving) -> tuple[list[float], list[float]]:
    """Values the model gave in the first run that published it, and in its last scoring; the same run is no comparison."""
    values = {
        "partner": partner, "use_case": use_case, "name": model.model_name, "version": model.model_version,
        "run_id": model.run_id,
    }  # fmt: skip
    then: Iterable[float] = connection.execute(
        text("""select cast(prediction ->> 'value' as double precision) as value from ops.prediction_log
          where partner = :partner and use_case = :use_case and model_name = :name and model_version = :version
            and run_id <> :run_id and prediction ->> 'value' is not null and run_id = (
              select run_id from ops.prediction_log
              where partner = :partner and use_case = :use_case and model_name = :name and model_version = :version
              order by at limit 1)"""),
        values,
    ).scalars()
    now: Iterable[float] = connection.execute(
        text("""select cast(prediction ->> 'value' as double precision) as value from ops.scored
          where partner = :partner and use_case = :use_case and prediction ->> 'value' is not null"""),
        values,
    ).scalars()
    return list(then), list(now)
