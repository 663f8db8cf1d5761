"""Scoring what a caller says just now, with what serves the partner: explained, logged, counted, never published.

A payload's personal fields are taken off before anything else is done with it. Everything up to 1,000 payloads goes
through the model at once; a bad one fails alone.
"""

import logging
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache, partial
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from integrator.contracts.errors import Conflict, Defect, IntegratorError, InvalidInput, NotFound
from integrator.contracts.insight import Subject
from integrator.steps.inference import outcomes, predict_timed, reasons
from integrator.steps.live_documents import SCORE_PREFIX, Circumstances, Standing, score_document
from integrator.steps.live_models import Held
from integrator.steps.live_payload import Payload, read_payload
from integrator.steps.predictions import OUTCOME_OF_STATUS, Failure, encode, restored, stored
from integrator.steps.score import rows_of
from integrator.steps.services import Services
from integrator.storage import frames, inferences, live_scores, logs
from integrator.storage.failures import place, said
from integrator.storage.live_scores import Ground, Scored
from models.base import Context, FeatureRow, Prediction

if TYPE_CHECKING:
    import polars as pl

log = logging.getLogger(__name__)
T = TypeVar("T")

RUN = "live"
"""What stands for the run in the counts of inferences."""
WITHDRAWN = "is withdrawn: it is over, cancelled, converted, or may no longer be processed"


@dataclass(frozen=True)
class Answer:
    """A document's bytes, and what it counts as: success, fallback or refusal."""

    document: bytes
    outcome: str


Outcome = Answer | IntegratorError


@dataclass(frozen=True)
class _Known:
    """What the database says of the subjects named, by id, and of persons who were erased."""

    grounds: Mapping[str, list[Ground]]
    erased: set[bytes]
    now: datetime
    frame: Callable[[], "pl.DataFrame"]
    """All of the partner's features: read when the first payload needs it, and once."""


@dataclass(frozen=True, kw_only=True)
class _Question:
    """A payload with its row, ready for the model."""

    payload: Payload
    row: FeatureRow
    ground: Ground | None
    as_of: datetime
    not_used: Mapping[str, str]


def score_now(services: Services, held: Held, items: Sequence[Any]) -> list[Outcome]:
    """For each item its document, or the error it is answered with; in order.

    `NotFound` for a subject that is not known, `InvalidInput` for what cannot be assumed, `Conflict` for an id that
    several platforms have, `Defect` where the model failed.
    """
    began = time.perf_counter()
    now = services.clock()
    read = [_tried(partial(read_payload, held, item)) for item in items]
    payloads = [one for one in read if isinstance(one, Payload)]
    with services.database.partner(held.serving.partner) as connection:
        known = _Known(
            _grounds(connection, held, payloads), _erased(connection, held, payloads), now, _frame(services, held)
        )
        asked = [_asked(services, held, one, known) for one in read]
        questions = [one for one in asked if isinstance(one, _Question)]
        prepared_ms = (time.perf_counter() - began) * 1000 / max(len(questions), 1)
        answers = iter(_answered(connection, held, questions, now, prepared_ms))
        return [next(answers) if isinstance(one, _Question) else one for one in asked]


def count_failures(services: Services, partner: str, use_case: str, count: int, error: Exception) -> None:
    """Count scores that were not made: nothing could be loaded, or all of them failed together.

    A database that is away counts nothing; that is logged, and the caller hears of `error`.
    """
    now = services.clock()
    try:
        with services.database.partner(partner) as connection:
            inferences.count(
                connection, partner, use_case, run_id=RUN, at=now, model=(f"{use_case}.{partner}", "?"),
                outcomes={"failure": count}, latency=None,
            )  # fmt: skip
            facts = {"use_case": use_case, "run_id": RUN, "reasons": {type(error).__name__: count}}
            logs.event(connection, partner, "inference.failed", now, facts)
    except (IntegratorError, SQLAlchemyError) as second:
        log.warning("%d failures of %s of %s could not be counted: %s", count, use_case, partner, said(second))


def _tried(make: Callable[[], T]) -> T | IntegratorError:
    """What is made of one payload, or its error: also where it holds a value that no rule has foreseen."""
    try:
        return make()
    except IntegratorError as error:
        return error
    except (ValueError, OverflowError) as error:  # the type alone: its words may repeat what was said
        log.warning("a payload could not be read: %s in %s", said(error), place(error))
        return InvalidInput(f"a value cannot be read: {type(error).__name__}; allowed: what the use case's fields hold")


def _asked(
    services: Services, held: Held, read: Payload | IntegratorError, known: _Known
) -> _Question | IntegratorError:  # fmt: skip
    if isinstance(read, IntegratorError):
        return read
    return _tried(partial(_question, services, held, read, known))


def _frame(services: Services, held: Held) -> Callable[[], "pl.DataFrame"]:
    relation = f"features.{held.spec.relation}"
    return cache(lambda: frames.read_features(services.database, relation, held.serving.partner))


def _grounds(connection: Connection, held: Held, payloads: Sequence[Payload]) -> Mapping[str, list[Ground]]:
    ids = sorted({one.subject_id for one in payloads if one.subject_id})
    found: dict[str, list[Ground]] = {}
    if ids:
        for ground in live_scores.ground(connection, held.serving.partner, held.serving.use_case, ids):
            found.setdefault(ground.subject_id, []).append(ground)
    return found


def _erased(connection: Connection, held: Held, payloads: Sequence[Payload]) -> set[bytes]:
    hashes = sorted({digest for one in payloads for digest in one.identity})
    return live_scores.are_erased(connection, held.serving.partner, hashes) if hashes else set()


def _question(services: Services, held: Held, payload: Payload, known: _Known) -> _Question:
    if known.erased & set(payload.identity):
        raise Conflict("the person was erased at its own request and is not scored")
    now = known.now
    ground = _chosen(payload, known.grounds.get(payload.subject_id or "", []))
    context = replace(held.context, as_of=now)
    if ground is None or ground.feature_row is None:
        row, as_of = _stranger(held, payload, ground, context), now
    else:
        as_of = ground.as_of or now
        row = {**(held.blank or {}), **restored(ground.feature_row), "language": context.language}
        if held.live.needs_frame(payload.facts):
            row = _reframed(services, held, payload, ground, replace(context, as_of=as_of), known.frame())
        row = held.live.laid_over(row, payload.facts, context)
    not_used = {**payload.personal, **held.live.unused(held.model, row, payload.facts)}
    return _Question(payload=payload, row=restored(stored(row)), ground=ground, as_of=as_of, not_used=not_used)


def _chosen(payload: Payload, found: Sequence[Ground]) -> Ground | None:
    """The one that is meant; `Conflict` where several could be, `NotFound` where it was taken back."""
    meant = [
        one for one in found
        if payload.platform in (None, one.platform) and payload.kind in (None, one.subject_kind)
    ]  # fmt: skip
    if len(meant) > 1:
        choices = ", ".join(sorted(f"{one.platform}/{one.subject_kind}" for one in meant))
        raise Conflict(f"{payload.subject_id!r} names several subjects; say platform and kind of one: {choices}")
    if meant and meant[0].status == "withdrawn":
        raise NotFound(f"{payload.subject_id!r} {WITHDRAWN}")
    return meant[0] if meant else None


def _stranger(held: Held, payload: Payload, ground: Ground | None, context: Context) -> FeatureRow:
    if held.blank is None:
        kinds = ", ".join(held.spec.subject_kinds)
        raise NotFound(
            f"there is no {kinds} {payload.subject_id!r} that was scored; known ones alone can be asked about"
        )
    kind = held.spec.subject_kinds[0]
    platform = payload.platform or (ground.platform if ground is not None else "direct")
    return held.live.laid_over(held.blank, payload.facts, context, Subject(kind, payload.subject_id or "", platform))  # type: ignore[arg-type]


def _reframed(
    services: Services, held: Held, payload: Payload, ground: Ground, context: Context, frame: "pl.DataFrame"
) -> FeatureRow:
    """The subject's row made anew from its whole frame, in which the facts hold."""
    subject = Subject(ground.subject_kind, ground.subject_id, ground.platform)  # type: ignore[arg-type]
    assumed = held.live.reframed(frame, subject, payload.facts, context)
    for row in rows_of(services, held.serving, assumed, context, {subject}):
        found = row.get("subject", {})
        if (found.get("kind"), found.get("id"), found.get("platform")) == (subject.kind, subject.id, subject.platform):
            return row
    raise NotFound(f"{subject.id!r} would be too far ahead to be forecast; what is assumed: {dict(payload.facts)}")


def _answered(
    connection: Connection, held: Held, questions: Sequence[_Question], now: datetime, prepared_ms: float
) -> list[Outcome]:
    model, serving = held.live.asking(held.model), held.serving
    rows = [one.row for one in questions]
    results, latency = predict_timed(model, rows, held.decimals, prepared_ms=prepared_ms)
    entries: list[Scored] = []
    answers: list[Outcome] = []
    for question, result in zip(questions, results, strict=True):
        if isinstance(result, Failure):
            answers.append(Defect(f"{serving.name} {serving.version} failed: {result.reason}"))
            continue
        entry = _entry(held, question, result, now)
        entries.append(entry)
        answers.append(Answer(entry.document.encode(), entry.outcome))
    live_scores.append(connection, serving.partner, serving.use_case, now, entries)
    inferences.count(
        connection, serving.partner, serving.use_case, run_id=RUN, at=now, model=(serving.name, serving.version),
        outcomes=outcomes(results), latency=latency,
    )  # fmt: skip
    why = reasons(results)
    if why:
        facts = {"use_case": serving.use_case, "run_id": RUN, "reasons": why}
        logs.event(connection, serving.partner, "inference.failed", now, facts)
    return answers


def _entry(held: Held, question: _Question, prediction: Prediction, now: datetime) -> Scored:
    serving, ground, subject = held.serving, question.ground, prediction.subject
    standing = None
    if ground is not None and ground.insight_id is not None:
        standing = Standing(ground.insight_id, ground.insight_version or 0, str(ground.status), ground.value, None)
    about = Circumstances(
        score_id=f"{SCORE_PREFIX}{secrets.token_hex(13)}", partner=serving.partner, use_case=serving.use_case,
        model_name=serving.name, model_version=serving.version, as_of=question.as_of, at=now,
        assumed=question.payload.facts, not_used=question.not_used, standing=standing,
    )  # fmt: skip
    is_named = bool(subject.id)
    return Scored(
        score_id=about.score_id, subject_kind=subject.kind if is_named else None,
        subject_id=subject.id if is_named else None, platform=subject.platform if is_named else None,
        outcome=OUTCOME_OF_STATUS[prediction.status], rung=prediction.rung, model_name=serving.name,
        model_version=serving.version, input_position=ground.input_position if ground is not None else 0,
        as_of=question.as_of, prediction=encode(prediction), feature_row=stored(question.row),
        document=score_document(prediction, about, held.decimals).decode(),
    )  # fmt: skip
