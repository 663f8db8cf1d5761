"""A topic that was made a moment ago: brokers that do not know of it yet are asked again, and not for ever."""

from collections.abc import Sequence

import pytest

from integrator.contracts.errors import NotFound, Unavailable
from integrator.delivery.kafka import client
from integrator.delivery.kafka.client import Cluster
from integrator.settings import Settings


class LateCluster(Cluster):
    """Its brokers learn of a topic after so many questions."""

    def __init__(self, late: int) -> None:
        super().__init__(Settings(kafka_bootstrap="127.0.0.1:9"))
        self.late, self.named = late, list[str]()

    def create_topics(self, names: Sequence[str]) -> None:
        self.named += names

    def topic(self, name: str, *, fresh: bool = False) -> tuple[str, str]:
        if not (self.named and fresh) or self.late > 0:
            self.late -= 1
            raise NotFound(f"Kafka has no topic {name!r}")
        return "cluster", name


def test_a_topic_is_waited_for_that_was_just_made() -> None:
    assert LateCluster(3).made("insights") == ("cluster", "insights")


def test_one_that_never_appears_may_be_tried_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "ASK_SECONDS", 0.2)
    with pytest.raises(Unavailable, match="no topic 'insights'"):
        LateCluster(1000).made("insights")
