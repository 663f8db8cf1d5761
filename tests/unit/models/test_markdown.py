"""Tables and lists in Markdown: cells stay in their cells, whatever stands in them."""

import pytest

from models.markdown import WIDEST_CELL, bullets, table


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (0.123456, "0.1235"),
        (3, "3"),
        ("a|b", "a/b"),
        ("a\n  b", "a b"),
        ("x" * 60, "x" * 39 + "…"),
        (True, "True"),
    ],
)
def test_a_cell_of_a_table_stays_in_its_cell(value: object, text: str) -> None:
    cell = table([{"a": value}]).splitlines()[2].removeprefix("| ").removesuffix(" |")
    assert cell == text and len(cell) <= WIDEST_CELL


def test_rows_of_different_columns_make_one_table() -> None:
    lines = table([{"a": 1}, {"b": 2.0}]).splitlines()
    assert lines == ["| a | b |", "| --- | --- |", "| 1 |  |", "|  | 2 |"]
    assert table([]) == "no rows"


def test_what_is_left_out_is_said() -> None:
    assert table([{"a": 1}, {"a": 2}, {"a": 3}], most=2).endswith("2 of 3 rows.")


def test_a_list_has_a_line_each_and_a_word_for_nothing() -> None:
    assert bullets(["one\nline", 2]) == "- one line\n- 2"
    assert bullets([]) == "none"
