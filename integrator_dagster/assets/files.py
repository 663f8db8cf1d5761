"""Files: one asset `raw/files/{kinds}` per kind of record, landed from what partners dropped."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dagster import AssetExecutionContext, AssetsDefinition, MetadataValue, Output, asset

from integrator.contracts.errors import IntegratorError
from integrator.contracts.records import KINDS, PLURALS
from integrator_dagster.assets.ingest import GROUP, raw_key
from integrator_dagster.outcomes import NOTHING, Metadata, each_partner
from integrator_dagster.partitions import ONE_RUN, PARTNERS
from integrator_dagster.resources.integrator import Integrator
from integrator_dagster.work import Work

if TYPE_CHECKING:
    from integrator.steps.files import FilesReport
    from integrator.steps.runs import Progress

FILES = "files"
"""No platform, but beside them in the names of assets."""


def file_assets(work: Work) -> list[AssetsDefinition]:
    """One asset for each kind."""
    return [_raw(work, kind) for kind in KINDS]


def _raw(work: Work, kind: str) -> AssetsDefinition:
    key = raw_key(FILES, kind)

    @asset(
        key=key,
        group_name=GROUP,
        description=f"Dropped files with {PLURALS[kind]}: each content landed once, with a report beside the file; a broken "
        "file is reported and left until it changes.",
        kinds={"postgres", "file"},
        owners=["team:integrator"],
        tags={"step": GROUP, "platform": FILES},
        partitions_def=PARTNERS,
        backfill_policy=ONE_RUN,
        dagster_type=NOTHING,
    )
    def raw(context: AssetExecutionContext, integrator: Integrator) -> Iterator[Output[None]]:
        services = integrator.services

        def land(partner: str, use_case: str, progress: "Progress") -> Metadata:
            report = work.land_files(services, partner, kind)
            progress.rows = report.landed.accepted
            return _told(report)

        def has_files(partner: str, use_case: str) -> bool:
            try:
                return bool(work.dropped(services, partner, kind))
            except IntegratorError:
                return True  # landing meets it again, and there it is recorded as this partner's failure

        yield from each_partner(context, services, step="ingest", key=key, body=land, applies=has_files)

    return raw


def _told(report: "FilesReport") -> Metadata:
    lines = [
        "| file | status | accepted | unchanged | quarantined | reason |",
        "| --- | --- | ---: | ---: | ---: | --- |",
    ]
    for entry in report.entries:
        cells = (entry.path, entry.status, entry.accepted, entry.unchanged, entry.quarantined, entry.reason or "")
        lines.append(f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in cells)} |")
    return {
        "accepted": report.landed.accepted,
        "unchanged": report.landed.unchanged,
        "quarantined": report.landed.quarantined,
        "files": len(report.entries),
        "broken_files": sum(entry.status == "broken" for entry in report.entries),
        "reports": MetadataValue.md("\n".join(lines) if report.entries else "none"),
    }
