"""Relaying rests for all partners when brokers are away, and for nobody when one partner's database was."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from integrator.contracts.errors import Unavailable
from integrator.delivery.kafka.relay import Relay
from integrator.settings import Settings
from integrator.storage.crypto import MasterKey
from integrator.storage.database import Address, Database


class Brokers:
    """What stands in the cluster's place; `is_away` makes it answer as one that cannot be reached."""

    is_away = False
    asked = 0

    def topic(self, name: str, *, fresh: bool = False) -> tuple[str, str]:
        self.asked += 1
        if self.is_away:
            raise Unavailable("Kafka at 127.0.0.1:1: no answer")
        return "cluster", name


@pytest.fixture
def brokers() -> Brokers:
    return Brokers()


@pytest.fixture
def relay(brokers: Brokers) -> Callable[[], int]:
    """To a database where nobody listens."""
    made: Any = Relay(Settings(kafka_bootstrap="127.0.0.1:1"))
    made._cluster = brokers
    nowhere = Database(Address("127.0.0.1", 1, "none", "none", ""), MasterKey(bytes(32)))
    return lambda: int(made.relay(nowhere, "alpha", lambda: datetime(2026, 3, 16, tzinfo=UTC)))


def test_a_database_that_is_away_rests_nobody(brokers: Brokers, relay: Callable[[], int]) -> None:
    for _ in range(2):
        with pytest.raises(Unavailable, match="no connection to PostgreSQL"):
            relay()
    assert brokers.asked == 2


def test_brokers_that_are_away_are_left_alone(brokers: Brokers, relay: Callable[[], int]) -> None:
    brokers.is_away = True
    with pytest.raises(Unavailable, match="no answer"):
        relay()
    with pytest.raises(Unavailable, match="Kafka was away a moment ago: .*no answer"):
        relay()
    assert brokers.asked == 1
