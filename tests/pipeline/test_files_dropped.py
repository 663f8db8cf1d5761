"""Dropped files through Dagster: the sensor asks for a night of the partners concerned, whose first step lands them."""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dagster import AssetKey, DagsterInstance, DefaultSensorStatus, build_sensor_context

from integrator.contracts.errors import Unavailable
from integrator.steps.services import Services
from integrator.storage import step_runs
from integrator_dagster.jobs import NIGHT, build_jobs
from integrator_dagster.launch import holding
from integrator_dagster.partitions import partners_of
from integrator_dagster.sensors.files import digest, files_sensor
from integrator_dagster.work import Work
from tests.pipeline.conftest import NAMES, Run
from tests.pipeline.hand_written import Recorder

SALE = {
    "native_id": "s1", "product": "ticket", "sold_at": "2026-03-01T10:00:00Z", "quantity": 1, "unit_price": "12.50",
    "currency": "EUR", "status": "paid",
}  # fmt: skip
REAL = Work()


@pytest.fixture
def drop(services: Services, tmp_path: Path) -> Iterator[Path]:
    """A folder for the drop; the services know it."""
    folder = tmp_path / "drop"
    folder.mkdir()
    settings = services.settings.model_copy(update={"drop_url": folder.as_uri()})
    object.__setattr__(services, "settings", settings)
    yield folder


def put(drop: Path, path: str, content: str) -> None:
    where = drop / path
    where.parent.mkdir(parents=True, exist_ok=True)
    where.write_text(content)
    os.utime(where, (1000, 1000))


def look(services: Services, instance: DagsterInstance, work: Work = REAL) -> Any:
    sensor = files_sensor(work, build_jobs(), DefaultSensorStatus.STOPPED)
    resources = {"integrator": holding(services)}
    with build_sensor_context(instance=instance, sensor_name=sensor.name, resources=resources) as context:
        return sensor.evaluate_tick(context)


def test_without_a_drop_nobody_looks(services: Services, instance: DagsterInstance) -> None:
    data = look(services, instance)
    assert not data.run_requests and "INTEGRATOR_DROP_URL" in str(data.skip_message)


def test_the_partners_whose_files_wait_get_a_night(services: Services, instance: DagsterInstance, drop: Path) -> None:
    assert "nothing was dropped" in str(look(services, instance).skip_message)
    put(drop, "alpha/sales/a.ndjson", json.dumps(SALE))
    put(drop, "gamma/sales/a.ndjson", json.dumps(SALE))
    put(drop, "nobody/sales/a.ndjson", json.dumps(SALE))
    (request,) = look(services, instance).run_requests
    assert request.job_name in (None, NIGHT) and partners_of(request.tags, NAMES) == ["alpha", "gamma"]
    assert look(services, instance).run_requests[0].run_key == request.run_key, "asked for once: the key is the same"
    os.utime(drop / "alpha/sales/a.ndjson", (2000, 2000))
    assert look(services, instance).run_requests[0].run_key != request.run_key
    assert digest([["a"], ["b"]]) == digest([["b"], ["a"]]) != digest([["a"]])


def test_one_drop_that_does_not_answer_hides_nobody_else(
    services: Services, instance: DagsterInstance, drop: Path
) -> None:
    def dropped(services: Services, partner: str, kind: str | None) -> list[str]:
        if partner == "alpha":
            raise Unavailable("the drop does not answer")
        return [f"{partner}/sales/a.csv@1"] if partner == "beta" else []

    (request,) = look(services, instance, replace(REAL, dropped=dropped)).run_requests
    assert partners_of(request.tags, NAMES) == ["beta"]


def test_a_night_lands_what_was_dropped_and_one_bad_file_stops_nobody(
    run: Run, instance: DagsterInstance, services: Services, drop: Path
) -> None:
    put(drop, "alpha/sales/a.ndjson", json.dumps(SALE))
    put(drop, "beta/sales/broken.parquet", "no")
    put(drop, "beta/events/loose.txt", "no")
    work = Recorder().work(dropped=REAL.dropped, land_files=REAL.land_files)
    result = run("nightly_insights", work=work)
    assert result.success, "a broken file is reported to its sender; the night is not red for it"
    alpha = metadata(instance, "alpha", "sales")
    assert (alpha["accepted"], alpha["files"], alpha["broken_files"], alpha["rows"]) == (1, 1, 0, 1)
    beta = metadata(instance, "beta", "sales")
    assert (beta["broken_files"], beta["rows"]) == (1, 0) and "broken.parquet" in str(beta["reports"])
    assert metadata(instance, "beta", "events")["broken_files"] == 1
    assert metadata(instance, "gamma", "sales") == {"rows": 0}, "who dropped nothing has nothing to record"
    assert "nothing was dropped" in str(look(services, instance).skip_message)
    assert set(instance.get_materialized_partitions(AssetKey(["published", "tables"]))) == set(NAMES)


def test_a_store_that_is_away_fails_its_partners_ingest_and_may_pass(
    run: Run, instance: DagsterInstance, services: Services, drop: Path
) -> None:
    def away(services: Services, partner: str, kind: str | None) -> list[str]:
        if partner == "beta":
            raise Unavailable("the drop does not answer")
        return []

    def land(services: Services, partner: str, kind: str) -> Any:
        raise Unavailable("the drop does not answer")

    work = Recorder().work(dropped=away, land_files=land, platforms=lambda services, partner: [])
    result = run("nightly_insights", work=work)
    assert not result.success
    failed = step_runs.failures(services.database, result.run_id)
    assert failed.keys() == {"beta"} and failed["beta"].is_transient
    assert set(instance.get_materialized_partitions(AssetKey(["published", "tables"]))) == {"alpha", "gamma"}


def metadata(instance: DagsterInstance, partner: str, plural: str) -> dict[str, Any]:
    events = instance.fetch_materializations(AssetKey(["raw", "files", plural]), limit=50).records
    for record in events:
        found = record.asset_materialization
        if found is not None and found.partition == partner:
            return {name: value.value for name, value in found.metadata.items()}
    raise AssertionError(f"{partner} was not materialized")
