"""The topic for what cannot be read: the message as it came, and in its headers why and from where; nothing personal there.

A producer writes record fields' names by hand, so only names of ours are repeated in a header.
"""

import logging
from collections.abc import Sequence

from integrator.contracts.records import KINDS
from integrator.delivery.kafka.producer import Outgoing, Sender, TooLarge
from integrator.steps.records_in import DeadLetter, Message
from integrator.storage.landing_placed import Refusal

log = logging.getLogger(__name__)
FIELDS = {name for kind in KINDS.values() for name in kind.__struct_fields__} | {"partner", "kind", "platform"}


class DeadLetters:
    """Sends them; a message that was sent before is sent again after a crash, with the same headers."""

    def __init__(self, sender: Sender, topic: str, source: str) -> None:
        self._sender, self._topic, self._source = sender, topic, source

    def refused(self, refused: Sequence[tuple[Message, Refusal]]) -> None:
        """Records of a partner that cannot land."""
        self._send([self._letter(message, why.reason, why.field) for message, why in refused])

    def nobodys(self, letters: Sequence[DeadLetter]) -> None:
        """Messages that no partner can be named for."""
        self._send([self._letter(letter.message, letter.reason, None) for letter in letters])

    def _send(self, letters: list[Outgoing]) -> None:
        try:
            self._sender.send(letters)
        except TooLarge:
            for letter in letters:
                self._alone(letter)

    def _alone(self, letter: Outgoing) -> None:
        try:
            self._sender.send([letter])
        except TooLarge:
            log.warning("a dead letter is larger than its topic takes; it goes without its value")
            headers = (*letter.headers, ("value-left-out", str(len(letter.value or b"")).encode()))
            self._sender.send([Outgoing(letter.topic, letter.key, None, headers)])

    def _letter(self, message: Message, reason: str, field: str | None) -> Outgoing:
        place = message.place
        headers = [
            ("reason", reason), ("source-topic", self._source), ("source-topic-id", place.topic_id),
            ("source-partition", str(place.partition)), ("source-offset", str(message.offset)),
        ]  # fmt: skip
        known = (field or "").partition(".")[0]
        if known in FIELDS:
            headers.append(("field", known))
        return Outgoing(self._topic, message.key, message.value, tuple((name, text.encode()) for name, text in headers))
