"""What becomes of a batch for a host's database when somebody acts while it is under way: nothing is lost or believed."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from integrator.contracts.errors import Conflict, InvalidInput
from integrator.steps import host_databases as steps
from integrator.steps.host_sync import sync
from integrator.steps.services import Services
from integrator.storage import host_databases
from integrator.storage.database import Database
from tests.channel_suite import called
from tests.host_suite import ALPHA, documents, moved, put_out

WRITE = "integrator.delivery.host_database.write.write"
TARGET = steps.Wanted(address="sqlite:///own.db", table="insights", name="own")


@pytest.fixture
def half(services: Services, tmp_path: Path) -> Iterator[Services]:
    """A table that holds one insight, and another that is published."""
    (tmp_path / "alpha").mkdir()
    with create_engine(f"sqlite:///{tmp_path}/alpha/own.db", poolclass=NullPool).begin() as own:
        own.exec_driver_sql(
            "create table insights (insight_id text primary key, insight_version integer, status text, document text)"
        )
    mine = replace(services, settings=services.settings.model_copy(update={"host_database_folder": tmp_path}))
    with mine.database.batch() as connection:
        for table in ("integrator.host_database", "insights.version", "insights.current", "ops.prediction_log"):
            connection.execute(text(f"delete from {table}"))
    steps.save(mine, ALPHA, TARGET)
    put_out(mine, "gala", position=10)
    assert sync(mine, "alpha", "own").written == 1
    put_out(mine, "gala", "expo", position=11)
    return mine


def rows(services: Services) -> set[str]:
    address = f"sqlite:///{services.settings.host_database_folder}/alpha/own.db"
    with create_engine(address, poolclass=NullPool).begin() as own:
        return set(own.exec_driver_sql("select document from insights").scalars())


def saved_anew(services: Services) -> None:
    steps.save(services, ALPHA, TARGET)


def begun_anew(services: Services) -> None:
    with services.database.partner("alpha") as connection:
        host_databases.restart(connection, "alpha", "own")


def removed_and_added(services: Services) -> None:
    steps.remove(services, ALPHA, "own")
    steps.save(replace(services, clock=moved(services, timedelta(seconds=1))), ALPHA, TARGET)


@pytest.mark.parametrize("act", [saved_anew, begun_anew, removed_and_added])
def test_what_begins_anew_is_written_from_the_beginning(half: Services, act: Callable[[Services], None]) -> None:
    with called(WRITE, lambda: act(half)), pytest.raises(Conflict, match="changed just now"):
        sync(half, "alpha", "own")
    seen = steps.detail(half, "alpha", "own")
    assert (seen["status"], seen["behind"], seen["last_error"]) == ("active", True, None)
    later = replace(half, clock=moved(half, timedelta(seconds=2)))
    assert sync(later, "alpha", "own").written == 2
    assert rows(half) == set(documents(half).values())


def test_what_was_removed_is_not_there_again(half: Services) -> None:
    with called(WRITE, lambda: steps.remove(half, ALPHA, "own")), pytest.raises(Conflict):
        sync(half, "alpha", "own")
    assert steps.listed(half, "alpha") == []


def test_who_pauses_waits_for_nobody_and_a_failure_changes_nothing_of_it(half: Services) -> None:
    with called(WRITE, lambda: steps.pause(half, ALPHA, "own")):
        assert sync(half, "alpha", "own").written == 1
    assert (steps.detail(half, "alpha", "own")["status"], steps.detail(half, "alpha", "own")["behind"]) == (
        "paused",
        False,
    )
    steps.resume(half, ALPHA, "own")
    put_out(half, "gala", "expo", "fair", position=12)

    def paused_and_broken() -> None:
        steps.pause(half, ALPHA, "own")
        raise InvalidInput("a column is gone")

    with called(WRITE, paused_and_broken), pytest.raises(InvalidInput):
        sync(half, "alpha", "own")
    seen = steps.detail(half, "alpha", "own")
    assert (seen["status"], seen["behind"], seen["last_error"]) == ("paused", True, None)


def test_a_failure_at_the_old_address_is_not_the_new_ones(half: Services) -> None:
    def saved_and_broken() -> None:
        saved_anew(half)
        raise InvalidInput("a column is gone")

    with called(WRITE, saved_and_broken), pytest.raises(InvalidInput):
        sync(half, "alpha", "own")
    assert steps.detail(half, "alpha", "own")["status"] == "active"
    assert sync(half, "alpha", "own").written == 2


def test_one_whose_turn_was_lost_believes_nothing_of_what_it_wrote(half: Services) -> None:
    """Its session ends in the middle, and another process has written everything before it is back."""
    other = replace(half, database=Database(half.database.address, half.database.master))
    written = []

    def lost() -> None:
        if written:
            return
        with half.database.service() as connection:
            ended = connection.execute(
                text("""select pg_terminate_backend(pid, 5000) from pg_locks where locktype = 'advisory'
                and database = (select oid from pg_database where datname = current_database())""")
            )
            assert ended.scalars().all() == [True]
        written.append(0)
        written[0] = sync(other, "alpha", "own").written

    with called(WRITE, lost), pytest.raises(Conflict, match="being written"):
        sync(half, "alpha", "own")
    other.database.close()
    seen = steps.detail(half, "alpha", "own")
    assert (written, seen["rows_written"], seen["behind"], seen["status"]) == ([1], 2, False, "active")
    assert rows(half) == set(documents(half).values())
