"""The rung a partner has reached per use case, and what it lacks before the next: read off its features as they are now."""

import msgspec

from integrator.contracts.readiness import PooledReadiness, PooledState, Readiness, RungReached
from integrator.steps.contexts import context_at
from integrator.steps.services import Services
from integrator.steps.serving import serving
from integrator.storage import frames, partners, pooling, quality
from models import registry
from models.pooling.base import POOLED
from models.pooling.words import say
from models.registry import USE_CASES
from models.registry import use_case as code_of


def readiness(services: Services, partner: str) -> list[Readiness]:
    """One report per use case, in the registry's order."""
    with services.database.service() as connection:
        entry = partners.get(connection, partner)
    context = context_at(entry, services.clock())
    reports = []
    for spec in USE_CASES:
        frame = frames.read_features(services.database, f"features.{spec.training_relation}", partner)
        reports.append(reached(services, partner, code_of(spec.name).readiness(frame, context)))
    return reports


def reached(services: Services, partner: str, report: Readiness) -> Readiness:
    """The report with the rung that in fact serves the partner, and where it stands with the pooled one.

    Data for a model of one's own is not that model: the gate may have kept the rule, or nobody has trained yet.
    """
    now = serving(services, partner, report.use_case)
    state = _state(services, partner, report.use_case, now.rung)
    found = PooledReadiness(state, say(f"readiness.{state}", needed=services.settings.pooling_least_partners))
    return msgspec.structs.replace(report, rung=_rung(report, now.rung), pooled=found)


def _rung(report: Readiness, serving_rung: str) -> RungReached:
    if serving_rung == "partner":
        return "partner"
    if serving_rung == POOLED:
        return "pooled"
    return "none" if report.rung == "none" else "rule"


def note_reached(services: Services, partner: str, use_case: str) -> None:
    """Bring the stored report to the rung reached now; nothing where none was ever stored."""
    with services.database.partner(partner) as connection:
        known = [report for report in quality.readiness_of(connection, partner) if report.use_case == use_case]
    for report in known:
        found = reached(services, partner, report)
        if found == report:
            continue
        with services.database.partner(partner) as connection:
            quality.remember_readiness(connection, partner, found, services.clock())


def _state(services: Services, partner: str, use_case: str, rung: str) -> PooledState:
    """The first thing that stands between the partner and the pooled rung; what others do is told last and least."""
    if rung == "partner":
        return "not_needed"
    if rung == POOLED:
        return "serving"
    if not registry.has_pooled(use_case):
        return "not_pooled"
    with services.database.partner(partner) as connection:
        if not partners.get(connection, partner).pooling:
            return "consent_missing"
        standing = pooling.standing(connection, partner, use_case)
        enough = partners.pooling_count(connection) >= services.settings.pooling_least_partners
    champion = services.tracking.champion_version(use_case, POOLED)
    if champion is None:
        return "no_model" if enough else "too_few_partners"
    if standing is None or standing.model_version != champion:
        return "not_judged_yet"
    return "failed" if standing.reason == "failed" else "not_better"
