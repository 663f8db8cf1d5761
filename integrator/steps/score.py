"""Scoring: features → feature rows → predictions, kept in `ops.scored` until they are published.

A challenger scores the same subjects after that, in the champion's shadow: see shadow.py.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl
from sqlalchemy import Connection

from integrator.contracts.errors import PermanentError
from integrator.contracts.insight import Subject
from integrator.steps.contexts import context_in
from integrator.steps.earlier import last_said
from integrator.steps.inference import Results, outcomes, predict_timed, reasons
from integrator.steps.predictions import decimals_of, encode, failed_insights, restored, stored
from integrator.steps.services import Services
from integrator.steps.serving import Serving, model_of, serving
from integrator.steps.shadow import ShadowReport, score_shadow
from integrator.storage import frames, inferences, live_scores, logs, scored
from integrator.storage.inferences import Latency
from models import registry
from models.base import Context, FeatureRow, FittedModel, Prediction
from models.pooling.base import POOLED
from models.pooling.words import remembered
from models.registry import use_case as code_of

if TYPE_CHECKING:  # which keeps what this makes
    from integrator.steps.stream_memory import Memory


@dataclass(frozen=True, kw_only=True)
class ScoreReport:
    """`rows` scored, failures included; `by_outcome` counts success, failure, fallback and refusal apart.

    `shadow` is what the challenger came to beside it, None where there is none.
    """

    rows: int
    by_outcome: dict[str, int] = field(default_factory=dict)
    model_name: str
    model_version: str
    input_position: int
    shadow: ShadowReport | None = None


def score(services: Services, partner: str, use_case: str, *, run_id: str) -> ScoreReport:
    """Score everything there is to score now, with what serves the partner: see serving.py.

    Replaces the partner's rows in `ops.scored` in one transaction. `PermanentError` when every row failed: the last
    scoring, and with it the last insights, stay.
    """
    code = code_of(use_case)
    relation = f"features.{code.spec.relation}"
    frame = frames.read_features(services.database, relation, partner)
    position = frames.input_position(services.database, relation, frame)
    with services.database.partner(partner) as connection:
        context = context_in(connection, partner, frame, services.clock())
        context = replace(context, earlier=last_said(connection, code.spec, partner, frame, context.as_of))
    now = serving(services, partner, use_case)
    decimals = decimals_of(code.spec, context.currency)

    started = time.perf_counter()
    rows = [restored(stored(row)) for row in rows_of(services, now, frame, context)]
    prepared_ms = (time.perf_counter() - started) * 1000 / max(len(rows), 1)
    scoring = scored.Scoring(
        partner=partner, use_case=use_case, run_id=run_id, scored_at=services.clock(), input_position=position,
        as_of=context.as_of, model_name=now.name, model_version=now.version, row_count=len(rows), failure_count=0,
    )  # fmt: skip
    results, latency = predict_timed(_model(services, now, scoring), rows, decimals, prepared_ms=prepared_ms)
    counts = outcomes(results)
    failed = failed_insights(code, partner, rows, results)
    scoring = replace(scoring, failure_count=counts["failure"], failed_insights=failed)
    _keep(services, scoring, rows, results, latency)

    def own_rows() -> list[FeatureRow]:
        return rows if now.rung == "partner" else [restored(stored(row)) for row in code.rows(frame, context, None)]

    return ScoreReport(
        rows=len(rows), by_outcome=counts, model_name=now.name, model_version=now.version, input_position=position,
        shadow=score_shadow(services, scoring, own_rows, results, decimals),
    )  # fmt: skip


def _model(services: Services, now: Serving, scoring: scored.Scoring) -> FittedModel:
    """What serves, loaded; where it cannot be, every subject is a failure of that version, and the error goes on."""
    try:
        return model_of(services, now.use_case, now.name, now.version, now.partner)
    except Exception as error:
        with services.database.partner(now.partner) as connection:
            _count(connection, scoring, {"failure": scoring.row_count}, None, {type(error).__name__: scoring.row_count})
        raise


def _keep(
    services: Services, scoring: scored.Scoring, rows: Sequence[FeatureRow], results: Results, latency: Latency | None
) -> None:
    """Put the scoring in the place of the last one and count it; `PermanentError`, and no change, when every row failed."""
    failed_whole = 0 < scoring.row_count == scoring.failure_count
    why = reasons(results)
    with services.database.partner(scoring.partner) as connection:
        if not failed_whole:
            kept = (
                (ordinal, encode(result), stored(row))
                for ordinal, (row, result) in enumerate(zip(rows, results, strict=True))
                if isinstance(result, Prediction)
            )
            scored.replace(connection, scoring, kept)
        live_scores.sweep(
            connection, scoring.partner, scoring.scored_at - timedelta(days=services.settings.live_score_days)
        )
        _count(connection, scoring, outcomes(results), latency, why)
    if failed_whole:
        raise PermanentError(
            f"{scoring.use_case} of {scoring.partner}: all {scoring.row_count} rows failed with "
            f"{scoring.model_name} {scoring.model_version}: {why}"
        )


def _count(
    connection: Connection, scoring: scored.Scoring, counts: Mapping[str, int], latency: Latency | None,
    why: Mapping[str, int],
) -> None:  # fmt: skip
    inferences.count(
        connection, scoring.partner, scoring.use_case, run_id=scoring.run_id, at=scoring.scored_at,
        model=(scoring.model_name, scoring.model_version), outcomes=counts, latency=latency,
    )  # fmt: skip
    if why:
        logs.event(
            connection, scoring.partner, "inference.failed", scoring.scored_at,
            {"use_case": scoring.use_case, "run_id": scoring.run_id, "reasons": dict(why)},
        )  # fmt: skip


def rows_of(
    services: Services, now: Serving, frame: pl.DataFrame, context: Context,
    subjects: Collection[Subject] | None = None, memory: "Memory | None" = None,
) -> list[FeatureRow]:  # fmt: skip
    """The feature rows of what serves, with `subjects` of these alone: below a model of one's own they may need history.

    `memory` has the model and the history where they are kept.
    """
    code = code_of(now.use_case)
    training = f"features.{code.spec.training_relation}"

    def history() -> pl.DataFrame:
        return (
            memory.history(now.partner, training)
            if memory
            else frames.read_features(services.database, training, now.partner)
        )

    if now.rung == POOLED and (pooled := registry.pooled(now.use_case)) is not None:
        model = (
            memory.champions.get(now.partner, now.use_case).model
            if memory
            else model_of(services, now.use_case, now.name, now.version, now.partner)
        )
        return pooled.rows(model, frame, context, history(), subjects)
    known = history() if now.rung == "rule" and code.spec.rule_reads_history else None
    rows = code.rows(frame, context, known, subjects)
    return rows if now.kept_from_pooled is None else [remembered(row, now.kept_from_pooled) for row in rows]
