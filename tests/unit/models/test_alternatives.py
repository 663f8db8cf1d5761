"""One shape for what else was tried, whichever use case tells it."""

import json
from typing import Any

import pytest

from models.alternatives import alternatives
from models.registry import USE_CASES, use_case
from tests.attendance_frames import CONTEXT as HALLS
from tests.attendance_frames import arena
from tests.lead_frames import CONTEXT, leads
from tests.pricing_frames import CONTEXT as SHOP
from tests.pricing_frames import shop


def test_the_best_comes_first_and_what_has_no_score_is_left_out() -> None:
    found = alternatives("mase", {"b": 0.9, "a": 0.9, "rule": 1.00004, "none": None, "mad": float("nan")})
    assert found == [
        {"candidate": "a", "metric": "mase", "score": 0.9},
        {"candidate": "b", "metric": "mase", "score": 0.9},
        {"candidate": "rule", "metric": "mase", "score": 1.0},
    ]
    assert alternatives("mase", {}) == []


def test_what_a_reader_does_to_one_list_changes_no_other() -> None:
    first = alternatives("log_loss", {"a": 0.1})
    first[0]["score"] = 9.9
    assert alternatives("log_loss", {"a": 0.1}) == [{"candidate": "a", "metric": "log_loss", "score": 0.1}]


@pytest.mark.parametrize("name", [spec.name for spec in USE_CASES])
def test_the_rule_tells_a_list_too(name: str) -> None:
    frames: dict[str, Any] = {
        "attendance": (arena(), HALLS),
        "pricing": (shop(2, 60), SHOP),
        "lead_score": (leads(90), CONTEXT),
    }
    frame, context = frames[name]
    code = use_case(name)
    for one in code.rule().predict(code.rows(frame, context, frame)):
        assert one.details["alternatives"] == [], "nothing was tried"
        json.dumps(one.details["alternatives"], allow_nan=False)
