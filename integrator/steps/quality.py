"""All partners' records held against their suites: counted in PostgreSQL, judged by Great Expectations, kept and told.

A finding names expectations, counts, native ids and how to mend it; never another value of a record. An error leaves its
partner out of the steps after harmonize; a warning leaves nobody out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from integrator.steps.quality_measure import Seen, measure
from integrator.steps.quality_mend import mend
from integrator.steps.quality_suite import Expected, judge, suite
from integrator.steps.services import Services
from integrator.storage import frames, measures, quality_results
from integrator.storage.measures import Source
from integrator.storage.quality_results import Result

SHOWN_IDS = 20


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One partner's records of one kind against their suite."""

    partner: str
    kind: str
    results: tuple[Result, ...] = ()

    @property
    def breaches(self) -> tuple[Result, ...]:
        """What is not as expected."""
        return tuple(result for result in self.results if result.passed is False)

    @property
    def blocking(self) -> tuple[Result, ...]:
        """What leaves the partner out."""
        return tuple(result for result in self.breaches if result.severity == "error")


def check(services: Services, partners: Sequence[str], kind: str, run_id: str) -> list[Finding]:
    """Hold every partner's records of a kind against its suite and keep what was found; in the partners' order.

    `NotFound` when harmonize never ran.
    """
    now = services.clock()
    with services.database.batch() as connection:
        columns = list(frames.columns_of(connection, f"harmonized.{kind}"))
        expected = suite(kind, columns)
        seen = measure(connection, kind, columns, partners, now)
        scores = {source: {name: one.score for name, one in figures.items()} for source, figures in seen.items()}
        failed = judge(kind, expected, scores)
        results: dict[str, list[Result]] = {partner: [] for partner in partners}
        for source in sorted(seen):
            for one in expected:
                if one.name in seen[source]:
                    found = _result(connection, kind, source, one, seen[source][one.name], (source, one.name) in failed)
                    results[source[0]].append(found)
    for partner, found_of_it in results.items():
        with services.database.partner(partner) as connection:
            quality_results.store(connection, partner, run_id, found_of_it, now)
    return [Finding(partner=partner, kind=kind, results=tuple(results[partner])) for partner in partners]


def _result(
    connection: Connection, kind: str, source: Source, expected: Expected, seen: Seen, is_failed: bool
) -> Result:
    ids = seen.ids
    if is_failed and seen.condition is not None and seen.count:
        found = measures.fault_ids(connection, seen.relation, seen.condition, seen.id_column, source, SHOWN_IDS)
        ids = tuple(str(one) for one in found)
    return Result(
        kind=kind, platform=source[1], expectation=expected.name, dimension=expected.dimension,
        severity="error" if expected.blocks or (is_failed and seen.is_grave) else "warning",
        passed=None if seen.score is None else not is_failed,
        count=seen.count if is_failed else 0, ids=ids if is_failed else (), observed=seen.observed,
        mend=mend(kind, expected.name) if is_failed else None,
    )  # fmt: skip
