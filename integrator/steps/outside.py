"""Models made elsewhere before the gate: found in the registry, judged on the partner's own rows, wrapped and registered.

Whoever can write to MLflow registers a pyfunc under `{use_case}.{partner}`; the next training judges it, and each later
one judges the newest again. What it cannot be judged by is told on its version, and harms nothing else.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from integrator.contracts.errors import IntegratorError, invalid
from integrator.steps.challenge import Challenge, challenge
from integrator.steps.contexts import context_of, with_coming
from integrator.steps.models import readable_champion
from integrator.steps.services import Services
from integrator.storage import logs
from models import registry
from models.base import Context, TrainConfig

if TYPE_CHECKING:
    import polars as pl

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What became of a model registered as version `wraps`: a challenge, or the reason why there was none."""

    wraps: str
    challenge: Challenge | None
    reason: str

    @property
    def promoted(self) -> bool:
        """Whether it serves now."""
        return self.challenge is not None and self.challenge.verdict.promote


def waiting(services: Services, partner: str, use_case: str, *, again: bool) -> list[str]:
    """Versions made elsewhere that were never judged, oldest first; `again` adds the newest that was."""
    if registry.outside(use_case) is None:
        return []
    found = [info for info in services.tracking.versions(use_case, partner) if info.made_elsewhere]
    chosen = {info.version for info in found if not info.judged_as} | {info.version for info in found[:1] if again}
    return sorted(chosen, key=int)


def offered(services: Services, partner: str, use_case: str, config: TrainConfig) -> "pl.DataFrame":
    """What a model made elsewhere may learn from: the partner's labelled rows by column, `outcome` and `is_test`.

    InvalidInput where the use case takes no such model.
    """
    from integrator.storage.frames import read_features

    code = registry.outside(use_case)
    if code is None:
        taking = [spec.name for spec in registry.USE_CASES if registry.outside(spec.name) is not None]
        raise invalid("use case for models made elsewhere", use_case, taking)
    spec = registry.spec(use_case)
    frame = with_coming(services, spec, partner, read_features(services.database, spec.training_relation, partner))
    return code.table(frame, config, context_of(services, partner, frame))


def judge(
    services: Services,
    use_case: str,
    versions: Sequence[str],
    frame: "pl.DataFrame",
    config: TrainConfig,
    context: Context,
    *,
    rows: int,
    run_id: str,
) -> list[Judged]:
    """Judge each of these, one after the other, against whoever is champion by then."""
    return [_judge(services, use_case, version, frame, config, context, rows, run_id) for version in versions]


def _judge(
    services: Services,
    use_case: str,
    wraps: str,
    frame: "pl.DataFrame",
    config: TrainConfig,
    context: Context,
    rows: int,
    run_id: str,
) -> Judged:
    code = registry.outside(use_case)
    assert code is not None, "`waiting` finds none where the use case takes none"
    partner = context.partner
    try:
        model = services.tracking.outside(use_case, partner, wraps)
        trained = code.train(frame, model, config, context)
    except IntegratorError as error:
        log.warning("version %s of %s.%s, made elsewhere, cannot be judged: %s", wraps, use_case, partner, error)
        services.tracking.refuse(use_case, partner, wraps, str(error))
        with services.database.partner(partner) as connection:
            logs.event(
                connection, partner, "model.not_judged", services.clock(),
                {"use_case": use_case, "version": wraps, "reason": str(error), "run_id": run_id},
            )  # fmt: skip
        return Judged(wraps=wraps, challenge=None, reason=str(error))
    found = challenge(
        services, use_case, trained, readable_champion(services, partner, use_case, run_id=run_id), context,
        promote=config.promote, rows=rows, run_id=run_id, wraps=wraps,
    )  # fmt: skip
    return Judged(wraps=wraps, challenge=found, reason=" ".join(found.verdict.reasons))
