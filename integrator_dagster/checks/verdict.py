"""The last check of a run: who was left out. It fails the run, naming the partners, after all others are published."""

from collections.abc import Iterator
from typing import Any

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetChecksDefinition,
    AssetCheckSpec,
    MetadataValue,
    multi_asset_check,
)

from integrator.delivery.registry import CHANNELS
from integrator_dagster.assets.publish import published_key
from integrator_dagster.assets.realized import realized_key
from integrator_dagster.outcomes import VERDICT, failure
from integrator_dagster.resources.integrator import Integrator
from models.registry import USE_CASES


def verdict_check() -> AssetChecksDefinition:
    """Hung on the last channel, after all of them and after what is reckoned from them."""
    *others, last = [published_key(channel.name) for channel in CHANNELS]
    others += [realized_key(spec.name) for spec in USE_CASES]

    @multi_asset_check(
        name=VERDICT,
        specs=[
            AssetCheckSpec(
                VERDICT,
                asset=last,
                additional_deps=others,
                description="No partner failed or was left out in this run; if one was, the run is red and names it.",
            )
        ],
    )
    def every_partner(context: AssetCheckExecutionContext, integrator: Integrator) -> Iterator[Any]:
        from integrator.steps.runs import failures

        failed = failures(integrator.services, context.run.run_id)
        lines = [f"- **{partner}**: {reason}" for partner, reason in sorted(failed.items())]
        yield AssetCheckResult(
            asset_key=last,
            check_name=VERDICT,
            passed=not failed,
            description=f"failed: {', '.join(sorted(failed))}" if failed else None,
            metadata={"left_out": MetadataValue.md("\n".join(lines) or "nobody")},
        )
        if failed:
            raise failure(failed)

    return every_partner
