"""The ladder: which model speaks for a partner now. Its own champion, else the pooled one where it may, else the rule."""

from dataclasses import dataclass

from integrator.steps.predictions import RULE_VERSION, rule_name
from integrator.steps.services import Services
from integrator.storage import partners, pooling
from models import registry
from models.base import FittedModel
from models.pooling.base import POOLED
from models.versions import registered_name


@dataclass(frozen=True, kw_only=True)
class Serving:
    """`rung` and what stands in an insight's `model`; `kept_from_pooled` is why a pooled model there is does not serve."""

    use_case: str
    partner: str
    rung: str
    name: str
    version: str
    kept_from_pooled: str | None = None

    @property
    def owner(self) -> str:
        """Under whose name the registry has it."""
        return POOLED if self.rung == POOLED else self.partner


def serving(services: Services, partner: str, use_case: str) -> Serving:
    """What serves the partner now. A partner without consent to pooling is never served with a pooled model."""
    own = services.tracking.champion_version(use_case, partner)
    if own is not None:
        return Serving(
            use_case=use_case, partner=partner, rung="partner", name=registered_name(use_case, partner), version=own
        )
    version, reason = _pooled(services, partner, use_case)
    if version is not None:
        return Serving(
            use_case=use_case, partner=partner, rung=POOLED, name=registered_name(use_case, POOLED), version=version
        )
    return Serving(
        use_case=use_case, partner=partner, rung="rule", name=rule_name(use_case), version=RULE_VERSION,
        kept_from_pooled=reason,
    )  # fmt: skip


def model_of(services: Services, use_case: str, name: str, version: str, partner: str) -> FittedModel:
    """The model behind what stands in an insight: the rule, the pooled one of that version, or the partner's own."""
    if name == rule_name(use_case):
        return registry.use_case(use_case).rule()
    owner = POOLED if name == registered_name(use_case, POOLED) else partner
    return services.tracking.load(use_case, owner, version).model


def _pooled(services: Services, partner: str, use_case: str) -> tuple[str | None, str | None]:
    """The pooled version that serves the partner, else None and, where it was judged and kept from it, the reason."""
    with services.database.partner(partner) as connection:
        if not partners.get(connection, partner).pooling:
            return None, None
        found = pooling.standing(connection, partner, use_case)
    if found is None or found.model_version != services.tracking.champion_version(use_case, POOLED):
        return None, None
    return (found.model_version, None) if found.is_served else (None, found.reason)
