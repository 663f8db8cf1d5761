"""Scoring: features → feature rows → predictions, kept in `ops.scored` until they are published."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import polars as pl

from integrator.contracts.errors import PermanentError
from integrator.settings import Clock
from integrator.steps.predictions import (
    OUTCOME_OF_STATUS,
    Failure,
    decimals_of,
    encode,
    predict_all,
    restored,
    stored,
)
from integrator.steps.services import Services
from integrator.steps.serving import Serving, model_of, serving
from integrator.storage import frames, logs, partners, scored
from models import registry
from models.base import Context, FeatureRow, Prediction
from models.pooling.base import POOLED
from models.pooling.words import remembered
from models.registry import use_case as code_of


@dataclass(frozen=True, kw_only=True)
class ScoreReport:
    """`rows` scored, failures included; `by_outcome` counts success, failure, fallback and refusal apart."""

    rows: int
    by_outcome: dict[str, int] = field(default_factory=dict)
    model_name: str
    model_version: str
    input_position: int


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
        entry = partners.get(connection, partner)
    context = Context(
        partner=partner, timezone=entry.timezone, currency=entry.currency, region=entry.region,
        as_of=_as_of(frame, services.clock),
    )  # fmt: skip
    now = serving(services, partner, use_case)
    name, version = now.name, now.version
    model = model_of(services, use_case, name, version, partner)

    started = time.perf_counter()
    rows = [restored(stored(row)) for row in _rows(services, now, frame, context)]
    results = predict_all(model, rows, decimals_of(code.spec, entry.currency))
    latency_ms = (time.perf_counter() - started) * 1000 / len(rows) if rows else None

    outcomes = _outcomes(results)
    scoring = scored.Scoring(
        partner=partner, use_case=use_case, run_id=run_id, scored_at=services.clock(), input_position=position,
        as_of=context.as_of, model_name=name, model_version=version,
        row_count=len(rows), failure_count=outcomes["failure"],
    )  # fmt: skip
    failed_whole = bool(rows) and outcomes["failure"] == len(rows)
    with services.database.partner(partner) as connection:
        if not failed_whole:
            kept = (
                (ordinal, encode(result), stored(row))
                for ordinal, (row, result) in enumerate(zip(rows, results, strict=True))
                if isinstance(result, Prediction)
            )
            scored.replace(connection, scoring, kept)
        scored.count_inferences(connection, scoring, outcomes, latency_ms)
        reasons = dict(Counter(result.reason for result in results if isinstance(result, Failure)))
        if reasons:
            logs.event(
                connection, partner, "inference.failed", scoring.scored_at,
                {"use_case": use_case, "run_id": run_id, "reasons": reasons},
            )  # fmt: skip
    if failed_whole:
        raise PermanentError(f"{use_case} of {partner}: all {len(rows)} rows failed with {name} {version}: {reasons}")
    return ScoreReport(
        rows=len(rows), by_outcome=outcomes, model_name=name, model_version=version, input_position=position
    )


def _rows(services: Services, now: Serving, frame: pl.DataFrame, context: Context) -> list[FeatureRow]:
    """The feature rows of what serves: below a model of one's own they may need the partner's history."""
    code, pooled = code_of(now.use_case), registry.pooled(now.use_case)
    training = f"features.{code.spec.training_relation}"
    if now.rung == POOLED and pooled is not None:
        return pooled.rows(frame, context, frames.read_features(services.database, training, now.partner))
    history = None
    if now.rung == "rule" and code.spec.rule_reads_history:
        history = frames.read_features(services.database, training, now.partner)
    rows = code.rows(frame, context, history)
    return rows if now.kept_from_pooled is None else [remembered(row, now.kept_from_pooled) for row in rows]


def _as_of(frame: pl.DataFrame, clock: Clock) -> datetime:
    newest = frame["as_of"].max() if frame.height else None
    return newest if isinstance(newest, datetime) else clock()


def _outcomes(results: Sequence[Prediction | Failure]) -> dict[str, int]:
    counts = dict.fromkeys(scored.OUTCOMES, 0)
    for result in results:
        counts["failure" if isinstance(result, Failure) else OUTCOME_OF_STATUS[result.status]] += 1
    return counts
