"""Insights in a host's own PostgreSQL and SQLite: the suite, and what is each server's own."""

import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import URL, create_engine
from sqlalchemy.pool import NullPool

from integrator.steps.services import Services
from tests.host_suite import Host, HostDatabaseSuite, clean

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
    admin.execute(sql.SQL("create database {} owner {}").format(database, role))
    url = URL.create("postgresql+psycopg", username=f"{name}_writer", password="host-secret", database=name, **reach)
    engine = create_engine(
        url, poolclass=NullPool, json_deserializer=lambda raw: raw if isinstance(raw, str) else raw.decode()
    )
    yield Host(engine, url.set(drivername="postgresql").render_as_string(hide_password=False), POSTGRES)
    admin.execute(sql.SQL("drop database {}").format(database))
    admin.execute(sql.SQL("drop role {}").format(role))
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
