"""Dropped files in a real folder: landed once, gone on with after a break, reported, and nothing read outside the drop."""

import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from sqlalchemy import text

from integrator.contracts.errors import Forbidden, InvalidInput, NotFound, Unavailable
from integrator.settings import Settings
from integrator.steps import files
from integrator.steps.services import Services
from integrator.storage import files_ledger, landing, partners
from integrator.storage.files_drop import Drop
from integrator.storage.partners import Partner
from tests.conftest import NOW

SALE = {
    "product": "ticket", "sold_at": "2026-03-01T10:00:00Z", "quantity": 1, "unit_price": "12.50", "currency": "EUR",
    "status": "paid",
}  # fmt: skip
MAPPING = """
kind: sale
fields:
  native_id: $.Order
  product: $.Item
  sold_at: date($.When, "Europe/Berlin", "%d.%m.%Y %H:%M")
  quantity: $.Pieces
  unit_price: $.Price
  currency: "'EUR'"
  status: {from: $.State, map: {bezahlt: paid}}
"""
Put = Callable[..., Path]


@pytest.fixture
def dropped(database: Any, server: Any, tmp_path: Path) -> Services:
    """Services with a drop of the test's own, and two partners of its own."""
    settings = Settings(home=server.home, drop_url=tmp_path.as_uri(), drop_settle_seconds=30)
    services = Services(settings, database, server.redis_url, lambda: NOW)
    for name in ("alpha", "beta"):
        partners.register(database, Partner(partner=name, timezone="Europe/Berlin", currency="EUR", region="DE"), NOW)
        with database.partner(name) as connection:
            for table in ("landing.sale", "landing.event", "landing.quarantine", "ops.dropped_file"):
                connection.execute(text(f"delete from {table} where partner = :name"), {"name": name})
    return services


@pytest.fixture
def put(tmp_path: Path) -> Put:
    """Writes a file below the drop, an hour old unless said; gives its path."""

    def write(path: str, content: str | bytes, *, age: float = 3600.0) -> Path:
        where = tmp_path / path
        where.parent.mkdir(parents=True, exist_ok=True)
        where.write_bytes(content.encode() if isinstance(content, str) else content)
        moment = time.time() - age
        os.utime(where, (moment, moment))
        return where

    return write


def lines(*ids: str, **changes: Any) -> str:
    return "".join(json.dumps({"native_id": one, **SALE, **changes}) + "\n" for one in ids)


def report(path: Path) -> Any:
    return json.loads(Path(f"{path}.report.json").read_text())


def sales(services: Services, partner: str = "alpha", table: str = "sale") -> list[str]:
    with services.database.partner(partner) as connection:
        return list(
            connection.execute(
                text(f"select native_id from landing.{table} where partner = :partner order by version_id"),
                {"partner": partner},
            ).scalars()
        )


def statuses(found: files.FilesReport) -> dict[str, str]:
    return {entry.path: entry.status for entry in found.entries}


def test_each_format_lands_once_and_is_reported(dropped: Services, put: Put, tmp_path: Path) -> None:
    csv = put("alpha/sales/a.csv", "native_id,product,sold_at,quantity,unit_price,currency,status,colour\n"
              "c1,ticket,2026-03-01T10:00:00Z,2,9.50,EUR,paid,red\nc2,ticket,soon,2,9.50,EUR,paid,red\n")  # fmt: skip
    put("alpha/sales/2026/03/b.ndjson", lines("n1") + "\n" + lines("n2") + "{broken\n")
    table = put("alpha/sales/c.parquet", b"")
    pl.DataFrame([{"native_id": "p1", **SALE}]).write_parquet(table)
    os.utime(table, (1, 1))
    put("beta/sales/d.csv", "native_id\nx\n")
    found = files.land(dropped, "alpha")
    assert statuses(found) == dict.fromkeys(
        ["alpha/sales/2026/03/b.ndjson", "alpha/sales/a.csv", "alpha/sales/c.parquet"], "landed"
    )
    assert (found.landed.accepted, found.landed.quarantined) == (4, 2)
    assert sorted(sales(dropped)) == ["c1", "n1", "n2", "p1"] and sales(dropped, "beta") == []
    told = report(csv)
    assert (told["status"], told["kind"], told["accepted"], told["quarantined"]) == ("landed", "sales", 1, 1)
    assert [(e["line"], e["field"], e["value"]) for e in told["errors"]] == [(2, "sold_at", "soon")]
    assert [e["line"] for e in report(tmp_path / "alpha/sales/2026/03/b.ndjson")["errors"]] == [4]
    assert files.land(dropped, "alpha").entries == () and files.waiting(dropped, "alpha") == []


def test_a_touched_file_is_not_landed_again_and_a_changed_one_is(dropped: Services, put: Put) -> None:
    put("alpha/sales/a.ndjson", lines("s1"))
    files.land(dropped, "alpha")
    put("alpha/sales/a.ndjson", lines("s1"), age=100)
    assert [one.file.path for one in files.waiting(dropped, "alpha")] == ["alpha/sales/a.ndjson"]
    assert files.land(dropped, "alpha").entries == () and files.waiting(dropped, "alpha") == []
    changed = put("alpha/sales/a.ndjson", lines("s1", "s2"), age=50)
    (entry,) = files.land(dropped, "alpha").entries
    assert (entry.accepted, entry.unchanged) == (1, 1) and report(changed)["accepted"] == 1
    put("alpha/sales/a.ndjson", lines("s1"), age=40)
    assert files.land(dropped, "alpha").entries[0].unchanged == 1, "what it was before the last change is a change too"
    with dropped.database.partner("alpha") as connection:
        assert [e.file_id for e in files_ledger.history(connection, "alpha")] == sorted(
            (e.file_id for e in files_ledger.history(connection, "alpha")), reverse=True
        )
        assert (
            len(files_ledger.history(connection, "alpha")) == 3 and len(files_ledger.newest(connection, "alpha")) == 1
        )
        assert files_ledger.newest(connection, "beta") == {}


def test_what_is_still_being_written_is_left(dropped: Services, put: Put, tmp_path: Path) -> None:
    growing = put("alpha/sales/growing.ndjson", lines("g1"), age=5)
    for name in (".hidden.ndjson", "up.ndjson.part", "up.csv.tmp", "notes.md", "~x.csv~"):
        put(f"alpha/sales/{name}", lines("no"))
    assert files.land(dropped, "alpha").entries == ()
    (tmp_path / "alpha/sales/growing.ndjson.done").touch()
    assert statuses(files.land(dropped, "alpha")) == {"alpha/sales/growing.ndjson": "landed"}
    put("alpha/sales/fresh.ndjson", lines("g2"), age=0)
    assert statuses(files.land(dropped, "alpha", at_once=True)) == {"alpha/sales/fresh.ndjson": "landed"}
    assert sales(dropped) == ["g1", "g2"] and growing.exists(), "files stay where they are"


def test_a_file_that_changes_while_it_is_read_is_left_for_the_next_look(
    dropped: Services, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put("alpha/sales/a.ndjson", lines("s1"))
    fetch = Drop.fetch

    def meanwhile(self: Drop, file: Any, to: Path) -> bytes:
        path.write_text(lines("s1", "s2"))
        return fetch(self, file, to)

    monkeypatch.setattr(Drop, "fetch", meanwhile)
    assert files.land(dropped, "alpha").entries == () and sales(dropped) == []
    monkeypatch.undo()
    assert files.land(dropped, "alpha", at_once=True).landed.accepted == 2


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.xlsx", b"PK", "allowed: .csv, .parquet, .ndjson, .jsonl"),
        ("a.parquet", b"PAR1 and no more", "a.parquet: not a Parquet file"),
        ("a.csv", b"x,x\n1,2\n", "the header must name each column once"),
        ("a.csv", b"", "the header"),
        ("a.ndjson", b"{" + b" " * (2**22 + 1), "a line is longer"),
        ("a.csv", b"native_id\n" + b"x" * (2**22 + 1), "a.csv: "),
    ],
)
def test_a_broken_file_is_reported_and_not_tried_again(
    dropped: Services, put: Put, name: str, content: bytes, reason: str
) -> None:
    path = put(f"alpha/sales/{name}", content)
    put("alpha/sales/good.ndjson", lines("s1"))
    found = files.land(dropped, "alpha")
    assert statuses(found) == {f"alpha/sales/{name}": "broken", "alpha/sales/good.ndjson": "landed"}
    assert report(path)["status"] == "broken" and reason in report(path)["reason"], report(path)
    assert files.waiting(dropped, "alpha") == [] and sales(dropped) == ["s1"]


def test_a_mapping_reads_foreign_columns_and_a_mended_one_tries_again(dropped: Services, put: Put) -> None:
    put("alpha/export/mapping.yaml", "kind: sale\nfields: {native_id: $.Order, nonsense: $.x}\n")
    path = put("alpha/export/till.csv", "Order,Item,When,Pieces,Price,State\n77,Tea,05.03.2026 18:30,2,3.20,bezahlt\n"
               "78,Tea,05.03.2026 18:31,2,3.20,storniert\n")  # fmt: skip
    assert statuses(files.land(dropped, "alpha")) == {"alpha/export/till.csv": "broken"}
    assert "nonsense" in report(path)["reason"]
    put("alpha/export/mapping.yaml", MAPPING)
    (entry,) = files.land(dropped, "alpha").entries
    assert (entry.status, entry.kind, entry.accepted, entry.quarantined) == ("landed", "sale", 1, 1)
    assert [(e["line"], e["field"], e["value"]) for e in report(path)["errors"]] == [(2, "status", "storniert")]
    assert sales(dropped) == ["77"]
    put("alpha/export/mapping.yaml", MAPPING + "  tier: $.Item\n")
    assert files.waiting(dropped, "alpha") == [], "what landed stays landed: old files would overtake new ones"


def test_a_file_whose_kind_is_not_said_is_broken_and_says_what_to_do(dropped: Services, put: Put) -> None:
    for path in (put("alpha/loose.csv", "native_id\n1\n"), put("alpha/orders/a.csv", "native_id\n1\n")):
        assert path.exists()
    found = files.land(dropped, "alpha")
    assert set(statuses(found).values()) == {"broken"}
    assert "events, contacts, sales, or a mapping.yaml" in report(path)["reason"]
    put("alpha/mapping.yaml", MAPPING)
    assert len(files.waiting(dropped, "alpha")) == 2, "the partner's own mapping is for all that has none nearer"


def test_a_landing_that_was_broken_off_goes_on_behind_its_last_batch(
    dropped: Services, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "BATCH", 2)
    put("alpha/sales/a.ndjson", lines("s1", "s2", "s3", "s4", "s5") + "broken\n")
    land, calls = landing.land, []

    def third_fails(*args: Any, **how: Any) -> Any:
        calls.append(args)
        if len(calls) == 3:
            raise Unavailable("PostgreSQL went away")
        return land(*args, **how)

    monkeypatch.setattr(landing, "land", third_fails)
    with pytest.raises(Unavailable):
        files.land(dropped, "alpha")
    assert sales(dropped) == ["s1", "s2", "s3", "s4"]
    (entry,) = files.land(dropped, "alpha").entries
    assert len(calls) == 4, "two batches stand, the third is done again"
    assert (entry.accepted, entry.quarantined, entry.attempts) == (5, 1, 1)
    assert [e["line"] for e in entry.errors] == [6] and sales(dropped) == ["s1", "s2", "s3", "s4", "s5"]


def test_a_file_that_changed_after_a_break_starts_anew(
    dropped: Services, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "BATCH", 1)
    put("alpha/sales/a.ndjson", lines("s1", "s2"))
    with monkeypatch.context() as patch:
        patch.setattr(landing, "land", _once(landing.land))
        with pytest.raises(Unavailable):
            files.land(dropped, "alpha")
    put("alpha/sales/a.ndjson", lines("t1", "t2"), age=200)
    (entry,) = files.land(dropped, "alpha").entries
    assert entry.accepted == 2 and sales(dropped) == ["s1", "t1", "t2"]


def _once(land: Any) -> Any:
    calls: list[None] = []

    def once(*args: Any, **how: Any) -> Any:
        calls.append(None)
        if len(calls) > 1:
            raise Unavailable("gone")
        return land(*args, **how)

    return once


def test_what_no_error_class_foresaw_is_tried_three_times_and_harms_no_other_file(
    dropped: Services, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("alpha/sales/a.ndjson", lines("s1"))
    put("alpha/sales/b.csv", "native_id\nx\n")
    batches = files.files.batches

    def of_csv(path: Path, *rest: Any) -> Any:
        if path.suffix == ".ndjson":
            raise ZeroDivisionError("nobody thought of it")
        return batches(path, *rest)

    monkeypatch.setattr(files.files, "batches", of_csv)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            files.land(dropped, "alpha")
    (entry,) = files.land(dropped, "alpha").entries
    assert (entry.status, entry.reason) == ("broken", "it cannot be read: ZeroDivisionError")
    assert files.waiting(dropped, "alpha") == []
    with dropped.database.partner("alpha") as connection:
        assert files_ledger.newest(connection, "alpha")["alpha/sales/b.csv"].quarantined == 1


def test_links_and_climbing_names_lead_nowhere(dropped: Services, put: Put, tmp_path: Path) -> None:
    secret = put("beta/sales/secret.ndjson", lines("secret"))
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.mkdir()
    (outside / "o.ndjson").write_text(lines("outside"))
    put("alpha/sales/ok.ndjson", lines("ok"))
    (tmp_path / "alpha/sales/file.ndjson").symlink_to(secret)
    (tmp_path / "alpha/events").symlink_to(secret.parent)
    (tmp_path / "alpha/contacts").symlink_to(outside)
    assert statuses(files.land(dropped, "alpha", at_once=True)) == {"alpha/sales/ok.ndjson": "landed"}
    assert sales(dropped) == ["ok"]
    drop = files.open_drop(dropped)
    assert drop is not None
    for bad in ("..", "alpha/../beta", "", "Alpha", "a b"):
        with pytest.raises(InvalidInput):
            drop.files(bad)
    with pytest.raises(InvalidInput, match=r"without \. and \.\."):
        drop.report("alpha/../beta/sales/secret.ndjson", {})


def test_a_folder_that_becomes_a_link_between_look_and_read_is_not_followed(
    dropped: Services, put: Put, tmp_path: Path
) -> None:
    put("alpha/sales/a.ndjson", lines("mine"))
    put("beta/sales/a.ndjson", lines("theirs"))
    (one,) = files.waiting(dropped, "alpha")
    (tmp_path / "alpha/sales").rename(tmp_path / "alpha/old")
    (tmp_path / "alpha/sales").symlink_to(tmp_path / "beta/sales")
    drop = files.open_drop(dropped)
    assert drop is not None and files._land_one(dropped, drop, one) is None
    assert sales(dropped) == [] and not (tmp_path / "beta/sales/a.ndjson.report.json").exists()


def test_a_link_in_the_report_s_place_is_replaced_and_not_followed(dropped: Services, put: Put, tmp_path: Path) -> None:
    victim = put("beta/keep.md", "mine")
    path = put("alpha/sales/a.ndjson", lines("s1"))
    Path(f"{path}.report.json").symlink_to(victim)
    Path(f"{path}.report.json.tmp").symlink_to(victim)
    files.land(dropped, "alpha")
    assert victim.read_text() == "mine" and report(path)["accepted"] == 1


def test_a_report_that_was_not_written_is_written_by_the_next_pass(
    dropped: Services, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put("alpha/sales/a.ndjson", lines("s1"))
    with monkeypatch.context() as patch:
        patch.setattr(Drop, "report", _raising(Unavailable("busy")))
        assert files.land(dropped, "alpha").landed.accepted == 1
    assert not Path(f"{path}.report.json").exists()
    files.land(dropped, "alpha")
    assert report(path)["accepted"] == 1
    put("alpha/sales/b.ndjson", lines("s2"))
    monkeypatch.setattr(Drop, "report", _raising(Forbidden("read-only")))
    files.land(dropped, "alpha")
    assert files.unreported(dropped, "alpha") == [], "a drop that may only be read is not asked for ever"


def _raising(error: Exception) -> Any:
    def fail(*_: Any) -> None:
        raise error

    return fail


def test_without_a_drop_there_are_no_files(dropped: Services) -> None:
    bare = replace(dropped, settings=Settings(home=dropped.settings.home))
    assert files.waiting(bare, "alpha") == []
    with pytest.raises(NotFound, match="INTEGRATOR_DROP_URL"):
        files.land(bare, "alpha")


@pytest.mark.parametrize("url", ["nonsense://x", "ftp://user:secret@host/x", "file:///", "memory://"])
def test_an_address_that_is_none_is_refused(dropped: Services, url: str) -> None:
    wrong = replace(dropped, settings=Settings(home=dropped.settings.home, drop_url=url))
    with pytest.raises(InvalidInput, match="INTEGRATOR_DROP_URL") as refused:
        files.waiting(wrong, "alpha")
    assert "secret" not in str(refused.value)


def test_options_that_are_no_json_object_are_refused_without_being_shown() -> None:
    for options in ("{secret", "[1]"):
        with pytest.raises(InvalidInput) as caught:
            Drop("file:///tmp/x", options)
        assert "secret" not in str(caught.value)


def test_two_kinds_are_landed_apart_and_what_has_none_goes_with_events(dropped: Services, put: Put) -> None:
    put("alpha/sales/a.ndjson", lines("s1"))
    put("alpha/loose.csv", "x\n1\n")
    assert statuses(files.land(dropped, "alpha", "sale")) == {"alpha/sales/a.ndjson": "landed"}
    assert files.land(dropped, "alpha", "contact").entries == ()
    assert statuses(files.land(dropped, "alpha", "event")) == {"alpha/loose.csv": "broken"}
