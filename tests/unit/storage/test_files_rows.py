"""Rows as they stand in a file, with their lines; and names that are safe to look behind."""

from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrator.contracts.errors import InvalidInput
from integrator.storage import files
from integrator.storage.files import batches, rows
from integrator.storage.files_drop import holds_records, is_plain, mark_of, require_name


def read(path: Path, size: int = 2) -> list[tuple[int, Any]]:
    return [pair for lines, found in rows(path, size) for pair in zip(lines, found, strict=True)]


def test_cells_are_text_under_their_own_names_and_empty_ones_are_absent(tmp_path: Path) -> None:
    path = tmp_path / "a.CSV"
    path.write_text('\ufeffOrder,venue.city,Note\n1,Bonn,"a\nb"\n2,,\n3,Ulm,x,extra\n', encoding="utf-8")
    assert read(path) == [
        (1, {"Order": "1", "venue.city": "Bonn", "Note": "a\nb"}), (2, {"Order": "2"}),
        (3, {"Order": "3", "venue.city": "Ulm", "Note": "x", "(cells beyond the header)": 1}),
    ]  # fmt: skip


def test_ndjson_keeps_its_lines_over_empty_and_broken_ones(tmp_path: Path) -> None:
    path = tmp_path / "a.ndjson"
    path.write_bytes(b'{"a": 1}\n\n[1]\n{broken\n   \n{"a": 2}')
    assert read(path) == [(1, {"a": 1}), (3, b"[1]\n"), (4, b"{broken\n"), (6, {"a": 2})]


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = pyarrow.table({"a": [1, 2, None], "b": [{"c": "x"}, None, None]})
    pyarrow.parquet.write_table(table, path)
    assert read(path) == [(1, {"a": 1, "b": {"c": "x"}}), (2, {"a": 2, "b": None}), (3, {"a": None, "b": None})]


def test_an_unknown_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"\.parquet"):
        list(rows(tmp_path / "a.xlsx", 10))


@pytest.mark.parametrize("ending", ["csv", "ndjson"])
def test_a_line_without_end_is_refused_before_it_fills_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    monkeypatch.setattr(files, "LONGEST_LINE", 1000)
    path = tmp_path / f"a.{ending}"
    path.write_text("a,b\n" + "x" * 2000)
    with pytest.raises(InvalidInput, match="a line is longer than 1000 characters"):
        list(batches(path, "sale", 10))


def test_heavy_rows_make_small_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "FULLEST_BATCH", 100)
    heavy, light = tmp_path / "a.csv", tmp_path / "b.csv"
    heavy.write_text("a\n" + ("y" * 60 + "\n") * 9)
    light.write_text("a\n" + "y\n" * 9)
    assert [len(lines) for lines, _ in rows(heavy, 5000)] == [2, 2, 2, 2, 1]
    assert [len(lines) for lines, _ in rows(light, 5000)] == [9]
    assert [line for lines, _ in rows(heavy, 5000) for line in lines] == list(range(1, 10))


@given(st.text(max_size=30))
def test_a_plain_name_never_leads_anywhere(name: str) -> None:
    if is_plain(name, hidden=True):
        assert name not in ("", ".", "..") and not set(name) & {"/", "\\", "\x00"} and name.isprintable()


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a\\b", "a\x00", "a\n", "\u202ea"])
def test_what_is_no_plain_name(name: str) -> None:
    assert not is_plain(name)


@pytest.mark.parametrize(
    "name", ["a.csv.report.json", "a.csv.done", "mapping.yaml", "a.part", "A.TMP", "README.md", "a.csv~"]
)
def test_what_lies_beside_files_holds_no_records(name: str) -> None:
    assert not holds_records(name) and holds_records("a.csv") and holds_records("a.xlsx")


def test_a_mark_changes_with_the_file() -> None:
    local = {"size": 3, "mtime": 1.5, "ino": 7}
    assert (
        len({mark_of(one) for one in (local, {**local, "size": 4}, {**local, "mtime": 2.5}, {**local, "ino": 8})}) == 4
    )
    assert (
        mark_of({"size": 3, "ETag": '"ab-2"', "LastModified": "x"}) == mark_of({"size": 3, "ETag": "ab-2"}) == "ab-2:3"
    )


@pytest.mark.parametrize("name", ["", "Alpha", "a", "../x", "a/b", "alpha ", "1a", "a" * 41])
def test_a_name_that_no_partner_can_have(name: str) -> None:
    with pytest.raises(InvalidInput):
        require_name(name)
