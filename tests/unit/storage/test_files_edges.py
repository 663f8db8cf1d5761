"""Files as people export them: other delimiters, quotes, endings, encodings, sizes; and types that must not be guessed."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integrator.contracts.errors import InvalidInput
from integrator.contracts.validation import read_record
from integrator.storage.files import batches, typed
from integrator.storage.quarantine import storable


def records(path: Path, kind: str = "sale", size: int = 100) -> list[Any]:
    return [record for _, _, found in batches(path, kind, size) for record in found]


def write(tmp_path: Path, text: str | bytes, name: str = "file.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_endings_and_byte_order_marks(tmp_path: Path, ending: str, mark: str) -> None:
    path = write(tmp_path, f"{mark}native_id,product{ending}a,seat{ending}b,row{ending}")
    assert records(path) == [{"native_id": "a", "product": "seat"}, {"native_id": "b", "product": "row"}]


def test_quotes_hold_commas_quotes_and_lines(tmp_path: Path) -> None:
    path = write(tmp_path, 'native_id,product,note\na,"x, ""y""","two\nlines"\n')
    assert records(path) == [{"native_id": "a", "product": 'x, "y"', "attributes": {"note": "two\nlines"}}]


@pytest.mark.parametrize("text", ["", "\n", ",,\n", "a,a\n1,2\n", "a, a\n1,2\n"])
def test_a_header_that_names_nothing(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidInput, match="the header must name each column once"):
        records(write(tmp_path, text))


def test_a_header_alone_is_no_record_and_short_lines_lack_their_cells(tmp_path: Path) -> None:
    assert records(write(tmp_path, "native_id,product\n")) == []
    assert records(write(tmp_path, "native_id,product,x\na\n,,\n")) == [{"native_id": "a"}, {}]


def test_an_endless_cell_is_refused_and_not_read(tmp_path: Path) -> None:
    path = write(tmp_path, 'native_id,product\na,"' + "x" * 200_000)
    with pytest.raises(InvalidInput, match="not a CSV file"):
        records(path)


@pytest.mark.parametrize(
    ("cell", "value"),
    [("1", 1), ("-5", -5), ("1.50", 1.5), ("1e3", 1000.0), ("007", "007"), ("+49", 49), ("-0", 0), ("0", 0), ("0.5", 0.5),
     ("1,5", "1,5"), ("true", True), ("False", False), ("TRUE", "TRUE"), ("yes", "yes"), ("1 000", "1 000"), ("0x10", "0x10"),
     ("1_000", "1_000"), ("NaN", "NaN"), ("inf", "inf"), ("١٢", "١٢"), ("2026-01-01", "2026-01-01"), ("00.5", "00.5")],
)  # fmt: skip
def test_types_are_recognised_only_where_nothing_is_lost(cell: str, value: Any) -> None:
    found = typed(cell)
    assert found == value and type(found) is type(value)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.text(alphabet="0123456789+-.,eE ", max_size=12))
def test_no_cell_breaks_the_reading_and_no_code_changes(cell: str) -> None:
    found = typed(cell)
    if isinstance(found, str):
        assert found == cell
    elif isinstance(found, int) and not isinstance(found, bool):
        assert int(cell) == found and not cell.lstrip("+-").startswith("00")


@pytest.mark.parametrize("digits", [20, 5000])
def test_a_number_of_many_digits_does_not_stop_the_file(tmp_path: Path, digits: int) -> None:
    (record,) = records(write(tmp_path, f"native_id,serial\na,{'9' * digits}\n"))
    assert str(record["attributes"]["serial"])[:5] == "99999" if digits < 4000 else "serial" in record["attributes"]


def test_lines_that_are_no_documents_stay_in_their_place(tmp_path: Path) -> None:
    lines = [b'{"native_id":"a"}', b"", b"[1]", b'"text"', b"{", b"\xff", b"  ", b'{"native_id":"b"}', b"[" * 3000]
    path = write(tmp_path, b"\n".join(lines), "file.ndjson")
    found = [(first + n, record) for first, _, run in batches(path, "sale", 4) for n, record in enumerate(run)]
    assert [line for line, _ in found] == [1, 3, 4, 5, 6, 8, 9]
    assert found[0][1] == {"native_id": "a"} and found[5][1] == {"native_id": "b"}
    assert all(isinstance(record, bytes) for line, record in found if line not in (1, 8))


def test_parquet_types_become_the_records_own(tmp_path: Path) -> None:
    table = pa.table({
        "native_id": ["s"], "product": ["seat"], "sold_at": [datetime(2026, 3, 1, tzinfo=UTC)], "quantity": [2],
        "unit_price": pa.array([Decimal("12.50")], pa.decimal128(10, 2)), "currency": ["EUR"], "status": ["paid"],
        "weight": [1.5], "flag": [True], "empty": pa.array([None], pa.string()),
    })  # fmt: skip
    path = tmp_path / "file.parquet"
    pq.write_table(table, path)
    (record,) = records(path)
    assert record["attributes"] == {"weight": 1.5, "flag": True}
    found: Any = read_record("sale", record, strict=False)
    assert found.unit_price == Decimal("12.50") and found.sold_at == datetime(2026, 3, 1, tzinfo=UTC)


def test_parquet_without_zones_is_refused_by_the_record(tmp_path: Path) -> None:
    path = tmp_path / "file.parquet"
    naive = datetime(2026, 3, 1, tzinfo=UTC).replace(tzinfo=None)
    pq.write_table(pa.table({"native_id": ["c"], "created_at": [naive], "day": [date(2026, 1, 1)]}), path)
    (record,) = records(path, "contact")
    with pytest.raises(InvalidInput) as error:
        read_record("contact", record, strict=False)
    assert error.value.field in ("created_at", "attributes")


@pytest.mark.parametrize("data", [b"", b"PAR1", b"not parquet at all", b"PAR1" + b"\x00" * 100 + b"PAR1"])
def test_what_is_no_parquet_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(InvalidInput, match="not a Parquet file"):
        records(write(tmp_path, data, "file.parquet"))


@pytest.mark.parametrize("name", ["file.CSV", "file.Parquet", "file.NDJSON", "file.jsonl"])
def test_endings_in_any_case(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith("Parquet"):
        pq.write_table(pa.table({"native_id": ["a"]}), path)
    else:
        path.write_text("native_id\na\n" if name.endswith("CSV") else json.dumps({"native_id": "a"}))
    assert records(path) == [{"native_id": "a"}]


@pytest.mark.parametrize("name", ["file", "file.txt", "file.xlsx", "file.csv.gz", ".csv.bak"])
def test_other_endings_name_those_there_are(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match=r"\.csv, \.parquet, \.ndjson, \.jsonl"):
        batches(tmp_path / name, "sale", 10)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text(alphabet=st.characters(exclude_categories=()), max_size=30))
def test_what_is_said_can_always_be_stored(words: str) -> None:
    found = storable(words)
    assert found is not None and "\x00" not in found and found.encode().decode() == found
    if "\x00" not in words and not any("\ud800" <= letter <= "\udfff" for letter in words):
        assert found == words
    assert storable(None) is None


@pytest.mark.parametrize("content", [b"\xff\xfe\x00garbage", b"\x89PNG\r\n\x1a\n\x00\x00", b"id\x00,name\n1,2\n"])
def test_what_is_no_text_is_no_csv_file(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "bin.csv"
    file.write_bytes(content)
    with pytest.raises(InvalidInput, match=r"bin\.csv: not a CSV file"):
        list(batches(file, "event", 10))
