"""Small readings landed together: the same versions, counts and refusals as one after another, or not at all."""

import json
from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, text

from integrator.contracts.records import LandingResult
from integrator.storage import landing, quarantine
from integrator.storage.crypto import decrypt
from integrator.storage.database import Database
from integrator.storage.landing_personal import ERASED, vault_purpose
from integrator.storage.landing_reading import Reading, read_body
from integrator.storage.landing_together import Apart, land_together
from integrator.storage.partners import DataKey, Partner, data_key, register
from integrator.storage.personal import identity_hash
from tests.conftest import NOW

P, OTHER = "together", "asunder"
COLUMNS = "native_id, quantity, unit_price, attributes, arrived_at, valid_from, valid_to, record_hash, currency, tier"


@pytest.fixture(scope="module", autouse=True)
def partner(database: Database) -> Iterator[None]:
    for name in (P, OTHER):
        register(database, Partner(partner=name, timezone="Europe/Berlin", currency="EUR", region="DE"), NOW)
    yield


def sale(native_id: str, **facts: Any) -> dict[str, Any]:
    return {"native_id": native_id, "product": "p", "sold_at": "2026-03-01T12:00:00Z", "quantity": 1,
            "unit_price": "1.50", "currency": "EUR", "status": "paid", **facts}  # fmt: skip


def contact(native_id: str, **facts: Any) -> dict[str, Any]:
    return {"native_id": native_id, "created_at": "2026-01-05T10:00:00Z", "stage": "lead", **facts}


def reading(*records: Any, kind: str = "sale") -> Reading:
    return read_body(kind, b"\n".join(json.dumps(record).encode() for record in records), "ndjson")


def land(database: Database, *readings: Reading, partner: str = P, **more: Any) -> list[LandingResult]:
    return land_together(database, partner, more.pop("platform", "direct"), readings, now=more.pop("now", NOW), **more)


def counts(results: Sequence[LandingResult]) -> list[tuple[int, int, int]]:
    return [(result.accepted, result.unchanged, result.quarantined) for result in results]


def rows(database: Database, where: str, kind: str = "sale", columns: str = COLUMNS, **facts: Any) -> list[Any]:
    with database.partner(P) as connection:
        found = connection.execute(
            text(
                f"select {columns} from landing.{kind} where partner = :p and {where} order by native_id, valid_from, version_id"
            ),
            {"p": P, **facts},
        )
        return [tuple(row) for row in found]


def test_each_has_its_own_counts_and_lines(database: Database) -> None:
    first = reading(sale("c1"), sale("c2", currency="XXZ"), sale("c3"))
    second = reading(sale("c4", quantity=-1))
    third = read_body("sale", b'[{"broken": 1}, ' + json.dumps(sale("c5")).encode() + b"]", "array")
    found = land(database, first, second, third)
    assert counts(found) == [(2, 0, 1), (0, 0, 1), (1, 0, 1)]
    assert [[(e.line, e.field) for e in one.errors] for one in found] == [
        [(2, "currency")],
        [(1, "quantity")],
        [(1, "broken")],
    ]
    assert [row[0] for row in rows(database, "native_id like 'c_'")] == ["c1", "c3", "c5"]
    assert len(set(rows(database, "native_id like 'c_'", columns="txid"))) == 1, "one transaction"
    with database.partner(P) as connection:
        assert {"c2", "c4"} <= {entry.native_id for entry in quarantine.waiting(connection, P)}
    assert counts(land(database, first, second, third)) == [(0, 2, 1), (0, 0, 1), (0, 1, 1)]


def test_the_same_records_make_the_same_rows_as_the_long_way(database: Database) -> None:
    """Every field, and every character JSON and CSV treat in their own ways."""
    odd = 'quote " back\\slash\ttab\nline, comma \x01 ü \u2028 null'
    full = dict(
        event_id="e", contact_id=odd, tier=odd, list_price="3.000000001", unit_cost="0", refunded_quantity=1,
        refunded_amount="1.5", channel="null", updated_at="2026-03-02T12:00:00.123456+02:00",
        attributes={"a": odd, "n": 1.5, "b": True, "z": None, "i": 7},
    )  # fmt: skip
    for name, facts in (("plain", {}), ("full", full), ("gone", {"deleted_at": "2026-03-03T00:00:00Z"})):
        land(database, reading(sale(f"x-{name}", **facts)), platform="short")
        landing.land(database, P, "long", reading(sale(f"x-{name}", **facts)), now=NOW)
    every = "to_jsonb(sale) - array['version_id', 'platform', 'txid']"
    short, long = (rows(database, "platform = :on", columns=every, on=on) for on in ("short", "long"))
    assert short == long and len(short) == 3


def test_a_change_closes_what_was_and_a_late_one_is_for_the_long_way(database: Database) -> None:
    def at(day: int, quantity: int) -> Reading:
        return reading(sale("v1", quantity=quantity, updated_at=f"2026-03-{day:02}T00:00:00Z"))

    assert counts(land(database, at(5, 1))) == [(1, 0, 0)]
    assert counts(land(database, at(6, 2), reading(sale("v2")))) == [(1, 0, 0), (1, 0, 0)]
    assert counts(land(database, at(6, 2))) == [(0, 1, 0)], "equal to the one before"
    with pytest.raises(Apart):
        land(database, at(4, 9), reading(sale("v3")))
    versions = rows(database, "native_id like 'v_'", columns="native_id, quantity, valid_to is null")
    assert versions == [("v1", 1, False), ("v1", 2, True), ("v2", 1, True)], "and nothing of it is left"


def test_a_key_in_two_of_them_is_for_the_long_way(database: Database) -> None:
    for readings in ((reading(sale("k1")), reading(sale("k1"))), (reading(sale("k1"), sale("k1", quantity=2)),)):
        with pytest.raises(Apart):
            land(database, *readings)
    assert not rows(database, "native_id = 'k1'")


KEY = count()


@given(
    st.lists(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 3), st.integers(0, 4)), max_size=3), max_size=4)
)
@settings(max_examples=60, deadline=None)
def test_groups_land_as_one_after_another_would(database: Database, groups: list[list[tuple[str, int, int]]]) -> None:
    """Each inner list is pushed at once, a record each; what cannot go together goes alone, as the step does it."""
    run = f"h{next(KEY)}"
    for place, group in enumerate(groups):
        now = NOW + timedelta(minutes=place)
        readings = [
            reading(sale(f"{run}-{key}", quantity=quantity, updated_at=f"2026-03-0{day + 1}T00:00:00Z"))
            for key, quantity, day in group
        ]
        one_by_one = [landing.land(database, P, "alone", one, now=now) for one in readings]
        if readings:
            try:
                together = land(database, *readings, platform="grouped", now=now)
            except Apart:
                together = [landing.land(database, P, "grouped", one, now=now) for one in readings]
            assert counts(together) == counts(one_by_one)
    found = [
        rows(database, "platform = :on and native_id like :ids", on=on, ids=f"{run}-%") for on in ("grouped", "alone")
    ]
    assert found[0] == found[1]


def test_persons_go_to_the_vault_and_attributes_are_judged(database: Database) -> None:
    one = contact("p1", email="ada@example.org", name="Ada", attributes={"home_address": "Elm 1", "tier": "gold"})
    two = contact("p2", phone="+49 30 1234567", attributes={"tier": "silver", "mail": "x@y.org"})
    assert counts(land(database, reading(one, kind="contact"), reading(two, kind="contact"))) == [(1, 0, 0)] * 2
    assert rows(database, "native_id like 'p_'", "contact", "native_id, attributes, email_hash is null, phone_hash is null") == [
        ("p1", {"tier": "gold"}, False, True), ("p2", {"tier": "silver"}, True, False),
    ]  # fmt: skip
    with database.partner(P) as connection:
        sealed = connection.execute(
            text("select native_id, key_id, ciphertext from vault.personal where partner = :p and native_id like 'p_'"),
            {"p": P},
        ).all()
        key = data_key(connection, database.master, P)
    opened = {
        row.native_id: json.loads(decrypt(key.raw, bytes(row.ciphertext), vault_purpose(P, "contact")))
        for row in sealed
    }
    assert opened["p1"]["email"] == "ada@example.org" and opened["p1"]["attributes"] == {"home_address": "Elm 1"}
    assert opened["p2"]["attributes"] == {"mail": "x@y.org"} and {row.key_id for row in sealed} == {key.key_id}
    allowed = land(
        database, reading(contact("p3", attributes={"mail": "x@y.org"}), kind="contact"), allowed_attributes=["mail"]
    )
    assert counts(allowed) == [(1, 0, 0)]
    assert rows(database, "native_id = 'p3'", "contact", "attributes") == [({"mail": "x@y.org"},)]


def test_who_was_erased_is_refused_by_id_mail_and_phone(database: Database) -> None:
    key = database.master.derive(f"identity:{P}")
    tombs = [
        ("native", "contact/direct/e1"),
        ("email", "gone@example.org"),
        ("phone", "+49 30 7654321"),
        ("native", "sale/direct/e9"),
    ]
    with database.partner(P) as connection:
        for kind, value in tombs:
            connection.execute(
                text("insert into integrator.tombstone (partner, identity_hash, erased_at) values (:p, :hash, :now)"),
                {"p": P, "hash": identity_hash(key, kind, value), "now": NOW},
            )
    mine = reading(contact("e1"), contact("e2", email="Gone@Example.org"), contact("e3"), kind="contact")
    yours = reading(contact("e4", phone="+49 30 7654321"), kind="contact")
    found = land(database, mine, yours)
    assert counts(found) == [(1, 0, 2), (0, 0, 1)]
    assert [[(e.line, e.reason) for e in one.errors] for one in found] == [[(1, ERASED), (2, ERASED)], [(1, ERASED)]]
    assert rows(database, "native_id like 'e_'", "contact", "native_id") == [("e3",)]
    assert counts(land(database, reading(sale("e9")), reading(sale("e8")))) == [(0, 0, 1), (1, 0, 0)]


def test_within_has_the_last_word_and_the_key(database: Database) -> None:
    seen: list[Any] = []

    def within(connection: Connection, key: DataKey, results: Sequence[LandingResult]) -> None:
        seen.append((data_key(connection, database.master, P) == key, counts(results)))
        if len(seen) == 2:
            raise ZeroDivisionError

    land(database, reading(sale("w1")), within=within)
    with pytest.raises(ZeroDivisionError):
        land(database, reading(sale("w2", currency="no"), sale("w3")), within=within)
    assert seen == [(True, [(1, 0, 0)]), (True, [(1, 0, 1)])]
    assert [row[0] for row in rows(database, "native_id like 'w_'")] == ["w1"]
    with database.partner(P) as connection:
        assert "w2" not in {entry.native_id for entry in quarantine.waiting(connection, P)}


def test_a_partner_is_bound_for_one_transaction_only(database: Database) -> None:
    land(database, reading(sale("t1")), partner=OTHER)
    assert not rows(database, "native_id = 't1'")
    with database.service() as connection:
        assert connection.execute(text("select count(*) from landing.sale")).scalar_one() == 0, "no tenant's row"
    with database.batch() as connection:
        owners: Sequence[str] = (
            connection.execute(text("select partner from landing.sale where native_id = 't1'")).scalars().all()
        )
    assert owners == [OTHER]


def test_nothing_but_refusals_is_landed_too(database: Database) -> None:
    assert counts(land(database, reading({"native_id": "n1"}), reading("n2"))) == [(0, 0, 1), (0, 0, 1)]
