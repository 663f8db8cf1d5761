"""Insights in a host's own PostgreSQL and SQLite: the suite, and what is each server's own."""

import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import URL, create_engine, text
from sqlalchemy.pool import NullPool

from integrator.contracts.errors import Conflict, Forbidden, InvalidInput, TransientError, Unauthorized
from integrator.steps import connections
from integrator.steps import host_databases as steps
from integrator.steps.host_sync import sync
from integrator.steps.services import Services
from integrator.storage.turns import Turns
from tests.host_suite import ALPHA, Host, HostDatabaseSuite, add, clean, put_out, status

__all__ = ["clean"]

POSTGRES = {"text": "text", "number": "numeric", "moment": "timestamp", "document": "json", "quote": '"'}
SQLITE = {"text": "text", "number": "numeric", "moment": "timestamp", "document": "text", "quote": '"'}


@pytest.fixture(scope="module")
def postgres(server: Any) -> Iterator[Host]:
    """A database beside ours, with a login of its own that owns one schema."""
    from integrator.embedded.postgres import SUPERUSER

    name = f"host_{uuid.uuid4().hex[:8]}"
    reach: dict[str, Any] = {"host": server.address.host, "port": server.address.port}
    admin = psycopg.connect(
        **reach, dbname="postgres", user=SUPERUSER, password=server.master.password(SUPERUSER), autocommit=True
    )
    role, database = sql.Identifier(f"{name}_writer"), sql.Identifier(name)
    admin.execute(sql.SQL("create role {} login password 'host-secret'").format(role))
    narrow = sql.Identifier(f"{name}_writer_narrow")
    admin.execute(sql.SQL("create role {} login password 'host-secret'").format(narrow))
    admin.execute(sql.SQL("create database {} owner {}").format(database, role))
    url = URL.create("postgresql+psycopg", username=f"{name}_writer", password="host-secret", database=name, **reach)
    engine = create_engine(
        url, poolclass=NullPool, json_deserializer=lambda raw: raw if isinstance(raw, str) else raw.decode()
    )
    yield Host(engine, url.set(drivername="postgresql").render_as_string(hide_password=False), POSTGRES)
    admin.execute(sql.SQL("drop database {}").format(database))
    admin.execute(sql.SQL("drop role {}, {}").format(role, narrow))
    admin.close()


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> Host:
    folder = tmp_path_factory.mktemp("hosts")
    for partner in ("alpha", "beta"):
        (folder / partner).mkdir()
    engine = create_engine(f"sqlite:///{folder}/alpha/insights.db", poolclass=NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql("create table made_by_its_owner (id integer)")
    return Host(engine, "sqlite:///insights.db", SQLITE)


def folder_of(host: Host) -> Path:
    return Path(str(host.admin.url.database)).parents[1]


class TestPostgres(HostDatabaseSuite):
    @pytest.fixture
    def host(self, postgres: Host) -> Host:
        return postgres


class TestSqlite(HostDatabaseSuite):
    @pytest.fixture
    def host(self, sqlite: Host) -> Host:
        return sqlite

    @pytest.fixture
    def clean(self, clean: Services, sqlite: Host) -> Services:
        return replace(clean, settings=clean.settings.model_copy(update={"host_database_folder": folder_of(sqlite)}))


@pytest.fixture
def host(postgres: Host) -> Host:
    return postgres


def test_the_guides_narrow_role_is_enough(clean: Services, host: Host) -> None:
    name = str(host.admin.url.username)
    host.do(f"grant select, insert, update on forecast to {name}_narrow")
    narrow = host.address.replace(f"//{name}:", f"//{name}_narrow:")
    put_out(clean, "gala", position=10)
    add(clean, host, address=narrow)
    assert sync(clean, "alpha", "host").written == 1 and set(host.rows()) == {"gala"}
    add(clean, host, address=narrow, withdrawn="delete")
    put_out(clean, "expo", position=11)
    with pytest.raises(Forbidden, match="permission denied for table forecast"):
        sync(clean, "alpha", "host")
    assert set(host.rows()) == {"gala"}, "all of a batch or nothing"


def test_a_certificate_is_wanted_and_an_absent_one_refused(clean: Services, host: Host) -> None:
    for tls in ("verify", "require"):
        with pytest.raises(InvalidInput, match="SSL"):
            add(clean, host, tls=tls)


def test_a_wrong_password_is_permanent(clean: Services, host: Host) -> None:
    with pytest.raises(Unauthorized) as refused:
        add(clean, host, address=host.address.replace("host-secret", "wrong-secret"))
    assert "wrong-secret" not in str(refused.value) and refused.value.__cause__ is None


def test_one_that_falls_silent_is_left_and_tried_again(
    clean: Services, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_out(clean, "gala", position=10)
    add(clean, host)
    monkeypatch.setattr("integrator.delivery.host_database.write.SILENT_SECONDS", 0.5)
    with host.admin.connect() as owner:
        owner.exec_driver_sql("lock table forecast in access exclusive mode")
        with pytest.raises(TransientError):
            sync(clean, "alpha", "host")
    found = status(clean)
    assert (found["status"], found["behind"]) == ("active", True) and found["last_error"]
    assert sync(clean, "alpha", "host").written == 1


def test_two_at_once_write_one_after_the_other(clean: Services, host: Host) -> None:
    put_out(clean, "gala", position=10)
    add(clean, host)
    other = Turns(clean.database)  # another process's
    with other.taken("alpha", "host_database/host") as taken, pytest.raises(Conflict, match="being written"):
        assert taken
        sync(clean, "alpha", "host")
    assert (status(clean)["status"], status(clean)["last_error"]) == ("active", None)
    assert sync(clean, "alpha", "host").written == 1


def test_a_rotated_key_seals_the_address_anew(clean: Services, host: Host) -> None:
    add(clean, host)
    before = _sealed(clean)
    connections.rotate(clean, ALPHA)
    assert _sealed(clean) != before
    assert steps.get(clean, "alpha", "host").address == host.address


def _sealed(services: Services) -> tuple[bytes, str]:
    with services.database.batch() as connection:
        row = connection.execute(text("select address, key_id from integrator.host_database")).one()
        return bytes(row.address), row.key_id
