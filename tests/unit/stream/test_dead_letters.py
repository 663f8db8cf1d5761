"""A dead letter says why and from where, and nothing of what is in it."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from integrator.delivery.kafka.producer import Outgoing, TooLarge
from integrator.steps.records_in import DeadLetter, Message
from integrator.storage.landing_placed import Refusal
from integrator.storage.stream_offsets import Place
from integrator_stream.dead_letters import DeadLetters

MESSAGE = Message(
    Place("cluster", "topic-id", 2), 41, b"alpha/sale/ada@example.org", b"x" * 5000, datetime(2026, 3, 16, tzinfo=UTC)
)


class Topic:
    """Takes messages up to a size and keeps them, a batch at once or not at all."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.kept: list[Outgoing] = []

    def send(self, messages: Sequence[Outgoing]) -> None:
        if any(len(message.value or b"") > self.most for message in messages):
            raise TooLarge("too large")
        self.kept += messages


def sent(topic: Topic) -> DeadLetters:
    return DeadLetters(topic, "letters", "records")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("field", "shown"),
    [("status", "status"), ("venue.name", "venue"), ("attributes.ada@example.org", "attributes"),
     ("ada@example.org", None), (None, None)],
)  # fmt: skip
def test_headers_name_fields_of_ours_and_no_content(field: str | None, shown: str | None) -> None:
    topic = Topic(10_000)
    sent(topic).refused([(MESSAGE, Refusal("record-invalid", field, "ada@example.org is not allowed"))])
    (letter,) = topic.kept
    headers = {name: value.decode() for name, value in letter.headers}
    assert headers.pop("field", None) == shown
    assert headers == {
        "reason": "record-invalid", "source-topic": "records", "source-topic-id": "topic-id", "source-partition": "2",
        "source-offset": "41",
    }  # fmt: skip
    assert (letter.topic, letter.key, letter.value) == ("letters", MESSAGE.key, MESSAGE.value)


def test_one_that_is_larger_than_its_topic_takes_goes_without_its_value() -> None:
    topic = Topic(1000)
    small = Message(MESSAGE.place, 42, b"no key", None, MESSAGE.at)
    sent(topic).nobodys([DeadLetter(MESSAGE, "partner-unknown"), DeadLetter(small, "key-invalid")])
    large, other = topic.kept
    assert large.value is None
    assert dict(large.headers)["value-left-out"] == b"5000"
    assert dict(other.headers)["reason"] == b"key-invalid"
    assert "value-left-out" not in dict(other.headers)
