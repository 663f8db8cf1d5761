"""What a prediction goes through before it may be published."""

import json
import math
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrator.contracts.errors import Defect
from integrator.contracts.insight import Contribution, Interval
from integrator.steps.predictions import Failure, decimals_of, decode, encode, finished, predict_all, restored, stored
from models.base import FeatureRow, Prediction
from models.registry import spec
from models.rounding import sums
from tests.publishing import prediction


class Model:
    """Predicts the row's number; breaks on rows that say so."""

    def __init__(self, drop: int = 0) -> None:
        self.drop = drop

    def predict(self, rows: Sequence[FeatureRow]) -> list[Prediction]:
        if any(row.get("broken") for row in rows):
            raise KeyError("secret@example.com")
        return [prediction(str(row["id"]), float(row["n"])) for row in rows][self.drop :]

    def state(self) -> dict[str, Any]:
        return {}


def test_rows_are_kept_as_the_model_sees_them() -> None:
    row = {"b": 1.5, "a": {"z": 1, "y": [1, None]}, "c": math.nan}
    kept = stored(row)
    assert kept == '{"a":{"y":[1,null],"z":1},"b":1.5,"c":null}'
    shuffled = json.loads('{"c":null,"b":1.5,"a":{"z":1,"y":[1,null]}}')
    assert json.dumps(restored(shuffled)) == json.dumps(restored(kept))


def test_predictions_come_back_from_json() -> None:
    made = finished(prediction("gala", details={"a": (1, 2), "b": None}), 0)
    assert isinstance(made, Prediction)
    assert decode(encode(made)) == made and decode(json.loads(encode(made))) == made


def test_a_bad_row_fails_alone_and_says_nothing_of_itself() -> None:
    rows = [{"id": 1, "n": 100}, {"id": 2, "n": 1, "broken": True}, {"id": 3, "n": 300}]
    found = predict_all(Model(), rows, 0)
    assert [type(entry) for entry in found] == [Prediction, Failure, Prediction]
    assert found[1] == Failure("KeyError")
    assert predict_all(Model(), [], 0) == []


def test_too_few_predictions_are_a_defect() -> None:
    with pytest.raises(Defect, match="1 predictions for 2 rows"):
        predict_all(Model(drop=1), [{"id": 1, "n": 1}, {"id": 2, "n": 2}], 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"value": math.nan}, {"value": math.inf}, {"value": None}, {"baseline": math.nan}, {"status": "refused"},
        {"interval": Interval(0.8, 10.0, 9.0)}, {"interval": Interval(0.8, math.nan, 9.0)},
        {"contributions": (Contribution("a", "A", math.nan, False),)},
    ],
)  # fmt: skip
def test_broken_promises_are_failures(changes: dict[str, Any]) -> None:
    from dataclasses import replace

    assert isinstance(finished(replace(prediction("gala"), **changes), 0), Failure)


@pytest.mark.parametrize("decimals", [0, 2, 3, 4])
@given(
    value=st.floats(-1e6, 1e6), baseline=st.floats(-1e6, 1e6),
    effects=st.lists(st.floats(-1e6, 1e6), max_size=7),
)  # fmt: skip
def test_rounded_and_exact_whatever_the_model_said(
    decimals: int, value: float, baseline: float, effects: list[float]
) -> None:
    from dataclasses import replace

    parts = tuple(Contribution(f"f{n}", "F", effect, True) for n, effect in enumerate(effects))
    raw = replace(prediction("gala"), value=value, baseline=baseline, contributions=parts, interval=None)
    made = finished(raw, decimals)
    assert isinstance(made, Prediction) and made.value is not None and made.baseline is not None
    assert made.value == round(made.value, decimals)
    assert sums(made.value, made.baseline, made.contributions, decimals=decimals)
    assert finished(made, decimals) == made


def test_decimals_are_the_use_cases_or_the_currencys() -> None:
    assert decimals_of(spec("attendance"), "EUR") == 0
    assert [decimals_of(spec("pricing"), currency) for currency in ("EUR", "JPY", "KWD")] == [2, 0, 3]
