"""The contracts as checks: Great Expectations suites over each partner's harmonized records. A partner that fails is left out."""

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING

from dagster import AssetCheckResult, AssetCheckSeverity, AssetCheckSpec, AssetKey, MetadataValue

from integrator.contracts.records import KINDS
from integrator_dagster.dbt.manifest import Manifest
from integrator_dagster.dbt.specs import asset_key, models

if TYPE_CHECKING:
    from integrator.steps.services import Services
    from integrator_dagster.work import Work

NAME = "contract"


def keys(manifest: Manifest) -> dict[str, AssetKey]:
    """The harmonized asset of each kind of record that the project has."""
    return {
        node["name"]: asset_key(node)
        for node in models(manifest)
        if node["schema"] == "harmonized" and node["name"] in KINDS
    }


def specs(manifest: Manifest) -> list[AssetCheckSpec]:
    """One check per kind."""
    return [
        AssetCheckSpec(
            NAME, asset=key, description=f"Great Expectations: every partner's {kind} records keep the contract."
        )
        for kind, key in keys(manifest).items()
    ]


def results(
    work: "Work", services: "Services", manifest: Manifest, partners: list[str], reasons: "dict[str, list[str]]"
) -> Iterator[AssetCheckResult]:
    """Validate partner by partner; `reasons` gains those that failed."""
    for kind, key in keys(manifest).items():
        lines, failed = (
            ["| partner | rows | expectation | failing rows | ids |", "| --- | ---: | --- | ---: | --- |"],
            [],
        )
        found: dict[str, int] = defaultdict(int)
        for partner in partners:
            finding = work.quality(services, partner, kind)
            found["rows"] += finding.rows
            found["expectations"] = max(found["expectations"], finding.expectations)
            for breach in finding.breaches:
                lines.append(
                    f"| {partner} | {finding.rows} | {breach.expectation} | {breach.count} | {', '.join(breach.ids)} |"
                )
            if finding.breaches:
                failed.append(partner)
                first = finding.breaches[0]
                reasons[partner].append(f"contract of {kind}: {first.expectation}, {first.count} rows")
        yield AssetCheckResult(
            asset_key=key,
            check_name=NAME,
            passed=not failed,
            severity=AssetCheckSeverity.ERROR,
            description=f"left out: {', '.join(failed)}" if failed else None,
            metadata={
                "rows": found["rows"],
                "expectations": found["expectations"],
                "breaches": MetadataValue.md("\n".join(lines) if failed else "none"),
            },
        )
