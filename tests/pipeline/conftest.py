"""Fixtures of the pipeline tier: the services over a fresh database, and Dagster runs inside the test's process."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from dagster import AssetKey, DagsterInstance, ExecuteInProcessResult

from integrator.settings import Settings
from integrator.steps.services import Services
from integrator.storage.partners import Partner, register
from integrator_dagster.dbt.manifest import manifest_of
from integrator_dagster.definitions import build_definitions
from integrator_dagster.jobs import training_config
from integrator_dagster.launch import holding, sync_partners
from integrator_dagster.partitions import range_tags
from integrator_dagster.work import Work
from tests.pipeline.story import first, healed, installation, past, promoted, refused, second, tomorrow

NAMES = ("alpha", "beta", "gamma")
__all__ = ["first", "healed", "installation", "past", "promoted", "refused", "second", "tomorrow"]
"""The whole night's story, for the tests below."""


@pytest.fixture
def services(make_database: Callable[[], Any], server: Any, tmp_path: Path, now: datetime) -> Services:
    """Services over a database of the test's own, with three registered partners."""
    database = make_database()
    for name in NAMES:
        register(database, Partner(partner=name, timezone="Europe/Berlin", currency="EUR", region="DE"), now)
    return Services(Settings(home=tmp_path), database, server.redis_url, lambda: now)


@pytest.fixture
def instance(services: Services) -> Iterator[DagsterInstance]:
    """A Dagster instance of the test's own, in memory, that knows the three partners."""
    with DagsterInstance.ephemeral() as made:
        sync_partners(made, NAMES)
        yield made


Run = Callable[..., ExecuteInProcessResult]


@pytest.fixture
def run(services: Services, instance: DagsterInstance) -> Run:
    """A function that runs a job over partners, with other work in the steps' place if a test brings some."""

    def execute(
        job: str,
        *,
        work: Work | None = None,
        partners: Sequence[str] | None = None,
        only: Sequence[AssetKey] | None = None,
        run_config: dict[str, Any] | None = None,
        tags: dict[str, str] | None = None,
    ) -> ExecuteInProcessResult:
        definitions = build_definitions(
            settings=services.settings, work=work, manifest=manifest_of(), integrator=holding(services)
        )
        return definitions.resolve_job_def(job).execute_in_process(
            instance=instance,
            tags={**range_tags(NAMES, partners), **(tags or {})},
            raise_on_error=False,
            asset_selection=only,
            run_config=run_config or {"nightly_insights": training_config(force=False)}.get(job),
        )

    return execute
