"""Ingest: one asset `raw/{platform}/{kinds}` per platform and kind, from the registry of platforms."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dagster import AssetExecutionContext, AssetKey, AssetsDefinition, Output, asset

from integrator.contracts.records import PLURALS
from integrator.platforms.base import PlatformSpec
from integrator.platforms.registry import PLATFORMS
from integrator_dagster.outcomes import NOTHING, Metadata, each_partner
from integrator_dagster.partitions import ONE_RUN, PARTNERS
from integrator_dagster.resources.integrator import Integrator
from integrator_dagster.work import Work

if TYPE_CHECKING:
    from integrator.steps.runs import Progress

GROUP = "ingest"


def raw_key(platform: str, kind: str) -> AssetKey:
    """`raw/pretix/sales`."""
    return AssetKey(["raw", platform, PLURALS[kind]])


def ingest_assets(work: Work) -> list[AssetsDefinition]:
    """One asset for each kind of each platform."""
    return [_raw(work, platform, kind) for platform in PLATFORMS for kind in platform.kinds]


def _raw(work: Work, platform: PlatformSpec, kind: str) -> AssetsDefinition:
    key = raw_key(platform.name, kind)

    @asset(
        key=key,
        group_name=GROUP,
        description=f"{platform.title}: what changed in {PLURALS[kind]} since the last cursor of each of a partner's "
        "connections, landed with its versions; what cannot be read is in quarantine.",
        kinds={"postgres", "python"},
        owners=["team:integrator"],
        tags={"step": GROUP, "platform": platform.name},
        partitions_def=PARTNERS,
        backfill_policy=ONE_RUN,
        dagster_type=NOTHING,
    )
    def raw(context: AssetExecutionContext, integrator: Integrator) -> Iterator[Output[None]]:
        services = integrator.services

        def pull(partner: str, use_case: str, progress: "Progress") -> Metadata:
            report = work.ingest(services, partner, platform.name, kind)
            progress.rows = report.landed.accepted
            return {
                "accepted": report.landed.accepted,
                "unchanged": report.landed.unchanged,
                "quarantined": report.landed.quarantined,
                "pages": report.pages,
                "connections": report.connections,
            }

        def connected(partner: str, use_case: str) -> bool:
            return platform.name in work.platforms(services, partner)

        yield from each_partner(context, services, step="ingest", key=key, body=pull, applies=connected)

    return raw
