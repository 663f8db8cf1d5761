"""Freshness: insights that were not confirmed in time. A night that never ends shows here."""

from dagster import AssetCheckResult, AssetChecksDefinition, AssetCheckSeverity, MetadataValue, asset_check

from integrator_dagster.assets.publish import TABLES, published_key
from integrator_dagster.resources.integrator import Integrator
from integrator_dagster.work import Work

NAME = "fresh"


def freshness_check(work: Work) -> AssetChecksDefinition:
    """Counts current insights past their `stale_after`, by partner."""

    @asset_check(
        asset=published_key(TABLES),
        name=NAME,
        description="No current insight is past its stale_after; checked by the hour, whether or not a night ran.",
    )
    def fresh(integrator: Integrator) -> AssetCheckResult:
        stale = work.stale(integrator.services)
        lines = [f"- {partner}: {count}" for partner, count in sorted(stale.items())]
        return AssetCheckResult(
            passed=not stale,
            severity=AssetCheckSeverity.ERROR,
            description=f"stale: {', '.join(sorted(stale))}" if stale else None,
            metadata={"insights": sum(stale.values()), "stale": MetadataValue.md("\n".join(lines) or "none")},
        )

    return fresh
