"""Delivering: sending what the outbox holds, once or for as long as a process lives."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.exc import SQLAlchemyError

from integrator.contracts.errors import TransientError
from integrator.delivery.webhook.dispatcher import Delivered, Dispatcher
from integrator.security.addresses import Guard
from integrator.steps.services import Services
from integrator.storage import outbox, partners
from integrator.storage.failures import said, traced

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class DeliveryReport:
    """Attempts made now (`delivered`, `failed`), and what still waits for its next one."""

    delivered: int
    failed: int
    pending: int


def deliver(services: Services, partner: str | None = None) -> DeliveryReport:
    """Send what is due now, of one partner or of all; each message is tried once.

    An endpoint that the service is sending to at this moment is waited for; a slow or limited one is left after a minute.
    """
    dispatcher = dispatcher_of(services)
    total, pending = Delivered(), 0
    for name in _names(services, partner):
        total += dispatcher.dispatch(name)
        with services.database.partner(name) as connection:
            pending += outbox.waiting(connection, name)
    return DeliveryReport(delivered=total.delivered, failed=total.failed, pending=pending)


def keep_delivering(
    services: Services, stop: threading.Event,
    *, poll_seconds: float = 1.0, told: Callable[[Delivered], None] = lambda _: None,
) -> None:  # fmt: skip
    """Send what becomes due until `stop` is set; a database that is away is waited for.

    The queue calls at once for what is new and on time for what is tried again; `poll_seconds` is the pause after a
    failure. `told` hears of the attempts, by batches, from any thread.
    """
    from integrator.delivery.webhook.worker import Worker

    worker = Worker(
        services.database, services.clock, dispatcher_of(services), lambda: _names(services, None),
        told=told, at_once=services.settings.webhook_endpoints_at_once, keep=timedelta(days=services.settings.webhook_keep_days),
    )  # fmt: skip
    while not stop.is_set():
        try:
            worker.run(stop)
        except (TransientError, SQLAlchemyError) as error:
            log.warning("webhooks wait: %s", said(error))
        except Exception as error:
            log.error("the webhook worker ended: %s", traced(error))
        stop.wait(poll_seconds)


def dispatcher_of(services: Services) -> Dispatcher:
    """A dispatcher with this installation's rule about addresses."""
    guard = Guard(allow_loopback=services.settings.allow_loopback_webhooks)
    return Dispatcher(services.database, services.clock, guard)


def _names(services: Services, partner: str | None) -> list[str]:
    if partner is not None:
        return [partner]
    with services.database.service() as connection:
        return [entry.partner for entry in partners.list_all(connection)]
