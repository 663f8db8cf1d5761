"""The dispatcher: claims what is due, endpoint by endpoint, sends it, and writes down what became of it.

Rows stay locked from claim to outcome, in one transaction of a few dozen messages. Killed in between, the claim falls
back and the same messages go out again under the same ids: at least once, never lost. Endpoints are served by threads
of their own, so that a slow one delays no other.
"""

import hashlib
import json
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from integrator.contracts.insight import rfc3339
from integrator.delivery.webhook.schedule import is_given_up, next_attempt, retry_after
from integrator.delivery.webhook.sender import Answer, Sender
from integrator.security.addresses import Guard
from integrator.settings import Clock
from integrator.storage import logs, outbox, webhooks
from integrator.storage.database import Database
from integrator.storage.outbox import Outcome
from integrator.storage.webhooks import Endpoint

BATCH = 100
ENDPOINTS_AT_ONCE = 4
GONE = 410


@dataclass(frozen=True)
class Delivered:
    """Attempts of one dispatch: accepted, refused or unanswered."""

    delivered: int = 0
    failed: int = 0

    def __add__(self, other: "Delivered") -> "Delivered":
        return Delivered(self.delivered + other.delivered, self.failed + other.failed)


class Dispatcher:
    """Sends what is due; any number may run at once, in any number of processes."""

    def __init__(self, database: Database, clock: Clock, guard: Guard, *, seed: int | None = None) -> None:
        """`seed` fixes the jitter of retries, for tests."""
        self._database, self._clock, self._guard = database, clock, guard
        self._random = random.Random(seed)

    def dispatch(self, partner: str) -> Delivered:
        """Everything of a partner that is due now, each message tried once."""
        now = self._clock()
        with self._database.partner(partner) as connection:
            due = outbox.due_endpoints(connection, partner, now)
        if not due:
            return Delivered()
        with ThreadPoolExecutor(min(len(due), ENDPOINTS_AT_ONCE)) as pool:
            return sum(pool.map(lambda endpoint_id: self._endpoint(partner, endpoint_id, now), due), Delivered())

    def _endpoint(self, partner: str, endpoint_id: str, due_by: datetime) -> Delivered:
        total = Delivered()
        with self._database.partner(partner) as connection:
            endpoint, secret = webhooks.get(connection, self._database.master, partner, endpoint_id)
        sender = Sender(endpoint.url, secret, self._guard, self._clock)
        try:
            while True:
                done, more = self._batch(endpoint, sender, due_by)
                total += done
                if not more:
                    return total
        finally:
            sender.close()

    def _batch(self, endpoint: Endpoint, sender: Sender, due_by: datetime) -> tuple[Delivered, bool]:
        with self._database.partner(endpoint.partner) as connection:
            messages = outbox.claim(connection, endpoint.partner, endpoint.endpoint_id, due_by, BATCH)
            if not messages:
                return Delivered(), False
            answers = sender.send(messages)
            outbox.record(connection, endpoint.partner, [self._outcome(answer) for answer in answers])
            active = self._judge(connection, endpoint, answers)
        accepted = sum(answer.accepted for answer in answers)
        return Delivered(accepted, len(answers) - accepted), active

    def _outcome(self, answer: Answer) -> Outcome:
        again = None
        if not answer.accepted and answer.status != GONE:
            hint = retry_after(answer.retry_after, answer.at)
            again = next_attempt(answer.at, answer.message.attempts + 1, self._random, hint)
        return Outcome(
            answer.message, answer.at, answer.accepted, answer.status, answer.error, answer.duration_ms, again
        )

    def _judge(self, connection: Connection, endpoint: Endpoint, answers: Sequence[Answer]) -> bool:
        """Whether the endpoint stays in use: gone is gone, and five days of failure are enough."""
        now = self._clock()
        any_accepted = any(answer.accepted for answer in answers)
        failing_since = webhooks.mark_health(
            connection, endpoint.partner, endpoint.endpoint_id, failing_at=None if any_accepted else now
        )
        if any(answer.status == GONE for answer in answers):
            self._disable(connection, endpoint, "it answered 410 Gone", now)
            return False
        if is_given_up(failing_since, now):
            self._disable(connection, endpoint, "no message was accepted for five days", now)
            return False
        return True

    def _disable(self, connection: Connection, endpoint: Endpoint, reason: str, now: datetime) -> None:
        """Stop sending there, and tell the partner: in the event log, and at its other endpoints that want to know."""
        partner = endpoint.partner
        webhooks.disable(connection, partner, endpoint.endpoint_id, reason)
        given_up = outbox.give_up(connection, partner, endpoint.endpoint_id)
        facts = {"endpoint_id": endpoint.endpoint_id, "url": endpoint.url, "reason": reason, "given_up": given_up}
        logs.event(connection, partner, "endpoint.disabled", now, facts)
        body = json.dumps({"type": "endpoint.disabled", "timestamp": rfc3339(now), "data": facts})
        for other in webhooks.for_partner(connection, partner):
            if other.status == "active" and "endpoint.disabled" in other.event_types:
                key = f"{other.endpoint_id}\x1f{endpoint.endpoint_id}\x1f{rfc3339(now)}"
                message_id = f"msg_{hashlib.sha256(key.encode()).hexdigest()[:32]}"
                outbox.put(connection, partner, other.endpoint_id, message_id, "endpoint.disabled", body, now)
