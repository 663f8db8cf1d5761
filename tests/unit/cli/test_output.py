"""What commands print: tables and JSON lines, numbers as people and programs read them, nothing interpreted."""

import json
from collections import OrderedDict
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from integrator.cli.demo import printed
from integrator.cli.insights import amount, row, span
from integrator.cli.output import note, plain, show, table
from integrator.contracts.insight import canonical, insight_id
from integrator.steps.documents import Made, document
from tests.publishing import prediction

MOMENT = datetime(2026, 3, 16, 12, 0, 5, tzinfo=UTC)
MADE = Made(
    partner="alpha", use_case="attendance", model_name="attendance.alpha", model_version="3", as_of=MOMENT, at=MOMENT
)


def test_json_is_one_document_a_line_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        OrderedDict(name="Müller ✓", at=MOMENT, day=date(2026, 3, 16), price=Decimal("12.50"), whole=Decimal("3.00")),
        OrderedDict(name="line\nbreak", tags=("a", "b"), other=frozenset({"x"}), nothing=None, flag=True),
    ]
    show(rows, as_json=True)
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert len(lines) == 2 and err == ""
    assert json.loads(lines[0]) == {
        "name": "Müller ✓", "at": "2026-03-16T12:00:05+00:00", "day": "2026-03-16", "price": 12.5, "whole": 3,
    }  # fmt: skip
    assert "Müller ✓" in lines[0], "text stays readable"
    assert json.loads(lines[1]) == {
        "name": "line\nbreak",
        "tags": ["a", "b"],
        "other": ["x"],
        "nothing": None,
        "flag": True,
    }


def test_empty_json_is_silent_and_an_empty_table_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    show([], as_json=True)
    assert capsys.readouterr() == ("", "")
    show(iter(()), as_json=False)
    out, err = capsys.readouterr()
    assert out == "" and err == "nothing there\n"


def test_a_table_has_a_line_a_row_and_interprets_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"name": "[red]bold[/red] [link=x]", "at": MOMENT, "list": [1, "ä"], "none": None, "price": Decimal("9.90")},
        {"name": ":smile: [/]", "at": None, "list": {}, "none": 0, "price": Decimal("10.00")},
    ]
    show(rows, as_json=False)
    out, err = capsys.readouterr()
    head, first, second = (line for line in out.splitlines() if line.strip())
    assert head.split() == ["name", "at", "list", "none", "price"] and err == ""
    assert "[red]bold[/red] [link=x]" in first and "2026-03-16 12:00:05 UTC" in first and '[1, "ä"]' in first
    assert "–" in first and "9.9" in first
    assert ":smile: [/]" in second and "{}" in second and " 0 " in second and second.rstrip().endswith("10")


def test_a_table_does_not_command_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    show([{"name": "a\x1b[2Jb\x1b]0;title\x07c\x9bd\r\x00", "n": "two\nlines"}], as_json=False)
    out = capsys.readouterr().out
    assert not set(out) & set("\x00\x07\x1b\x9b\r") and "a�[2Jb�]0;title�c�d" in out and "lines" in out


def test_columns_can_be_chosen_and_may_be_missing(capsys: pytest.CaptureFixture[str]) -> None:
    show([{"a": 1, "secret": "hidden"}, {"a": 2, "b": 3}], as_json=False, columns=("b", "a"))
    out = capsys.readouterr().out
    assert "hidden" not in out and out.splitlines()[0].split() == ["b", "a"]
    assert out.splitlines()[1].split() == ["–", "1"]


def test_a_long_cell_does_not_lose_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    words = [f"word{number}" for number in range(60)]
    table([{"text": " ".join(words)}], ("text",))
    out = capsys.readouterr().out
    assert all(word in out for word in words)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(Decimal("1.10"), 1.1), (Decimal("1E+2"), 100), (Decimal("-0.00"), 0), (Decimal("0.1"), 0.1), ({"b"}, ["b"]),
     ((), []), (ValueError("x"), "x"), (date(2026, 1, 1), "2026-01-01")],
)  # fmt: skip
def test_what_json_has_no_form_for(value: Any, expected: Any) -> None:
    found = plain(value)
    assert found == expected and type(found) is type(expected)


def test_notes_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    note("for people")
    assert capsys.readouterr() == ("", "for people\n")


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(None, "people", None), (900.0, "people", "900 people"), (0.0, "people", "0 people"), (12.5, "EUR", "12.5 EUR"),
     (0.125, "probability", "12.5 %"), (1.0, "probability", "100.0 %"), (0.00049, "probability", "0.0 %")],
)  # fmt: skip
def test_amounts_as_people_write_them(value: float | None, unit: str, text: str | None) -> None:
    assert amount(value, unit) == text


def test_spans_as_people_write_them() -> None:
    assert span({"low": 820.0, "high": 965.0, "level": 0.8}, "people") == "820–965"
    assert span({"low": 0.101, "high": 0.25}, "probability") == "10.1–25.0 %"


def test_a_row_of_a_document() -> None:
    made = json.loads(canonical(document(prediction("gala"), MADE, 4)))
    found = row(made)
    assert found["id"] == insight_id("alpha", "attendance", prediction("gala").subject)
    assert (found["v"], found["subject"], found["value"], found["interval"]) == (4, "gala", "900 people", "820–965")
    assert found["model"] == "attendance.alpha v3"
    refused = prediction("young", value=1.0, status="refused", interval=None, baseline=None, contributions=())
    gone = json.loads(canonical(document(refused.__class__(**{**_facts(refused), "value": None}), MADE, 1)))
    assert (row(gone)["value"], row(gone)["interval"]) == (None, None)


def _facts(entry: Any) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in entry.__dataclass_fields__}


def test_the_demo_shows_a_spread_and_one_of_every_other_status() -> None:
    documents = [{"value": float(number), "status": "ready"} for number in range(100)]
    documents += [{"value": None, "status": "refused", "n": number} for number in range(3)]
    documents += [{"value": None, "status": "withdrawn"}]
    shown = printed._telling(documents, 8)
    assert len(shown) == 8
    assert [entry["status"] for entry in shown].count("refused") == 1
    assert [entry["status"] for entry in shown].count("withdrawn") == 1
    values = [entry["value"] for entry in shown if entry["value"] is not None]
    assert values == sorted(values, reverse=True) and values[0] == 99 and values[-1] < 20


@pytest.mark.parametrize("shown", [1, 2, 3, 50])
def test_the_demo_shows_something_however_little_was_asked_for(shown: int) -> None:
    documents = [{"value": 1.0, "status": "ready"}, {"value": None, "status": "refused"}]
    assert 1 <= len(printed._telling(documents, shown)) <= 2
    assert printed._telling([], shown) == []


def test_the_demo_prints_each_use_case_with_its_counts(capsys: pytest.CaptureFixture[str]) -> None:
    from integrator.cli.demo.verify import Published

    text = canonical(document(prediction("gala"), MADE, 1)).decode()
    printed.insights({"alpha": [Published("alpha", "attendance", "gala", "pretix", text)], "beta": []}, shown=5)
    out = capsys.readouterr().out
    assert "alpha · attendance · 1 insights: 1 ready" in out and "gala" in out and "beta" not in out
