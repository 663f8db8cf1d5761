"""A statement that breaks on what a caller said: that it broke is logged, and with which state; the value is not."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DataError

from integrator.delivery.host_database.address import Rules, engine, parse
from integrator.delivery.kafka.relay import Relay
from integrator.security.addresses import Guard
from integrator.steps import host_sync, relay, write_back_run
from integrator.steps.services import Services
from integrator_realtime.app import create_app
from tests.serving import serving

SECRET = "ada@example.org"
STATE = "SQLSTATE 22P02"


def break_on(services: Services, value: str) -> NoReturn:
    """PostgreSQL's own words repeat the value, and SQLAlchemy's the parameters beside it."""
    with services.database.service() as connection:
        connection.execute(text("select cast(:value as integer), :value2"), {"value": value, "value2": value})
    raise AssertionError("it did not break")


def test_a_request_that_breaks_a_statement(
    services: Services, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    app = create_app(services, issuer="http://127.0.0.1:8080")

    @app.get("/broken/{how}")
    def broken(how: str) -> None:
        if how == "caused":
            try:
                break_on(services, SECRET)
            except DataError as error:
                raise RuntimeError(SECRET) from error
        break_on(services, SECRET)

    with serving(app) as url:
        for how in ("plain", "caused"):
            answer = httpx.get(f"{url}/broken/{how}")
            assert answer.status_code == 500 and SECRET not in answer.text
            request_id = answer.json()["instance"].rpartition(":")[2]
            assert f"GET /broken/{how} failed, {request_id}: " in caplog.text
        assert httpx.get(f"{url}/healthz").status_code == 200
    told = capfd.readouterr()
    assert caplog.text.count(STATE) >= 2 and "break_on" in caplog.text
    assert SECRET not in caplog.text + told.err + told.out


@pytest.mark.parametrize("step", ["host database", "write-back"])
def test_a_turn_that_breaks_a_statement(
    services: Services, step: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def breaking(*_: Any, **__: Any) -> NoReturn:
        break_on(services, SECRET)

    def cannot_open(*_: Any) -> None:
        return None

    monkeypatch.setattr(host_sync, "sync", breaking)
    monkeypatch.setattr(host_sync, "_cannot_open", cannot_open)
    monkeypatch.setattr(write_back_run, "run", breaking)
    turns: dict[str, Callable[[], Any]] = {
        "host database": lambda: host_sync._tried(services, "alpha", "own"),
        "write-back": lambda: write_back_run._tried(services, "alpha", "con_1"),
    }
    report = turns[step]()
    assert report.error == "a defect: DataError"
    assert step in caplog.text and STATE in caplog.text
    assert SECRET not in caplog.text + capfd.readouterr().err


def test_insights_that_break_their_relay(
    services: Services, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = threading.Event()

    def breaking(*_: Any) -> NoReturn:
        stop.set()
        try:
            break_on(services, SECRET)
        except DataError as error:
            raise RuntimeError(SECRET) from error

    monkeypatch.setattr(Relay, "relay", breaking)
    settings = services.settings.model_copy(update={"kafka_bootstrap": "127.0.0.1:1"})
    relay.keep_relaying(
        Services(settings, services.database, services.redis_url, services.clock), stop, poll_seconds=0.01
    )
    assert "insights of alpha were not produced: RuntimeError" in caplog.text and STATE in caplog.text
    assert SECRET not in caplog.text


def test_host_databases_say_no_parameters(tmp_path: Path) -> None:
    rules = Rules(Guard(allow_loopback=True), tmp_path)
    (tmp_path / "alpha").mkdir()
    for address in (
        f"sqlite:///{tmp_path}/alpha/own.db", "postgresql://u:p@127.0.0.1/x", "mysql://u:p@127.0.0.1/x",
    ):  # fmt: skip
        assert engine(parse(address, "off"), "off", "alpha", rules).hide_parameters, address
