"""Which partners' models ask to be trained again: enough has been learned since, or what they say did not come true.

A sensor looks here every few minutes, so nothing heavy is imported and no model is read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from integrator.settings import Settings
from integrator.steps.services import Services
from integrator.storage import logs, training_facts
from integrator.storage.training_facts import Learned
from models.registry import USE_CASES


@dataclass(frozen=True)
class Wish:
    """One partner and use case to be trained again, and why. `key` is the same until it was tried or a rest has passed."""

    partner: str
    use_case: str
    reason: str
    key: str


def wishes(services: Services) -> list[Wish]:
    """Of all partners with a serving model of their own, those whose training has rested long enough and who ask for it."""
    with services.database.batch() as connection:
        found = training_facts.learned(connection)
        rows = {spec.name: training_facts.labelled(connection, spec.training_relation) for spec in USE_CASES}
    settings, now = services.settings, services.clock()
    asked = [(one, reason_of(one, rows[one.use_case], settings)) for one in found if _has_rested(one, settings, now)]
    return [
        Wish(one.partner, one.use_case, reason, _key(one, settings, now)) for one, reason in asked if reason is not None
    ]


def reason_of(one: Learned, rows_now: Mapping[str, int], settings: Settings) -> str | None:
    """Why to train again; None when there is no reason. A failed check comes before counts."""
    if one.failed_checks:
        return "; ".join(one.failed_checks)
    then = one.rows_then or 0
    grown = max(0, rows_now.get(one.partner, 0) - then) if one.rows_then is not None else 0
    new, needed = grown + one.told_since, enough(settings, then)
    if new < needed:
        return None
    return f"{new} new outcomes since the last training, on {then}; {needed:.0f} are enough"


def tell(services: Services, wish: Wish) -> None:
    """Say in the partner's event log that a retraining was asked for, and why."""
    with services.database.partner(wish.partner) as connection:
        logs.event(
            connection, wish.partner, "retraining.asked", services.clock(),
            {"use_case": wish.use_case, "reason": wish.reason},
        )  # fmt: skip


def enough(settings: Settings, rows_then: int) -> float:
    """New outcomes that call for a retraining, by the labelled rows of the last one."""
    return max(settings.retrain_least_outcomes, settings.retrain_outcome_share * rows_then)


def rest(settings: Settings) -> timedelta:
    """How long after a training nothing but the schedule and people ask for another."""
    return timedelta(days=settings.retrain_rest_days)


def _has_rested(one: Learned, settings: Settings, now: datetime) -> bool:
    return now - one.tried_at >= rest(settings)


def _key(one: Learned, settings: Settings, now: datetime) -> str:
    """A run that never came to training is asked for again after another rest, and not every few minutes."""
    rests = int((now - one.tried_at) / rest(settings)) if settings.retrain_rest_days else 0
    return f"feedback:{one.partner}:{one.use_case}:{one.tried_at.isoformat()}:{rests}"
