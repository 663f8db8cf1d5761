"""What an insight and a readiness report say of the pooled rung, from the catalogue `models/pooling/messages/`."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from models.base import FeatureRow, Prediction
from models.messages import ENGLISH, catalogue, languages
from models.pooling.base import POOLED

LADDER = "ladder"
"""Key in a feature row for what was decided about its rung; kept with the row, so that it is said again when explained."""
NOT_BETTER = "not_better"


def remembered(row: FeatureRow, reason: str) -> FeatureRow:
    """The row with the reason why the pooled model does not serve it."""
    return {**row, LADDER: {POOLED: reason}}


def annotated(prediction: Prediction, row: Mapping[str, Any]) -> Prediction:
    """The rule's prediction, saying that the pooled model was tried and why the rule stays; others as they are."""
    reason = row.get(LADDER, {}).get(POOLED)
    if reason != NOT_BETTER or prediction.rung != "rule" or prediction.status == "withdrawn":
        return prediction
    sentence = say(f"insight.{reason}", str(row.get("language", ENGLISH)))
    details = {**prediction.details, LADDER: {POOLED: reason}}
    return replace(prediction, summary=prediction.summary + sentence, details=details)


def say(key: str, language: str = ENGLISH, **words: object) -> str:
    """A sentence of the pooling catalogue; in English where it has no file of that language."""
    spoken = language if language in languages("pooling") else ENGLISH
    return catalogue("pooling", spoken)(key, **words)
