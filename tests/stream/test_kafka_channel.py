"""Kafka's channel over Apache Kafka itself, held to what every channel keeps."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from integrator.delivery.kafka.relay import Relay
from integrator.steps.services import Services
from tests.channel_suite import ChannelSuite, HangingWay, Held, World, called, emptied, two_tenants
from tests.stream.broker import Broker


@dataclass(kw_only=True)
class BrokerWorld(World):
    """A broker, and a topic of the test's own."""

    broker: Broker


class KafkaWay(HangingWay):
    """A reader of the topic who keeps the last message of each key."""

    world: BrokerWorld
    stopped = False

    def send(self, partner: str) -> None:
        relay = Relay(self.services.settings)
        try:
            relay.relay(self.services.database, partner, self.services.clock)
        finally:
            relay.close()

    def held(self, partner: str) -> Held:
        if self.stopped:
            return {}
        found: Held = {}
        for message in self.world.broker.read_all(self.services.settings.kafka_insights_topic):
            document = (message.value() or b"").decode()
            said = json.loads(document)
            if (message.key() or b"").decode().startswith(f"{partner}/"):
                found[said["subject"]["id"]] = (said["insight_version"], document)
        return found

    def away(self, partner: str) -> None:
        self.world.broker.stop()
        self.stopped = True

    def back(self, partner: str) -> None:
        self.world.broker.start()
        self.stopped = False

    @contextmanager
    def silent(self, partner: str) -> Iterator[Callable[[], object]]:
        """Its process stands still from the first message on."""
        broker = self.world.broker
        with called("integrator.delivery.kafka.producer.Sender.send", broker.freeze) as asked:
            try:
                yield lambda: asked.wait(20)
            finally:
                broker.thaw()


@pytest.fixture(scope="module")
def services(broker: Broker, database: Any, server: Any) -> Services:
    return two_tenants(database, server, kafka_bootstrap=broker.bootstrap)


@pytest.fixture
def kafka(request: pytest.FixtureRequest, services: Services, broker: Broker) -> Iterator[KafkaWay]:
    emptied(services)
    settings = services.settings.model_copy(update={"kafka_insights_topic": f"channel.{request.node.name}"})
    with ExitStack() as stack:
        way = KafkaWay(BrokerWorld(services=replace(services, settings=settings), broker=broker, stack=stack))
        yield way
        if way.stopped:
            way.back("alpha")


class TestKafka(ChannelSuite):
    @pytest.fixture
    def way(self, kafka: KafkaWay) -> KafkaWay:
        return kafka

    @pytest.fixture
    def way_that_leaves(self, kafka: KafkaWay) -> KafkaWay:
        return kafka

    @pytest.fixture
    def way_that_hangs(self, kafka: KafkaWay) -> KafkaWay:
        return kafka
