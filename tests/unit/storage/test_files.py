"""Reading canonical records from files."""

import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from integrator.contracts.errors import InvalidInput
from integrator.storage.files import batches


def flat(path: Path, kind: str, size: int = 100) -> list[Any]:
    return [payload for _, _, payloads in batches(path, kind, size) for payload in payloads]


def test_csv_nests_by_dots_and_unknown_columns_are_attributes(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text(
        "native_id,venue.capacity,venue.name,weather,level,attributes.vip,code\ne1,500,Hall,sunny,3,true,007\n"
    )
    assert flat(path, "event") == [
        {
            "native_id": "e1", "venue": {"capacity": "500", "name": "Hall"},
            "attributes": {"weather": "sunny", "level": 3, "vip": True, "code": "007"},
        }
    ]  # fmt: skip


def test_consent_nests_for_contacts_and_empty_cells_are_absent(tmp_path: Path) -> None:
    path = tmp_path / "contacts.csv"
    path.write_text("﻿native_id,consent.processing,stage\nc1,denied,\n", encoding="utf-8")
    assert flat(path, "contact") == [{"native_id": "c1", "consent": {"processing": "denied"}}]


def test_a_line_with_more_cells_than_the_header_is_not_taken_silently(tmp_path: Path) -> None:
    path = tmp_path / "sales.csv"
    path.write_text("native_id,product\ns1,p,extra\n")
    assert "(cells beyond the header)" in flat(path, "sale")[0]


@pytest.mark.parametrize("text", ["", "a,a\n1,2\n"])
def test_a_header_that_names_no_columns_or_one_twice_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text(text)
    with pytest.raises(InvalidInput, match="header"):
        flat(path, "sale")


def test_ndjson_keeps_the_file_s_line_numbers_over_blank_lines(tmp_path: Path) -> None:
    path = tmp_path / "x.ndjson"
    path.write_text('{"native_id":"a"}\n\n{"native_id":"b"}\nnot json\n[1]\n')
    found = [
        (first + offset, payload)
        for first, _, payloads in batches(path, "sale", 2)
        for offset, payload in enumerate(payloads)
    ]
    assert found == [(1, {"native_id": "a"}), (3, {"native_id": "b"}), (4, b"not json\n"), (5, b"[1]\n")]


def test_parquet_structs_nest_and_moments_keep_their_zone(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    table = pyarrow.table(
        {
            "native_id": ["e1"], "venue": [{"name": "Hall", "capacity": None}], "starts_at": pyarrow.array([0], pyarrow.timestamp("us", "UTC")),
            "crowd": [2.5],
        }
    )  # fmt: skip
    pyarrow.parquet.write_table(table, path)
    (record,) = flat(path, "event")
    assert record["venue"] == {"name": "Hall"}
    assert record["attributes"] == {"crowd": 2.5}
    assert record["starts_at"].tzinfo is not None


def test_batches_follow_each_other(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("native_id\n" + "\n".join(f"s{i}" for i in range(25)) + "\n")
    assert [(first, len(payloads)) for first, _, payloads in batches(path, "sale", 10)] == [(1, 10), (11, 10), (21, 5)]


def test_files_that_are_none_of_the_formats_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "x.xlsx"
    path.write_text("x")
    with pytest.raises(InvalidInput, match=r"'x.xlsx' is not allowed; allowed: .csv, .parquet"):
        flat(path, "sale")
    fake = tmp_path / "x.parquet"
    fake.write_text(json.dumps({}))
    with pytest.raises(InvalidInput, match="not a Parquet file"):
        flat(fake, "sale")
