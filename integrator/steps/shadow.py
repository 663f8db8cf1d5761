"""Shadow scoring: what the challenger would have said of the subjects just scored, kept apart and never published.

It comes after the champion's scoring is committed and takes nothing back: whatever a challenger does, the champion's
insights stand. How good both were is known when outcomes come; how far they agree is known at once.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from integrator.contracts.errors import IntegratorError
from integrator.contracts.insight import insight_id
from integrator.steps.inference import Results, outcomes, predict_timed, reasons
from integrator.steps.predictions import OUTCOME_OF_STATUS, encode
from integrator.steps.services import Services
from integrator.storage import inferences, logs
from integrator.storage import shadow as storage
from integrator.storage.inferences import Latency
from integrator.storage.scored import Scoring
from integrator.storage.shadow import ShadowScoring
from models.base import FeatureRow, Prediction
from models.shadow import agreement
from models.versions import registered_name

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ShadowReport:
    """What a challenger came to beside the champion; `reason` says why it, or rows of it, failed."""

    model_version: str
    by_outcome: Mapping[str, int] = field(default_factory=dict)
    agreement: Mapping[str, Any] = field(default_factory=dict)
    reason: str | None = None


def score_shadow(
    services: Services, scoring: Scoring, rows: Callable[[], Sequence[FeatureRow]], results: Results, decimals: int
) -> ShadowReport | None:
    """Score with the challenger what `scoring` scored with the champion; None when there is none, or nothing could be kept.

    `rows` makes the feature rows of a partner's own model, in the form they are stored in; `results` are what the champion
    made of its own. Never raises.
    """
    version = None
    try:
        version = services.tracking.challenger_version(scoring.use_case, scoring.partner)
        if version is None:
            return None
        return _scored(services, scoring, version, rows, results, decimals)
    except Exception as error:
        log.warning("the challenger of %s.%s failed: %s", scoring.use_case, scoring.partner, _told(error))
        return None if version is None else _failed(services, scoring, version, error)


def _scored(
    services: Services, scoring: Scoring, version: str, rows: Callable[[], Sequence[FeatureRow]], results: Results,
    decimals: int,
) -> ShadowReport:  # fmt: skip
    model = services.tracking.load(scoring.use_case, scoring.partner, version).model
    began = time.perf_counter()
    own = rows()
    prepared_ms = (time.perf_counter() - began) * 1000 / len(own) if own else 0.0
    found, latency = predict_timed(model, own, decimals, prepared_ms=prepared_ms)
    report = ShadowReport(
        model_version=version,
        by_outcome=outcomes(found),
        agreement=agreement(_by_subject(scoring, results), _by_subject(scoring, found)),
        reason="; ".join(f"{why} ({count})" for why, count in reasons(found).items()) or None,
    )
    _keep(services, scoring, report, latency, found)
    return report


def _failed(services: Services, scoring: Scoring, version: str, error: Exception) -> ShadowReport | None:
    """The challenger could not score at all: every subject is a failure of its own, and the reason is kept."""
    counts = {**dict.fromkeys(inferences.OUTCOMES, 0), "failure": scoring.row_count}
    report = ShadowReport(model_version=version, by_outcome=counts, reason=_told(error))
    try:
        _keep(services, scoring, report, None, ())
    except Exception as second:
        log.warning("that of %s.%s could not be kept: %s", scoring.use_case, scoring.partner, _told(second))
        return None
    return report


def _told(error: Exception) -> str:
    """Our own failures in their words; of others the type alone, for a message may repeat a value of a row."""
    name = type(error).__name__
    return f"{name}: {error}" if isinstance(error, IntegratorError) else name


def _keep(services: Services, scoring: Scoring, report: ShadowReport, latency: Latency | None, found: Results) -> None:
    partner, use_case, now = scoring.partner, scoring.use_case, services.clock()
    model = (registered_name(use_case, partner), report.model_version)
    entry = ShadowScoring(
        partner=partner, use_case=use_case, model_name=model[0], model_version=model[1],
        champion_name=scoring.model_name, champion_version=scoring.model_version, run_id=scoring.run_id, at=now,
        as_of=scoring.as_of, input_position=scoring.input_position, row_count=sum(report.by_outcome.values()),
        failure_count=report.by_outcome["failure"], reason=report.reason, agreement=report.agreement,
    )  # fmt: skip
    kept = (_row(scoring, result) for result in found if isinstance(result, Prediction))
    with services.database.partner(partner) as connection:
        storage.write(connection, entry, kept)
        storage.sweep(connection, partner, use_case, model, now - timedelta(days=services.settings.shadow_days))
        inferences.count(
            connection, partner, use_case, run_id=scoring.run_id, at=scoring.scored_at, model=model,
            outcomes=report.by_outcome, latency=latency, is_shadow=True,
        )  # fmt: skip
        if report.reason is not None:
            logs.event(
                connection, partner, "shadow.failed", now,
                {"use_case": use_case, "version": report.model_version, "run_id": scoring.run_id, "reason": report.reason},
            )  # fmt: skip


def _by_subject(scoring: Scoring, results: Results) -> dict[str, Prediction]:
    return {_identity(scoring, result): result for result in results if isinstance(result, Prediction)}


def _identity(scoring: Scoring, prediction: Prediction) -> str:
    return insight_id(scoring.partner, scoring.use_case, prediction.subject)


def _row(scoring: Scoring, prediction: Prediction) -> tuple[object, ...]:
    subject, interval = prediction.subject, prediction.interval
    return (
        _identity(scoring, prediction), subject.kind, subject.id, subject.platform,
        OUTCOME_OF_STATUS[prediction.status], prediction.rung, prediction.value,
        interval and interval.low, interval and interval.high, interval and interval.level, encode(prediction),
    )  # fmt: skip
