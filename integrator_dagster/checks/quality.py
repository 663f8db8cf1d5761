"""Data quality as checks: one per kind of record and dimension, over all partners; an error leaves its partner out."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from dagster import AssetCheckResult, AssetCheckSeverity, AssetCheckSpec, AssetKey, MetadataValue

from integrator.contracts.records import KINDS
from integrator_dagster.dbt.manifest import Manifest
from integrator_dagster.dbt.specs import asset_key, models

if TYPE_CHECKING:
    from integrator.steps.quality import Finding
    from integrator.steps.services import Services
    from integrator.storage.quality_results import Result
    from integrator_dagster.work import Work

# As in integrator.steps.quality_suite, whose import would bring what a load must not wait for.
DIMENSIONS = {
    "contract": "keep the contract",
    "plausibility": "are plausible",
    "completeness": "are as complete as usual",
    "freshness": "are as fresh as usual",
    "volume": "are as many as usual",
    "references": "name events and contacts that are there",
    "quarantine": "do not wait in quarantine",
}
HEAD = (
    "| partner | platform | expectation | severity | failing | ids | seen | how to mend it |",
    "| --- | --- | --- | --- | ---: | --- | --- | --- |",
)


def keys(manifest: Manifest) -> dict[str, AssetKey]:
    """The harmonized asset of each kind of record that the project has."""
    return {
        node["name"]: asset_key(node)
        for node in models(manifest)
        if node["schema"] == "harmonized" and node["name"] in KINDS
    }


def specs(manifest: Manifest) -> list[AssetCheckSpec]:
    """One check per kind and dimension."""
    return [
        AssetCheckSpec(dimension, asset=key, description=f"Great Expectations: every partner's {kind} records {words}.")
        for kind, key in keys(manifest).items()
        for dimension, words in DIMENSIONS.items()
    ]


def results(
    work: "Work", services: "Services", manifest: Manifest, partners: list[str], run_id: str,
    reasons: "dict[str, list[str]]",
) -> Iterator[AssetCheckResult]:  # fmt: skip
    """Judge kind by kind, all partners at once; `reasons` gains those whose records would mislead a model."""
    for kind, key in keys(manifest).items():
        findings = work.quality(services, partners, kind, run_id)
        for finding in findings:
            reasons_of = [f"{kind}: {_reason(result)}" for result in finding.blocking]
            if reasons_of:
                reasons[finding.partner].extend(reasons_of)
        for dimension in DIMENSIONS:
            yield _check(key, dimension, findings)


def _reason(result: "Result") -> str:
    return f"{result.expectation} on {result.platform}: {result.observed}"


def _check(key: AssetKey, dimension: str, findings: "Sequence[Finding]") -> AssetCheckResult:
    judged = [result for finding in findings for result in finding.results if result.dimension == dimension]
    breaches = [
        (finding.partner, result)
        for finding in findings for result in finding.breaches if result.dimension == dimension
    ]  # fmt: skip
    left_out = sorted({partner for partner, result in breaches if result.severity == "error"})
    lines = [*HEAD, *(_line(partner, result) for partner, result in breaches)]
    return AssetCheckResult(
        asset_key=key,
        check_name=dimension,
        passed=not breaches,
        severity=AssetCheckSeverity.ERROR if left_out or not breaches else AssetCheckSeverity.WARN,
        description=_described(left_out, sorted({partner for partner, _ in breaches})),
        metadata={
            "expectations": len(judged),
            "not_judged_yet": sum(result.passed is None for result in judged),
            "failing_records": sum(result.count for _, result in breaches),
            "failing_ids": MetadataValue.json(
                {f"{partner}/{result.platform}/{result.expectation}": list(result.ids) for partner, result in breaches}
            ),
            "breaches": MetadataValue.md("\n".join(lines) if breaches else "none"),
        },
    )


def _described(left_out: list[str], concerned: list[str]) -> str | None:
    if left_out:
        return f"left out: {', '.join(left_out)}"
    return f"worth a look: {', '.join(concerned)}" if concerned else None


def _line(partner: str, result: "Result") -> str:
    cells = (
        partner, result.platform, result.expectation, result.severity, str(result.count), ", ".join(result.ids),
        result.observed, result.mend or "",
    )  # fmt: skip
    # An id or a platform may hold what a Markdown table takes for its own.
    return f"| {' | '.join(cell.replace('|', chr(92) + '|').replace(chr(10), ' ') for cell in cells)} |"
