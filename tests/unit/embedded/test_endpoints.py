"""`endpoints.json` and ports: whole files, nobody's entry lost, ports that are free."""

import json
import socket
import threading
from pathlib import Path

import pytest

from integrator.contracts.errors import InvalidInput
from integrator.embedded.endpoints import HOST, Endpoints, answers, free_port
from integrator.settings import Settings, load_settings


def test_nothing_there_yet(tmp_path: Path) -> None:
    endpoints = Endpoints(tmp_path / "deep" / "home")
    assert endpoints.read() == {}
    endpoints.drop("redis")
    assert endpoints.read() == {}


def test_entries_are_set_replaced_and_dropped(tmp_path: Path) -> None:
    endpoints = Endpoints(tmp_path / "home")
    endpoints.put("redis", host=HOST, port=1, pid=2)
    endpoints.put("realtime", url="http://127.0.0.1:1")
    endpoints.put("redis", host=HOST, port=3)
    assert endpoints.read() == {"redis": {"host": HOST, "port": 3}, "realtime": {"url": "http://127.0.0.1:1"}}
    endpoints.drop("redis")
    endpoints.drop("redis")
    assert list(endpoints.read()) == ["realtime"]
    assert json.loads((tmp_path / "home" / "endpoints.json").read_text()) == endpoints.read()


def test_many_writers_lose_no_entry_and_readers_see_whole_files(tmp_path: Path) -> None:
    """`up` and the applications it starts write at the same time."""
    names = [f"app{number}" for number in range(8)]
    broken: list[Exception] = []
    done = threading.Event()

    def write(name: str) -> None:
        for round_ in range(10):
            Endpoints(tmp_path).put(name, round=round_)

    def read() -> None:
        while not done.is_set():
            try:
                Endpoints(tmp_path).read()
            except ValueError as error:  # half a file
                broken.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    writers = [threading.Thread(target=write, args=[name]) for name in names]
    for thread in writers:
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    reader.join()
    assert Endpoints(tmp_path).read() == {name: {"round": 9} for name in names}
    assert not broken
    assert not list(tmp_path.glob(".endpoints*")), "no half-written file is left"


def test_no_password_is_ever_in_the_file(tmp_path: Path) -> None:
    from integrator.embedded import redis
    from integrator.storage.crypto import MasterKey

    master = MasterKey(bytes(range(32)))
    Endpoints(tmp_path).put("redis", host=HOST, port=1, pid=0)
    assert master.password("redis") not in Endpoints(tmp_path).path.read_text()
    assert not redis.stop(tmp_path), "a pid of nobody is not ended"


@pytest.mark.parametrize("pid", [1, 0, -1, 2**22 + 5])
def test_a_process_that_is_not_ours_is_never_signalled(tmp_path: Path, pid: int) -> None:
    """An old file may name a pid that is somebody else's by now: only a redis-server is ended."""
    from integrator.embedded import redis

    Endpoints(tmp_path).put("redis", host=HOST, port=1, pid=pid)
    assert redis.stop(tmp_path) is False


def test_the_preferred_port_is_taken_when_it_is_free_and_another_when_not() -> None:
    port = free_port()
    assert free_port(port) == port
    with socket.socket() as held:
        held.bind((HOST, 0))
        held.listen()
        taken = held.getsockname()[1]
        assert free_port(taken) != taken
        assert answers(taken)
    assert not answers(port)


@pytest.mark.parametrize("name", ["dagster_port", "mlflow_port", "realtime_port", "sandbox_port"])
def test_a_port_is_a_port(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for wrong in ("65536", "-1", "http", ""):
        monkeypatch.setenv(f"INTEGRATOR_{name.upper()}", wrong)
        with pytest.raises(InvalidInput, match=f"INTEGRATOR_{name.upper()}"):
            load_settings()
    monkeypatch.setenv(f"INTEGRATOR_{name.upper()}", "65535")
    assert getattr(load_settings(), name) == 65_535


def test_secrets_do_not_show_in_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTEGRATOR_DATABASE_URL", "postgresql://o:very-secret@db/x")
    monkeypatch.setenv("INTEGRATOR_REDIS_URL", "redis://:very-secret@cache/0")
    monkeypatch.setenv("INTEGRATOR_MASTER_KEY", "very-secret")
    settings = load_settings()
    assert "very-secret" not in repr(settings) + str(settings) + settings.model_dump_json()


@pytest.mark.parametrize(
    ("name", "value"),
    [("NOW", "2026-01-01T00:00:00"), ("NOW", "noon"), ("ENGINE", "flink"), ("HTTP_RETRIES", "11"), ("HTTP_RETRIES", "-1"),
     ("HTTP_TIMEOUT_SECONDS", "0"), ("TOKEN_MINUTES", "0"), ("TOKEN_MINUTES", "61"), ("SENSORS_ON", "perhaps")],
)  # fmt: skip
def test_a_wrong_setting_names_the_variable(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"INTEGRATOR_{name}", value)
    with pytest.raises(InvalidInput, match=f"INTEGRATOR_{name} '{value}' is not allowed"):
        load_settings()


def test_settings_are_frozen_and_the_clock_follows_now() -> None:
    settings = Settings(now="2026-03-16T13:00:00+01:00")  # type: ignore[arg-type]
    clock = settings.clock()
    assert clock().isoformat() == "2026-03-16T12:00:00+00:00" == clock().isoformat()
    with pytest.raises(ValueError, match="frozen"):
        settings.home = Path("/x")  # type: ignore[misc]
    moving = Settings(now=None).clock()
    assert moving().tzinfo is not None and moving() <= moving()
