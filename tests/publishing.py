"""Predictions and scorings for the tests of everything behind the models. Shapes only: no test asserts a forecast."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from integrator.contracts.insight import Contribution, Interval, Subject, insight_id
from integrator.steps.predictions import RULE_VERSION, encode, rule_name, stored
from integrator.steps.publish import Published, publish_some, tell
from integrator.steps.services import Services
from integrator.storage import insights, scored
from integrator.storage.partners import Partner, register
from models.base import Prediction

PARTNERS = (
    Partner(partner="alpha", timezone="Europe/Berlin", currency="EUR", region="DE"),
    Partner(partner="beta", timezone="Asia/Tokyo", currency="JPY", region="JP"),
)


def register_both(services: Services, now: datetime) -> None:
    """Two tenants, so that there is always one to be kept out."""
    for partner in PARTNERS:
        register(services.database, partner, now)


def prediction(subject_id: str, value: float = 900.0, **changes: Any) -> Prediction:
    """An event's attendance, 95 above its baseline."""
    made = Prediction(
        subject=Subject("event", subject_id, "pretix"), status="ready", rung="partner", value=value, unit="people",
        interval=Interval(0.8, value - 80, value + 65), confidence_label="high", coverage=0.81, observations=42,
        baseline=value - 95, contributions=(Contribution("tickets_sold", "Tickets sold so far", 95.0, True),),
        summary=f"Expected attendance {value:g}.", details={"p10": value - 80, "p50": value, "p90": value + 65},
        records=120,
    )  # fmt: skip
    return replace(made, **changes)


def put_scored(
    services: Services, partner: str, predictions: Sequence[Prediction], *, position: int, at: datetime,
    use_case: str = "attendance", run_id: str = "run-1", model: tuple[str, str] | None = None, failures: int = 0, failed: Sequence[str] = (),
    feature_rows: Sequence[dict[str, Any]] | None = None,
) -> None:  # fmt: skip
    """What the score step leaves behind; `failed` are the insights of those of the `failures` that say whose they are."""
    name, version = model or (rule_name(use_case), RULE_VERSION)
    scoring = scored.Scoring(
        partner=partner, use_case=use_case, run_id=run_id, scored_at=at, input_position=position, as_of=at,
        model_name=name, model_version=version, row_count=len(predictions) + failures, failure_count=failures,
        failed_insights=tuple(failed),
    )  # fmt: skip
    given = feature_rows or [{"event_id": entry.subject.id, "tickets_sold": n} for n, entry in enumerate(predictions)]
    rows = (
        (ordinal, encode(entry), stored(row))
        for ordinal, (entry, row) in enumerate(zip(predictions, given, strict=True))
    )
    with services.database.partner(partner) as connection:
        scored.replace(connection, scoring, rows)


def publish_one(services: Services, partner: str, use_case: str, found: Prediction, *, position: int) -> None:
    """What streaming does with the subject that a record touched."""
    with services.database.partner(partner) as connection:
        insights.lock(connection, partner)
        published = one_published(services, connection, partner, use_case, found, position=position)
    tell(services, published.publication)


def one_published(
    services: Services, connection: Connection, partner: str, use_case: str, found: Prediction, *, position: int
) -> Published:
    """The same within the caller's transaction, whose lock it has; nobody is told yet."""
    at = services.clock()
    scoring = scored.Scoring(
        partner=partner, use_case=use_case, run_id=f"stream-{position}", scored_at=at, input_position=position, as_of=at,
        model_name=rule_name(use_case), model_version=RULE_VERSION, row_count=1, failure_count=0,
    )  # fmt: skip
    asked = frozenset({insight_id(partner, use_case, found.subject)})
    return publish_some(services, connection, scoring, [(0, encode(found), stored({}))], asked)
