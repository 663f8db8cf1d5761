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
