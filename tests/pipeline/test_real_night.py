"""One night on real PostgreSQL, Redis, dbt, Great Expectations and MLflow; one partner's landed data breaks the contract."""

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from dagster import AssetKey, DagsterInstance, DagsterRunStatus
from sqlalchemy import text

from integrator.contracts.errors import Conflict, NotFound
from integrator.settings import Settings
from integrator.steps.services import Services
from integrator.storage import insights, landing
from integrator.storage.partners import Partner, register
from integrator_dagster.definitions import build_definitions
from integrator_dagster.jobs import TAGS, in_flight
from integrator_dagster.launch import BY_COMMAND, NightResult, _alone, instance_of, run_night, run_retrain
from integrator_dagster.partitions import known_partners
from tests.conftest import NOW

GOOD, BAD = "good_shop", "bad_shop"


@dataclass
class Nights:
    """Two nights on the same data, and the services they used."""

    services: Services
    instance: DagsterInstance
    first: NightResult
    second: NightResult
    progress: list[tuple[str, str]]


def sales(days: int) -> list[dict[str, Any]]:
    """A line a day of two products."""
    return [
        {
            "native_id": f"{product}-{day}", "product": product, "sold_at": (NOW - timedelta(days=day)).isoformat(),
            "quantity": 2 + day % 3, "unit_price": "10.00", "list_price": "10.00", "currency": "EUR", "status": "paid",
            "updated_at": (NOW - timedelta(days=day)).isoformat(),
        }
        for day in range(1, days) for product in ("bread", "milk")
    ]  # fmt: skip


@pytest.fixture(scope="module")
def nights(make_database: Callable[[], Any], server: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nights]:
    """Two partners with the same lines; then one line of `bad_shop` is made to break the contract behind landing's back."""
    home: Path = tmp_path_factory.mktemp("night")
    database = make_database()
    services = Services(Settings(home=home), database, server.redis_url, lambda: NOW)
    for name in (GOOD, BAD):
        register(database, Partner(partner=name, timezone="Europe/Berlin", currency="EUR", region="DE"), NOW)
        assert landing.write(database, name, "direct", "sale", sales(40), now=NOW).accepted == 78
    with database.batch() as connection:
        connection.execute(
            text("update landing.sale set unit_price = -1 where partner = :partner and native_id = 'milk-3'"),
            {"partner": BAD},
        )
    said: list[tuple[str, str]] = []
    with DagsterInstance.ephemeral() as instance:
        first = run_night(instance, services, progress=lambda op, what: said.append((op, what)))
        second = run_night(instance, services, [GOOD])
        yield Nights(services, instance, first, second, said)


def published(nights: Nights, partner: str) -> list[str]:
    """The documents a partner reads, of all use cases."""
    with nights.services.database.partner(partner) as connection:
        found = [insights.current(connection, partner, case) for case in ("attendance", "pricing", "lead_score")]
    return [served.document for group in found for served in group]


def test_the_partner_with_broken_data_is_left_out_and_named(nights: Nights) -> None:
    assert not nights.first.success
    assert set(nights.first.failed_partners) == {BAD}
    assert "unit_price" in nights.first.failed_partners[BAD] or "price" in nights.first.failed_partners[BAD]
    assert "every_partner" in nights.first.message and BAD in nights.first.message
    steps = {(entry.partner, entry.step) for entry in nights.first.steps if entry.status == "success"}
    assert (BAD, "harmonize") in steps and (BAD, "score") not in steps
    assert {(GOOD, step) for step in ("harmonize", "features", "train", "score", "publish")} <= steps
    assert published(nights, BAD) == []


def test_the_other_partner_is_published_and_its_partitions_say_so(nights: Nights) -> None:
    documents = published(nights, GOOD)
    assert {product for product in ("bread", "milk") if any(product in document for document in documents)} == {
        "bread",
        "milk",
    }
    for key in (["insight", "pricing"], ["published", "tables"], ["published", "cache"], ["model", "attendance"]):
        assert nights.instance.get_materialized_partitions(AssetKey(key)) == {GOOD}, key


def test_a_second_night_changes_nothing(nights: Nights) -> None:
    assert nights.second.success and nights.second.failed_partners == {}
    notes = [entry.reason for entry in nights.second.steps if entry.step == "publish" and entry.row_count]
    assert notes and all(note is not None and note.startswith("0 changed") for note in notes)


def test_rows_and_progress_are_told(nights: Nights) -> None:
    rows = {(e.partner, e.step): e.row_count for e in nights.first.steps if e.status == "success" and not e.use_case}
    assert rows[GOOD, "harmonize"] >= 78
    assert ("harmonize", "started") in nights.progress and ("harmonize", "done") in nights.progress
    assert ("every_partner", "failed") in nights.progress


def test_a_retraining_without_enough_data_is_a_report_and_no_error(nights: Nights) -> None:
    result = run_retrain(nights.instance, nights.services, GOOD, "pricing")
    assert result.success, result.message
    (trained,) = [entry for entry in result.steps if entry.step == "train"]
    assert (trained.reason or "").startswith("not ready")


def test_unknown_partners_are_named_with_those_there_are(nights: Nights) -> None:
    with pytest.raises(NotFound, match=f"{BAD}.*{GOOD}"):
        run_night(nights.instance, nights.services, ["nobody"])


def test_two_commands_do_not_run_at_once(nights: Nights) -> None:
    with _alone(nights.services, nights.instance), pytest.raises(Conflict, match="another command"):
        run_night(nights.instance, nights.services)


def test_what_a_killed_command_left_is_marked_failed_by_the_next(nights: Nights) -> None:
    job = build_definitions(settings=nights.services.settings).resolve_job_def("nightly_insights")
    left = nights.instance.create_run_for_job(job_def=job, status=DagsterRunStatus.STARTED, tags={**TAGS, **BY_COMMAND})
    with _alone(nights.services, nights.instance):
        ended = nights.instance.get_run_by_id(left.run_id)
    assert ended is not None and ended.status is DagsterRunStatus.FAILURE
    assert in_flight(nights.instance) == []


def test_the_page_s_storage_is_ours_and_nothing_has_to_be_configured(
    server: Any, make_database: Callable[[], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = make_database()
    address = database.address
    values = {
        "INTEGRATOR_DATABASE_URL": f"postgresql://{address.owner}:{address.password}@{address.host}:{address.port}/{address.name}",
        "INTEGRATOR_REDIS_URL": server.redis_url,
        "INTEGRATOR_HOME": str(tmp_path),
        "INTEGRATOR_MASTER_KEY": base64.b64encode(bytes(range(32))).decode(),
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    with instance_of(Settings()) as instance:
        instance.add_dynamic_partitions("partners", ["alpha"])
        assert known_partners(instance) == ["alpha"]
        assert instance.telemetry_enabled is False
    with database.batch() as connection:
        tables = connection.execute(text("select count(*) from pg_tables where schemaname = 'dagster'")).scalar_one()
    assert tables > 10 and (tmp_path / "dagster" / "dagster.yaml").exists()
