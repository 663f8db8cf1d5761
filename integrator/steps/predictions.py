"""Predicting in a way that can be repeated: what score, explain and (later) live scoring share.

A feature row is brought into the form it is stored in *before* the model sees it, so that the stored row gives the
same prediction again; a prediction that breaks a promise of the insight is a failure and never a low value.
"""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from integrator.contracts.currencies import digits
from integrator.contracts.errors import Defect
from integrator.contracts.insight import Interval, insight_id
from models.base import FeatureRow, FittedModel, Prediction, UseCase, UseCaseSpec
from models.pooling.words import annotated
from models.rounding import additive, rounded, sums

OUTCOME_OF_STATUS = {"ready": "success", "fallback": "fallback", "refused": "refusal", "withdrawn": "success"}
RULE_VERSION = "1"


@dataclass(frozen=True)
class Failure:
    """Why one row gave no prediction; the text holds no value of the row."""

    reason: str


def rule_name(use_case: str) -> str:
    """What stands in `model.name` when the naive rule made the insight."""
    return f"{use_case}.rule"


def decimals_of(spec: UseCaseSpec, currency: str) -> int:
    """Digits a value is published with: the use case's, or the currency's for money."""
    return digits(currency) if spec.decimals is None else spec.decimals


def stored(row: Mapping[str, Any]) -> str:
    """A feature row as JSON with its keys sorted; what is not finite becomes null."""
    return msgspec.json.encode(row, order="sorted").decode()


def restored(row: str | Mapping[str, Any]) -> FeatureRow:
    """The feature row a model is given: the stored form, keys sorted, whatever order the database gave them."""
    data = row.encode() if isinstance(row, str) else msgspec.json.encode(row, order="sorted")
    found: FeatureRow = msgspec.json.decode(msgspec.json.encode(msgspec.json.decode(data), order="sorted"))
    return found


def encode(prediction: Prediction) -> str:
    """A prediction as JSON text, for `ops.scored` and `ops.prediction_log`."""
    return msgspec.json.encode(prediction).decode()


def decode(data: str | Mapping[str, Any]) -> Prediction:
    """What `encode` was given."""
    if isinstance(data, str):
        return msgspec.json.decode(data, type=Prediction)
    return msgspec.convert(data, Prediction)


def failed_insights(
    code: UseCase, partner: str, rows: Sequence[FeatureRow], results: Sequence[Prediction | Failure]
) -> tuple[str, ...]:
    """The insights of the rows that failed, as far as a row says whom it is about: fewer than failed, if one does not."""
    found = []
    for row, result in zip(rows, results, strict=True):
        if isinstance(result, Failure):
            with suppress(KeyError, TypeError):
                found.append(insight_id(partner, code.spec.name, code.subject_of(row)))
    return tuple(found)


def predict_all(model: FittedModel, rows: Sequence[FeatureRow], decimals: int) -> list[Prediction | Failure]:
    """One prediction or failure for each row, in order.

    The rows are given to the model at once; when that fails, one by one, so that a bad row fails alone.
    """
    if not rows:
        return []
    try:
        found = model.predict(rows)
    except Exception:
        return [_predict_one(model, row, decimals) for row in rows]
    if len(found) != len(rows):
        raise Defect(f"the model gave {len(found)} predictions for {len(rows)} rows")
    return [finished(annotated(entry, row), decimals) for entry, row in zip(found, rows, strict=True)]


def _predict_one(model: FittedModel, row: FeatureRow, decimals: int) -> Prediction | Failure:
    try:
        (prediction,) = model.predict([row])
    except Exception as error:
        # The type alone: a message may repeat a value of the row.
        return Failure(type(error).__name__)
    return finished(annotated(prediction, row), decimals)


def finished(prediction: Prediction, decimals: int) -> Prediction | Failure:
    """Rounded to `decimals` with contributions that still sum exactly, or the promise it breaks."""
    broken = _broken(prediction)
    if broken:
        return Failure(broken)
    if prediction.value is None:
        return _json_ready(replace(prediction, interval=None, contributions=()))
    value = rounded(prediction.value, decimals)
    interval = prediction.interval
    if interval is not None:
        interval = Interval(interval.level, rounded(interval.low, decimals), rounded(interval.high, decimals))
    baseline, contributions = prediction.baseline, prediction.contributions
    if baseline is not None:
        baseline = rounded(baseline, decimals)
        exact = all(part.effect == rounded(part.effect, decimals) for part in contributions)
        if not exact or not sums(value, baseline, contributions, decimals=decimals):
            contributions = additive(value, baseline, contributions, decimals=decimals)
    return _json_ready(
        replace(prediction, value=value, interval=interval, baseline=baseline, contributions=contributions)
    )


def _json_ready(prediction: Prediction) -> Prediction:
    """As it comes back from storage, so that a comparison with a stored one is exact."""
    return decode(encode(prediction))


def _broken(prediction: Prediction) -> str | None:
    value, interval = prediction.value, prediction.interval
    if prediction.status in ("ready", "fallback"):
        if value is None:
            return f"status {prediction.status} without a value"
    elif value is not None:
        return f"status {prediction.status} with a value"
    numbers = [value, prediction.baseline, *(part.effect for part in prediction.contributions)]
    if interval is not None:
        numbers += [interval.low, interval.high, interval.level]
    if any(number is not None and not math.isfinite(number) for number in numbers):
        return "a number that is not finite"
    # The value may lie outside: a price is bounded after its optimum was estimated.
    if interval is not None and interval.low > interval.high:
        return "an interval whose low is above its high"
    return None
