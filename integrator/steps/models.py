"""The champion moved by hand: promoted through the gate, or past it with a reason, and rolled back. Every move is audited.

What a move changes for the partner, its insights scored and published anew, is the caller's next step.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from integrator.contracts.errors import Conflict, NotFound, PermanentError, invalid
from integrator.steps.connections import Actor
from integrator.steps.readiness import note_reached
from integrator.steps.services import Services
from integrator.storage import logs
from models.gate import Verdict, gate
from models.versions import LoadedModel, VersionInfo, registered_name

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Move:
    """Where the alias `champion` stood and stands; `reasons` are the gate's, or why it was forced."""

    use_case: str
    version: str
    before: str | None
    reasons: tuple[str, ...] = ()

    @property
    def moved(self) -> bool:
        """Whether it moved at all: what serves already is left as it is."""
        return self.version != self.before


def readable_champion(
    services: Services, partner: str, use_case: str, *, run_id: str | None = None
) -> LoadedModel | None:
    """The champion, if it can still be read: one that cannot serves nobody, and must not keep others from serving.

    A run that finds it so leaves an event; one who only looks does not.
    """
    version = services.tracking.champion_version(use_case, partner)
    if version is None:
        return None
    try:
        return services.tracking.load(use_case, partner, version)
    except (PermanentError, OSError) as error:
        log.warning("champion %s of %s cannot be read: %s", version, registered_name(use_case, partner), error)
        if run_id is not None:
            facts = {"use_case": use_case, "version": version, "reason": str(error), "run_id": run_id}
            with services.database.partner(partner) as connection:
                logs.event(connection, partner, "model.unreadable", services.clock(), facts)
        return None


def judge(services: Services, partner: str, use_case: str, version: str) -> Verdict:
    """The gate's word on a version against the champion of now; NotFound, or Conflict for one made elsewhere."""
    own_version(services.tracking.versions(use_case, partner), version, registered_name(use_case, partner))
    challenger = services.tracking.load(use_case, partner, version)
    champion = readable_champion(services, partner, use_case)
    return gate(challenger.backtest, champion.backtest if champion else None)


def promote(services: Services, actor: Actor, use_case: str, version: str, *, force: str | None = None) -> Move:
    """Make `version` champion if the gate lets it pass now; Conflict with the gate's reasons otherwise.

    `force` is a reason, in words, for passing the gate by; it is kept with the gate's own.
    """
    if force is not None and not force.strip():
        raise invalid("reason for forcing", force, "words that say why the gate is passed by")
    partner, tracking = actor.partner, services.tracking
    before = tracking.champion_version(use_case, partner)
    if version == before:
        return Move(use_case=use_case, version=version, before=before)
    verdict = judge(services, partner, use_case, version)
    facts = {"use_case": use_case, "version": version, "before": before, "reasons": list(verdict.reasons)}
    if not verdict.promote and force is None:
        _event(services, actor, "model.refused", facts)
    elif not verdict.promote:
        verdict = Verdict(promote=True, reasons=(f"Forced past the gate: {force}", *verdict.reasons))
        facts = {**facts, "forced": force, "reasons": list(verdict.reasons)}
    tracking.promote(use_case, partner, version, verdict=verdict)
    _moved(services, actor, "model.promoted", use_case, version, facts)
    return Move(use_case=use_case, version=version, before=before, reasons=verdict.reasons)


def rollback(
    services: Services, actor: Actor, use_case: str, version: str | None = None, *, reason: str | None = None
) -> Move:
    """Back to `version`, by default the promoted one before the champion; Conflict unless it passed the gate once.

    It is read before the alias moves: a version that cannot serve is no way back.
    """
    partner, tracking = actor.partner, services.tracking
    before = tracking.champion_version(use_case, partner)
    target = tracking.rollback_target(use_case, partner, version)
    if target == before:
        return Move(use_case=use_case, version=target, before=before)
    tracking.load(use_case, partner, target)
    tracking.rollback(use_case, partner, target)
    facts = {"use_case": use_case, "version": target, "before": before, "reason": reason}
    _moved(services, actor, "model.rolled_back", use_case, target, facts)
    return Move(use_case=use_case, version=target, before=before, reasons=(reason,) if reason else ())


def own_version(infos: Sequence[VersionInfo], version: str, name: str) -> VersionInfo:
    """A version that can serve, out of those there are; NotFound names them, Conflict says that one was made elsewhere."""
    known = {info.version: info for info in infos}
    if version not in known:
        raise NotFound(f"no version {version!r} of {name}; there are {sorted(known, key=int)}")
    info = known[version]
    if info.made_elsewhere:
        instead = f"it was judged as version {info.judged_as}" if info.judged_as else "it was not judged yet: retrain"
        raise Conflict(f"version {version} of {name} was made elsewhere and does not serve by itself; {instead}")
    return info


def _moved(
    services: Services, actor: Actor, action: str, use_case: str, version: str, facts: Mapping[str, Any]
) -> None:
    _event(services, actor, action, facts)
    with services.database.partner(actor.partner) as connection:
        subject = f"{registered_name(use_case, actor.partner)} {version}"
        logs.audit(connection, actor.name, actor.partner, action, subject, services.clock(), facts)
    note_reached(services, actor.partner, use_case)


def _event(services: Services, actor: Actor, kind: str, facts: Mapping[str, Any]) -> None:
    with services.database.partner(actor.partner) as connection:
        logs.event(connection, actor.partner, kind, services.clock(), {**facts, "by": actor.name})
