"""Insights in a host's own MariaDB: the suite, and what this server does in its own way."""

import threading

import pytest
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from integrator.contracts.errors import Conflict, Forbidden, InvalidInput, TransientError, Unauthorized
from integrator.steps.host_sync import sync
from integrator.steps.services import Services
from tests.databases.mariadb import MariaDb
from tests.host_suite import COLUMNS, Host, HostDatabaseSuite, add, clean, documents, put_out, status

__all__ = ["clean"]

TYPES = {
    "text": "varchar(190) character set utf8mb4 collate utf8mb4_bin", "number": "decimal(12, 2)", "moment": "datetime",
    "document": "longtext", "quote": "`",
}  # fmt: skip


def shown(mariadb: MariaDb, user: str = "owner") -> str:
    return mariadb.url(user).set(drivername="mariadb").render_as_string(hide_password=False)


@pytest.fixture
def host(mariadb: MariaDb) -> Host:
    return Host(create_engine(mariadb.url("owner"), poolclass=NullPool), shown(mariadb), TYPES)


class TestMariaDb(HostDatabaseSuite):
    pass


def test_the_guides_narrow_role_is_enough(clean: Services, host: Host, mariadb: MariaDb) -> None:
    host.do(
        "create or replace user integrator_writer@'%%' identified by 'host-secret' require ssl",
        "grant select, insert, update on shop.forecast to integrator_writer@'%%'",
    )
    put_out(clean, "gala", position=10)
    narrow = shown(mariadb, "integrator_writer")
    add(clean, host, address=narrow, tls="require")
    assert sync(clean, "alpha", "host").written == 1 and set(host.rows()) == {"gala"}
    with pytest.raises(Unauthorized, match="login is refused"):  # it must speak TLS
        add(clean, host, address=narrow, tls="off")
    add(clean, host, address=narrow, tls="require", withdrawn="delete")
    put_out(clean, "expo", position=11)
    with pytest.raises(Forbidden, match="DELETE command denied"):
        sync(clean, "alpha", "host")
    assert status(clean)["status"] == "failed" and set(host.rows()) == {"gala"}


def test_a_certificate_that_does_not_verify_is_refused(clean: Services, host: Host) -> None:
    with pytest.raises((InvalidInput, TransientError), match="certificate"):
        add(clean, host, tls="verify")
    add(clean, host, tls="require")


def test_a_wrong_password_is_permanent_and_an_absent_server_is_not(clean: Services, host: Host) -> None:
    with pytest.raises(Unauthorized) as refused:
        add(clean, host, address=host.address.replace("host-secret", "wrong-secret"))
    assert "wrong-secret" not in str(refused.value)
    with pytest.raises(TransientError) as away:
        add(clean, host, address="mariadb://owner:host-secret@127.0.0.1:9/shop")
    assert "host-secret" not in str(away.value)


def test_subjects_that_a_collation_holds_for_equal_are_not_mixed(clean: Services, host: Host) -> None:
    host.do("drop table forecast", "create table forecast (event varchar(100) not null, shop varchar(100) not null, "
            "expected decimal(12, 2), state varchar(20), version integer, primary key (event, shop)) "
            "default character set utf8mb4 collate utf8mb4_general_ci")  # fmt: skip
    columns = {name: COLUMNS[name] for name in ("subject_id", "platform", "value", "status", "insight_version")}
    put_out(clean, "gala", position=10)
    add(clean, host, columns=columns)
    assert sync(clean, "alpha", "host").written == 1
    put_out(clean, "gala", "GALA", position=11, value=5.0)
    with pytest.raises(Conflict, match="GALA, pretix is taken by another subject"):
        sync(clean, "alpha", "host")
    assert (host.rows()["gala"]["version"], status(clean)["status"]) == (1, "failed")


def test_another_unique_key_would_catch_the_upsert(clean: Services, host: Host) -> None:
    host.make(more=", unique key expected_once (expected)")
    with pytest.raises(InvalidInput, match="another unique key would catch the upsert: expected"):
        add(clean, host)


def test_nothing_is_cut_whatever_the_server_thinks(clean: Services, host: Host, mariadb: MariaDb) -> None:
    with create_engine(mariadb.url("root", None, ""), poolclass=NullPool).begin() as connection:
        connection.exec_driver_sql("set global sql_mode = ''")
    host.do("drop table forecast", "create table forecast (event varchar(100), shop varchar(100), version integer, "
            "state varchar(20), expected decimal(3, 1), primary key (event, shop))")  # fmt: skip
    columns = {name: COLUMNS[name] for name in ("subject_id", "platform", "insight_version", "status", "value")}
    put_out(clean, "gala", position=10)
    add(clean, host, columns=columns)
    with pytest.raises(InvalidInput, match="Out of range"):
        sync(clean, "alpha", "host")
    assert host.rows() == {}


def test_at_once_from_many_sides_the_newest_stands(clean: Services, host: Host) -> None:
    for name in ("one", "two", "three"):
        add(clean, host, name=name)
    for position in range(10, 14):
        put_out(clean, *(str(n) for n in range(40)), position=position, value=float(position))
        threads = [threading.Thread(target=_quietly, args=(clean, name)) for name in ("one", "two", "three")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for name in ("one", "two", "three"):
        sync(clean, "alpha", name)
    assert {name: row["doc"] for name, row in host.rows().items()} == documents(clean)


def _quietly(services: Services, name: str) -> None:
    try:
        sync(services, "alpha", name)
    except TransientError:  # a deadlock of two of them: it is tried again
        return
