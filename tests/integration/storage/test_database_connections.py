"""Pooled connections: one that lay idle is asked whether it is still there, one used just now is taken at its word."""

import pytest
from sqlalchemy import exc, text

from integrator.storage import database as module
from integrator.storage.database import Database


def session(database: Database) -> int:
    with database.service() as connection:
        return int(connection.execute(text("select pg_backend_pid()")).scalar_one())


def end(database: Database, pid: int) -> None:
    """The session is gone when this returns, as after a restart of PostgreSQL."""
    other = Database(database.address, database.master)
    with other.service() as connection:
        assert connection.execute(text("select pg_terminate_backend(:pid, 5000)"), {"pid": pid}).scalar_one()
    other.close()


def test_one_connection_is_used_again(database: Database) -> None:
    assert len({session(database) for _ in range(5)}) == 1


def test_a_lost_one_that_lay_idle_is_replaced_unseen(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    before = session(database)
    end(database, before)
    monkeypatch.setattr(module, "TRUSTED_SECONDS", 0.0)
    assert session(database) != before


def test_a_lost_one_used_just_now_fails_once(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TRUSTED_SECONDS", 3600.0)
    before = session(database)
    end(database, before)
    with pytest.raises(exc.OperationalError):
        session(database)
    assert session(database) != before
