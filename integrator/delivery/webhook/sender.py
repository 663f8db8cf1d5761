"""Sending one endpoint's messages: signed after Standard Webhooks 1.0, over connections that are kept alive."""

import http.client
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

from integrator.contracts.errors import Forbidden, Unavailable
from integrator.security.addresses import Guard, GuardedConnection
from integrator.settings import Clock
from integrator.storage.outbox import Message

TIMEOUT_SECONDS = 15.0
LANES = 4
_ANSWER_BYTES = 2_048
USER_AGENT = "integrator-webhooks/1"


def _wall() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: a status, or the reason why none did. Bodies are not kept, they are the receiver's."""

    message: Message
    at: datetime
    status: int | None
    error: str | None
    retry_after: str | None
    duration_ms: float

    @property
    def accepted(self) -> bool:
        """2xx and nothing else: a redirect is a refusal."""
        return self.status is not None and 200 <= self.status < 300


class Sender:
    """One endpoint; `close` gives back its connections."""

    def __init__(
        self, url: str, secret: str, guard: Guard, clock: Clock,
        *, timeout: float = TIMEOUT_SECONDS, wall: Clock = _wall,
    ) -> None:  # fmt: skip
        """`secret` is the endpoint's `whsec_…`; `timeout` in seconds, for each wait on the receiver.

        `clock` dates the log of attempts; `wall` dates the signature, which receivers compare with their own clock
        and refuse when it is five minutes off, so it stays the real one where `INTEGRATOR_NOW` is set.
        """
        from standardwebhooks import Webhook

        parts = urlsplit(url)
        self._scheme, self._host = parts.scheme, parts.hostname or ""
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._signer = Webhook(secret)
        self._guard, self._clock, self._wall, self._timeout = guard, clock, wall, timeout
        self._connections: list[GuardedConnection | None] = [None] * LANES

    def send(self, messages: Sequence[Message]) -> list[Answer]:
        """One attempt for each; an insight's versions go one after the other, in order."""
        lanes: list[list[Message]] = [[] for _ in range(LANES)]
        for message in messages:
            lanes[hash(message.insight_id) % LANES].append(message)
        busy = [(number, lane) for number, lane in enumerate(lanes) if lane]
        if len(busy) <= 1:
            return [answer for number, lane in busy for answer in self._lane(number, lane)]
        with ThreadPoolExecutor(len(busy)) as pool:
            return [answer for found in pool.map(lambda work: self._lane(*work), busy) for answer in found]

    def close(self) -> None:
        """Give back the connections."""
        for number, connection in enumerate(self._connections):
            if connection is not None:
                connection.close()
            self._connections[number] = None

    def _lane(self, number: int, messages: Sequence[Message]) -> list[Answer]:
        return [self._attempt(number, message) for message in messages]

    def _attempt(self, lane: int, message: Message) -> Answer:
        at, started = self._clock(), time.perf_counter()
        status: int | None = None
        error = hint = None
        try:
            status, hint = self._post(lane, message)
            if not 200 <= status < 300:
                error = f"answered {status}"
        except (Forbidden, Unavailable) as failure:
            error = str(failure)
        except (OSError, http.client.HTTPException) as failure:
            error = f"no answer: {type(failure).__name__}"
        return Answer(message, at, status, error, hint, (time.perf_counter() - started) * 1000)

    def _post(self, lane: int, message: Message) -> tuple[int, str | None]:
        connection = self._connections[lane]
        if connection is not None:
            try:
                return self._exchange(lane, connection, message)
            except (ConnectionError, http.client.BadStatusLine):
                # The receiver closed an idle connection: a fresh one, under the same message id.
                pass
        fresh = GuardedConnection(self._guard, self._scheme, self._host, self._port, self._timeout)
        return self._exchange(lane, fresh, message)

    def _exchange(self, lane: int, connection: GuardedConnection, message: Message) -> tuple[int, str | None]:
        self._connections[lane] = None
        body = message.body.encode()
        try:
            connection.request("POST", self._target, body, self._headers(message))
            answer = connection.getresponse()
            answer.read(_ANSWER_BYTES)
            reusable = answer.isclosed() and not answer.will_close
        except BaseException:
            connection.close()
            raise
        if reusable:
            self._connections[lane] = connection
        else:
            connection.close()
        return answer.status, answer.getheader("Retry-After")

    def _headers(self, message: Message) -> dict[str, str]:
        at = self._wall().astimezone(UTC)
        return {
            "Content-Type": "application/json",
            "User-Agent": USER_AGENT,
            "webhook-id": message.message_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": self._signer.sign(message.message_id, at, message.body),
        }
