"""`integrator stream`: the worker between Kafka and the partners' records and insights."""

import logging

import typer

from integrator.cli.session import open_session
from integrator.contracts.errors import invalid
from integrator.settings import load_settings


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command()(stream)


def stream() -> None:
    """Land records from Kafka, bring what they touch up to date, and produce insights to Kafka, until SIGTERM.

    Any number may run: they share the partitions. Topics, group and security are in Settings (INTEGRATOR_KAFKA_…); the log
    goes to stderr.
    """
    settings = load_settings()
    if not settings.kafka_bootstrap:
        raise invalid("INTEGRATOR_KAFKA_BOOTSTRAP", settings.kafka_bootstrap, "host:port of a broker")
    from integrator_stream.service import run

    services = open_session(settings)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # It says of every call for a webhook that it was put into the queue: several a second.
    logging.getLogger("procrastinate").setLevel(logging.WARNING)
    run(services)
