"""Whose rows a model is given, and as of when: the `Context` of a partner. Nothing is trained or scored here."""

from datetime import datetime
from typing import TYPE_CHECKING

from integrator.steps.services import Services
from integrator.storage import partners
from models.base import Context

if TYPE_CHECKING:
    import polars as pl


def context_of(services: Services, partner: str, frame: "pl.DataFrame") -> Context:
    """The moment of the features, not of the call: what they were not told, the model must not know either."""
    with services.database.partner(partner) as connection:
        entry = partners.get(connection, partner)
    newest = frame["as_of"].max() if frame.height else None
    return Context(
        partner=partner, timezone=entry.timezone, currency=entry.currency, region=entry.region,
        as_of=newest if isinstance(newest, datetime) else services.clock(),
    )  # fmt: skip
