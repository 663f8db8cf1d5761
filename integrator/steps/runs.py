"""Honest status per partner: what a step did, and who is left out of the steps after it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from integrator.contracts.errors import IntegratorError, TransientError
from integrator.steps.services import Services
from integrator.storage import logs, step_runs
from integrator.storage.failures import reason
from integrator.storage.step_runs import STEPS, StepRun

__all__ = ["STEPS", "Progress", "exclude", "excluded", "failures", "recorded"]


@dataclass
class Progress:
    """What the body of a step fills in."""

    rows: int = 0
    note: str | None = None


@contextmanager
def recorded(services: Services, partner: str, step: str, run_id: str, use_case: str = "") -> Iterator[Progress]:
    """Record the step's success, or its failure with reason and class; the failure goes on to the caller."""
    progress = Progress()
    started = services.clock()
    entry = StepRun(
        partner=partner, step=step, run_id=run_id, use_case=use_case, status="success",
        started_at=started, finished_at=started,
    )  # fmt: skip
    try:
        yield progress
    except Exception as error:
        failed = replace(
            entry, status="failed", reason=_reason(error)[:2000], is_transient=isinstance(error, TransientError),
            row_count=progress.rows, finished_at=services.clock(),
        )  # fmt: skip
        _write(services, failed)
        raise
    _write(services, replace(entry, reason=progress.note, row_count=progress.rows, finished_at=services.clock()))


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, IntegratorError) else reason(error)


def exclude(services: Services, partner: str, step: str, run_id: str, reason: str) -> None:
    """Leave a partner out of the steps after this one; its last insights stay."""
    now = services.clock()
    _write(
        services,
        StepRun(
            partner=partner,
            step=step,
            run_id=run_id,
            status="excluded",
            reason=reason[:2000],
            started_at=now,
            finished_at=now,
        ),
    )


def excluded(services: Services, run_id: str, use_case: str = "") -> dict[str, str]:
    """Partners to leave out of the steps to come in this run (of one use case), with the reason."""
    return _reasons(step_runs.unfinished(services.database, run_id, use_case))


def failures(services: Services, run_id: str) -> dict[str, str]:
    """Partners for which anything failed in this run, with the first reason: what makes the night red."""
    return _reasons(step_runs.failures(services.database, run_id))


def _reasons(entries: dict[str, StepRun]) -> dict[str, str]:
    return {
        partner: f"{run.step}{f' {run.use_case}' if run.use_case else ''}: {run.reason}"
        for partner, run in entries.items()
    }


def _write(services: Services, run: StepRun) -> None:
    step_runs.record(services.database, run)
    if run.status != "success":
        with services.database.partner(run.partner) as connection:
            logs.event(
                connection, run.partner, f"step.{run.status}", run.finished_at,
                {"step": run.step, "use_case": run.use_case, "run_id": run.run_id, "reason": run.reason},
            )  # fmt: skip
