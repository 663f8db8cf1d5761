"""Loading the code location: with no network, no database and no secret; a broken edit harms one use case alone."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from dagster import AssetKey, DefaultScheduleStatus, DefaultSensorStatus

from integrator.settings import Settings
from integrator.steps.runs import STEPS
from integrator_dagster.dbt.manifest import PROJECT, manifest_of
from integrator_dagster.definitions import build_definitions
from integrator_dagster.partitions import PARTNERS

ROOT = PROJECT.parent
PACKAGES = ("integrator", "integrator_dagster", "models", "dbt_project")
LOAD_WITHOUT_A_WORLD = """
import socket, sys
def refuse(*args, **kwargs):
    raise AssertionError(f"a load of the definitions opened a connection: {args[1:]}")
socket.socket.connect = refuse
socket.create_connection = refuse
import integrator_dagster.definitions
integrator_dagster.definitions.defs.get_repository_def()
heavy = {"sqlalchemy", "dbt", "mlflow", "prophet", "great_expectations", "polars", "pandas", "sklearn", "redis"}
print("heavy", sorted(heavy & set(sys.modules)))
print("trainers", sorted(name for name in sys.modules if name.startswith("models.") and name.endswith(".train")))
"""


def python(code: str, home: Path, root: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run code in a process with nothing configured."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("INTEGRATOR_", "DAGSTER_"))}
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=root, capture_output=True, text=True, check=False, timeout=120,
        env={**clean, "INTEGRATOR_HOME": str(home), "PYTHONPATH": str(root)},
    )  # fmt: skip


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The code in a folder of its own, to be edited."""
    manifest_of()
    for name in PACKAGES:
        shutil.copytree(ROOT / name, tmp_path / "copy" / name, ignore=shutil.ignore_patterns("__pycache__", "logs"))
    return tmp_path / "copy"


def test_the_definitions_load_with_no_network_no_database_and_no_secret(tmp_path: Path) -> None:
    manifest_of()
    done = python(LOAD_WITHOUT_A_WORLD, tmp_path / "home")
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "home").exists(), "a load leaves no key and no database behind"
    # get_repository_def alone brings sqlalchemy, with Dagster's own instance; importing the definitions does not
    assert "heavy []" in done.stdout or "heavy ['sqlalchemy']" in done.stdout, "what a load must not wait for"
    assert "trainers []" in done.stdout, "a run's own process reads the trainers, so an edit is live in the next run"


def test_a_broken_edit_harms_its_own_use_case_alone(copy: Path, tmp_path: Path) -> None:
    (copy / "models" / "pricing" / "train.py").write_text("def train(:\n")
    assert python(LOAD_WITHOUT_A_WORLD, tmp_path / "home", copy).returncode == 0
    meeting = """
from models.registry import use_case
for name in ("attendance", "lead_score", "pricing"):
    try:
        case = use_case(name)
        case.train(None, None, None)
    except SyntaxError:
        print(name, "is broken")
    except Exception:
        print(name, "is whole")
"""
    done = python(meeting, tmp_path / "home", copy)
    assert done.stdout.split("\n")[:3] == ["attendance is whole", "lead_score is whole", "pricing is broken"], (
        done.stderr
    )


def test_the_six_steps_are_the_groups() -> None:
    graph = build_definitions(settings=Settings()).resolve_asset_graph()
    assert {graph.get(key).group_name for key in graph.get_all_asset_keys()} == set(STEPS)


def test_every_partitioned_asset_has_the_one_definition_and_runs_once_for_all() -> None:
    graph = build_definitions(settings=Settings()).resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        if key.path[0] in ("raw", "model", "insight", "published", "realized"):
            assert node.partitions_def == PARTNERS, key
            assert node.backfill_policy is not None and node.backfill_policy.max_partitions_per_run is None, key
        else:
            assert node.partitions_def is None, key


def test_features_come_from_harmonized_and_harmonized_from_raw() -> None:
    graph = build_definitions(settings=Settings()).resolve_asset_graph()
    assert AssetKey(["raw", "pretix", "sales"]) in graph.get_ancestor_asset_keys(AssetKey(["harmonized", "sales"]))
    ancestors = graph.get_ancestor_asset_keys(AssetKey(["published", "tables"]))
    assert {key.path[0] for key in ancestors} >= {"raw", "harmonized", "features", "model", "insight"}


@pytest.mark.parametrize(("on", "expected"), [(True, "RUNNING"), (False, "STOPPED")])
def test_sensors_and_schedules_are_on_when_the_settings_say_so(on: bool, expected: str) -> None:
    settings = Settings(sensors_on=on, night_cron="30 1 * * *", schedule_timezone="Europe/Berlin")
    repository = build_definitions(settings=settings).get_repository_def()
    assert {sensor.default_status for sensor in repository.sensor_defs} == {DefaultSensorStatus[expected]}
    assert {schedule.default_status for schedule in repository.schedule_defs} == {DefaultScheduleStatus[expected]}
    night = repository.get_schedule_def("nightly_insights")
    assert (night.cron_schedule, night.execution_timezone) == ("30 1 * * *", "Europe/Berlin")
