"""A real Apache Kafka for the tests, run by `scripts/kafka`, and a producer and a reader beside ours."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "kafka"
READ_SECONDS = 20.0


class Broker:
    """One broker, its data in a folder of its own; it can go away and come back with its data and its address."""

    def __init__(self, home: Path, *options: str) -> None:
        self.home, self.options = home, options
        self.bootstrap = self.start()

    @cached_property
    def admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.bootstrap})

    def start(self) -> str:
        self.bootstrap = self._said("start")
        return self.bootstrap

    def stop(self) -> None:
        self._said("stop")

    def freeze(self) -> None:
        """It takes connections and says nothing, until it thaws."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        os.kill(json.loads((self.home / "broker.json").read_text())["pid"], number)

    def _said(self, action: str) -> str:
        done = subprocess.run(
            [str(SCRIPT), action, "--home", str(self.home), *self.options],
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        # Where Java or Maven is missing nothing is skipped: the words of the script are the failure.
        assert done.returncode == 0, f"Apache Kafka cannot be run here. {done.stderr}"
        return done.stdout.strip()

    def make_topic(self, name: str, partitions: int = 3, **config: str) -> None:
        made = self.admin.create_topics(
            [NewTopic(name, num_partitions=partitions, replication_factor=1, config=config)]
        )
        made[name].result(30)

    def delete_topic(self, name: str) -> None:
        self.admin.delete_topics([name])[name].result(30)

    def send(self, topic: str, messages: Sequence[tuple[str | None, Any]], headers: Any = None) -> None:
        """Key and value; bytes and None go as they are, anything else as JSON."""
        producer = Producer({"bootstrap.servers": self.bootstrap, "message.max.bytes": 32 << 20})
        failures: list[Any] = []
        for key, value in messages:
            body = value if value is None or isinstance(value, bytes) else json.dumps(value).encode()
            producer.produce(
                topic,
                key=key,
                value=body,
                headers=headers,
                on_delivery=lambda error, _: error and failures.append(error),
            )
            producer.poll(0)
        assert producer.flush(30) == 0
        assert not failures

    def read(self, topic: str, count: int) -> list[Message]:
        """The first `count` messages of all partitions; fails when there are fewer after a while."""
        found = self.read_all(topic, count)
        assert len(found) >= count, f"{len(found)} of {count} messages in {topic}"
        return found

    def read_all(self, topic: str, at_least: int = 0, seconds: float = READ_SECONDS) -> list[Message]:
        """All there is, to the end of each partition; waits for `at_least` so many."""
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": "reader", "enable.auto.commit": False})
        partitions = [
            TopicPartition(topic, number, 0)
            for number in consumer.list_topics(topic, timeout=10).topics[topic].partitions
        ]
        consumer.assign(partitions)
        found: list[Message] = []
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            ends = {one.partition: consumer.get_watermark_offsets(one, timeout=10) for one in partitions}
            read = {one.partition: max(one.offset, 0) for one in consumer.position(partitions)}
            if len(found) >= at_least and all(
                read[number] >= high or low == high for number, (low, high) in ends.items()
            ):
                break
            while (message := consumer.poll(0.2)) is not None:
                if not message.error():
                    found.append(message)
        consumer.close()
        return found

    def group_stands_at(self, group: str, topic: str) -> dict[int, int]:
        """The group's committed offsets; partitions without one are left out."""
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": group})
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        found = consumer.committed([TopicPartition(topic, number) for number in partitions], timeout=10)
        consumer.close()
        return {one.partition: one.offset for one in found if one.offset >= 0}

    def put_group_back(self, group: str, topic: str) -> None:
        """As if its commits had never arrived."""
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": group})
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        consumer.commit(offsets=[TopicPartition(topic, number, 0) for number in partitions], asynchronous=False)
        consumer.close()


@contextmanager
def running_broker() -> Iterator[Broker]:
    """A broker while the block lasts."""
    home = Path(tempfile.mkdtemp(prefix="integrator-kafka-", dir="/tmp"))
    broker = Broker(home)
    try:
        yield broker
    finally:
        broker.stop()
        shutil.rmtree(home, ignore_errors=True)


def headers_of(message: Message) -> dict[str, str]:
    """Name → text."""
    return {name: value.decode() for name, value in message.headers() or ()}  # type: ignore[union-attr]
