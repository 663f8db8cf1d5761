"""Sending one endpoint's messages: signed after Standard Webhooks 1.0, over connections that are kept alive."""

import hashlib
import hmac
import http.client
import logging
import threading
import time
from base64 import b64decode, b64encode
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

from integrator.contracts.errors import Forbidden, Unavailable
from integrator.delivery.webhook.pace import Pace
from integrator.security.addresses import Guard, GuardedConnection
from integrator.settings import Clock
from integrator.storage.outbox import Message

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 15.0
LANES = 4
ANSWER_BYTES = 2_048
USER_AGENT = "integrator-webhooks/1"
UNREACHABLE = "its host leads to no address that webhooks may go to; allowed: public addresses over https"
# Answers that speak of the endpoint and not of the message: nothing more is sent there for a while.
PAUSING = (410, 429, 503)


def _wall() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: a status and the beginning of the body, or the reason why none did."""

    message: Message
    at: datetime
    status: int | None
    error: str | None
    retry_after: str | None
    duration_ms: float
    body: bytes = b""

    @property
    def accepted(self) -> bool:
        """2xx and nothing else: a redirect is a refusal."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def pauses(self) -> bool:
        """Whether there is no use in sending the next message now: nobody there, or it asked for a pause."""
        return self.status is None or (self.status in PAUSING and not (self.status == 503 and not self.retry_after))


class Sender:
    """One endpoint; `close` gives back its connections."""

    def __init__(
        self, url: str, secrets: Sequence[str], guard: Guard, clock: Clock,
        *, timeout: float = TIMEOUT_SECONDS, wall: Clock = _wall, lanes: int = LANES, pace: Pace | None = None,
    ) -> None:  # fmt: skip
        """`secrets` are the endpoint's `whsec_…` in force, each a signature; `timeout` in seconds, for a whole attempt.

        `clock` dates the log of attempts; `wall` dates the signature, which receivers compare with their own clock
        and refuse when it is five minutes off, so it stays the real one where `INTEGRATOR_NOW` is set.
        """
        parts = urlsplit(url)
        self._scheme, self._host = parts.scheme, parts.hostname or ""
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._keys = [b64decode(secret.removeprefix("whsec_")) for secret in secrets]
        self._guard, self._clock, self._wall, self._timeout = guard, clock, wall, timeout
        self._pace = pace or Pace(None)
        self._connections: list[GuardedConnection | None] = [None] * lanes
        self._pool = ThreadPoolExecutor(lanes)

    def send(self, messages: Sequence[Message], *, seconds: float | None = None) -> list[Answer]:
        """One attempt for each until one pauses or `seconds` are over; an insight's versions go in order, one by one.

        Some are tried however short the time, but for a limited endpoint whose moment lies beyond it. Messages
        without an answer here were not tried.
        """
        lanes: list[list[Message]] = [[] for _ in self._connections]
        for message in messages:
            lanes[hash(message.insight_id) % len(lanes)].append(message)
        busy = [(number, lane) for number, lane in enumerate(lanes) if lane]
        until = None if seconds is None else time.monotonic() + seconds
        paused = threading.Event()
        if len(busy) <= 1:
            return [answer for number, lane in busy for answer in self._lane(number, lane, until, paused)]
        found = self._pool.map(lambda work: self._lane(work[0], work[1], until, paused), busy)
        return [answer for lane in found for answer in lane]

    def close(self) -> None:
        """Give back the connections."""
        self._pool.shutdown()
        for number, connection in enumerate(self._connections):
            if connection is not None:
                connection.close()
            self._connections[number] = None

    def _lane(
        self, number: int, messages: Sequence[Message], until: float | None, paused: threading.Event
    ) -> list[Answer]:
        answers: list[Answer] = []
        for message in messages:
            over = bool(answers) and until is not None and time.monotonic() >= until
            if paused.is_set() or over or not self._pace.wait(until):
                break
            answers.append(self._attempt(number, message))
            if answers[-1].pauses:
                paused.set()
        return answers

    def _attempt(self, lane: int, message: Message) -> Answer:
        at, started = self._clock(), time.perf_counter()
        status: int | None = None
        error = hint = None
        body = b""
        try:
            status, hint, body = self._post(lane, message)
            if not 200 <= status < 300:
                error = f"answered {status}"
        except (Forbidden, Unavailable) as failure:
            # What our name server says of a name, and where it leads, is for the log alone: attempts are the partner's to read.
            log.warning("no webhook went to %s: %s", self._host, failure)
            error = UNREACHABLE
        except (OSError, http.client.HTTPException) as failure:
            error = f"no answer: {type(failure).__name__}"
        return Answer(message, at, status, error, hint, (time.perf_counter() - started) * 1000, body)

    def _post(self, lane: int, message: Message) -> tuple[int, str | None, bytes]:
        connection = self._connections[lane]
        if connection is not None:
            try:
                return self._exchange(lane, connection, message)
            except (ConnectionError, http.client.BadStatusLine):
                # The receiver closed an idle connection: a fresh one, under the same message id.
                pass
        fresh = GuardedConnection(self._guard, self._scheme, self._host, self._port, self._timeout)
        return self._exchange(lane, fresh, message)

    def _exchange(self, lane: int, connection: GuardedConnection, message: Message) -> tuple[int, str | None, bytes]:
        self._connections[lane] = None
        body = message.body.encode()
        try:
            connection.begin(self._timeout)
            connection.request("POST", self._target, body, self._headers(message.message_id, body))
            answer = connection.getresponse()
            beginning = answer.read(ANSWER_BYTES)
            reusable = answer.isclosed() and not answer.will_close
        except BaseException:
            connection.close()
            raise
        if reusable:
            self._connections[lane] = connection
        else:
            connection.close()
        return answer.status, answer.getheader("Retry-After"), beginning

    def _headers(self, message_id: str, body: bytes) -> dict[str, str]:
        at = str(int(self._wall().timestamp()))
        signed = b".".join((message_id.encode(), at.encode(), body))
        digests = (hmac.new(key, signed, hashlib.sha256).digest() for key in self._keys)
        return {
            "Content-Type": "application/json",
            "User-Agent": USER_AGENT,
            "webhook-id": message_id,
            "webhook-timestamp": at,
            "webhook-signature": " ".join(f"v1,{b64encode(digest).decode()}" for digest in digests),
        }
