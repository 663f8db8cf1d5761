"""One shape for what else was tried, whichever use case tells it."""

import pytest

from models.alternatives import alternatives
from models.base import Prediction
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


@pytest.fixture(scope="module")
def by_rule() -> dict[str, list[Prediction]]:
    """What each use case's rule says; made outside any test's own time, which reading the libraries would fill."""
    frames = {"attendance": (arena(), HALLS), "pricing": (shop(2, 60), SHOP), "lead_score": (leads(90), CONTEXT)}
    return {
        spec.name: use_case(spec.name).rule().predict(use_case(spec.name).rows(frame, context, frame))
        for spec in USE_CASES
        for frame, context in [frames[spec.name]]
    }


@pytest.mark.parametrize("name", [spec.name for spec in USE_CASES])
def test_the_rule_tells_a_list_too(name: str, by_rule: dict[str, list[Prediction]]) -> None:
    assert by_rule[name]
    for one in by_rule[name]:
        assert one.details["alternatives"] == [], "nothing was tried"
