"""Reading a labelled table by the roles of its columns."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from integrator.contracts.errors import InvalidInput
from models import files
from models.files import Reading, Role

ROLES = (
    Role(column="starts_at", names=("starts_at", "date"), read=files.moment, allowed=files.MOMENTS, required=True),
    Role(column="people", names=("people", "count"), read=files.number, allowed=files.NUMBERS, required=True),
    Role(column="is_open", names=("is_open",), read=files.flag, allowed=files.FLAGS),
    Role(column="site", names=("site",), read=files.text),
)


def _read(*rows: dict[str, Any], **more: Any) -> files.Table:
    return files.read(enumerate(rows, start=1), ROLES, Reading(holidays=lambda region, years: {}, **more))


def test_columns_are_found_by_any_of_their_names_and_the_rest_are_attributes() -> None:
    table = _read({"Date": "2024-03-09", "count": "7", "weather": "dry", "NOTE": ""}, {"Date": "", "count": 8})
    assert table.named == {"starts_at": "Date", "people": "count"}
    assert table.columns["starts_at"] == [datetime(2024, 3, 9), None]  # noqa: DTZ001
    assert table.columns["people"] == [7.0, 8.0]
    assert table.attributes == [{"weather": "dry"}, {}]
    assert table.lines == [1, 2]


def test_the_first_name_wins_and_what_is_given_wins_over_it() -> None:
    row = {"starts_at": "2024-01-01", "date": "2024-02-02", "people": 1, "guests": 2}
    assert _read(row).columns["starts_at"][0].month == 1
    given = _read(row, given={"starts_at": "date", "people": "guests"})
    assert given.columns["starts_at"][0].month == 2
    assert given.columns["people"] == [2.0]
    assert given.attributes == [{"starts_at": "2024-01-01", "people": 1}]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"stars_at": "date"}, "'stars_at' is not allowed; allowed: starts_at, people"),
        ({"site": "nowhere"}, "'nowhere'"),
    ],
)
def test_a_role_or_column_that_does_not_exist_is_refused(given: dict[str, str], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        _read({"date": "2024-01-01", "people": 1}, given=given)


def test_a_missing_column_names_what_is_there_and_what_is_wanted() -> None:
    with pytest.raises(InvalidInput, match=r"lacks people \(read from people or count\); its columns are date, visits"):
        _read({"date": "2024-01-01", "visits": 3})


def test_cells_that_cannot_be_read_name_line_column_value_and_what_is_allowed() -> None:
    with pytest.raises(InvalidInput) as refused:
        _read(
            {"date": "2024-01-01", "people": "many"}, {"date": "9/3/24", "people": 1}, {"date": 20240309, "people": 1}
        )
    said = str(refused.value)
    assert "line 1, column people: 'many' is not allowed; allowed: a number" in said
    assert "line 2, column date: '9/3/24' is not allowed; allowed: a date or moment such as 2024-03-09" in said
    assert "line 3, column date: '20240309'" in said


def test_only_the_first_bad_cells_are_named() -> None:
    with pytest.raises(InvalidInput, match=r"\(and 4 more\)$"):
        _read(*({"date": "2024-01-01", "people": "x"} for _ in range(9)))


def test_a_table_without_rows_is_refused() -> None:
    with pytest.raises(InvalidInput, match="the file has no rows"):
        _read()


@pytest.mark.parametrize(
    ("cell", "moment"),
    [
        ("2024-03-09", datetime(2024, 3, 9)),  # noqa: DTZ001
        ("2024-03-09 19:30:00", datetime(2024, 3, 9, 19, 30)),  # noqa: DTZ001
        ("2024-03", datetime(2024, 3, 1)),  # noqa: DTZ001
        ("2024 Q3", datetime(2024, 7, 1)),  # noqa: DTZ001
        ("2024Q1", datetime(2024, 1, 1)),  # noqa: DTZ001
        ("2024-W10", datetime(2024, 3, 4)),  # noqa: DTZ001
        ("2024", datetime(2024, 1, 1)),  # noqa: DTZ001
        (date(2024, 3, 9), datetime(2024, 3, 9)),  # noqa: DTZ001
        ("2024-03-09T19:30:00Z", datetime(2024, 3, 9, 19, 30, tzinfo=UTC)),
    ],
)
def test_moments_and_periods(cell: Any, moment: datetime) -> None:
    assert files.moment(cell) == moment


@pytest.mark.parametrize("cell", ["2024-13", "2024-W60", "yesterday", 45_000, 3.5])
def test_what_is_no_moment(cell: Any) -> None:
    with pytest.raises(ValueError):
        files.moment(cell)


def test_local_moments_are_read_in_their_zone_also_where_clocks_change() -> None:
    skipped, plain = datetime(2024, 3, 31, 2, 30), datetime(2024, 7, 1, 12)  # noqa: DTZ001
    assert files.in_utc([skipped, plain, None], "Europe/Berlin") == [
        datetime(2024, 3, 31, 1, 30, tzinfo=UTC),
        datetime(2024, 7, 1, 10, tzinfo=UTC),
        None,
    ]


@pytest.mark.parametrize(("cell", "yes"), [("Yes", True), ("0", False), (1.0, True), (False, False), ("N", False)])
def test_flags(cell: Any, yes: bool) -> None:
    assert files.flag(cell) is yes


@pytest.mark.parametrize("cell", ["maybe", 2, "10"])
def test_what_is_no_flag(cell: Any) -> None:
    with pytest.raises(ValueError):
        files.flag(cell)


def test_attributes_are_plain_json_and_without_what_says_nothing() -> None:
    row = {"date": "2024-01-01", "people": 1, "price": Decimal("2.50"), "day": date(2024, 1, 1), "share": float("inf")}
    table = _read({**row, "list": [1], "gone": float("nan"), "flag": True})
    assert table.attributes == [{"price": 2.5, "day": "2024-01-01", "flag": True}]


def test_what_tells_who_somebody_is_is_left_out_and_said() -> None:
    table = _read(
        {"date": "2024-01-01", "people": 1, "mail": "a@b.c", "size": 3},
        personal=lambda rows: {"mail": "it looks like an address"},
    )
    assert table.attributes == [{"size": 3}]
    assert table.problems == ["mail is left out as personal data: it looks like an address"]


def test_identifiers_stay_text() -> None:
    table = _read({"date": "2024-01-01", "people": 1, "site": 7.0}, {"date": "2024-01-02", "people": 1})
    assert table.columns["site"] == ["7", None]


def test_use_cases_say_how_a_file_becomes_theirs() -> None:
    kinds = {name: files.shapes(name).KIND for name in ("attendance", "pricing", "lead_score")}
    assert kinds == {"attendance": "event", "pricing": "sale", "lead_score": "contact"}
    with pytest.raises(InvalidInput, match="'weather' is not allowed; allowed: attendance, pricing, lead_score"):
        files.shapes("weather")
