"""A partner's webhook endpoints, managed: what the command line and the API both do. A secret is shown when it is made.

Every change stands in the audit log and in the event log, by endpoint and without its address, which may hold a token.
"""

import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from integrator.contracts.errors import Conflict, TransientError, invalid
from integrator.contracts.insight import rfc3339
from integrator.delivery.webhook import disabling
from integrator.delivery.webhook.queue import Queue
from integrator.delivery.webhook.response import shown as shown_response
from integrator.delivery.webhook.sender import Answer, Sender
from integrator.security.addresses import Guard
from integrator.steps.connections import Actor
from integrator.steps.services import Services
from integrator.storage import logs, outbox, outbox_log, webhook_secrets, webhooks
from integrator.storage.outbox import Due, Message, Outcome
from integrator.storage.outbox_log import Attempt
from integrator.storage.webhook_rules import EVENT_TYPES, Wanted, check_url
from integrator.storage.webhooks import Endpoint

MOST_ENDPOINTS = 50
TEST = "webhook.test"
TEST_SECONDS = 10.0
# Should we die between sending a test and writing it down, it is sent once more, this much later.
TEST_AGAIN = timedelta(hours=1)
BY_HAND = "the partner disabled it"


@dataclass(frozen=True, kw_only=True)
class Tested:
    """What came of a test message; `error` says why it was not taken."""

    endpoint_id: str
    message_id: str
    delivered: bool
    status_code: int | None
    error: str | None
    duration_ms: float
    response: str | None


def add(services: Services, actor: Actor, url: str, wanted: Wanted) -> Endpoint:
    """A `NewEndpoint` with its secret; said again with the same address and wishes, the one there is, without it."""
    allow_loopback = services.settings.allow_loopback_webhooks
    with services.database.partner(actor.partner) as connection:
        webhooks.lock(connection, actor.partner)
        standing = webhooks.for_partner(connection, actor.partner)
        for endpoint in standing:
            if endpoint.url == url and endpoint.wanted == wanted:
                return endpoint
        if len(standing) >= MOST_ENDPOINTS:
            raise Conflict(f"there are {len(standing)} webhook endpoints; allowed: {MOST_ENDPOINTS}; remove one first")
        made = webhooks.insert(
            connection, services.database.master, actor.partner, url, wanted, services.clock(),
            allow_loopback=allow_loopback,
        )  # fmt: skip
        _note(services, connection, actor, "added", made.endpoint_id, _facts(wanted))
    return made


def listed(services: Services, partner: str) -> list[dict[str, Any]]:
    """All endpoints as people see them, oldest first."""
    return [shown(endpoint) for endpoint in webhooks.list_all(services.database, partner)]


def get(services: Services, partner: str, endpoint_id: str) -> Endpoint:
    """One endpoint; `NotFound` when the partner has none such."""
    with services.database.partner(partner) as connection:
        return webhooks.get(connection, partner, endpoint_id)


def detail(services: Services, partner: str, endpoint_id: str) -> dict[str, Any]:
    """One endpoint, and how many messages wait for it, reached it, failed or were superseded, as far as is kept."""
    with services.database.partner(partner) as connection:
        endpoint = webhooks.get(connection, partner, endpoint_id)
        return {**shown(endpoint), "messages": outbox.counts(connection, partner, endpoint_id)}


def shown(endpoint: Endpoint) -> dict[str, Any]:
    """An endpoint in plain values, with its secret where it was just made."""
    facts = asdict(endpoint)
    hidden = ("partner", "is_slow")
    return {name: list(v) if isinstance(v, tuple) else v for name, v in facts.items() if name not in hidden}


def change(
    services: Services, actor: Actor, endpoint_id: str, changes: Mapping[str, Any], *, url: str | None = None
) -> Endpoint:
    """Other wishes, another address; what is not named stays. What was written for it already goes where it lies now."""
    with services.database.partner(actor.partner) as connection:
        endpoint = webhooks.get(connection, actor.partner, endpoint_id, lock=True)
        wanted = replace(endpoint.wanted, **changes)
        if url is not None:
            check_url(url, allow_loopback=services.settings.allow_loopback_webhooks)
        made = webhooks.change(connection, actor.partner, endpoint_id, wanted, url or endpoint.url)
        facts = {"changed": sorted(changes) + (["url"] if url is not None else [])}
        _note(services, connection, actor, "changed", endpoint_id, facts)
    return made


def rotate(services: Services, actor: Actor, endpoint_id: str) -> tuple[str, datetime]:
    """Another secret, and until when the one before signs beside it."""
    now = services.clock()
    with services.database.partner(actor.partner) as connection:
        secret = webhook_secrets.rotate(connection, services.database.master, actor.partner, endpoint_id, now)
        until = now + webhook_secrets.OVERLAP
        _note(services, connection, actor, "rotated", endpoint_id, {"former_until": rfc3339(until)})
    return secret, until


def enable(services: Services, actor: Actor, endpoint_id: str) -> Endpoint:
    """Send there again, from now on; what failed meanwhile can be replayed."""
    with services.database.partner(actor.partner) as connection:
        endpoint = webhooks.get(connection, actor.partner, endpoint_id, lock=True)
        if endpoint.status != "active":
            webhooks.enable(connection, actor.partner, endpoint_id)
            _note(services, connection, actor, "enabled", endpoint_id, {})
        return webhooks.get(connection, actor.partner, endpoint_id)


def disable(services: Services, actor: Actor, endpoint_id: str) -> Endpoint:
    """Send nothing there until it is enabled; what waited has failed and can be replayed then."""
    with services.database.partner(actor.partner) as connection:
        endpoint = webhooks.get(connection, actor.partner, endpoint_id, lock=True)
        if endpoint.status == "active":
            disabling.disable(connection, endpoint, BY_HAND, services.clock())
            _note(services, connection, actor, "disabled", endpoint_id, {})
        changed = webhooks.get(connection, actor.partner, endpoint_id)
    _call(services, actor.partner)
    return changed


def remove(services: Services, actor: Actor, endpoint_id: str) -> None:
    """Forget an endpoint, what waits for it and its log."""
    with services.database.partner(actor.partner) as connection:
        webhooks.delete(connection, actor.partner, endpoint_id)
        _note(services, connection, actor, "removed", endpoint_id, {})


def attempts(
    services: Services, partner: str, endpoint_id: str,
    *, limit: int, before: int | None = None, message_id: str | None = None,
) -> list[Attempt]:  # fmt: skip
    """The log of attempts at an endpoint, newest first; `NotFound` when the partner has none such."""
    with services.database.partner(partner) as connection:
        webhooks.get(connection, partner, endpoint_id)
        return outbox_log.attempts_at(
            connection, partner, endpoint_id, limit=limit, before=before, message_id=message_id
        )


def replay_one(services: Services, actor: Actor, endpoint_id: str, message_id: str) -> int:
    """Send one message again under its id; `Conflict` where the endpoint is disabled."""
    with services.database.partner(actor.partner) as connection:
        _require_active(connection, actor.partner, endpoint_id)
        outbox_log.again_one(connection, actor.partner, endpoint_id, message_id, services.clock())
        _note(services, connection, actor, "replayed", endpoint_id, {"messages": 1})
    _call(services, actor.partner)
    return 1


def replay(
    services: Services, actor: Actor, endpoint_id: str, since: datetime, until: datetime | None = None,
    event_types: tuple[str, ...] = (), *, only_failed: bool = False,
) -> int:  # fmt: skip
    """Send again what was made from `since` to before `until` (now unless said), under its ids and in its order."""
    now = services.clock()
    end = until or now
    for name in event_types:
        if name not in EVENT_TYPES:
            raise invalid("event_types", name, EVENT_TYPES)
    if since >= end:
        raise invalid("since", rfc3339(since), f"a moment before {rfc3339(end)}")
    with services.database.partner(actor.partner) as connection:
        _require_active(connection, actor.partner, endpoint_id)
        count = outbox_log.again(
            connection, actor.partner, endpoint_id, now,
            since=since, until=end, event_types=event_types, only_failed=only_failed,
        )  # fmt: skip
        facts = {"messages": count, "since": rfc3339(since), "until": rfc3339(end)}
        _note(services, connection, actor, "replayed", endpoint_id, facts)
    _call(services, actor.partner)
    return count


def test(services: Services, actor: Actor, endpoint_id: str) -> Tested:
    """Send a `webhook.test` there now, once, whatever the endpoint wants and whether or not it is disabled.

    `Conflict` while another test of it is under way. The endpoint's health is not touched.
    """
    with services.database.partner(actor.partner) as connection:
        endpoint = webhooks.get(connection, actor.partner, endpoint_id)
    with services.database.turns.taken(actor.partner, f"webhook-test/{endpoint_id}") as ours:
        if not ours:
            raise Conflict(f"a test of {endpoint_id} is under way")
        return _tested(services, actor, endpoint)


def _tested(services: Services, actor: Actor, endpoint: Endpoint) -> Tested:
    now, database, partner, endpoint_id = services.clock(), services.database, actor.partner, endpoint.endpoint_id
    message_id = f"msg_{secrets.token_hex(16)}"
    body = {"type": TEST, "timestamp": rfc3339(now), "data": {"endpoint_id": endpoint_id, "partner": partner}}
    text = json.dumps(body, separators=(",", ":"))
    with database.partner(partner) as connection:
        outbox.put(connection, partner, endpoint_id, message_id, TEST, text, now, due=now + TEST_AGAIN)
        message = outbox.message(connection, partner, message_id)
        keys = webhook_secrets.in_force(connection, database.master, partner, endpoint_id, now)
    answer = _sent(services, endpoint, keys, message)
    response = shown_response(answer.body)
    outcome = Outcome(
        message, answer.at, answer.accepted, answer.status, answer.error, answer.duration_ms, None, response
    )
    with database.partner(partner) as connection:
        outbox.record(connection, partner, endpoint_id, [outcome])
        facts = {"delivered": answer.accepted, "status_code": answer.status}
        _note(services, connection, actor, "tested", endpoint_id, facts)
    return Tested(
        endpoint_id=endpoint_id, message_id=message_id, delivered=answer.accepted, status_code=answer.status,
        error=answer.error, duration_ms=answer.duration_ms, response=response,
    )  # fmt: skip


def _sent(services: Services, endpoint: Endpoint, keys: tuple[str, ...], message: Message) -> Answer:
    guard = Guard(allow_loopback=services.settings.allow_loopback_webhooks)
    sender = Sender(endpoint.url, keys, guard, services.clock, timeout=TEST_SECONDS, lanes=1)
    try:
        return sender.send([message])[0]
    finally:
        sender.close()


def _require_active(connection: Connection, partner: str, endpoint_id: str) -> None:
    endpoint = webhooks.get(connection, partner, endpoint_id)
    if endpoint.status != "active":
        raise Conflict(f"{endpoint_id} is disabled: {endpoint.status_reason}; enable it first")


def _call(services: Services, partner: str) -> None:
    """Have what is due sent at once; the workers find it by themselves where the queue is not reached."""
    try:
        with services.database.partner(partner) as connection:
            due: list[Due] = outbox.due_endpoints(connection, partner, services.clock())
        Queue(services.database).call(partner, due)
    except TransientError:
        return


def _facts(wanted: Wanted) -> dict[str, Any]:
    """What differs from an endpoint that wants everything."""
    usual = asdict(Wanted())
    return {name: value for name, value in asdict(wanted).items() if value != usual[name]}


def _note(
    services: Services, connection: Connection, actor: Actor, what: str, endpoint_id: str, facts: Mapping[str, Any]
) -> None:
    now = services.clock()
    logs.audit(connection, actor.name, actor.partner, f"webhook.{what}", endpoint_id, now, facts)
    logs.event(connection, actor.partner, f"webhook.{what}", now, {"endpoint_id": endpoint_id, **facts})
