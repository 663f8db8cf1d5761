"""The night killed after each of its steps and started again: nothing is lost, nothing is there twice.

The kills share one installation, each one step further; a last run comes to its end and is compared with the first
night of the other installation, which nobody disturbed.
"""

import json
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from integrator.steps.services import Services
from tests.pipeline.commands import REPOSITORY, environment, killed, run
from tests.pipeline.installation import (
    PARTNERS,
    Clock,
    Night,
    Platforms,
    Standing,
    platforms,
    register_all,
    services_at,
    standing,
)
from tests.pipeline.planted import plant

pytestmark = pytest.mark.timeout(600)
BOUNDARIES = {
    "ingest": ("raw/shopify/sales",),
    "harmonize": ("harmonize",),
    "train": ("model/attendance", "model/lead_score", "model/pricing"),
    "score": ("insight/attendance", "insight/lead_score", "insight/pricing"),
    "publish": ("published/tables",),
}
"""After each step: the assets whose lines on stderr say that it is done."""


@dataclass
class Killed:
    """What stood after each kill, how the last run ended, and what stands after it."""

    services: Services
    env: dict[str, str]
    between: dict[str, dict[str, Standing]]
    dbt_went_on: bool
    exit_code: int
    said: str
    after: dict[str, Standing]


@pytest.fixture(scope="module")
def broken(story: Killed, tmp_path_factory: pytest.TempPathFactory) -> "subprocess.CompletedProcess[str]":
    """After all that: a night of the same code, but for an edit of pricing that cannot be parsed."""
    copy = tmp_path_factory.mktemp("edited")
    for name in ("integrator", "integrator_dagster", "integrator_sandbox", "models", "dbt_project"):
        shutil.copytree(REPOSITORY / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(REPOSITORY / "dagster.yaml", copy / "dagster.yaml")
    edited = copy / "models" / "pricing" / "spec.py"
    edited.write_text(edited.read_text(encoding="utf-8").replace("def train(", "def train((", 1), encoding="utf-8")
    return run(story.env, "run", "nightly", "--json", cwd=copy)


class Reached:
    """True once all of a step's lines were seen; after ingest, once dbt is at work."""

    def __init__(self, step: str, services: Services) -> None:
        self.step, self.services, self.waiting = step, services, set(BOUNDARIES[step])

    def __call__(self, line: str) -> bool:
        """One more line of stderr."""
        words = line.split()
        if "done" in words:
            self.waiting -= set(words)
        if not self.waiting and self.step == "ingest":
            wait_for(lambda: dbt_sessions(self.services) > 0)
        return not self.waiting


def dbt_sessions(services: Services) -> int:
    """Connections that dbt holds; it has the night's own role."""
    with services.database.batch() as connection:
        found: int = connection.exec_driver_sql(
            "select count(*) from pg_stat_activity where application_name = 'integrator-dbt' and datname = current_database()"
        ).scalar_one()
    return found


def dbt_processes(services: Services) -> list[int]:
    """Ids of dbt's processes over this database, by the environment they were given."""
    address = services.database.address
    marks = (f"INTEGRATOR_DBT_DBNAME={address.name}\0".encode(), f"INTEGRATOR_DBT_PORT={address.port}\0".encode())
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            environ = (folder / "environ").read_bytes() + b"\0"
            found += [int(folder.name)] if all(mark in environ for mark in marks) else []
    return found


def wait_for(happens: Callable[[], bool]) -> None:
    """Until it happens; not for ever."""
    deadline = time.monotonic() + 60
    while not happens():
        assert time.monotonic() < deadline, "it did not happen within a minute"
        time.sleep(0.05)


def look(services: Services, sandbox: Platforms) -> dict[str, Standing]:
    """What every partner has."""
    return {name: standing(services, name, sandbox.received(name)) for name in PARTNERS}


@pytest.fixture(scope="module")
def story(make_database: Callable[[], Any], server: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killed]:
    """Five kills and a last run."""
    home: Path = tmp_path_factory.mktemp("killed")
    database = make_database()
    redis_url = server.redis_url.removesuffix("/0") + "/1"
    with platforms(tmp_path_factory.mktemp("platforms")) as sandbox:
        plant(sandbox)
        services = services_at(home, database, redis_url, Clock())
        register_all(services, sandbox)
        env = environment(home, database.address, redis_url)
        between, dbt_went_on = {}, False
        for step in BOUNDARIES:
            killed(env, Reached(step, services), "run", "nightly")
            if step == "ingest":
                wait_for(lambda: not dbt_processes(services))
                dbt_went_on = (home / "dbt" / "run_results.json").exists()
            between[step] = look(services, sandbox)
        ended = run(env, "run", "nightly", "--json")
        yield Killed(
            services, env, between, dbt_went_on, ended.returncode, ended.stderr + ended.stdout, look(services, sandbox)
        )


def statement(document: str) -> dict[str, Any]:
    """A document without the times at which it was made and checked."""
    content = json.loads(document)
    del content["generated_at"], content["source"]["as_of"]
    return content


def test_the_last_run_ends_well(story: Killed) -> None:
    assert story.exit_code == 0, story.said


def test_the_insights_are_those_of_a_night_that_nobody_disturbed(story: Killed, first: Night) -> None:
    for partner in PARTNERS:
        undisturbed = {key: statement(document) for key, document in first.after[partner].current.items()}
        assert {key: statement(document) for key, document in story.after[partner].current.items()} == undisturbed
        assert undisturbed, partner


def test_landing_holds_every_version_once(story: Killed, first: Night) -> None:
    for partner in PARTNERS:
        assert story.after[partner].landed == first.after[partner].landed
    with story.services.database.batch() as connection:
        for kind in ("event", "contact", "sale"):
            twice = connection.exec_driver_sql(
                f"select count(*) from (select from landing.{kind} group by partner, platform, native_id, record_hash,"
                " valid_from having count(*) > 1) as doubled"
            ).scalar_one()
            assert twice == 0, kind


def test_dbt_ends_with_the_night_that_started_it(story: Killed) -> None:
    assert not story.dbt_went_on


def test_what_one_run_landed_the_next_did_not_pull_again(story: Killed) -> None:
    ingested = story.between["ingest"]
    assert all(sum(ingested[partner].landed.values()) for partner in PARTNERS)
    assert all(story.after[partner].landed == ingested[partner].landed for partner in PARTNERS)


def test_every_insight_has_one_version_and_the_receiver_got_each_once(story: Killed) -> None:
    for partner in PARTNERS:
        after = story.after[partner]
        assert {version for _, version in after.versions} == {1}
        assert Counter(after.sent()) == Counter(after.versions.keys()), partner
        ids = [message["webhook_id"] for message in after.messages]
        assert len(set(ids)) == len(ids)
        assert {m["document"]["data"]["id"] for m in after.messages} == set(after.current)
    with story.services.database.batch() as connection:
        left = connection.exec_driver_sql("select count(*) from ops.outbox where status <> 'delivered'").scalar_one()
        doubled = connection.exec_driver_sql(
            "select count(*) from (select from ops.outbox group by partner, insight_id, insight_version, endpoint_id"
            " having count(*) > 1) as doubled"
        ).scalar_one()
    assert (left, doubled) == (0, 0)


def test_nothing_is_published_before_its_step(story: Killed) -> None:
    for step in ("ingest", "harmonize"):
        assert not any(story.between[step][partner].versions for partner in PARTNERS), step
    assert not any(story.between["train"][partner].current for partner in PARTNERS)


def test_a_killed_run_is_marked_failed_by_the_next(story: Killed) -> None:
    with story.services.database.batch() as connection:
        statuses = Counter(connection.exec_driver_sql("select status from dagster.runs").scalars())
    assert statuses == {"FAILURE": len(BOUNDARIES), "SUCCESS": 1}


def test_a_broken_edit_of_one_use_case_leaves_the_others_published(
    story: Killed, broken: "subprocess.CompletedProcess[str]"
) -> None:
    assert broken.returncode == 1
    reason = broken.stderr.strip().splitlines()[-1]
    assert reason.startswith("integrator: the run failed for ") and "train pricing: SyntaxError" in reason
    assert all(partner in reason for partner in PARTNERS)
    with story.services.database.batch() as connection:
        newest = connection.exec_driver_sql(
            "select run_id from ops.step_runs order by step_run_id desc limit 1"
        ).scalar_one()
        done = connection.execute(
            text("select partner, use_case from insights.publication_log where run_id = :run_id"), {"run_id": newest}
        ).all()
    assert {tuple(row) for row in done} == {
        (partner, case) for partner in PARTNERS for case in ("attendance", "lead_score")
    }
    for partner in PARTNERS:
        assert standing(story.services, partner, []).current == story.after[partner].current
