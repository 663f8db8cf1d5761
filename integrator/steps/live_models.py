"""What speaks for a partner now, loaded and tried: the model with all that a live score needs beside it.

Nothing is kept here: who keeps it, and when it is loaded anew, is champions.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.exc import ProgrammingError

from integrator.contracts.errors import NotFound, PermanentError
from integrator.steps.contexts import context_at
from integrator.steps.predictions import Failure, decimals_of, predict_all, restored, stored
from integrator.steps.score import rows_of
from integrator.steps.services import Services
from integrator.steps.serving import Serving, model_of, serving
from integrator.storage import frames, live_scores, partners
from models import registry
from models.base import Context, FeatureRow, FittedModel, LiveUseCase, UseCaseSpec
from models.pooling.base import POOLED
from models.versions import registered_name


class Unusable(PermanentError):
    """A version that was read but cannot predict; the version before it goes on serving."""


@dataclass(frozen=True, kw_only=True)
class Held:
    """One loaded model and what belongs to it. `blank` is the row of somebody nobody knows, None where that is nobody."""

    serving: Serving
    model: FittedModel
    live: LiveUseCase
    spec: UseCaseSpec
    context: Context
    decimals: int
    blank: FeatureRow | None
    policies: Mapping[str, str]
    """Attribute → `open` or `vault`: what landing found."""
    allowed: frozenset[str]
    """Attributes that the partner's connections declare free of personal data."""
    identity_key: bytes
    own: str | None
    pooled: str | None
    """The champions there were, the partner's own and the pooled one: when one of them moves, this is old."""
    run_id: str | None
    """Of the last scoring when it was loaded."""

    def is_current(self, champions: dict[str, str]) -> bool:
        """Whether the aliases still are what they were."""
        use_case, partner = self.serving.use_case, self.serving.partner
        now = (champions.get(registered_name(use_case, partner)), champions.get(registered_name(use_case, POOLED)))
        # Another pooled model changes nothing for a partner with a champion of its own.
        return now[0] == self.own and (now[0] is not None or now[1] == self.pooled)


def hold(services: Services, partner: str, use_case: str, before: Held | None = None) -> Held:
    """Load what serves now and try it on a row; takes as long as loading a model does.

    What was loaded `before` is kept where the version is the same. `Unusable` when it cannot predict, and whatever
    loading raises.
    """
    own = services.tracking.champion_version(use_case, partner)
    pooled = services.tracking.champion_version(use_case, POOLED)
    now = serving(services, partner, use_case)
    live, spec = registry.live(use_case), registry.spec(use_case)
    with services.database.partner(partner) as connection:
        entry = partners.get(connection, partner)
        policies = live_scores.attribute_policies(connection, partner, spec.subject_kinds[0])
        allowed = live_scores.allowed_attributes(connection, partner)
        probe = live_scores.probe(connection, partner, use_case)
        run_id = live_scores.scorings(connection, [(partner, use_case)]).get((partner, use_case))
    context = context_at(entry, services.clock())
    is_same = before is not None and (before.serving.name, before.serving.version) == (now.name, now.version)
    model = before.model if before is not None and is_same else _loaded(services, now)
    held = Held(
        serving=now, model=model, live=live, spec=spec, context=context,
        decimals=decimals_of(spec, context.currency), blank=_blank(services, now, live, spec, context),
        policies=policies, allowed=allowed,
        identity_key=services.database.master.derive(f"identity:{partner}"), own=own, pooled=pooled, run_id=run_id,
    )  # fmt: skip
    if not is_same and now.rung != "rule":
        _try(held, probe)
    return held


def _loaded(services: Services, now: Serving) -> FittedModel:
    """What serves, from the registry; that its files are gone is no business of whoever asks for a score."""
    try:
        return model_of(services, now.use_case, now.name, now.version, now.partner)
    except NotFound as error:
        raise Unusable(str(error)) from error


def _blank(
    services: Services, now: Serving, live: LiveUseCase, spec: UseCaseSpec, context: Context
) -> FeatureRow | None:
    frame = live.blank(context, _horizon(services, spec, now.partner))
    if frame is None:
        return None
    try:
        (row,) = rows_of(services, now, frame, context)
    except NotFound:  # before the first night nothing is known of a partner's past
        (row,) = registry.use_case(now.use_case).rows(frame, context, None)
    return restored(stored(row))


def _horizon(services: Services, spec: UseCaseSpec, partner: str) -> int | None:
    if spec.label_horizon is None:
        return None
    for relation in (spec.relation, spec.training_relation):
        found = _value(services, relation, spec.label_horizon, partner)
        if found is not None:
            return int(found)
    return services.settings.lead_horizon_days


def _value(services: Services, relation: str, column: str, partner: str) -> Any:
    try:
        return frames.any_value(services.database, relation, column, partner)
    except ProgrammingError:  # before the first night there is no such relation
        return None


def _try(held: Held, probe: str | None) -> None:
    """Predict one row that is there, else of nobody: a version that cannot do that serves nobody."""
    row = held.blank if probe is None else restored(probe)
    if row is None:
        return
    (found,) = predict_all(held.live.asking(held.model), [row], held.decimals)
    if isinstance(found, Failure):
        name = f"{held.serving.name} {held.serving.version}"
        raise Unusable(f"{name} was read, and failed on the first row: {found.reason}")
