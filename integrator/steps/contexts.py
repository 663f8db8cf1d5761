"""Which rows a model is given, whose, and as of when: the `Context` of a partner. Nothing is trained or scored here."""

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from integrator.steps.services import Services
from integrator.storage import partners, price_rules
from integrator.storage.partners import Partner
from models.base import Context, UseCaseSpec

if TYPE_CHECKING:
    import polars as pl


def context_of(services: Services, partner: str, frame: "pl.DataFrame") -> Context:
    """The moment of the features, not of the call: what they were not told, the model must not know either."""
    with services.database.partner(partner) as connection:
        return context_in(connection, partner, frame, services.clock())


def context_in(connection: Connection, partner: str, frame: "pl.DataFrame", now: datetime) -> Context:
    """The same in a transaction that is there already; without rows as of `now`."""
    newest = frame["as_of"].max() if frame.height else None
    found = context_at(partners.get(connection, partner), newest if isinstance(newest, datetime) else now)
    return replace(found, price_rules=price_rules.list_all(connection, partner))


def context_at(entry: Partner, as_of: datetime) -> Context:
    """The context of a partner at a moment: what its registration says."""
    return Context(
        partner=entry.partner, timezone=entry.timezone, currency=entry.currency, region=entry.region, as_of=as_of,
        language=entry.language, processing=entry.default_processing,
    )  # fmt: skip


def with_coming(services: Services, spec: UseCaseSpec, partner: str, labelled: "pl.DataFrame") -> "pl.DataFrame":
    """What a training is given: the labelled rows, and behind them those to come, where it wants them."""
    import polars as pl

    from integrator.storage.frames import read_features

    if not spec.trains_on_coming:
        return labelled
    ahead = read_features(services.database, spec.relation, partner).filter(~pl.col("is_past"))
    return pl.concat([labelled, ahead], how="vertical_relaxed")
