"""One Apache Kafka for the run; topics and a database of its own for each module."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from integrator.settings import Settings
from integrator.steps.services import Services
from tests.publishing import register_both
from tests.stream.broker import Broker, running_broker
from tests.stream.worker import World


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker]:
    """The broker; without Java or Maven this fails, and everything with it."""
    with running_broker() as found:
        yield found


@pytest.fixture(scope="module")
def world(request: Any, broker: Broker, server: Any, database: Any, tmp_path_factory: Any) -> World:
    """Two registered partners, `alpha` and `beta`, and topics named after the module."""
    return _world(request.module.__name__.rpartition(".")[2], broker, server, database, tmp_path_factory)


@pytest.fixture
def own_world(
    request: Any, broker: Broker, server: Any, make_database: Callable[[], Any], tmp_path_factory: Any
) -> Iterator[World]:
    """The same for one test alone."""
    database = make_database()
    yield _world(request.node.name, broker, server, database, tmp_path_factory)
    database.close()


def _world(name: str, broker: Broker, server: Any, database: Any, tmp_path_factory: Any) -> World:
    settings = Settings(home=server.home, allow_loopback_webhooks=True)
    services = Services(settings, database, server.redis_url, settings.clock())
    register_both(services, datetime.now(UTC))
    made = World(broker, services, name, bytes(range(32)), tmp_path_factory.mktemp("worker") / "log")
    broker.make_topic(made.records)
    return made
