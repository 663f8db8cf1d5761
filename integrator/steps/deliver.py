"""Delivering: sending what the outbox holds, once or for as long as a process lives."""

import logging
import threading
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError

from integrator.contracts.errors import TransientError
from integrator.delivery.webhook.dispatcher import Delivered, Dispatcher
from integrator.security.addresses import Guard
from integrator.steps.services import Services
from integrator.storage import outbox, partners

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class DeliveryReport:
    """Attempts made now (`delivered`, `failed`), and what still waits for its next one."""

    delivered: int
    failed: int
    pending: int


def deliver(services: Services, partner: str | None = None) -> DeliveryReport:
    """Send what is due now, of one partner or of all; each message is tried once."""
    dispatcher = dispatcher_of(services)
    total, pending = Delivered(), 0
    for name in _names(services, partner):
        total += dispatcher.dispatch(name)
        with services.database.partner(name) as connection:
            pending += outbox.counts(connection, name)["pending"]
    return DeliveryReport(delivered=total.delivered, failed=total.failed, pending=pending)


def keep_delivering(services: Services, stop: threading.Event, *, poll_seconds: float = 1.0) -> None:
    """Send what becomes due until `stop` is set.

    A database that is away is waited for; a partner whose sending fails, for whatever reason, fails alone and is tried
    again, as this is the only thread that sends.
    """
    dispatcher = dispatcher_of(services)
    while not stop.is_set():
        try:
            sent = sum((_sent(dispatcher, name) for name in _names(services, None)), Delivered())
        except (TransientError, SQLAlchemyError) as error:
            log.warning("webhooks wait: %s", error)
            sent = Delivered()
        if not sent.delivered:
            stop.wait(poll_seconds)


def _sent(dispatcher: Dispatcher, partner: str) -> Delivered:
    try:
        return dispatcher.dispatch(partner)
    except TransientError as error:
        log.warning("webhooks of %s wait: %s", partner, error)
    except Exception:
        log.exception("webhooks of %s were not sent", partner)
    return Delivered()


def dispatcher_of(services: Services) -> Dispatcher:
    """A dispatcher with this installation's rule about addresses."""
    guard = Guard(allow_loopback=services.settings.allow_loopback_webhooks)
    return Dispatcher(services.database, services.clock, guard)


def _names(services: Services, partner: str | None) -> list[str]:
    if partner is not None:
        return [partner]
    with services.database.service() as connection:
        return [entry.partner for entry in partners.list_all(connection)]
