"""What the group is told: said again until the brokers have taken it, partition by partition."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from integrator.delivery.kafka.client import Cluster
from integrator.settings import Settings
from integrator.steps.records_in import Rules
from integrator.storage.crypto import MasterKey
from integrator.storage.database import Address, Database
from integrator.storage.stream_offsets import Place
from integrator_stream.backlog import Backlog
from integrator_stream.consumer import Consumer
from integrator_stream.ledger import Ledger


class Group:
    """What stands in the client's place: keeps what is committed, and refuses what it is told to refuse."""

    def __init__(self) -> None:
        self.stands: dict[int, int] = {}
        self.refuses: set[int] = set()
        self.is_away = False

    def commit(self, *, offsets: list[TopicPartition], asynchronous: bool) -> list[Any]:
        assert not asynchronous
        if self.is_away:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))
        self.stands |= {one.partition: one.offset for one in offsets if one.partition not in self.refuses}
        no = KafkaError(KafkaError.REBALANCE_IN_PROGRESS)
        return [
            SimpleNamespace(partition=one.partition, error=no if one.partition in self.refuses else None)
            for one in offsets
        ]


@pytest.fixture
def reading() -> Iterator[tuple[Consumer, Group]]:
    """A member that has read, and done, one message of each of two partitions."""
    settings = Settings(kafka_bootstrap="127.0.0.1:1")
    database = Database(Address("127.0.0.1", 1, "none", "none", ""), MasterKey(bytes(32)))
    made = Consumer(
        settings, database, Cluster(settings), Backlog(1 << 20), rules=lambda: Rules((), (), 1), refresh=lambda: None,
        wake=lambda _: None, clock=settings.clock(),
    )  # fmt: skip
    group = Group()
    for number in (0, 1):
        made._ledgers[number] = ledger = Ledger(Place("cluster", "topic", number))
        ledger.take(7, "alpha")
        ledger.done([7])
    with ThreadPoolExecutor(1) as pool:
        made._subscriber.consumer = SimpleNamespace(consumer=group, _thread_pool=pool)
        yield made, group


def test_a_position_that_was_lost_is_said_again(reading: tuple[Consumer, Group]) -> None:
    member, group = reading
    group.is_away = True
    asyncio.run(member.commit())
    assert [ledger.committed for ledger in member.ledgers] == [None, None]
    group.is_away = False
    asyncio.run(member.commit())
    assert group.stands == {0: 8, 1: 8}
    assert [ledger.committed for ledger in member.ledgers] == [8, 8]


def test_one_partition_that_is_refused_is_said_again_alone(reading: tuple[Consumer, Group]) -> None:
    member, group = reading
    group.refuses = {1}
    asyncio.run(member.commit())
    assert [ledger.committed for ledger in member.ledgers] == [8, None] and group.stands == {0: 8}
    group.refuses, group.stands = set(), {}
    asyncio.run(member.commit())
    assert group.stands == {1: 8}
