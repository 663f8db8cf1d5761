"""A backtest on a file, from its bytes to what the gate says of it; no database, no registry."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from integrator.contracts.errors import InvalidInput, NotReady
from integrator.steps.backtest import Asked, BacktestReport, backtest, document, prepare, write
from models.base import TrainConfig
from tests.lead_frames import leads

NOW = datetime(2026, 3, 16, 6, tzinfo=UTC)


def _write(folder: Path, name: str, text: str) -> Path:
    folder.joinpath(name).write_text(text, encoding="utf-8")
    return folder / name


def _asked(use_case: str, file: Path, **more: Any) -> Asked:
    return Asked(use_case=use_case, file=file, **more)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plain table of dated leads with an e-mail address, a code with leading zeros and a field that says nothing."""
    frame = leads(900)
    rows = [
        {
            "created_at": created.isoformat(), "as_of": seen.isoformat(), "stage": stage, "person_id": person,
            **json.loads(attributes), "code": "007", "email": "a@b.example", "bought": "Yes" if converted else "No",
        }
        for created, seen, stage, person, attributes, converted in frame.select(
            "created_at", "as_of", "stage", "person_id", "attributes", "converted"
        ).rows()
    ]  # fmt: skip
    path = tmp_path_factory.mktemp("leads") / "leads.csv"
    pl.DataFrame(rows, infer_schema_length=None).write_csv(path)
    return path


@pytest.fixture(scope="module")
def report(file: Path) -> BacktestReport:
    """One candidate beside the rule, so that it is quick."""
    config = TrainConfig(candidates=("logistic",), horizon_days=30, excluded_attributes=("is_mobile",))
    return backtest(_asked("lead_score", file, columns={"converted": "bought"}, config=config), NOW)


def test_the_training_is_the_products_own_and_the_gate_judges_it(report: BacktestReport) -> None:
    told = document(report)
    assert told["rows"] == 900
    assert told["chosen"] == "logistic"
    assert {one["candidate"] for one in told["candidates"]} == {"base_rate", "logistic"}
    assert [one["is_rule"] for one in told["candidates"] if one["candidate"] == "base_rate"] == [True]
    scores = {one["candidate"]: one["metrics"]["log_loss"] for one in told["candidates"]}
    assert scores["logistic"] < scores["base_rate"]
    assert any("logistic beats the naive rule base_rate" in reason for reason in told["reasons"])
    assert told["read_as"]["converted"] == "bought"
    assert "visits" in told["attributes"]
    json.dumps(told)


def test_what_is_not_finite_is_null_for_programs(report: BacktestReport) -> None:
    scores = tuple(replace(one, metrics={"log_loss": float("nan")}) for one in report.trained.backtest.scores)
    trained = replace(report.trained, backtest=replace(report.trained.backtest, scores=scores))
    told = document(replace(report, trained=trained))
    assert {one["metrics"]["log_loss"] for one in told["candidates"]} == {None}
    json.dumps(told, allow_nan=False)


def test_what_is_personal_excluded_or_empty_is_left_out_and_said(report: BacktestReport) -> None:
    assert "email is left out as personal data: its name suggests personal data" in report.prepared.problems
    assert "a@b.example" not in json.dumps(report.prepared.training["attributes"].to_list())
    assert "excluded" in report.trained.dropped["is_mobile"]


def test_codes_with_leading_zeros_stay_text(report: BacktestReport) -> None:
    first = json.loads(report.prepared.training["attributes"][0])
    assert first["code"] == "007"
    assert isinstance(first["visits"], int)


def test_the_card_and_the_pictures_are_written(report: BacktestReport, tmp_path: Path) -> None:
    written = write(report, tmp_path / "new" / "folder")
    assert [path.name for path in written] == ["backtest.png", "model-card.md"]
    assert written[0].read_bytes().startswith(b"\x89PNG")
    card = written[1].read_text()
    assert "leads.csv" in card and "logistic" in card


def test_the_same_file_gives_the_same_report(report: BacktestReport) -> None:
    again = backtest(report.asked, NOW)
    assert document(again) == document(report)
    assert again.pictures == report.pictures


@pytest.mark.parametrize(
    ("use_case", "config", "said"),
    [
        ("lead_score", TrainConfig(candidates=("oracle",)), "oracle.*allowed: base_rate, logistic"),
        ("weather", TrainConfig(), "'weather' is not allowed; allowed: attendance, pricing, lead_score"),
        ("attendance", TrainConfig(), r"lacks starts_at .*; its columns are .*bought"),
    ],
)
def test_what_is_not_allowed_is_named(file: Path, use_case: str, config: TrainConfig, said: str) -> None:
    columns = {"converted": "bought"} if use_case == "lead_score" else {}
    with pytest.raises(InvalidInput, match=said):
        backtest(_asked(use_case, file, columns=columns, config=config), NOW)


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"timezone": "Mars/Base"}, "Mars/Base"), ({"currency": "GOLD"}, "GOLD"), ({"region": "Bavaria"}, "Bavaria")],
)
def test_settings_are_held_to_a_partners_rules(file: Path, settings: dict[str, str], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        prepare(_asked("lead_score", file, columns={"converted": "bought"}, **settings), NOW)


def test_one_class_and_two_rows_are_not_enough_and_say_what_is(tmp_path: Path) -> None:
    same = _write(tmp_path, "same.csv", "converted,x\n" + "0,1\n" * 600)
    with pytest.raises(NotReady, match="0 of 120 conversions"):
        backtest(_asked("lead_score", same), NOW)
    for use_case, text in (
        ("lead_score", "converted,x\n1,2\n0,3\n"),
        ("attendance", "at,attendance\n2024-01-01,5\n2024-01-02,6\n"),
        ("pricing", "date,product,quantity,price\n2024-01-01,tea,5,1\n2024-01-02,tea,6,2\n"),
    ):
        with pytest.raises(NotReady, match=r"\d+ of \d+"):
            backtest(_asked(use_case, _write(tmp_path, "two.csv", text)), NOW)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("empty.csv", "", "the header must name each column once"),
        ("header.csv", "at,attendance\n", "the file has no rows"),
        ("wide.csv", "at,attendance\n2024-01-01,5,6\n", "wide.csv, line 1: 1 cells more than the header has"),
        (
            "bad.csv",
            "at,attendance\n2024-01-01,5\nsoon,6\n",
            "line 2, column at: 'soon' is not allowed; allowed: a date",
        ),
        ("bad.ndjson", '{"at": "2024-01-01", "attendance": 5}\n[1]\n', "bad.ndjson, line 2: not a JSON object"),
        ("empty.ndjson", "", "the file has no rows"),
        ("table.xlsx", "at", r"'table\.xlsx' is not allowed; allowed: \.csv, \.parquet"),
        ("none.parquet", "no parquet", "none.parquet: not a Parquet file"),
    ],
)
def test_broken_files_say_what_is_wrong_with_them(tmp_path: Path, name: str, text: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        prepare(_asked("attendance", _write(tmp_path, name, text)), NOW)


def test_canonical_events_are_read_as_load_reads_them(tmp_path: Path) -> None:
    lines = ["native_id,starts_at,timezone,status,attendance,venue.name,venue.capacity,act,updated_at"]
    lines += [
        "e1,2026-01-06T19:00:00Z,Europe/Berlin,completed,120,Hall,200,jazz,2026-01-07T00:00:00Z",
        "e1,2026-01-06T19:00:00Z,Europe/Berlin,completed,100,Hall,200,jazz,2026-01-06T00:00:00Z",
        "e2,2026-01-07T19:00:00Z,Europe/Berlin,finished,90,Hall,200,rock,",
    ]
    found, context = prepare(_asked("attendance", _write(tmp_path, "e.csv", "\n".join(lines)), region="DE-BW"), NOW)
    assert found.training.select("event_id", "attendance", "venue_name", "capacity", "attributes").rows() == [
        ("e1", 120.0, "Hall", 200, '{"act": "jazz"}')
    ]
    assert found.training["holiday_name"].is_not_null().all()
    assert found.problems[0].startswith("1 of 3 records cannot be read: line 3, status: Invalid enum value 'finished'")
    assert context.as_of == found.as_of


def test_a_file_of_which_nothing_can_be_read_is_refused(tmp_path: Path) -> None:
    text = "native_id,starts_at,timezone,status\n" + "e,never,Mars,lost\n" * 7
    with pytest.raises(InvalidInput, match=r"none of 7 events can be read: line 1, .*; 2 more$"):
        prepare(_asked("attendance", _write(tmp_path, "e.csv", text)), NOW)


def test_canonical_sales_bring_their_own_currency(tmp_path: Path) -> None:
    sale = {
        "native_id": "s", "product": "tea", "sold_at": "2026-01-05T10:00:00Z", "quantity": 2, "unit_price": "3.50",
        "currency": "JPY", "status": "paid",
    }  # fmt: skip
    rows = [{**sale, "native_id": f"s{i}", "currency": "USD" if i == 2 else "JPY"} for i in range(3)]
    path = _write(tmp_path, "s.ndjson", "\n".join(map(json.dumps, rows)))
    found, context = prepare(_asked("pricing", path), NOW)
    assert context.currency == "JPY"
    assert found.training["quantity"].to_list() == [4.0]
    assert found.problems == ["1 of 3 rows are left out: their currency is not JPY"]
    with pytest.raises(InvalidInput, match="columns are given for plain tables alone"):
        prepare(_asked("pricing", path, columns={"product": "native_id"}), NOW)


def test_parquet_keeps_its_types_and_nested_objects_their_dots(tmp_path: Path) -> None:
    days = [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=i) for i in range(3)]
    frame = pl.DataFrame({"at": days, "attendance": [1.5, None, 3.0], "weather": [{"rain": True}] * 3})
    frame.write_parquet(tmp_path / "t.parquet")
    found, _ = prepare(_asked("attendance", tmp_path / "t.parquet"), NOW)
    assert found.training["attendance"].to_list() == [1.5, 3.0]
    assert found.training["attributes"].to_list() == ['{"weather.rain": true}'] * 2
    assert found.training["is_holiday"].to_list() == [False, False]
