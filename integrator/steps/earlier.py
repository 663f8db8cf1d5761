"""What a use case wants to know of the past beside its features: what was said before, and whether its label is the same.

Both follow from the spec alone, so that no step knows a use case by name.
"""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from integrator.steps.services import Services
from integrator.storage import frames, logs, prediction_log
from models.base import UseCaseSpec

if TYPE_CHECKING:
    import polars as pl

    from models.versions import LoadedModel

RETIRED = "Its outcome counts within {trained} days, that of the rows within {asked}: a model serves one horizon."


def last_said(
    connection: Connection, spec: UseCaseSpec, partner: str, frame: "pl.DataFrame", as_of: datetime,
    only: Collection[str] | None = None,
) -> dict[tuple[str, str], float]:  # fmt: skip
    """What a model said of each subject the spec's `looks_back_days` ago, or the last before that; else nothing.

    With `only`, of subjects with these ids.
    """
    if spec.looks_back_days is None:
        return {}
    horizon = None
    if spec.label_horizon is not None and frame.height:
        horizon = int(frame[spec.label_horizon][0])
    before = as_of - timedelta(days=spec.looks_back_days)
    return prediction_log.last_values(connection, partner, spec.name, before, horizon, only)


def retired_by_label(
    services: Services, spec: UseCaseSpec, partner: str, champion: "LoadedModel", *, run_id: str
) -> bool:
    """Take down a champion that learned another horizon than the partner's rows are labelled with now.

    Below it the ladder goes on, and the next training is compared with no champion: its scores answer another question.
    """
    asked = _horizon(services, spec, partner)
    trained = _trained_for(spec, champion.params)
    if asked is None or trained is None or asked == trained:
        return False
    reason = RETIRED.format(trained=trained, asked=asked)
    services.tracking.retire(spec.name, partner, reason)
    facts = {"use_case": spec.name, "version": champion.version, "reason": reason, "run_id": run_id}
    with services.database.partner(partner) as connection:
        logs.event(connection, partner, "model.retired", services.clock(), facts)
    return True


def _horizon(services: Services, spec: UseCaseSpec, partner: str) -> int | None:
    if spec.label_horizon is None:
        return None
    found = frames.any_value(services.database, spec.training_relation, spec.label_horizon, partner)
    return int(found) if found is not None else None


def _trained_for(spec: UseCaseSpec, params: Mapping[str, str]) -> int | None:
    found = params.get(spec.label_horizon or "", "")
    return int(found) if found.isdigit() else None
