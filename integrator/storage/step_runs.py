"""`ops.step_runs`: the truth about what each step did for each partner in each run."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from integrator.storage.database import Database

STEPS = ("ingest", "harmonize", "features", "train", "score", "publish")


@dataclass(frozen=True, kw_only=True)
class StepRun:
    """One partner's part of one step of one run."""

    partner: str
    step: str
    run_id: str
    status: str
    use_case: str = ""
    reason: str | None = None
    is_transient: bool = False
    row_count: int = 0
    started_at: datetime
    finished_at: datetime


def record(database: Database, run: StepRun) -> None:
    """Append one entry."""
    with database.partner(run.partner) as connection:
        connection.execute(
            text("""insert into ops.step_runs (partner, step, use_case, run_id, status, reason, is_transient, row_count,
                started_at, finished_at)
              values (:partner, :step, :use_case, :run_id, :status, :reason, :is_transient, :row_count,
                :started_at, :finished_at)"""),
            run.__dict__,
        )


def of_run(database: Database, run_id: str) -> list[StepRun]:
    """Everything one run did, in order; all partners (the night's own view)."""
    with database.batch() as connection:
        rows = connection.execute(
            text("""select partner, step, run_id, status, use_case, reason, is_transient, row_count, started_at, finished_at
              from ops.step_runs where run_id = :run_id order by step_run_id"""),
            {"run_id": run_id},
        )
        return [StepRun(**row._mapping) for row in rows]


def failures(database: Database, run_id: str) -> dict[str, StepRun]:
    """Partners for which anything failed in a run, with the first such entry: what makes the run red."""
    found: dict[str, StepRun] = {}
    for run in of_run(database, run_id):
        if run.status in ("failed", "excluded"):
            found.setdefault(run.partner, run)
    return found


def is_held_back(connection: Connection, partner: str) -> bool:
    """Whether the last night that judged the partner's data left it out: a check that excludes had failed."""
    status: str | None = connection.execute(
        text("""select status from ops.step_runs
        where partner = :partner and step in ('harmonize', 'features') and status in ('success', 'excluded')
        order by step_run_id desc limit 1"""),
        {"partner": partner},
    ).scalar_one_or_none()
    return status == "excluded"


def unfinished(database: Database, run_id: str, use_case: str = "") -> dict[str, StepRun]:
    """Partners to leave out of the steps to come (of one use case), with the reason's entry.

    What failed in one use case leaves the partner in for the others.

    A platform that could not be pulled stops its connection alone: the partner goes on while another of its
    platforms was pulled in the same run.
    """
    runs = of_run(database, run_id)
    pulled = {run.partner for run in runs if run.step == "ingest" and run.status == "success"}
    found: dict[str, StepRun] = {}
    for run in runs:
        stopped_alone = run.step == "ingest" and run.status == "failed" and run.partner in pulled
        if run.status in ("failed", "excluded") and run.use_case in ("", use_case) and not stopped_alone:
            found.setdefault(run.partner, run)
    return found
