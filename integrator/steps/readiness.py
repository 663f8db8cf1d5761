"""What a partner still lacks before a model of its own, read off its features as they are now."""

from integrator.contracts.readiness import Readiness
from integrator.steps.services import Services
from integrator.storage import frames, partners
from models.base import Context
from models.registry import USE_CASES
from models.registry import use_case as code_of


def readiness(services: Services, partner: str) -> list[Readiness]:
    """One report per use case, in the registry's order."""
    with services.database.service() as connection:
        entry = partners.get(connection, partner)
    context = Context(
        partner=partner, timezone=entry.timezone, currency=entry.currency, region=entry.region, as_of=services.clock()
    )
    reports = []
    for spec in USE_CASES:
        frame = frames.read_features(services.database, f"features.{spec.training_relation}", partner)
        reports.append(code_of(spec.name).readiness(frame, context))
    return reports
