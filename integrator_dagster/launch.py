"""Runs started from the command line: the same jobs, on the same instance as the web page, in this process.

A run launched through the code server costs ten seconds of start-up; a person who waits for a night should not.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dagster import AssetKey, AssetObservation, DagsterEvent, DagsterEventType, DagsterInstance, RunsFilter
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run_iterator

from integrator.contracts.errors import Conflict, NotFound, invalid
from integrator.settings import Settings
from integrator_dagster.assets.train import model_key, op_name
from integrator_dagster.jobs import (
    IN_FLIGHT,
    NIGHT,
    RESCORE,
    RETRAIN,
    TAGS,
    rescore_keys,
    retrain_keys,
    training_config,
)
from integrator_dagster.partitions import PARTNERS, SINGLE, known_partners, range_tags
from integrator_dagster.resources.integrator import Integrator
from models.registry import USE_CASES

if TYPE_CHECKING:
    from integrator.steps.services import Services
    from integrator.storage.step_runs import StepRun

LOCK = 0x1D7E6A72
BY_COMMAND = {"integrator/launched_by": "command"}
CONFIG = Path(__file__).resolve().parents[1] / "dagster.yaml"
COMMAND_CONFIG = "command.yaml"
# Catching each step's standard output costs two processes a step, and a command's user sees it anyway.
NO_COMPUTE_LOGS = """
compute_logs:
  module: dagster._core.storage.noop_compute_log_manager
  class: NoOpComputeLogManager
"""
Progress = Callable[[str, str], None]
"""Called with an op's name and `started`, `done` or `failed`."""


@dataclass(frozen=True, kw_only=True)
class NightResult:
    """What a run came to; `steps` is the truth of `ops.step_runs`, in order, `failed_partners` the first reason of each."""

    success: bool
    run_id: str
    failed_partners: "dict[str, str]"
    steps: "tuple[StepRun, ...]"
    message: str = ""
    is_transient: bool = False


def dagster_home(settings: Settings) -> Path:
    """The folder that serves as DAGSTER_HOME, with the project's dagster.yaml in it."""
    home = settings.root / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(CONFIG, home / "dagster.yaml")
    (home / COMMAND_CONFIG).write_text(CONFIG.read_text(encoding="utf-8") + NO_COMPUTE_LOGS, encoding="utf-8")
    return home


@contextmanager
def instance_of(settings: Settings) -> Iterator[DagsterInstance]:
    """The instance that `integrator up` and `dagster dev` show; the same database, whoever opens it."""
    with DagsterInstance.from_config(str(dagster_home(settings)), COMMAND_CONFIG) as instance:
        yield instance


def sync_partners(instance: DagsterInstance, registered: Sequence[str]) -> list[str]:
    """What the sensor does, now: every registered partner has its partition. Returns those that are new."""
    missing = [name for name in registered if name not in known_partners(instance)]
    if missing:
        instance.add_dynamic_partitions(str(PARTNERS.name), missing)
    return missing


def run_night(
    instance: DagsterInstance,
    services: "Services",
    partners: Sequence[str] | None = None,
    *,
    progress: Progress | None = None,
) -> NightResult:
    """All six steps for all partners, or for some, in this process, as of the services' clock.

    `NotFound` names the partners there are; `Conflict` when another command's run has not ended.
    """
    known = _known(instance, services, partners)
    return _run(instance, services, NIGHT, range_tags(known, partners), training_config(force=False), None, progress)


def run_retrain(
    instance: DagsterInstance,
    services: "Services",
    partner: str,
    use_case: str,
    *,
    config: dict[str, Any] | None = None,
    progress: Progress | None = None,
) -> NightResult:
    """One partition of one use case: train, gate, score, publish. `config` is `assets.train.Training`'s fields."""
    if use_case not in (names := [spec.name for spec in USE_CASES]):
        raise invalid("use case", use_case, names)
    _known(instance, services, [partner])
    run_config = {"ops": {op_name(use_case): {"config": {"force": True, **(config or {})}}}}
    return _run(instance, services, RETRAIN, {SINGLE: partner}, run_config, retrain_keys(use_case), progress)


def run_rescore(
    instance: DagsterInstance,
    services: "Services",
    partner: str,
    use_case: str,
    *,
    moved: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> NightResult:
    """One partition of one use case after its champion moved by hand: score and publish, from the features as they are.

    `moved` are the facts of the move; they stand on the model's page as an observation of that partition.
    """
    _known(instance, services, [partner])
    if moved is not None:
        instance.report_runless_asset_event(
            AssetObservation(asset_key=model_key(use_case), partition=partner, metadata=dict(moved))
        )
    return _run(instance, services, RESCORE, {SINGLE: partner}, {}, rescore_keys(use_case), progress)


def _known(instance: DagsterInstance, services: "Services", wanted: Sequence[str] | None) -> list[str]:
    from integrator_dagster.work import Work

    registered = Work().partners(services)
    sync_partners(instance, registered)
    if wanted is not None and not wanted:  # an empty list would read as everybody further on
        raise NotFound(f"no partner was named; there are: {', '.join(registered) or 'none'}")
    for name in wanted or []:
        if name not in registered:
            raise NotFound(f"partner {name!r} is not registered; there are: {', '.join(registered) or 'none'}")
    if not registered:
        raise NotFound("no partner is registered; add one with `integrator partners add`")
    return known_partners(instance)


def _run(
    instance: DagsterInstance,
    services: "Services",
    job_name: str,
    tags: dict[str, str],
    run_config: dict[str, Any],
    selection: list[AssetKey] | None,
    progress: Progress | None,
) -> NightResult:
    from integrator.storage import step_runs
    from integrator_dagster.definitions import build_definitions

    definitions = build_definitions(settings=services.settings, integrator=holding(services))
    job = definitions.resolve_job_def(job_name)
    chosen = None if selection is None else frozenset(selection)
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    with _alone(services, instance):
        run = instance.create_run_for_job(
            job_def=job.get_subset(asset_selection=chosen),
            run_config={**run_config, **quiet},
            tags={**TAGS, **BY_COMMAND, **tags},
            asset_selection=chosen,
        )
        success, message = _follow(execute_run_iterator(InMemoryJob(job), run, instance), progress)
    failed = step_runs.failures(services.database, run.run_id)
    return NightResult(
        success=success,
        run_id=run.run_id,
        failed_partners={
            name: f"{entry.step} {entry.use_case}".strip() + f": {entry.reason}" for name, entry in failed.items()
        },
        steps=tuple(step_runs.of_run(services.database, run.run_id)),
        message=message,
        is_transient=bool(failed) and all(entry.is_transient for entry in failed.values()),
    )


def _follow(events: Iterator[DagsterEvent], progress: Progress | None) -> tuple[bool, str]:
    """Run to the end; whether it succeeded, and the first step's reason if it did not."""
    success, message = False, ""
    for event in events:
        what = _SAID.get(event.event_type)
        if progress is not None and what is not None and event.step_key is not None:
            progress(event.step_key, what)
        if event.is_step_failure and not message:
            error = event.step_failure_data.error
            cause = error.cause or error if error is not None else None
            message = f"{event.step_key}: {cause.message.strip() if cause else event.message}"
        if event.event_type is DagsterEventType.RUN_SUCCESS:
            success = True
        elif event.event_type is DagsterEventType.RUN_FAILURE and not message:
            message = event.message or "the run failed"
    return success, message


_SAID = {
    DagsterEventType.STEP_START: "started",
    DagsterEventType.STEP_SUCCESS: "done",
    DagsterEventType.STEP_FAILURE: "failed",
    DagsterEventType.STEP_SKIPPED: "skipped",
}


@contextmanager
def _alone(services: "Services", instance: DagsterInstance) -> Iterator[None]:
    """One command's run at a time; what an earlier command left unfinished when it was killed is marked failed.

    Runs of the daemon queue by themselves, and where both reach dbt they wait for one another there.
    """
    from sqlalchemy import text

    with services.database.batch() as connection:
        locked: bool = connection.execute(text("select pg_try_advisory_xact_lock(:lock)"), {"lock": LOCK}).scalar_one()
        if not locked:
            raise Conflict("another command runs a night or a retraining; wait for it to end")
        for run in instance.get_runs(RunsFilter(statuses=list(IN_FLIGHT), tags=BY_COMMAND)):
            instance.report_run_failed(run, "the command that ran it was ended")
        yield


def holding(services: "Services") -> Integrator:
    """The resource over services that are open already."""

    class Opened(Integrator):
        @property
        def services(self) -> "Services":
            return services

    return Opened()
