"""Insights into Kafka, again and again: what brokers that were away did not get is produced when they are back."""

import logging
import threading

from sqlalchemy.exc import SQLAlchemyError

from integrator.contracts.errors import TransientError
from integrator.delivery.kafka.channel import relay_of
from integrator.steps.services import Services
from integrator.storage import partners
from integrator.storage.failures import traced

log = logging.getLogger(__name__)


def keep_relaying(services: Services, stop: threading.Event, *, poll_seconds: float = 2.0) -> None:
    """Produce whatever the topic of insights lacks until `stop` is set; nothing without `INTEGRATOR_KAFKA_BOOTSTRAP`.

    A partner's failure stops no other's; brokers that are away are left alone for a while by the relay itself.
    """
    if not services.settings.kafka_bootstrap:
        return
    relay = relay_of(services.settings)
    while not stop.wait(poll_seconds):
        try:
            with services.database.service() as connection:
                names = [entry.partner for entry in partners.list_all(connection)]
        except (TransientError, SQLAlchemyError) as error:
            log.warning("insights wait for PostgreSQL: %s", type(error).__name__)
            continue
        for partner in names:
            if stop.is_set():
                return
            try:
                relay.relay(services.database, partner, services.clock)
            except (TransientError, SQLAlchemyError) as error:
                log.warning("insights of %s wait: %s", partner, type(error).__name__)
            except Exception as error:
                log.error("insights of %s were not produced: %s", partner, traced(error))
