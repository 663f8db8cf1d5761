"""From a prediction to the document that is published, and what counts as a change. Pure functions.

Everything in a document follows from the prediction, the scoring's header and the version before it, so that it can
be made again, byte for byte, from the prediction log.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast, get_args

import msgspec

from integrator.contracts.insight import (
    Confidence,
    Explanation,
    Insight,
    ModelRef,
    Source,
    insight_id,
    rfc3339,
)
from models.base import Prediction

WITHDRAWN = {
    "event": "Withdrawn: the event is over, cancelled or no longer known.",
    "series": "Withdrawn: the series has no date left to forecast.",
    "product": "Withdrawn: the product is no longer sold.",
    "tier": "Withdrawn: the ticket tier is no longer sold.",
    "contact": "Withdrawn: the contact has converted, was lost, or may no longer be processed.",
}
_LABELS = get_args(Confidence.__annotations__["label"])


@dataclass(frozen=True, kw_only=True)
class Made:
    """Where a prediction comes from: the same for every document of one scoring."""

    partner: str
    use_case: str
    model_name: str
    model_version: str
    as_of: datetime
    at: datetime


def document(prediction: Prediction, made: Made, version: int) -> Insight:
    """The insight of a prediction, as its `version`."""
    if prediction.confidence_label not in _LABELS:
        raise ValueError(f"confidence label {prediction.confidence_label!r}; allowed: {_LABELS}")
    return Insight(
        id=insight_id(made.partner, made.use_case, prediction.subject),
        insight_version=version,
        status=prediction.status,
        partner=made.partner,
        use_case=cast(Any, made.use_case),
        subject=prediction.subject,
        value=prediction.value,
        unit=prediction.unit,
        interval=prediction.interval,
        confidence=Confidence(cast(Any, prediction.confidence_label), prediction.coverage, prediction.observations),
        explanation=Explanation(prediction.summary, prediction.baseline, list(prediction.contributions)),
        details=dict(prediction.details),
        rung=prediction.rung,
        model=ModelRef(made.model_name, made.model_version),
        source=Source([prediction.subject.platform], prediction.records, rfc3339(made.as_of)),
        generated_at=rfc3339(made.at),
    )


def withdrawn(last: Insight, made: Made) -> Insight:
    """The version that takes an insight back: same subject, unit, rung and model, no value; the summary says why."""
    return msgspec.structs.replace(
        last,
        insight_version=last.insight_version + 1,
        status="withdrawn",
        value=None,
        interval=None,
        explanation=Explanation(WITHDRAWN[last.subject.kind], None, []),
        details={},
        source=msgspec.structs.replace(last.source, as_of=rfc3339(made.as_of)),
        generated_at=rfc3339(made.at),
    )


def is_news(candidate: Insight, last: Insight) -> bool:
    """Whether `candidate` is a new version: value, interval, label, rung, model, status or explanation differ.

    Details count too: a series' forecast is its `horizon` there, and its headline value may stand still while the
    days behind it move. Coverage and counts of the confidence, the source and the time do not count: they move every
    night without anything being said differently.
    """
    return _statement(candidate) != _statement(last)


def _statement(insight: Insight) -> tuple[object, ...]:
    return (
        insight.status,
        insight.value,
        insight.unit,
        insight.interval,
        insight.confidence.label,
        insight.rung,
        insight.model,
        insight.explanation,
        insight.details,
    )
