"""Host databases by the API and the command: added, compared, written, kept apart; and the addresses that are refused."""

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from integrator.contracts.errors import Forbidden, IntegratorError, InvalidInput, TransientError
from integrator.security import clients
from integrator.steps import host_databases as steps
from integrator.steps import host_sync
from integrator.steps.host_sync import keep_syncing, sync
from integrator.steps.services import Services
from integrator_realtime.app import create_app
from tests.command_line import called
from tests.host_suite import ALPHA, documents, put_out
from tests.serving import serving

SECRET = "s3cret-of-the-host"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SQLite files of two partners, a table in each."""
    made = tmp_path_factory.mktemp("hosts")
    for partner in ("alpha", "beta"):
        (made / partner).mkdir()
        engine = create_engine(f"sqlite:///{made}/{partner}/own.db", poolclass=NullPool)
        with engine.begin() as connection:
            connection.exec_driver_sql(
                "create table insights (insight_id text primary key, insight_version integer, status text, document text)"
            )
    return made


@pytest.fixture(scope="module")
def mine(services: Services, folder: Path) -> Services:
    settings = services.settings.model_copy(update={"host_database_folder": folder})
    return replace(services, settings=settings)


@pytest.fixture(scope="module")
def api(mine: Services) -> Iterator[httpx.Client]:
    with serving(create_app(mine)) as url, httpx.Client(base_url=url, timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def keys(mine: Services) -> dict[str, dict[str, str]]:
    made = {}
    for partner, scope in (("alpha", "connections:write"), ("beta", "connections:write"), ("alpha", "insights:read")):
        secret = clients.create(mine.database, partner, (scope,), mine.clock(), method="api_key").client_secret
        made[partner if scope == "connections:write" else "reader"] = {"Authorization": f"Bearer {secret}"}
    return made


@pytest.fixture(autouse=True)
def nothing_there(mine: Services, folder: Path) -> None:
    with mine.database.batch() as connection:
        for table in ("integrator.host_database", "insights.version", "insights.current", "ops.prediction_log"):
            connection.execute(text(f"delete from {table}"))
    for partner in ("alpha", "beta"):
        with create_engine(f"sqlite:///{folder}/{partner}/own.db", poolclass=NullPool).begin() as connection:
            connection.exec_driver_sql("delete from insights")


def rows(folder: Path, partner: str = "alpha") -> dict[str, str]:
    engine = create_engine(f"sqlite:///{folder}/{partner}/own.db", poolclass=NullPool)
    with engine.begin() as connection:
        return {row[0]: row[1] for row in connection.exec_driver_sql("select insight_id, document from insights")}


TARGET = {"address": "sqlite:///own.db", "table": "insights", "name": "own"}


def test_by_the_api_from_adding_to_removing(
    mine: Services, api: httpx.Client, keys: dict[str, dict[str, str]], folder: Path
) -> None:
    put_out(mine, "gala", position=10)
    made = api.post("/v1/host-databases", json=TARGET, headers=keys["alpha"])
    assert made.status_code == 200, made.text
    assert (made.json()["status"], made.json()["behind"]) == ("active", True)
    diff = api.post("/v1/host-databases/own/diff", headers=keys["alpha"]).json()
    assert (diff["add"], diff["change"]) == (1, 0) and diff["sample"][0]["columns"]["document"]["old"] is None
    assert api.post("/v1/host-databases/own/sync", headers=keys["alpha"]).json() == {"name": "own", "written": 1}
    assert list(rows(folder).values()) == list(documents(mine).values())
    for act, state in (("pause", "paused"), ("resume", "active")):
        assert api.post(f"/v1/host-databases/own/{act}", headers=keys["alpha"]).json()["status"] == state
    (listed,) = api.get("/v1/host-databases", headers=keys["alpha"]).json()["host_databases"]
    assert (listed["rows_written"], listed["behind"], listed["last_error"]) == (1, False, None)
    assert api.post("/v1/host-databases/own/check", headers=keys["alpha"]).json()["fits"] is True
    assert api.delete("/v1/host-databases/own", headers=keys["alpha"]).status_code == 204
    assert api.get("/v1/host-databases/own", headers=keys["alpha"]).status_code == 404
    assert len(rows(folder)) == 1


def test_another_partners_are_not_there(api: httpx.Client, keys: dict[str, dict[str, str]]) -> None:
    assert api.post("/v1/host-databases", json=TARGET, headers=keys["alpha"]).status_code == 200
    for method, path in (("GET", ""), ("POST", "/check"), ("POST", "/diff"), ("POST", "/sync"), ("POST", "/pause"),
                         ("POST", "/resume"), ("DELETE", "")):  # fmt: skip
        answer = api.request(method, f"/v1/host-databases/own{path}", headers=keys["beta"])
        assert answer.status_code == 404, (method, path, answer.text)
        assert api.request(method, f"/v1/host-databases/own{path}", headers=keys["reader"]).status_code == 403
    assert api.get("/v1/host-databases", headers=keys["beta"]).json() == {"host_databases": []}
    other = {**TARGET, "address": "sqlite:///../beta/own.db"}
    refused = api.post("/v1/host-databases", json=other, headers=keys["alpha"])
    assert refused.status_code == 422 and "the partner's own folder" in refused.json()["detail"]


def test_a_password_is_in_no_answer_and_in_no_log(
    mine: Services, api: httpx.Client, keys: dict[str, dict[str, str]], caplog: pytest.LogCaptureFixture
) -> None:
    strict = {**TARGET, "address": f"postgresql://writer:{SECRET}@127.0.0.1:9/shop", "tls": "off"}
    away = api.post("/v1/host-databases", json=strict, headers=keys["alpha"])
    assert away.status_code == 503 and "the host's database" in away.json()["detail"]
    bad = [f"postgresql://writer:{SECRET}@[::1/x", f"oracle://writer:{SECRET}@h/x", f"postgresql://writer:{SECRET}@h/x?host=/tmp",
           f"postgresql://writer:{SECRET}@/x", f"mysql://writer:{SECRET}@h"]  # fmt: skip
    for address in bad:
        answer = api.post("/v1/host-databases", json={**TARGET, "address": address}, headers=keys["alpha"])
        assert answer.status_code == 422 and SECRET not in answer.text, answer.text
    assert SECRET not in away.text and SECRET not in caplog.text


@pytest.mark.parametrize(
    "host",
    [
        "10.0.0.8",
        "169.254.169.254",
        "[::ffff:10.0.0.8]",
        "[fd00:ec2::254]",
        "0xa000008",
        "192.168.0.1",
        "[::]",
        "0.0.0.0",
    ],
)
@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
def test_our_own_network_is_not_connected_to(mine: Services, scheme: str, host: str) -> None:
    for tls in ("verify", "off"):
        with pytest.raises(InvalidInput, match="public addresses with TLS"):
            steps.save(mine, ALPHA, steps.Wanted(address=f"{scheme}://u:p@{host}/x", table="t", tls=tls))


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
def test_loopback_needs_its_switch_and_the_public_needs_tls(mine: Services, scheme: str) -> None:
    strict = replace(mine, settings=mine.settings.model_copy(update={"allow_loopback_webhooks": False}))
    with pytest.raises(InvalidInput, match="public addresses with TLS"):
        steps.save(strict, ALPHA, steps.Wanted(address=f"{scheme}://u:p@127.0.0.1/x", table="t", tls="off"))
    with pytest.raises(InvalidInput, match="public addresses with TLS"):
        steps.save(mine, ALPHA, steps.Wanted(address=f"{scheme}://u:p@93.184.215.14/x", table="t", tls="off"))


@pytest.mark.parametrize(
    "address",
    ["sqlite://", "sqlite:///:memory:", "sqlite:///file:own.db", "sqlite:///own.db?mode=ro", "sqlite:////etc/passwd",
     "sqlite:///../alpha/../beta/own.db", "sqlite:///none.db", "sqlite:///linked.db", "sqlite:///own.db;attach"],
)  # fmt: skip
def test_sqlite_files_elsewhere(mine: Services, folder: Path, address: str) -> None:
    link = folder / "alpha" / "linked.db"
    if not link.is_symlink():
        link.symlink_to(folder / "beta" / "own.db")
    with pytest.raises(IntegratorError):
        steps.save(mine, ALPHA, steps.Wanted(address=address, table="insights"))
    assert not (folder / "alpha" / "none.db").exists()


def test_sqlite_only_where_a_folder_is_named(services: Services) -> None:
    with pytest.raises(Forbidden, match="INTEGRATOR_HOST_DATABASE_FOLDER"):
        steps.save(services, ALPHA, steps.Wanted(address="sqlite:///own.db", table="insights"))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"columns": {"nothing": "x", "insight_version": "v"}}, "insight_id, insight_version"),
        ({"columns": {"insight_id": "insight_id"}}, "no column takes insight_version"),
        ({"key": ("value",)}, "subject_id"),
        ({"columns": {"subject_id": "insight_id", "insight_version": "v", "status": "s"}, "key": ("subject_id",)}, "use_case"),
        ({"withdrawn": "forget"}, "mark, delete"),
        ({"tls": "maybe"}, "verify, require, off"),
        ({"columns": {"insight_id": "a", "insight_version": "a", "status": "s"}}, "each column once"),
        ({"columns": {"insight_id": "a\nb", "insight_version": "v", "status": "s"}}, "printable"),
        ({"columns": {"insight_id": "i", "insight_version": "v"}}, "marked by their status"),
        ({"columns": {"score": "s", "insight_version": "v"}, "use_cases": ("attendance",)}, "p10, p50"),
    ],
)  # fmt: skip
def test_layouts_that_make_no_sense(mine: Services, more: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        steps.save(mine, ALPHA, steps.Wanted(**{**TARGET, **more}))


def test_one_that_is_away_waits_longer_and_longer_and_then_stops(
    mine: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps.save(mine, ALPHA, steps.Wanted(**TARGET))
    put_out(mine, "gala", position=10)
    away = TransientError("it is away")

    def fail(*_: object, **__: object) -> None:
        raise away

    monkeypatch.setattr(host_sync, "reached", fail)
    moment = [mine.clock()]
    later = replace(mine, clock=lambda: moment[0])
    waits = []
    for _ in range(12):
        with pytest.raises(TransientError):
            sync(later, "alpha", "own")
        seen = steps.detail(mine, "alpha", "own")
        waits.append((seen["next_attempt_at"] - moment[0]).total_seconds())
        moment[0] = seen["next_attempt_at"]
    for failed, wait in enumerate(waits):
        planned = min(2.0 * 2**failed, 900.0)
        assert planned <= wait <= planned * 1.1
    assert (seen["status"], seen["last_error"], seen["behind"]) == ("active", "it is away", True)
    moment[0] = mine.clock() + host_sync.GIVEN_UP_AFTER
    with pytest.raises(TransientError):
        sync(later, "alpha", "own")
    assert steps.detail(mine, "alpha", "own")["status"] == "failed"


def test_kept_in_step_by_itself_and_one_failing_harms_no_other(mine: Services, folder: Path) -> None:
    steps.save(mine, ALPHA, steps.Wanted(**TARGET))
    steps.save(mine, ALPHA, steps.Wanted(**{**TARGET, "name": "broken"}))
    with mine.database.batch() as connection:
        connection.execute(
            text("update integrator.host_database set address = decode(repeat('00', 40), 'hex') where name = 'broken'")
        )
    stop = threading.Event()
    thread = threading.Thread(target=keep_syncing, args=(mine, stop), kwargs={"poll_seconds": 0.02})
    thread.start()
    try:
        put_out(mine, "gala", "expo", position=10)
        deadline = time.monotonic() + 30
        while len(rows(folder)) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        put_out(mine, "gala", "expo", position=11, value=1.0)
        while set(rows(folder).values()) != set(documents(mine).values()) and time.monotonic() < deadline:
            time.sleep(0.02)
    finally:
        stop.set()
        thread.join(30)
    assert set(rows(folder).values()) == set(documents(mine).values())
    assert not thread.is_alive()
    told = {row["name"]: row["status"] for row in steps.listed(mine, "alpha")}
    assert told == {"own": "active", "broken": "failed"}, "what cannot be opened is not tried for ever"


def test_by_the_command(mine: Services, server: Any, folder: Path) -> None:
    put_out(mine, "gala", position=10)
    address = mine.database.address
    environment = {
        "INTEGRATOR_HOME": str(server.home), "INTEGRATOR_REDIS_URL": server.redis_url,
        "INTEGRATOR_DATABASE_URL": f"postgresql://{address.owner}:{address.password}@{address.host}:{address.port}/{address.name}",
        "INTEGRATOR_MASTER_KEY": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        "INTEGRATOR_HOST_DATABASE_FOLDER": str(folder), "INTEGRATOR_NOW": "2026-03-16T12:00:00Z",
    }  # fmt: skip

    def run(*words: str, **more: Any) -> Any:
        return called(environment, "host-databases", *words, "--partner", "alpha", **more)

    made = run("add", "--address", "-", "--table", "insights", "--name", "own", "--json", stdin="sqlite:///own.db\n")
    assert made.code == 0, made.err
    assert made.documents[0]["columns"]["document"] == "document"
    (diff,) = run("diff", "own", "--json").documents
    assert (diff["add"], diff["same"]) == (1, 0)
    assert "document" in run("diff", "own").out
    assert run("sync", "--json").documents == [{"name": "own", "written": 1, "complete": True, "error": None}]
    assert json.loads(rows(folder).popitem()[1])["subject"]["id"] == "gala"
    assert run("check", "own").code == 0 and run("list", "--json").documents[0]["behind"] is False
    assert run("pause", "own").code == 0 and run("sync", "own").code == 1 and run("resume", "own").code == 0
    assert run("remove", "own").code == 0 and "there are: none" in run("check", "own").err
    refused = run("add", "--address", "sqlite:///own.db", "--table", "insights", "--column", "status")
    assert refused.code == 1 and "FIELD=COLUMN" in refused.err
