"""Fixtures of every tier: one embedded server a run, migrated once, a database of its own per module.

Roles belong to the server and not to a database, so all databases of a run share one master key.
"""

import shutil
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

TESTS = Path(__file__).parent
NOW = datetime(2026, 3, 16, 12, 0, tzinfo=UTC)
UNIT_SECONDS = 2.0
SLOW_MACHINE = 2.0  # a shared core with a busy neighbour takes up to twice as long for the same work
SLOW_FIXTURES = {"server", "database", "storage", "partner", "sandbox"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that needs a server may not hide in the fast folder."""
    for item in items:
        if (TESTS / "unit") in item.path.parents:
            slow = SLOW_FIXTURES & set(getattr(item, "fixturenames", ()))
            if slow:
                raise pytest.UsageError(f"{item.nodeid} is under tests/unit and uses {', '.join(sorted(slow))}")


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """A unit test has two seconds, of processor time: the machines are shared, and a wall clock would be chance."""
    started = time.process_time()
    result = yield
    used = time.process_time() - started
    if (TESTS / "unit") in pyfuncitem.path.parents and used > UNIT_SECONDS * SLOW_MACHINE:
        pytest.fail(f"a unit test has {UNIT_SECONDS:g} s of processor time; this one took {used:.1f} s")
    return result


@pytest.fixture(scope="session")
def server() -> Iterator[Any]:
    """A PostgreSQL and a Redis of the test run alone; yields `integrator.embedded.session`'s pieces."""
    from integrator.embedded import postgres, redis
    from integrator.storage.crypto import MasterKey

    home = Path(tempfile.mkdtemp(prefix="integrator-test-", dir="/tmp"))
    home.chmod(0o711)
    master = MasterKey(bytes(range(32)))
    address = postgres.start(
        home, master, options=(("fsync", "off"), ("synchronous_commit", "off"), ("max_connections", "300"))
    )
    redis_url = redis.start(home, master)
    yield type("Server", (), {"home": home, "master": master, "address": address, "redis_url": redis_url})
    postgres.stop(home)
    redis.stop(home)
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def template(server: Any) -> str:
    """A migrated database that the others are copied from: 0.1 s a copy, against 1 s a migration."""
    from integrator.storage.database import Database
    from integrator.storage.migrate import migrate

    database = Database(server.address, server.master)
    migrate(database)
    database.close()
    return str(server.address.name)


@pytest.fixture(scope="session")
def make_database(server: Any, template: str) -> Iterator[Callable[[], Any]]:
    """A function that makes a fresh migrated database."""
    from dataclasses import replace

    from integrator.embedded.postgres import OWNER, SUPERUSER
    from integrator.storage.database import Database

    admin = psycopg.connect(
        host=server.address.host, port=server.address.port, dbname="postgres", user=SUPERUSER,
        password=server.master.password(SUPERUSER), autocommit=True,
    )  # fmt: skip
    made: list[Database] = []

    def make() -> Database:
        name = f"test_{len(made)}"
        admin.execute(
            sql.SQL("create database {} template {} owner {}").format(
                sql.Identifier(name), sql.Identifier(template), sql.Identifier(OWNER)
            )
        )
        made.append(Database(replace(server.address, name=name), server.master))
        return made[-1]

    yield make
    for database in made:
        database.close()
    admin.close()


@pytest.fixture(scope="module")
def database(make_database: Callable[[], Any]) -> Iterator[Any]:
    """A migrated `Database`, shared by the tests of one module; its connections end with the module."""
    made = make_database()
    yield made
    made.close()


@pytest.fixture
def now() -> datetime:
    """The clock of the tests."""
    return NOW
