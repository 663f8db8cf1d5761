"""Landing on a real PostgreSQL: versions, late arrivals, quarantine, vault, cursor, tombstones."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from integrator.contracts.errors import InvalidInput, NotFound, PermanentError
from integrator.storage import connections, landing, quarantine
from integrator.storage.connections import PlatformConnection
from integrator.storage.crypto import decrypt
from integrator.storage.database import Database
from integrator.storage.landing import CursorUpdate
from integrator.storage.landing_personal import vault_purpose
from integrator.storage.partners import Partner, data_key, register
from integrator.storage.personal import identity_hash

P = "acme"


@pytest.fixture(scope="module", autouse=True)
def partner(database: Database) -> Iterator[None]:
    from tests.conftest import NOW

    register(database, Partner(partner=P, timezone="Europe/Berlin", currency="EUR", region="DE"), NOW)
    yield


def contact(native_id: str, day: int | None = None, **facts: Any) -> dict[str, Any]:
    moment = {"updated_at": f"2026-01-{day:02d}T00:00:00Z"} if day else {}
    return {"native_id": native_id, "created_at": "2026-01-01T00:00:00Z", **moment, **facts}


def versions(database: Database, native_id: str) -> list[tuple[str | None, int, int | None]]:
    """(stage, day from, day to) of every version, in order of validity."""
    with database.partner(P) as connection:
        rows = connection.execute(
            text("""select stage, extract(day from valid_from)::int, extract(day from valid_to)::int from landing.contact
            where partner = :p and native_id = :n order by valid_from, version_id"""),
            {"p": P, "n": native_id},
        ).all()
    return [tuple(row) for row in rows]  # type: ignore[misc]


def write(database: Database, records: list[Any], now: datetime, **kwargs: Any) -> tuple[int, int, int]:
    result = landing.write(database, P, "direct", kwargs.pop("kind", "contact"), records, now=now, **kwargs)
    return result.accepted, result.unchanged, result.quarantined


def test_a_b_a_is_three_versions_and_a_resend_is_none(database: Database, now: datetime) -> None:
    records = [contact("aba", 2, stage="a"), contact("aba", 4, stage="b"), contact("aba", 6, stage="a")]
    assert write(database, records, now) == (3, 0, 0)
    assert versions(database, "aba") == [("a", 2, 4), ("b", 4, 6), ("a", 6, None)]
    assert write(database, records, now) == (0, 3, 0)
    assert write(database, list(reversed(records)), now) == (0, 3, 0)
    assert len(versions(database, "aba")) == 3


def test_a_late_arrival_becomes_history(database: Database, now: datetime) -> None:
    write(database, [contact("late", 9, stage="new")], now)
    assert write(database, [contact("late", 3, stage="old")], now) == (1, 0, 0)
    assert write(database, [contact("late", 5, stage="mid")], now) == (1, 0, 0)
    assert versions(database, "late") == [("old", 3, 5), ("mid", 5, 9), ("new", 9, None)]


def test_the_same_moment_again_with_other_content_takes_over(database: Database, now: datetime) -> None:
    write(database, [contact("fix", 3, stage="typo")], now)
    assert write(database, [contact("fix", 3, stage="right")], now) == (1, 0, 0)
    assert versions(database, "fix") == [("typo", 3, 3), ("right", 3, None)]


def test_without_updated_at_arrival_orders(database: Database, now: datetime) -> None:
    write(database, [contact("arrive", stage="a")], now)
    assert write(database, [contact("arrive", stage="a")], now + timedelta(days=1)) == (0, 1, 0)
    assert write(database, [contact("arrive", stage="b")], now + timedelta(days=2)) == (1, 0, 0)
    assert [stage for stage, _, _ in versions(database, "arrive")] == ["a", "b"]


def test_duplicates_in_one_batch_land_once(database: Database, now: datetime) -> None:
    assert write(database, [contact("dup", 2, stage="x")] * 3, now) == (1, 2, 0)


def test_personal_fields_are_in_the_vault_and_nowhere_else(database: Database, now: datetime) -> None:
    record = contact(
        "ada",
        2,
        email="Ada@Example.org",
        phone="+49 30 1234",
        name="Ada L",
        attributes={"tier": "gold", "home_email": "x@y.example"},
    )
    write(database, [record], now)
    with database.partner(P) as connection:
        row = connection.execute(
            text("select * from landing.contact where partner = :p and native_id = 'ada'"), {"p": P}
        ).one()
        assert row.attributes == {"tier": "gold"}
        assert bytes(row.email_hash) == identity_hash(
            database.master.derive(f"identity:{P}"), "email", "ada@example.org"
        )
        whole = " ".join(str(value) for value in row)
        assert "Ada" not in whole
        assert "y.example" not in whole
        sealed = connection.execute(
            text("select key_id, ciphertext from vault.personal where partner = :p and native_id = 'ada'"), {"p": P}
        ).one()
        assert b"Ada" not in bytes(sealed.ciphertext)
        key = data_key(connection, database.master, P, sealed.key_id)
    assert b"Ada@Example.org" in decrypt(key.raw, bytes(sealed.ciphertext), vault_purpose(P, "contact"))


def test_an_older_record_does_not_overwrite_newer_personal_fields(database: Database, now: datetime) -> None:
    write(database, [contact("mail", 9, email="new@x.example")], now)
    write(database, [contact("mail", 3, email="old@x.example")], now)
    with database.partner(P) as connection:
        sealed = connection.execute(
            text("select ciphertext from vault.personal where partner = :p and native_id = 'mail'"), {"p": P}
        ).scalar_one()
        plain = decrypt(data_key(connection, database.master, P).raw, bytes(sealed), vault_purpose(P, "contact"))
    assert b"new@x.example" in plain


def test_an_attribute_found_personal_later_is_taken_out_of_what_landed(database: Database, now: datetime) -> None:
    write(database, [contact("scrub", 2, attributes={"reach": "shop"})], now)
    write(database, [contact("scrub2", 2, attributes={"reach": "kim@x.example"})], now)
    with database.partner(P) as connection:
        found = connection.execute(
            text("select attributes from landing.contact where partner = :p and native_id in ('scrub', 'scrub2')"),
            {"p": P},
        ).scalars()
        assert list(found) == [{}, {}]
        touched = connection.execute(
            text("select native_id from ops.touched_log where partner = :p and reason = 'attribute to vault'"), {"p": P}
        ).scalars()
        assert "scrub" in list(touched)


def test_bad_records_are_quarantined_encrypted_and_the_rest_lands(database: Database, now: datetime) -> None:
    bad = contact("bad", 2, consent={"processing": "secretly"}, email="kim@x.example")
    result = landing.write(
        database, P, "direct", "contact", [contact("ok1", 2), bad, b"{", contact("ok2", 2)], now=now, first_line=10
    )
    assert (result.accepted, result.quarantined) == (2, 2)
    assert [(error.line, error.field, error.value) for error in result.errors] == [
        (11, "consent.processing", "secretly"),
        (12, None, None),
    ]
    with database.partner(P) as connection:
        waiting = quarantine.waiting(connection, P)
        assert {entry.native_id for entry in waiting} >= {"bad", None}
        raw = connection.execute(
            text("select payload from landing.quarantine where partner = :p and native_id = 'bad'"), {"p": P}
        ).scalar_one()
        assert b"kim" not in bytes(raw)
        number = next(entry.quarantine_id for entry in waiting if entry.native_id == "bad")
        whole = quarantine.payload(connection, database.master, P, number)
        assert whole is not None
        assert b"kim@x.example" in whole
    again = landing.write(database, P, "direct", "contact", [bad], now=now)
    with database.partner(P) as connection:
        assert len(quarantine.waiting(connection, P)) == len(waiting)
    assert again.quarantined == 1


def test_the_cursor_moves_with_its_records_or_not_at_all(database: Database, now: datetime) -> None:
    account = PlatformConnection(
        partner=P, connection_id="crm", platform="hubspot", settings={}, credentials={"token": "t-secret"}
    )
    with database.partner(P) as connection:
        connections.save(connection, database.master, account, now)
        stored = connection.execute(
            text("select credentials from integrator.connection where partner = :p"), {"p": P}
        ).scalar_one()
        assert b"t-secret" not in bytes(stored)
        assert connections.for_partner(connection, database.master, P)[0].credentials == {"token": "t-secret"}
    write(database, [contact("cur", 2)], now, cursor=CursorUpdate("crm", "contact", {"after": 5}))
    with pytest.raises(Exception, match="violates foreign key"):
        write(database, [contact("never", 2)], now, cursor=CursorUpdate("no such connection", "contact", {"after": 6}))
    assert versions(database, "never") == []
    with database.partner(P) as connection:
        assert connections.cursor(connection, P, "crm", "contact") == {"after": 5}


def test_an_erased_person_is_not_taken_in_again(database: Database, now: datetime) -> None:
    key = database.master.derive(f"identity:{P}")
    with database.partner(P) as connection:
        connection.execute(
            text("insert into integrator.tombstone values (:p, :h, :now)"),
            {"p": P, "h": identity_hash(key, "email", "gone@x.example"), "now": now},
        )
    result = landing.write(
        database, P, "direct", "contact", [contact("back", 2, email="Gone@x.example"), contact("else", 2)], now=now
    )
    assert (result.accepted, result.quarantined) == (1, 1)
    assert "erased" in result.errors[0].reason
    with database.partner(P) as connection:
        assert not [entry for entry in quarantine.waiting(connection, P) if entry.native_id == "back"]


def test_every_kind_lands_with_its_columns(database: Database, now: datetime) -> None:
    event = {
        "native_id": "e",
        "starts_at": "2026-03-01T19:00:00+01:00",
        "timezone": "Europe/Berlin",
        "status": "scheduled",
        "venue": {"capacity": 9},
    }
    sale = {
        "native_id": "s",
        "product": "p",
        "sold_at": "2026-03-01T19:00:00Z",
        "quantity": 1,
        "unit_price": "0.10",
        "currency": "EUR",
        "status": "paid",
    }
    assert write(database, [event], now, kind="event") == (1, 0, 0)
    assert write(database, [sale], now, kind="sale") == (1, 0, 0)
    with database.partner(P) as connection:
        assert (
            connection.execute(
                text("select venue_capacity from landing.event where partner = :p"), {"p": P}
            ).scalar_one()
            == 9
        )
        assert (
            str(
                connection.execute(
                    text("select unit_price from landing.sale where partner = :p"), {"p": P}
                ).scalar_one()
            )
            == "0.10"
        )


def test_deletion_is_a_version_too(database: Database, now: datetime) -> None:
    write(database, [contact("del", 2)], now)
    assert write(database, [contact("del", 5, deleted_at="2026-01-05T00:00:00Z")], now) == (1, 0, 0)
    assert len(versions(database, "del")) == 2


def test_unknown_kinds_and_partners_are_refused(database: Database, now: datetime) -> None:
    with pytest.raises(InvalidInput, match="kind 'tickets' is not allowed; allowed: event, contact, sale"):
        landing.write(database, P, "direct", "tickets", [], now=now)
    with pytest.raises(PermanentError, match="has no data key"):
        landing.write(database, "nobody_here", "direct", "contact", [contact("x")], now=now)


def test_partners_are_idempotent_and_checked(database: Database, now: datetime) -> None:
    from integrator.contracts.errors import Conflict
    from integrator.storage import partners

    same = Partner(partner=P, timezone="Europe/Berlin", currency="EUR", region="DE")
    assert register(database, same, now) is False
    with pytest.raises(Conflict, match="currency is 'EUR', not 'USD'"):
        register(database, Partner(partner=P, timezone="Europe/Berlin", currency="USD", region="DE"), now)
    for name in ("pooled", "Acme", "a", "x" * 41, "a-b"):
        with pytest.raises(InvalidInput, match="partner"):
            Partner(partner=name, timezone="UTC", currency="EUR", region="DE")
    with database.service() as connection, pytest.raises(NotFound, match="there are: acme"):
        partners.get(connection, "other")
