"""Publish: one asset `published/{channel}` per channel. The tables come first: what is committed there is published."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from dagster import AssetExecutionContext, AssetKey, AssetsDefinition, Output, asset

from integrator.delivery.base import ChannelSpec
from integrator.delivery.registry import CHANNELS
from integrator_dagster.assets.score import insight_key
from integrator_dagster.outcomes import NOTHING, Metadata, each_partner
from integrator_dagster.partitions import ONE_RUN, PARTNERS
from integrator_dagster.resources.integrator import Integrator
from integrator_dagster.work import Work
from models.registry import USE_CASES

if TYPE_CHECKING:
    from integrator.steps.runs import Progress
    from integrator.steps.services import Services

GROUP = "publish"
TABLES = "tables"
Way = Callable[[Work, "Services", str, str, "Progress", str], Metadata]


def published_key(channel: str) -> AssetKey:
    """`published/tables`."""
    return AssetKey(["published", channel])


def publish_assets(work: Work) -> list[AssetsDefinition]:
    """One asset for each channel."""
    return [_published(work, channel) for channel in CHANNELS]


def _published(work: Work, channel: ChannelSpec) -> AssetsDefinition:
    key = published_key(channel.name)
    first = channel.name == TABLES
    way = WAYS.get(channel.name, _with_the_tables)

    @asset(
        key=key,
        deps=[insight_key(spec.name) for spec in USE_CASES] if first else [published_key(TABLES)],
        group_name=GROUP,
        description=DESCRIPTIONS.get(channel.name, f"{channel.title}: written with the insight tables."),
        kinds={"redis" if channel.name == "cache" else "postgres", "python"},
        owners=["team:integrator"],
        tags={"step": GROUP, "channel": channel.name},
        partitions_def=PARTNERS,
        backfill_policy=ONE_RUN,
        dagster_type=NOTHING,
    )
    def published(context: AssetExecutionContext, integrator: Integrator) -> Iterator[Output[None]]:
        services = integrator.services

        def send(partner: str, use_case: str, progress: "Progress") -> Metadata:
            return way(work, services, partner, use_case, progress, context.run.run_id)

        def applies(partner: str, use_case: str) -> bool:
            return not use_case or work.was_scored(services, partner, use_case)

        use_cases = ("",) if channel.name in OF_THE_PARTNER else tuple(spec.name for spec in USE_CASES)
        yield from each_partner(
            context, services, step=GROUP, key=key, body=send, use_cases=use_cases, applies=applies, quiet=not first
        )

    return published


def _tables(
    work: Work, services: "Services", partner: str, use_case: str, progress: "Progress", run_id: str
) -> Metadata:
    report = work.publish(services, partner, use_case, run_id)
    progress.rows = report.rows
    progress.note = f"{report.changed} changed, {report.unchanged} unchanged"
    return {
        f"{use_case} changed": report.changed,
        f"{use_case} unchanged": report.unchanged,
        f"{use_case} withdrawn": report.withdrawn,
    }


def _cache(
    work: Work, services: "Services", partner: str, use_case: str, progress: "Progress", run_id: str
) -> Metadata:
    progress.rows = work.fill_cache(services, partner, use_case)
    return {f"{use_case} newer": progress.rows}


def _webhook(
    work: Work, services: "Services", partner: str, use_case: str, progress: "Progress", run_id: str
) -> Metadata:
    report = work.deliver(services, partner)
    progress.rows = report.delivered
    return {"delivered": report.delivered, "failed": report.failed, "pending": report.pending}


def _host_database(
    work: Work, services: "Services", partner: str, use_case: str, progress: "Progress", run_id: str
) -> Metadata:
    reports = work.sync_host_databases(services, partner)
    progress.rows = sum(report.written for report in reports)
    return {"written": progress.rows, "behind": [report.name for report in reports if not report.complete]}


def _write_back(
    work: Work, services: "Services", partner: str, use_case: str, progress: "Progress", run_id: str
) -> Metadata:
    reports = work.write_back(services, partner)
    progress.rows = sum(report.written for report in reports)
    refused = sum(report.refused for report in reports)
    return {"written": progress.rows, "refused": refused, "failed": [r.connection_id for r in reports if r.error]}


def _with_the_tables(
    work: Work, services: "Services", partner: str, use_case: str, progress: "Progress", run_id: str
) -> Metadata:
    return {}


WAYS: dict[str, Way] = {
    TABLES: _tables,
    "cache": _cache,
    "webhook": _webhook,
    "host_database": _host_database,
    "write_back": _write_back,
}
OF_THE_PARTNER = ("webhook", "host_database", "write_back")
"""Channels that know partners and no use cases."""
DESCRIPTIONS = {
    TABLES: "A partner's insights of a use case appear in one transaction, each new version with its outbox rows and its "
    "prediction log.",
    "cache": "The ready-made documents of the realtime API, from what the tables hold now.",
    "webhook": "What the outbox holds for a partner's endpoints, sent; what was not taken is tried again on its schedule.",
    "host_database": "What is new, upserted into the tables of a partner's own databases; one that is away is tried again.",
    "write_back": "What is newer than what a platform's records were told, into their own fields, where a partner enabled it.",
}
