"""The real servers these tests write to, and an integrator beside them."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from integrator.settings import Settings
from integrator.steps.services import Services
from tests.databases.mariadb import MariaDb, running_mariadb
from tests.publishing import register_both


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDb]:
    """One MariaDB for the run."""
    with running_mariadb() as found:
        yield found


@pytest.fixture(scope="module")
def services(database: Any, server: Any) -> Services:
    """Two registered partners, `alpha` and `beta`, on a database of the module's own."""
    moment = datetime.fromisoformat("2026-03-16T12:00:00+00:00")
    made = Services(
        Settings(home=server.home, allow_private_host_databases=True), database, server.redis_url, lambda: moment
    )
    register_both(made, moment)
    return made
