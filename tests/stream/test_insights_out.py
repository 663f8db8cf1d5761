"""Insights through a real Kafka: the same bytes, every version, in order, also when brokers were away."""

import json
import threading
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from confluent_kafka import Message

from integrator.delivery.kafka.relay import Relay
from integrator.steps.publish import publish
from integrator.steps.relay import keep_relaying
from integrator.steps.services import Services
from tests.publishing import prediction, put_scored
from tests.stream.broker import headers_of
from tests.stream.worker import World, until

START = datetime(2026, 3, 16, 12, 0, tzinfo=UTC)


class Publisher:
    """Scores and publishes a partner's events, each time on newer input."""

    def __init__(self, world: World) -> None:
        settings = world.services.settings.model_copy(
            update={"kafka_bootstrap": world.broker.bootstrap, "kafka_insights_topic": world.insights}
        )
        self.services: Services = replace(world.services, settings=settings, clock=lambda: START)
        self.position = 0

    def publish(self, partner: str, values: dict[str, float]) -> None:
        self.position += 1
        moment = START + timedelta(minutes=self.position)
        said = [prediction(subject, value) for subject, value in values.items()]
        put_scored(self.services, partner, said, position=self.position, at=moment)
        publish(self.services, partner, "attendance", run_id=f"run-{self.position}")


def documents(world: World, partner: str, table: str = "version") -> list[str]:
    return [row[0] for row in world.rows(f"select document from insights.{table} where partner = :partner"
                                         " order by published_seq", partner)]  # fmt: skip


def values(messages: list[Message]) -> list[str]:
    return sorted((message.value() or b"").decode() for message in messages)


def test_what_is_published_is_in_the_topic_with_the_same_bytes(own_world: World) -> None:
    world, publisher = own_world, Publisher(own_world)
    publisher.publish("alpha", {"gala": 900, "fair": 300})
    publisher.publish("beta", {"gala": 40})
    publisher.publish("alpha", {"gala": 950, "fair": 300})
    publisher.publish("alpha", {"gala": 950})
    messages = world.broker.read(world.insights, 5)
    assert values(messages) == sorted(documents(world, "alpha") + documents(world, "beta"))
    for message in messages:
        said, headers = json.loads(message.value() or b""), headers_of(message)
        assert (message.key() or b"").decode() == f"{said['partner']}/attendance/{said['subject']['id']}"
        assert headers["id"] == said["id"]
        assert headers["insight_version"] == str(said["insight_version"])
        assert headers["type"] == ("insight.withdrawn" if said["status"] == "withdrawn" else "insight.updated")
    assert sorted(headers_of(message)["type"] for message in messages).count("insight.withdrawn") == 1
    publisher.publish("alpha", {"gala": 950})
    assert len(world.broker.read_all(world.insights, 5)) == 5, "nothing new, nothing produced"


def test_brokers_that_are_away_get_every_version_in_order_when_they_are_back(own_world: World) -> None:
    world, publisher = own_world, Publisher(own_world)
    publisher.publish("alpha", {"gala": 1})
    world.broker.stop()
    try:
        for value in (2, 3, 4):
            publisher.publish("alpha", {"gala": value, "fair": value})
    finally:
        world.broker.start()
    assert len(documents(world, "alpha")) == 7, "published all the same"
    unreached = world.rows(
        "select data ->> 'channel' from ops.event_log where partner = :partner and kind = 'channel.unreached'"
    )
    assert {"kafka"} == {name for (name,) in unreached}
    with world.worker():
        messages = world.broker.read(world.insights, 7)
    assert values(messages) == sorted(documents(world, "alpha"))
    in_order = defaultdict(list)
    for message in messages:
        in_order[headers_of(message)["id"]].append(int(headers_of(message)["insight_version"]))
    assert sorted(in_order.values()) == [[1, 2, 3], [1, 2, 3, 4]]


def test_the_service_produces_what_a_publication_could_not(own_world: World) -> None:
    """No worker runs, and nothing more is published."""
    world, publisher = own_world, Publisher(own_world)
    for partner in ("alpha", "beta"):
        publisher.publish(partner, {"gala": 0})
    heard = publisher.services
    publisher.services = replace(heard, settings=heard.settings.model_copy(update={"kafka_bootstrap": None}))
    for partner in ("alpha", "beta"):
        publisher.publish(partner, {"gala": 1})
        publisher.publish(partner, {"gala": 2})
    assert len(world.broker.read_all(world.insights, 2)) == 2, "nobody produces by itself"
    stop = threading.Event()
    relaying = threading.Thread(target=keep_relaying, args=(heard, stop), kwargs={"poll_seconds": 0.05})
    relaying.start()
    try:
        messages = world.broker.read(world.insights, 6)
    finally:
        stop.set()
        relaying.join(30)
    assert not relaying.is_alive()
    assert values(messages) == sorted(documents(world, "alpha") + documents(world, "beta"))


def test_a_topic_made_anew_gets_what_is_current(own_world: World) -> None:
    world, publisher = own_world, Publisher(own_world)
    for value in (1, 2, 3):
        publisher.publish("alpha", {"gala": value, "fair": 7})
    world.broker.read(world.insights, 4)
    world.broker.delete_topic(world.insights)
    until(lambda: world.insights not in world.broker.admin.list_topics(timeout=10).topics)
    world.broker.make_topic(world.insights)
    with world.worker():
        assert values(world.broker.read(world.insights, 2)) == sorted(documents(world, "alpha", "current"))
        publisher.publish("alpha", {"gala": 4, "fair": 7})
        assert len(world.broker.read(world.insights, 3)) == 3


def test_relays_at_once_take_turns(own_world: World) -> None:
    world, publisher = own_world, Publisher(own_world)
    publisher.publish("alpha", {"event-0": 0})
    world.broker.read(world.insights, 1)
    heard = publisher.services
    publisher.services = replace(heard, settings=heard.settings.model_copy(update={"kafka_bootstrap": None}))
    for value in range(1, 4):
        publisher.publish("alpha", {f"event-{number}": value for number in range(20)})
    relays = [Relay(heard.settings) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        produced = list(pool.map(lambda relay: relay.relay(heard.database, "alpha", heard.clock), relays))
    messages = world.broker.read_all(world.insights, 61)
    assert sum(produced) == 60
    in_order = defaultdict(list)
    for message in messages:
        in_order[message.key()].append(int(headers_of(message)["insight_version"]))
    assert sorted(in_order.values()) == [[1, 2, 3]] * 19 + [[1, 2, 3, 4]]
    for relay in relays:
        relay.close()


def test_an_insight_that_is_too_large_for_the_topic_stops_no_other(own_world: World) -> None:
    world, publisher = own_world, Publisher(own_world)
    world.broker.make_topic(world.insights, **{"max.message.bytes": "2000"})
    said = [prediction("small", 1), prediction("large", 2, summary="x" * 5000), prediction("last", 3)]
    put_scored(publisher.services, "alpha", said, position=1, at=START)
    publish(publisher.services, "alpha", "attendance", run_id="run-1")
    keys = {(message.key() or b"").decode().rpartition("/")[2] for message in world.broker.read(world.insights, 2)}
    assert keys == {"small", "last"}
    refused = world.rows(
        "select data ->> 'channel' from ops.event_log where partner = :partner and kind = 'channel.refused'"
    )
    assert refused == [("kafka",)]
