"""The dispatcher: takes the turn at an endpoint, sends what is due there, and writes down what became of it.

Messages stay pending until their outcome is committed. Killed in between, they go out again under the same ids: at
least once, never lost. One endpoint is one turn, so that a slow one delays no other and none gets two versions at once.
"""

import random
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import Connection

from integrator.contracts.errors import NotFound
from integrator.delivery.webhook.disabling import disable
from integrator.delivery.webhook.pace import Pace
from integrator.delivery.webhook.response import shown
from integrator.delivery.webhook.schedule import hold_after, is_given_up, next_attempt, retry_after
from integrator.delivery.webhook.sender import Answer, Sender
from integrator.security.addresses import Guard
from integrator.settings import Clock
from integrator.storage import outbox, webhook_secrets, webhooks
from integrator.storage.database import Database
from integrator.storage.outbox import Outcome
from integrator.storage.webhooks import Endpoint

BATCH = 100
ENDPOINTS_AT_ONCE = 4
GONE = 410
# A batch is written down after so long, however many of its messages are left.
BATCH_SECONDS = 5.0
# One who sends everything of a partner gives up on an endpoint after so long: the rest is left to the service.
DISPATCH_SECONDS = 60.0
SLOW_MS = 1_000.0
_TURN_WAIT = 0.05


@dataclass(frozen=True)
class Delivered:
    """Attempts of one dispatch: accepted, refused or unanswered."""

    delivered: int = 0
    failed: int = 0

    def __add__(self, other: "Delivered") -> "Delivered":
        return Delivered(self.delivered + other.delivered, self.failed + other.failed)


@dataclass(frozen=True)
class Served:
    """What one turn came to. `more` is due already; `busy` means somebody else had the turn."""

    total: Delivered
    left: Literal["nothing", "more", "busy"]


class Dispatcher:
    """Sends what is due; any number may run at once, in any number of processes."""

    def __init__(self, database: Database, clock: Clock, guard: Guard, *, seed: int | None = None) -> None:
        """`seed` fixes the jitter of retries, for tests."""
        self._database, self._clock, self._guard = database, clock, guard
        self._random = random.Random(seed)

    def dispatch(self, partner: str, *, seconds: float = DISPATCH_SECONDS) -> Delivered:
        """Everything of a partner that is due now, each message tried once, for so many seconds an endpoint at most."""
        now = self._clock()
        with self._database.partner(partner) as connection:
            due = outbox.due_endpoints(connection, partner, now)
        if not due:
            return Delivered()
        until = time.monotonic() + seconds
        with ThreadPoolExecutor(min(len(due), ENDPOINTS_AT_ONCE)) as pool:
            work = pool.map(lambda one: self._in_turn(partner, one.endpoint_id, now, until), due)
            return sum(work, Delivered())

    def serve(
        self, partner: str, endpoint_id: str, *, due_by: datetime | None = None,
        seconds: float = DISPATCH_SECONDS, stop: threading.Event | None = None,
    ) -> Served:  # fmt: skip
        """One turn at one endpoint: until nothing is due (by `due_by`, or now), `seconds` are over or `stop` is set."""
        with self._database.turns.taken(partner, f"webhook/{endpoint_id}") as ours:
            if not ours:
                return Served(Delivered(), "busy")
            try:
                return self._serve(partner, endpoint_id, due_by, time.monotonic() + seconds, stop)
            except NotFound:  # removed meanwhile, with all that waited for it
                return Served(Delivered(), "nothing")

    def _in_turn(self, partner: str, endpoint_id: str, due_by: datetime, until: float) -> Delivered:
        """`serve`, after waiting for whoever has the turn."""
        while True:
            served = self.serve(partner, endpoint_id, due_by=due_by, seconds=until - time.monotonic())
            if served.left != "busy" or time.monotonic() >= until:
                return served.total
            time.sleep(_TURN_WAIT)

    def _serve(
        self, partner: str, endpoint_id: str, due_by: datetime | None, until: float, stop: threading.Event | None
    ) -> Served:
        total = Delivered()
        with self._database.partner(partner) as connection:
            endpoint = webhooks.get(connection, partner, endpoint_id)
            if endpoint.status != "active" or _is_held(endpoint, self._clock()):
                return Served(total, "nothing")
            secrets = webhook_secrets.in_force(connection, self._database.master, partner, endpoint_id, self._clock())
            messages = outbox.claim(connection, partner, endpoint_id, due_by or self._clock(), BATCH)
        if not messages:
            return Served(total, "nothing")
        pace = Pace(endpoint.max_per_second)
        sender = Sender(endpoint.url, secrets, self._guard, self._clock, lanes=endpoint.max_in_flight, pace=pace)
        try:
            while messages:
                answers = sender.send(messages, seconds=max(0.001, min(BATCH_SECONDS, until - time.monotonic())))
                with self._database.partner(partner) as connection:
                    goes_on = self._write_down(connection, endpoint, answers)
                    accepted = sum(answer.accepted for answer in answers)
                    total += Delivered(accepted, len(answers) - accepted)
                    if not goes_on:
                        return Served(total, "nothing")
                    messages = outbox.claim(connection, partner, endpoint_id, due_by or self._clock(), BATCH)
                    if messages and (not answers or time.monotonic() >= until or (stop is not None and stop.is_set())):
                        self._keep_pace(connection, endpoint, pace)
                        return Served(total, "more")
            return Served(total, "nothing")
        finally:
            sender.close()

    def _write_down(self, connection: Connection, endpoint: Endpoint, answers: Sequence[Answer]) -> bool:
        """Outcomes and the endpoint's health; False when there is no use in going on."""
        outbox.record(connection, endpoint.partner, endpoint.endpoint_id, [self._outcome(answer) for answer in answers])
        return not answers or self._judge(connection, endpoint, answers)

    def _outcome(self, answer: Answer) -> Outcome:
        again = None
        if not answer.accepted and answer.status != GONE:
            hint = retry_after(answer.retry_after, answer.at)
            again = next_attempt(answer.at, answer.message.tried + 1, self._random, hint)
        return Outcome(
            answer.message, answer.at, answer.accepted, answer.status, answer.error, answer.duration_ms, again,
            shown(answer.body),
        )  # fmt: skip

    def _judge(self, connection: Connection, endpoint: Endpoint, answers: Sequence[Answer]) -> bool:
        """Whether to go on: gone is gone, five days of failure are enough, and who asks for a pause has one."""
        now = self._clock()
        partner, endpoint_id = endpoint.partner, endpoint.endpoint_id
        if any(answer.status == GONE for answer in answers):
            disable(connection, endpoint, "it answered 410 Gone", now)
            return False
        pausing = [answer for answer in answers if answer.pauses]
        if any(answer.accepted for answer in answers):
            usual = sorted(answer.duration_ms for answer in answers)[len(answers) // 2]
            webhooks.mark_working(connection, partner, endpoint_id, is_slow=usual > SLOW_MS)
            failures = 1
        else:
            state = webhooks.mark_failing(connection, partner, endpoint_id, now)
            if state is None:
                return False
            since, failures = state
            if is_given_up(since, now):
                disable(connection, endpoint, "no message was accepted for five days", now)
                return False
        if pausing:
            hints = [hint for a in pausing if (hint := retry_after(a.retry_after, a.at)) is not None]
            webhooks.hold(connection, partner, endpoint_id, now + hold_after(failures, max(hints, default=None)))
        return not pausing

    def _keep_pace(self, connection: Connection, endpoint: Endpoint, pace: Pace) -> None:
        """A limited endpoint's next moment outlives the turn."""
        if pace.left > 0:
            until = self._clock() + timedelta(seconds=pace.left)
            webhooks.hold(connection, endpoint.partner, endpoint.endpoint_id, until)


def _is_held(endpoint: Endpoint, now: datetime) -> bool:
    return endpoint.held_until is not None and endpoint.held_until > now
