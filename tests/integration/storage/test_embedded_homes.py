"""Embedded servers in homes as people have them: with spaces and quotes in their names, opened by several at once."""

import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import AuthenticationError
from sqlalchemy import text

from integrator.contracts.errors import InvalidInput
from integrator.embedded import redis
from integrator.embedded.endpoints import Endpoints, answers
from integrator.embedded.session import Storage, close_storage, open_storage
from integrator.settings import Settings
from integrator.storage.crypto import MasterKey
from integrator.storage.database import Address


@pytest.fixture
def base() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="integrator-homes-", dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.mark.parametrize("name", ['sp ace "quoted" # ü', "back\\slash"])
def test_redis_starts_whatever_its_home_is_called(base: Path, name: str) -> None:
    home = base / name
    master = MasterKey(bytes(range(32)))
    url = redis.start(home, master)
    try:
        with Redis.from_url(url) as client:
            client.set("kept", "1")
            client.save()
        assert (home / "redis" / "dump.rdb").exists() and (home / "redis" / "server.log").exists()
        assert (home / "redis" / "redis.conf").stat().st_mode & 0o777 == 0o600
        assert redis.start(home, master) == url, "the running one is found again"
        port = Endpoints(home).read()["redis"]["port"]
        with Redis(port=port) as stranger, pytest.raises(AuthenticationError):
            stranger.get("kept")
    finally:
        assert redis.stop(home)
    assert not redis.stop(home) and not answers(port)
    with Redis.from_url(redis.start(home, master)) as client:
        assert client.get("kept") == b"1"
    redis.stop(home)


def test_several_processes_open_one_home_with_a_space(base: Path) -> None:
    """Whoever comes first starts the servers; the others find them, migrated."""
    settings = Settings(home=base / "my projects" / "home")
    opened: list[Storage] = []
    failures: list[BaseException] = []

    def open_one() -> None:
        try:
            opened.append(open_storage(settings))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=open_one) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    try:
        assert failures == [] and len(opened) == 3
        assert len({(storage.database.address, storage.redis_url) for storage in opened}) == 1
        with opened[0].database.service() as connection:
            assert connection.execute(text("select count(*) from integrator.partner")).scalar_one() == 0
        key = settings.root / "master.key"
        assert key.stat().st_mode & 0o777 == 0o600
        assert opened[0].database.address.password not in Endpoints(settings.root).path.read_text()
    finally:
        for storage in opened:
            storage.database.close()
        stopped = close_storage(settings)
    assert sorted(stopped) == ["postgres", "redis"] and close_storage(settings) == []


@pytest.mark.parametrize(
    "url",
    ["mysql://o:p@h/d", "postgresql://h/d", "postgresql://o:hidden@/d", "postgresql://o:hidden@h", "sqlite:///x"],
)
def test_an_address_that_is_none_is_named_without_its_password(url: str) -> None:
    with pytest.raises(InvalidInput, match="INTEGRATOR_DATABASE_URL") as error:
        Address.parse(url)
    assert "hidden" not in str(error.value)


def test_addresses_are_read_whole() -> None:
    found: Any = Address.parse("postgresql+psycopg://own%40er:p%2Fw%40x@db.example:6432/name")
    assert (found.host, found.port, found.name, found.owner, found.password) == (
        "db.example", 6432, "name", "own@er", "p/w@x",
    )  # fmt: skip
    assert Address.parse("postgres://o:p@h/d").port == 5432
