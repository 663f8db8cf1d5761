"""Bodies into a real PostgreSQL: what the fast way lands is what the rule of versions says, whatever the batch."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, text

from integrator.contracts.errors import InvalidInput
from integrator.contracts.records import LandingResult
from integrator.storage import quarantine
from integrator.storage.database import Database
from integrator.storage.landing_body import write_body
from integrator.storage.partners import Partner, register
from integrator.storage.personal import identity_hash
from tests.conftest import NOW

P = "pusher"
FAR = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module", autouse=True)
def partner(database: Database) -> Iterator[None]:
    register(database, Partner(partner=P, timezone="Europe/Berlin", currency="EUR", region="DE"), NOW)
    yield


def sale(native_id: str, **facts: Any) -> dict[str, Any]:
    return {"native_id": native_id, "product": "p", "sold_at": "2026-03-01T12:00:00Z", "quantity": 1,
            "unit_price": "1.50", "currency": "EUR", "status": "paid", **facts}  # fmt: skip


def lines(*records: dict[str, Any]) -> bytes:
    return b"\n".join(json.dumps(record).encode() for record in records)


def land(database: Database, body: bytes, **more: Any) -> LandingResult:
    return write_body(
        database, P, "direct", more.pop("kind", "sale"), body, more.pop("form", "ndjson"), now=NOW, **more
    )


def rows(database: Database, native_id: str, columns: str = "*") -> list[Any]:
    with database.partner(P) as connection:
        return list(connection.execute(
            text(f"select {columns} from landing.sale where partner = :p and native_id = :n order by valid_from, version_id"),
            {"p": P, "n": native_id},
        ))  # fmt: skip


def test_a_body_lands_its_good_lines_and_names_the_others(database: Database) -> None:
    body = lines(sale("b1")) + b"\n\n" + lines(sale("b2", status="odd"), sale("b3"), sale("b4")) + b"\n{\n"
    result = land(database, body)
    assert (result.accepted, result.unchanged, result.quarantined) == (3, 0, 2)
    assert [(error.line, error.field, error.value) for error in result.errors] == [
        (3, "status", "odd"),
        (6, None, None),
    ]
    again = land(database, body)
    assert (again.accepted, again.unchanged, again.quarantined) == (0, 3, 2)
    with database.partner(P) as connection:
        newest = quarantine.waiting(connection, P, limit=1)[0]
        assert quarantine.payload(connection, database.master, P, newest.quarantine_id) == b"{"


def test_money_times_and_texts_land_as_they_were_said(database: Database) -> None:
    body = lines(
        sale("exact", tier='a\n"b"\\,\t]\n[', sold_at="2026-03-29T02:30:00+05:30", attributes={"x\n": 'y\\"\n'})
    )
    body = body.replace(b'"1.50"', b"0.1000000000000000055511151231257827")
    assert land(database, body).accepted == 1
    (row,) = rows(database, "exact")
    assert row.unit_price == Decimal("0.1000000000000000055511151231257827")
    assert row.sold_at == datetime(2026, 3, 28, 21, tzinfo=UTC)
    assert row.tier == 'a\n"b"\\,\t]\n['
    assert row.attributes == {"x\n": 'y\\"\n'}
    assert row.refunded_amount == 0
    assert row.list_price is None


def test_the_last_word_before_the_commit_is_in_the_same_transaction(database: Database) -> None:
    seen: list[tuple[int, int]] = []

    def notes(connection: Connection, result: LandingResult) -> None:
        landed: int = connection.execute(
            text("select count(*) from landing.sale where partner = :p and native_id like 'word-%'"), {"p": P}
        ).scalar_one()
        seen.append((landed, result.accepted))

    def fails(connection: Connection, result: LandingResult) -> None:
        raise InvalidInput("not this time")

    with pytest.raises(InvalidInput, match="not this time"):
        land(database, lines(sale("word-1"), {"native_id": 1}), within=fails)
    assert rows(database, "word-1") == []
    assert land(database, lines(sale("word-1"), sale("word-2")), within=notes).accepted == 2
    assert land(database, b"", within=notes) == LandingResult()
    assert seen == [(2, 2), (2, 0)]


def test_no_array_and_no_kind_are_refused(database: Database) -> None:
    with pytest.raises(InvalidInput, match="no JSON array"):
        land(database, lines(sale("x")), form="array")
    with pytest.raises(InvalidInput, match="kind 'tickets' is not allowed"):
        land(database, b"", kind="tickets")
    assert land(database, b"[" + lines(sale("arr")) + b"]", form="array").accepted == 1


def test_records_of_the_erased_stay_out_and_their_neighbours_land(database: Database) -> None:
    gone = identity_hash(database.master.derive(f"identity:{P}"), "native", "sale/direct/gone")
    with database.partner(P) as connection:
        connection.execute(
            text("insert into integrator.tombstone values (:p, :h, :now)"), {"p": P, "h": gone, "now": NOW}
        )
    result = land(database, lines(sale("stays"), sale("gone"), sale("stays too")))
    assert (result.accepted, result.quarantined, result.errors[0].line) == (2, 1, 2)
    assert rows(database, "gone") == []


def test_a_session_keeps_nothing_of_a_batch(database: Database) -> None:
    """Staged rows leave with the transaction, so that the next batch on the same session, of anyone, starts empty."""
    land(database, lines(sale("kept out")))
    with pytest.raises(ZeroDivisionError):
        land(database, lines(sale("rolled back")), within=lambda *_: 1 / 0)
    with database.partner(P) as connection:
        connection.exec_driver_sql("create temporary table if not exists incoming_sale (native_id text)")
        assert connection.execute(text("select count(*) from incoming_sale")).scalar_one() == 0


def test_bodies_at_once_with_the_same_keys_land_once(database: Database) -> None:
    body = lines(*(sale(f"once-{number}", attributes={"a": number % 3} if number % 2 else {}) for number in range(300)))
    plain = lines(*(sale(f"once-{number}") for number in range(300, 600)))
    results: list[LandingResult] = []
    threads = [threading.Thread(target=lambda b=b: results.append(land(database, b))) for b in (body, plain) * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum((result.accepted for result in results), 0) == 600
    assert sum((result.unchanged for result in results), 0) == 1200


@pytest.mark.parametrize("size", [1, 40])
def test_every_batch_reaches_its_keys_by_the_index(database: Database, size: int) -> None:
    """A plan is kept with the session, and may have been made while the table was empty."""
    scans: list[tuple[int, int]] = []

    def count_scans(connection: Connection, _: LandingResult) -> None:
        found = connection.exec_driver_sql(
            "select seq_scan, idx_scan from pg_stat_xact_user_tables where schemaname = 'landing' and relname = 'sale'"
        ).one()
        scans.append((found.seq_scan, found.idx_scan))

    def days(day: int) -> bytes:
        moment = (FAR + timedelta(days=day)).isoformat()
        return lines(*(sale(f"plan{size}-{i}", quantity=day, updated_at=moment) for i in range(size)))

    accepted = [land(database, days(day), within=count_scans).accepted for day in (9, 11, 9, 10, 20, 12, 13, 14, 30)]
    assert accepted == [size, size, 0, *[size] * 6], "new, newer, again, late, …"
    assert [sequential for sequential, _ in scans] == [0] * len(scans)
    assert all(by_index for _, by_index in scans)


_NUMBERS = count()
# (key, day or none, content, with attributes)
_ARRIVAL = st.tuples(
    st.sampled_from("abc"), st.none() | st.integers(0, 5), st.sampled_from(["paid", "pending", "refunded"]), st.booleans()
)  # fmt: skip


def reference(known: list[tuple[datetime, Any]], incoming: list[tuple[datetime, Any]]) -> list[tuple[datetime, Any]]:
    """The rule, word by word: order of validity, then arrival; an incoming one equal to its predecessor is dropped."""
    chain = [(moment, 0, place, content) for place, (moment, content) in enumerate(known)]
    chain += [(moment, 1, place, content) for place, (moment, content) in enumerate(incoming)]
    chain.sort(key=lambda entry: entry[:3])
    kept = []
    for place, (moment, is_new, _, content) in enumerate(chain):
        if not is_new or place == 0 or chain[place - 1][3] != content:
            kept.append((moment, content))
    return kept


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(batches=st.lists(st.lists(_ARRIVAL, max_size=6), min_size=1, max_size=5))
def test_any_batches_give_the_versions_of_the_rule(database: Database, batches: list[list[Any]]) -> None:
    run = next(_NUMBERS)
    known: dict[str, list[tuple[datetime, Any]]] = {}
    for turn, batch in enumerate(batches):
        now = NOW + timedelta(days=turn)
        incoming: dict[str, list[tuple[datetime, Any]]] = {}
        records = []
        for key, day, status, has_attributes in batch:
            moment = None if day is None else FAR + timedelta(days=day)
            attributes = {"seat": "left"} if has_attributes else {}
            updated = {} if moment is None else {"updated_at": moment.isoformat()}
            records.append(sale(f"{run}-{key}", status=status, attributes=attributes, **updated))
            incoming.setdefault(key, []).append((moment or now, (status, has_attributes, moment)))
        before = sum(map(len, known.values()))
        result = write_body(database, P, "direct", "sale", lines(*records), "ndjson", now=now)
        for key, arrivals in incoming.items():
            known[key] = reference(known.get(key, []), arrivals)
        landed = sum(map(len, known.values())) - before
        assert (result.accepted, result.unchanged, result.quarantined) == (landed, len(batch) - landed, 0)
    for key, versions in known.items():
        found = rows(database, f"{run}-{key}")
        ends = [moment for moment, _ in versions[1:]] + [None]
        assert [(row.valid_from, row.valid_to) for row in found] == [
            (moment, end) for (moment, _), end in zip(versions, ends, strict=True)
        ]
        assert [(row.status, bool(row.attributes), row.updated_at) for row in found] == [
            content for _, content in versions
        ]
