"""Model cards: every figure from the training, worst segments first, nothing invented where nothing is known."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from models.base import Backtest, Choice, Context, Score, Trained
from models.card import model_card
from models.gate import Verdict, gate
from models.markdown import bullets, table
from models.registry import USE_CASES

NOW = datetime(2026, 3, 16, 6, tzinfo=UTC)
CONTEXT = Context(partner="acme", timezone="Europe/Berlin", currency="EUR", region="DE", as_of=NOW)


def trained(**changes: Any) -> Trained:
    rule = Score(
        candidate="naive", is_rule=True, metrics={"mase": 1.0}, coverage=0.8, segments={"north": 1.0, "south": 1.0}
    )
    best = Score(
        candidate="forest", is_rule=False, metrics={"mase": 0.85}, coverage=0.81, coverage_cases=320,
        segments={"north": 0.7, "south": 1.04, "elsewhere": 0.9},
    )  # fmt: skip
    backtest = Backtest(gate_metric="mase", chosen="forest", scores=(rule, best), observations=320, split="f" * 64)
    return replace(
        Trained(
            model=None, backtest=backtest, params={"trees": 9}, data_hash="ab12", sample=[],  # type: ignore[arg-type]
            dropped={"colour": "one value", "duration": "known after the outcome: AUC 0.97 alone"},
            choices=(
                Choice(subject="n1", family="forest", scores={"naive": 1.0, "forest": 0.7}, why="lowest error"),
                Choice(subject="n2", family="forest", scores={"naive": 1.0, "forest": 0.9}, why="lowest error"),
                Choice(subject="s1", family="naive", scores={"naive": 0.9, "forest": 1.1}, why="nothing beat the floor"),
            ),
            data={"subjects": 3, "from": "2024-01-01", "to": "2026-03-15"},
            limits=("Not for days without a known holiday calendar.",),
        ),
        **changes,
    )  # fmt: skip


def card(given: Trained, use_case: str = "attendance", **changes: Any) -> str:
    facts: dict[str, Any] = {"title": f"{use_case}.acme, version 3", "now": NOW, "rows": 4000, **changes}
    return model_card(use_case, given, gate(given.backtest, None), CONTEXT, **facts)


def section(text: str, heading: str) -> str:
    return text.split(f"## {heading}\n")[1].split("\n## ")[0]


def test_the_head_says_which_version_how_good_and_whether_it_serves() -> None:
    text = card(trained())
    assert text.startswith("# Model card: attendance.acme, version 3\n")
    assert "`forest` was chosen: mase 0.85 against 1 of the naive rule `naive`, on 320 observations" in text
    assert "2026-03-16T06:00:00Z, rung `partner`" in text and "It passed the promotion gate." in text
    refused = trained(backtest=replace(trained().backtest, chosen="naive"))
    assert "It did not become champion" in card(refused)
    assert "the rule rung stays" in section(card(refused), "The gate")
    assert "rung `pooled`" in card(trained(), rung="pooled")


def test_data_candidates_and_intervals_are_the_training_s_own() -> None:
    text = card(trained())
    data = section(text, "Data")
    for fact in ("| labelled rows read | 4000 |", "| subjects | 3 |", "| from | 2024-01-01 |", "| snapshot | ab12 |"):
        assert fact in data
    assert "| naive (rule) | 1 | 0.8 |" in section(text, "Candidates")
    assert "| **forest** | 0.85 | 0.81 |" in section(text, "Candidates")
    assert "promise 80%; on the backtest 81.0% of 320 intervals held" in section(text, "Intervals")
    assert "| trees | 9 |" in section(text, "To make it again")


def test_segments_stand_worst_against_the_rule_first_and_one_the_rule_lacks_last() -> None:
    lines = [line for line in section(card(trained()), "Segments").splitlines() if line.startswith("| ")][2:]
    assert [line.split(" | ")[0].removeprefix("| ") for line in lines] == ["south", "north", "elsewhere"]
    assert lines[0] == "| south | 1.04 | 1 | 1.04 |" and lines[-1].endswith("|  |  |")


def test_choices_are_counted_and_what_was_left_out_is_said_with_its_reason() -> None:
    text = card(trained())
    assert "| family | subjects | share | median mase | naive rule |" in section(text, "Chosen per subject")
    assert "| forest | 2 | 67% | 0.8 | 1 |" in section(text, "Chosen per subject")
    assert "| naive | 1 | 33% | 0.9 | 0.9 |" in section(text, "Chosen per subject")
    assert "choices.json" in section(text, "Chosen per subject")
    assert "- `duration`: known after the outcome: AUC 0.97 alone" in section(text, "Left out of the model")
    assert "- Not for days without a known holiday calendar." in section(text, "What it is not for")


def test_what_is_not_known_is_said_and_not_made_up() -> None:
    score = Score(candidate="naive", is_rule=True, metrics={"mase": float("nan")}, coverage=None)
    bare = trained(
        backtest=Backtest(gate_metric="mase", chosen="naive", scores=(score,), observations=1),
        dropped={}, choices=(), data={}, limits=(),
    )  # fmt: skip
    text = card(bare, rows=None)
    assert "no coverage was measured" in section(text, "Intervals")
    assert "None was measured." in section(text, "Segments")
    assert "Nothing was left out." in text and "Nothing was chosen subject by subject." in text
    assert "named no limits" in text and "labelled rows read" not in text and "mase nan against nan" in text


def test_thousands_of_left_out_columns_and_segments_are_cut_and_counted() -> None:
    many = {f"field_{n:04d}": "constant" for n in range(2000)}
    segments = {f"site {n:03d}": 0.5 for n in range(500)}
    backtest = trained().backtest
    scores = tuple(replace(score, segments=segments) for score in backtest.scores)
    text = card(trained(dropped=many, backtest=replace(backtest, scores=scores)))
    assert "1940 more" in section(text, "Left out of the model") and "40 of 500 rows." in section(text, "Segments")
    assert len(text) < 12_000


@pytest.mark.parametrize("use_case", [spec.name for spec in USE_CASES])
def test_every_use_case_says_its_purpose_and_how_its_explanations_work(use_case: str) -> None:
    text = card(trained(), use_case)
    assert len(section(text, "What it says")) > 80 and "sum to" in section(text, "How its explanations work")


def test_a_hostile_name_breaks_no_table() -> None:
    shown = table([{"name": "a|b\nc", "value": 1.23456}, {"name": "x" * 90, "value": None}])
    assert shown.splitlines()[2] == "| a/b c | 1.235 |"
    assert shown.splitlines()[3] == f"| {'x' * 39}… |  |"
    assert len(shown.splitlines()) == 4


def test_a_table_says_how_much_of_it_is_shown() -> None:
    rows = [{"n": number} for number in range(5)]
    assert table(rows, most=2).endswith("| 1 |\n\n2 of 5 rows.")
    assert "rows." not in table(rows, most=5)
    assert table([]) == "no rows" and bullets([]) == "none" and bullets(["a\n b"]) == "- a b"


def test_facts_read_as_people_write_them() -> None:
    facts = {"cadences": {"daily": 3, "weekly": 1}, "attributes": [], "window": None, "holidays": ["DE", "FR"]}
    text = section(card(trained(data=facts)), "Data")
    for line in ("cadences | daily 3, weekly 1", "attributes | none", "window | none", "holidays | DE, FR"):
        assert f"| {line} |" in text


def test_the_verdict_handed_over_is_the_one_on_the_card() -> None:
    off = Verdict(promote=False, reasons=("Promotion was switched off for this run.",))
    text = model_card("pricing", trained(), off, CONTEXT, title="pricing.acme, version 1", now=NOW)
    assert "did not become champion" in text and "- Promotion was switched off" in section(text, "The gate")
