"""Predicting many rows: batches change no prediction, outcomes are counted, and a time is a time of one inference."""

import time
from collections.abc import Sequence
from typing import Any

import pytest

from integrator.steps import inference
from integrator.steps.inference import latency_of, outcomes, predict_timed, reasons
from integrator.steps.predictions import Failure, predict_all
from integrator.storage.inferences import Latency
from models.base import FeatureRow, Prediction
from tests.publishing import prediction


class Doubler:
    """Says twice the row's number; a negative one breaks it, and every call takes `seconds`."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.calls: list[int] = []

    def predict(self, rows: Sequence[FeatureRow]) -> list[Prediction]:
        self.calls.append(len(rows))
        time.sleep(self.seconds)
        if any(row["n"] < 0 for row in rows):
            raise ValueError("a negative number")
        return [prediction(f"s{row['n']}", 2.0 * row["n"]) for row in rows]

    def state(self) -> dict[str, Any]:
        return {"state_version": 1}


def rows(*numbers: int) -> list[FeatureRow]:
    return [{"n": number} for number in numbers]


def test_batches_change_no_prediction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "BATCH", 4)
    model = Doubler()
    found, latency = predict_timed(model, rows(*range(10)), 0)
    assert model.calls == [4, 4, 2]
    assert found == predict_all(Doubler(), rows(*range(10)), 0)
    assert latency is not None and 0 < latency.mean_ms <= latency.max_ms


def test_a_bad_row_fails_alone_and_slows_its_own_batch_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "BATCH", 3)
    model = Doubler()
    found, _ = predict_timed(model, rows(1, 2, 3, 4, -1, 5), 0)
    assert [isinstance(one, Failure) for one in found] == [False, False, False, False, True, False]
    assert model.calls == [3, 3, 1, 1, 1]
    assert outcomes(found) == {"success": 5, "failure": 1, "fallback": 0, "refusal": 0}
    assert reasons(found) == {"ValueError": 1}


def test_no_rows_have_no_latency() -> None:
    model = Doubler()
    assert predict_timed(model, [], 0) == ([], None)
    assert model.calls == [] and latency_of([]) is None
    assert outcomes([]) == dict.fromkeys(("success", "failure", "fallback", "refusal"), 0) and reasons([]) == {}


def test_a_time_is_that_of_one_inference_its_row_s_making_included() -> None:
    _, latency = predict_timed(Doubler(seconds=0.02), rows(1, 2), 0, prepared_ms=5.0)
    assert latency is not None
    assert 15.0 <= latency.mean_ms < 200.0, "10 ms of the call and 5 ms of making the row"


def test_the_95th_percentile_weighs_by_rows() -> None:
    assert latency_of([(1.0, 95), (9.0, 5)]) == Latency(mean_ms=1.4, p95_ms=1.0, max_ms=9.0)
    assert latency_of([(1.0, 94), (9.0, 6)]) == Latency(mean_ms=pytest.approx(1.48), p95_ms=9.0, max_ms=9.0)
    assert latency_of([(3.0, 1)]) == Latency(mean_ms=3.0, p95_ms=3.0, max_ms=3.0)


def test_every_status_has_its_outcome() -> None:
    said = [prediction("a"), prediction("b", status="fallback"), prediction("c", status="refused"), Failure("x")]
    assert outcomes(said) == {"success": 1, "failure": 1, "fallback": 1, "refusal": 1}
