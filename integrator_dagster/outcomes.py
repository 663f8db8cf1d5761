"""Honest status per partner inside one run: who is left out, who succeeded, and what Dagster is told.

Dagster marks every partition of a run materialized when a step's output is yielded, and skips what comes after when
it is not. Neither is true when one partner of three failed, so a step yields its output for the order of things
alone and logs one materialization for each partner that succeeded. `ops.step_runs` is the truth behind it.
"""

import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from dagster import (
    AssetExecutionContext,
    AssetKey,
    AssetMaterialization,
    DagsterType,
    Failure,
    MetadataValue,
    Nothing,
    Output,
)
from dagster._core.definitions.source_asset import SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION

from integrator_dagster.partitions import known_partners, partners_of

if TYPE_CHECKING:
    from integrator.steps.runs import Progress
    from integrator.steps.services import Services

# The one mark by which Dagster 1.13 takes an output without a materialization of its own for it. It is Dagster's own
# and not public: tests/pipeline/test_one_partner_fails.py breaks first if a release gives it another meaning.
ORDER_ONLY: Mapping[str, Any] = {SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION: True}
VERDICT = "every_partner"
FIRST = "ingest"

Metadata = dict[str, Any]
NOTHING = cast(DagsterType, Nothing)
"""The type of a step that hands nothing to the next but its place in the order; Dagster's stubs take it for a class."""
Body = Callable[[str, str, "Progress"], Metadata]
"""Partner, use case ('' where the step knows none) and progress; its metadata goes on the partner's materialization."""
Applies = Callable[[str, str], bool]


def ordered() -> Output[None]:
    """The output that lets the next step start and materializes nothing."""
    return Output(None, metadata=dict(ORDER_ONLY))


def partners_in_run(context: AssetExecutionContext) -> list[str]:
    """The partners this run is about."""
    return partners_of(context.run.tags, known_partners(context.instance))


def each_partner(
    context: AssetExecutionContext,
    services: "Services",
    *,
    step: str,
    key: AssetKey,
    body: Body,
    use_cases: Sequence[str] = ("",),
    applies: Applies = lambda partner, use_case: True,
    quiet: bool = False,
) -> Iterator[Output[None]]:
    """Run `body` for each partner still in the run, record what became of it, materialize the partitions that succeeded.

    With several use cases a partition succeeds when all of them did. Where the step has nothing to do for a partner
    (`applies`), nothing is recorded and the partition stands, with zero rows; a `quiet` pass records failures alone,
    for it repeats what another pass counted. Raises only where no verdict follows in
    the same run: there, nobody else would tell.
    """
    from integrator.steps.runs import excluded, recorded
    from integrator.storage.failures import reason

    record = failures_recorded if quiet else recorded
    failed: dict[str, str] = {}
    # who is left out of a run is known when all of its connections were pulled, not half-way through them
    out = {case: {} if step == FIRST else excluded(services, context.run.run_id, case) for case in use_cases}
    for partner in partners_in_run(context):
        metadata: Metadata = {"rows": 0}
        reasons = []
        for use_case in use_cases:
            if partner in out[use_case]:
                reasons.append(out[use_case][partner])
                context.log.warning("%s is left out: %s", partner, out[use_case][partner])
            elif applies(partner, use_case):
                try:
                    with record(services, partner, step, context.run.run_id, use_case) as progress:
                        metadata.update(body(partner, use_case, progress))
                    metadata["rows"] += progress.rows
                except Exception as error:  # whatever one partner's data or a broken edit raises, the others go on
                    reasons.append(reason(error))
                    came_through = "".join(traceback.format_tb(error.__traceback__))
                    where = f"{step} {use_case}".rstrip()
                    context.log.error("%s failed in %s: %s\n%s", partner, where, reasons[-1], came_through)
        if reasons:
            failed[partner] = reasons[0]
        else:
            context.log_event(AssetMaterialization(key, partition=partner, metadata=metadata))
    if failed and not verdict_follows(context):
        raise failure(failed)
    yield ordered()


@contextmanager
def failures_recorded(
    services: "Services", partner: str, step: str, run_id: str, use_case: str = ""
) -> "Iterator[Progress]":
    """`recorded` for a pass whose success is counted elsewhere."""
    from integrator.steps.runs import Progress, recorded

    progress = Progress()
    try:
        yield progress
    except Exception:
        with recorded(services, partner, step, run_id, use_case):
            raise


def verdict_follows(context: AssetExecutionContext) -> bool:
    """Whether this run ends with the check that names the failed partners."""
    return any(node.name == VERDICT for node in context.job_def.nodes)


def failure(failed: Mapping[str, str]) -> Failure:
    """The error that makes a run red, naming the partners."""
    names = ", ".join(sorted(failed))
    return Failure(
        f"{len(failed)} of the partners failed: {names}",
        metadata={partner: MetadataValue.text(reason) for partner, reason in failed.items()},
        allow_retries=False,
    )
