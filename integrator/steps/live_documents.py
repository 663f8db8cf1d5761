"""The answer to a live score: the insight's own shape, what was assumed, and how it differs from what is published.

It is no version of an insight and no channel carries it. Everything in it follows from what is kept, so that
`integrator explain` can make it again, byte for byte.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import rfc8785

from integrator.contracts.insight import (
    Confidence,
    Explanation,
    Interval,
    ModelRef,
    Source,
    Subject,
    rfc3339,
)
from models.base import Prediction
from models.rounding import rounded

SCHEMA = "score/v1"
SCORE_PREFIX = "scr_"


class Standing(msgspec.Struct, frozen=True):
    """The published insight of the subject, and the score less its value, null where one of them has none."""

    insight_id: str
    insight_version: int
    status: str
    value: float | None
    difference: float | None


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """The document. `subject` is null where nobody was named; `not_used` says why a field made no difference."""

    id: str
    status: str
    partner: str
    use_case: str
    subject: Subject | None
    value: float | None
    unit: str
    interval: Interval | None
    confidence: Confidence
    explanation: Explanation
    details: dict[str, Any]
    rung: str
    model: ModelRef
    source: Source
    assumed: dict[str, Any]
    not_used: dict[str, str]
    standing: Standing | None
    scored_at: str
    schema: str = SCHEMA


@dataclass(frozen=True, kw_only=True)
class Circumstances:
    """What stands in the document beside the prediction."""

    score_id: str
    partner: str
    use_case: str
    model_name: str
    model_version: str
    as_of: datetime
    at: datetime
    assumed: Mapping[str, Any]
    not_used: Mapping[str, str]
    standing: Standing | None


def score_document(prediction: Prediction, about: Circumstances, decimals: int) -> bytes:
    """The bytes that are answered and kept: canonical JSON (RFC 8785)."""
    subject, standing = prediction.subject, about.standing
    if standing is not None:
        known = prediction.value is not None and standing.value is not None
        difference = rounded(prediction.value - standing.value, decimals) if known else None  # type: ignore[operator]
        standing = msgspec.structs.replace(standing, difference=difference)
    score = Score(
        id=about.score_id, status=prediction.status, partner=about.partner, use_case=about.use_case,
        subject=subject if subject.id else None, value=prediction.value, unit=prediction.unit,
        interval=prediction.interval,
        confidence=Confidence(prediction.confidence_label, prediction.coverage, prediction.observations),  # type: ignore[arg-type]
        explanation=Explanation(prediction.summary, prediction.baseline, list(prediction.contributions)),
        details=dict(prediction.details), rung=prediction.rung,
        model=ModelRef(about.model_name, about.model_version),
        source=Source([subject.platform] if subject.id else [], prediction.records, rfc3339(about.as_of)),
        assumed=dict(about.assumed), not_used=dict(about.not_used), standing=standing, scored_at=rfc3339(about.at),
    )  # fmt: skip
    return rfc8785.dumps(msgspec.to_builtins(score))


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of the document."""
    return msgspec.json.schema(Score)


def circumstances_of(document: str) -> Circumstances:
    """What `score_document` was given beside the prediction, out of the document itself."""
    score = msgspec.json.decode(document, type=Score)
    return Circumstances(
        score_id=score.id, partner=score.partner, use_case=score.use_case, model_name=score.model.name,
        model_version=score.model.version, as_of=datetime.fromisoformat(score.source.as_of),
        at=datetime.fromisoformat(score.scored_at), assumed=score.assumed, not_used=score.not_used,
        standing=score.standing,
    )  # fmt: skip
