"""The embedded servers: started once, found again, stopped, data kept; migrations twice; reference data."""

import os
import threading
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from integrator.contracts.errors import InvalidInput, Unavailable
from integrator.embedded import system_user
from integrator.embedded.endpoints import Endpoints, answers, free_port
from integrator.embedded.session import close_storage, open_storage
from integrator.settings import Settings
from integrator.storage.database import Address, Database
from integrator.storage.migrate import migrate
from integrator.storage.reference import load_holidays, load_rates


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Any:
    import shutil
    import tempfile

    path = Path(tempfile.mkdtemp(prefix="integrator-embedded-", dir="/tmp"))
    path.chmod(0o711)
    yield path
    close_storage(Settings(home=path))
    shutil.rmtree(path, ignore_errors=True)


def test_storage_starts_is_found_again_and_keeps_its_data(home: Path) -> None:
    settings = Settings(home=home)
    first: list[Any] = []
    threads = [threading.Thread(target=lambda: first.append(open_storage(settings))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({storage.database.address.port for storage in first}) == 1
    database = first[0].database
    with database.owner() as connection:
        connection.execute(text("create table public.kept (n integer)"))
    entry = Endpoints(home).read()["postgres"]
    assert entry["host"] == "127.0.0.1"
    assert "password" not in str(Endpoints(home).read())
    for storage in first:
        storage.database.close()

    assert close_storage(settings) == ["postgres", "redis"]
    assert not answers(entry["port"])
    assert close_storage(settings) == []

    again = open_storage(settings)
    with again.database.owner() as connection:
        assert connection.execute(text("select count(*) from public.kept")).scalar_one() == 0
    again.database.close()


def test_a_wrong_address_is_named(server: Any) -> None:
    with pytest.raises(InvalidInput, match="postgresql://owner:password@host:port/name"):
        Address.parse("mysql://x")
    closed = Database(Address("127.0.0.1", free_port(), "x", "y", "z"), server.master)
    with pytest.raises(Unavailable, match="no connection to PostgreSQL at 127.0.0.1"), closed.batch():
        pass
    closed.close()


def test_migrating_twice_changes_nothing(database: Database) -> None:
    migrate(database)
    with database.owner() as connection:
        assert connection.execute(text("select version_num from public.alembic_version")).scalar_one() >= "0004"


def test_the_bundled_rates_are_loaded_once(database: Database) -> None:
    added = load_rates(database)
    assert added > 200_000
    assert load_rates(database) == 0
    with database.batch() as connection:
        rate = connection.execute(
            text("select per_eur from reference.fx_rate where currency = 'USD' and rate_date = '2024-01-02'")
        ).scalar_one()
        assert str(rate) == "1.0956"  # as the European Central Bank published it
        assert (
            connection.execute(text("select count(*) from reference.fx_rate where currency = 'TWD'")).scalar_one() == 0
        )


def test_holidays_are_regional_and_loaded_once(database: Database, now: datetime) -> None:
    assert load_holidays(database, ["DE-BY", "GB-ENG", "XX"], now) > 20
    assert load_holidays(database, ["DE-BY"], now) == 0
    with database.batch() as connection:
        names = connection.execute(
            text(
                "select holiday_date::text from reference.holiday where region = 'DE-BY' and extract(year from holiday_date) = 2026"
            )
        ).scalars()
        assert "2026-01-06" in set(names)  # Epiphany: a holiday in Bavaria, not in all of Germany


def test_the_server_never_runs_as_root(tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir(mode=0o700)
    place = system_user.server_place(hidden / "home", Path("/usr/bin"))
    if os.geteuid() == 0:
        assert place.uid not in (None, 0)
        assert not str(place.data).startswith(str(hidden))
        place.data.parent.rmdir()
    else:
        assert place.uid is None
        assert place.data == hidden / "home" / "postgres"
