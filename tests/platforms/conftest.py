"""The real products these tests drive, and an integrator beside them."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from integrator.settings import Settings
from integrator.steps.services import Services
from integrator.storage.partners import Partner, register
from tests.platforms.box_office import BoxOffice
from tests.platforms.real_pretix import RealPretix, running_pretix


@pytest.fixture(scope="session")
def pretix() -> Iterator[RealPretix]:
    """One real pretix for the run."""
    with running_pretix() as found:
        yield found


@pytest.fixture(scope="session")
def office(pretix: RealPretix) -> BoxOffice:
    """Someone who sells there."""
    return BoxOffice(pretix)


@pytest.fixture(scope="module")
def services(server: Any, make_database: Callable[[], Any]) -> Iterator[Services]:
    """Ours, over a fresh database, with the partner `hall`; a real product has the real clock."""
    database = make_database()
    register(
        database, Partner(partner="hall", timezone="Europe/Berlin", currency="EUR", region="DE"), datetime.now(UTC)
    )
    settings = Settings(home=server.home, allow_private_platforms=True)
    yield Services(settings, database, server.redis_url, settings.clock())
    database.close()
