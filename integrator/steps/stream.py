"""Streaming: the few subjects that a record touches are harmonized, featurized, scored and published, now.

The same views, models, rows and publishing as the night's, asked for these subjects alone. What a record cannot tell of
one subject by itself (training, drift, quality, the tables beside the views) waits for the night: see decision 0024.
"""

import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from integrator.contracts.errors import invalid
from integrator.contracts.insight import Subject, insight_id
from integrator.contracts.records import KINDS
from integrator.delivery.base import Publication
from integrator.steps.contexts import context_in
from integrator.steps.earlier import last_said
from integrator.steps.inference import outcomes, predict_timed, reasons
from integrator.steps.live_models import Held
from integrator.steps.predictions import encode, failed_insights, restored, stored
from integrator.steps.publish import PublishReport, publish_some, tell
from integrator.steps.score import rows_of
from integrator.steps.services import Services
from integrator.steps.stream_memory import Memory, live_rows
from integrator.storage import inferences, insights, logs, scored
from integrator.storage import touched as storage
from integrator.storage.touched import Hit, Touched
from models import registry
from models.base import Prediction, UseCaseSpec

__all__ = ["Reacted", "Touched", "react"]


@dataclass(frozen=True, kw_only=True)
class Reacted:
    """What some records came to: subjects scored, new versions (`withdrawn` ones among them), subjects unchanged.

    `waits_for_night`: nothing was done, for no night has built the views yet; the first one takes everything.
    """

    partner: str
    records: int
    scored: int = 0
    changed: int = 0
    withdrawn: int = 0
    unchanged: int = 0
    failed: int = 0
    waits_for_night: bool = False


def react(
    services: Services, partner: str, touched: Iterable[Touched], *, run_id: str, memory: Memory | None = None
) -> Reacted:
    """Bring up to date whatever these records touch: landed, changed, deleted or erased, and committed before the call.

    Done again it changes nothing. A use case that fails does not stop the others; its error is raised after them.
    `memory` keeps models and frames between reactions; without it they are read for this one.
    """
    memory = memory or Memory(services)
    records = _records(touched)
    done = Reacted(partner=partner, records=len(records))
    with services.database.partner(partner) as connection:
        if not storage.is_built(connection):
            return replace(done, waits_for_night=True)
        contacts = [record for record in records if record.kind == "contact"]
        related = set(storage.renew_identities(connection, partner, contacts)) - records
        # With the crosswalk renewed nothing else would tell, after a crash, who belonged together before.
        kept = storage.keep(connection, partner, related, services.clock()) if related else None
        records |= related
    errors: list[Exception] = []
    for spec in registry.USE_CASES:
        try:
            reaction = _use_case(services, partner, spec, records, run_id, memory)
        except Exception as error:
            errors.append(error)
            continue
        if reaction is not None:
            tell(services, reaction.publication)
            done = _with(done, reaction)
    if errors:
        raise errors[0]
    if kept is not None:
        with services.database.partner(partner) as connection:
            storage.release(connection, partner, kept)
    return done


@dataclass(frozen=True)
class _Reaction:
    """One use case's part."""

    report: PublishReport
    publication: Publication
    scored: int
    failed: int


def _with(done: Reacted, more: _Reaction) -> Reacted:
    return replace(
        done, scored=done.scored + more.scored, failed=done.failed + more.failed,
        changed=done.changed + more.report.changed, withdrawn=done.withdrawn + more.report.withdrawn,
        unchanged=done.unchanged + more.report.unchanged,
    )  # fmt: skip


def _records(touched: Iterable[Touched]) -> set[Touched]:
    records = set(touched)
    for record in records:
        if record.kind not in KINDS:
            raise invalid("kind", record.kind, KINDS)
    return records


def _use_case(
    services: Services, partner: str, spec: UseCaseSpec, records: Collection[Touched], run_id: str,
    memory: Memory,
) -> _Reaction | None:  # fmt: skip
    """None where the records touch nothing of this use case."""
    with services.database.partner(partner) as connection:
        hits = storage.hits(connection, partner, spec.relation, records)
        subjects = _subjects(spec, records, hits)
        if not subjects:
            return None
        held = memory.champions.get(partner, spec.name)
        # Before anything is read: so that what stands was made of no newer input, whoever published it.
        insights.lock(connection, partner)
        storage.read_as_of(connection, services.clock())
        return _rescored(services, connection, held, memory, records, hits, subjects, run_id)


def _subjects(spec: UseCaseSpec, records: Collection[Touched], hits: Collection[Hit]) -> frozenset[Subject]:
    """What the records touch, and themselves where insights are about such a thing: what is gone is withdrawn by that."""
    found = {Subject(hit.subject_kind, hit.subject_id, hit.subject_platform) for hit in hits}  # type: ignore[arg-type]
    found |= {
        Subject(record.kind, record.native_id, record.platform)  # type: ignore[arg-type]
        for record in records
        if record.kind in spec.subject_kinds
    }
    return frozenset(found)


def _rescored(
    services: Services, connection: Connection, held: Held, memory: Memory, records: Collection[Touched],
    hits: Collection[Hit], subjects: frozenset[Subject], run_id: str,
) -> _Reaction:  # fmt: skip
    now, spec, at = held.serving, held.spec, services.clock()
    partner, decimals = now.partner, held.decimals
    position = storage.newest(connection, partner, records)
    read = memory.frame if spec.rows_need_all else live_rows
    frame = read(connection, partner, spec, hits)
    earlier = last_said(connection, spec, partner, frame, at, {subject.id for subject in subjects})
    context = replace(context_in(connection, partner, frame, at), as_of=at, earlier=earlier)
    started = time.perf_counter()
    rows = [restored(stored(row)) for row in rows_of(services, now, frame, context, subjects, memory)]
    prepared_ms = (time.perf_counter() - started) * 1000 / max(len(rows), 1)
    results, latency = predict_timed(held.model, rows, decimals, prepared_ms=prepared_ms)
    counts, why = outcomes(results), reasons(results)
    scoring = scored.Scoring(
        partner=partner, use_case=spec.name, run_id=run_id, scored_at=at, input_position=position, as_of=context.as_of,
        model_name=now.name, model_version=now.version, row_count=len(rows), failure_count=counts["failure"],
        failed_insights=failed_insights(registry.use_case(spec.name), partner, rows, results),
    )  # fmt: skip
    kept = [
        (ordinal, encode(result), stored(row))
        for ordinal, (row, result) in enumerate(zip(rows, results, strict=True))
        if isinstance(result, Prediction)
    ]
    asked = frozenset(insight_id(partner, spec.name, subject) for subject in subjects)
    published = publish_some(services, connection, scoring, kept, asked)
    inferences.count(
        connection, partner, spec.name, run_id=run_id, at=at, model=(now.name, now.version), outcomes=counts,
        latency=latency,
    )  # fmt: skip
    if why:
        facts = {"use_case": spec.name, "run_id": run_id, "reasons": dict(why)}
        logs.event(connection, partner, "inference.failed", at, facts)
    return _Reaction(published.report, published.publication, len(rows), counts["failure"])
