"""Deletion by listing: versions like any other, undone by living ones, doubted when too much is gone at once."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from integrator.storage import landing, landing_delete
from integrator.storage.connections import PlatformConnection, save
from integrator.storage.landing_delete import Compared, ListedScope

WHERE = ListedScope("alpha", "pretix", "main", "event", "events")


@pytest.fixture
def clean(database: Any, now: datetime) -> Any:
    from integrator.storage.partners import Partner, register

    for name in ("alpha", "beta"):
        register(database, Partner(partner=name, timezone="UTC", currency="EUR", region="DE"), now)
    with database.batch() as connection:
        for table in ("integrator.connection", "landing.event", "landing.contact"):
            connection.execute(text(f"delete from {table}"))
    with database.partner("alpha") as connection:
        account = PlatformConnection(
            partner="alpha", connection_id="main", platform="pretix", settings={}, credentials={}
        )
        save(connection, database.master, account, now)
    return database


def land(database: Any, now: datetime, *ids: str, partner: str = "alpha", **more: Any) -> None:
    facts = {"name": "Gala", "starts_at": "2026-05-01T18:00:00Z", "status": "scheduled", "timezone": "Europe/Berlin",
             "updated_at": "2026-01-01T00:00:00Z", "attributes": {"hall": "A"}, **more}  # fmt: skip
    result = landing.write(database, partner, "pretix", "event", [{"native_id": one, **facts} for one in ids], now=now)
    assert result.quarantined == 0


def compare(database: Any, now: datetime, *ids: str) -> Compared:
    with database.partner("alpha") as connection:
        return landing_delete.compare(connection, WHERE, frozenset(ids), now)


def versions(
    database: Any, native_id: str, partner: str = "alpha"
) -> list[tuple[bool, datetime, datetime | None, str]]:
    with database.partner(partner) as connection:
        rows = connection.execute(
            text("""select deleted_at is not null, valid_from, valid_to, attributes ->> 'hall' from landing.event
            where partner = :partner and native_id = :id order by valid_from, valid_to nulls last"""),
            {"partner": partner, "id": native_id},
        )
        return [tuple(row) for row in rows]


def test_what_is_gone_is_a_version_with_all_its_fields(clean: Any, now: datetime) -> None:
    land(clean, now, "a", "b", "c")
    land(clean, now, "a", partner="beta")
    assert compare(clean, now, "a", "b", "c") == Compared(shown=3)
    later = now + timedelta(hours=1)
    assert compare(clean, later, "b", "c") == Compared(deleted=1, shown=2, before=3)
    updated = datetime.fromisoformat("2026-01-01T00:00:00+00:00")
    assert versions(clean, "a") == [(False, updated, later, "A"), (True, later, None, "A")]
    assert versions(clean, "b") == [(False, updated, None, "A")]
    assert len(versions(clean, "a", "beta")) == 1
    assert compare(clean, later + timedelta(hours=1), "b", "c").deleted == 0


def test_a_resend_does_not_bring_it_back_and_a_change_does(clean: Any, now: datetime) -> None:
    land(clean, now, "a")
    with clean.partner("alpha") as connection:
        assert landing_delete.delete(connection, "alpha", "pretix", "event", ["a", "unknown"], now) == 1
    land(clean, now, "a")
    assert [one[0] for one in versions(clean, "a")] == [False, True]
    land(clean, now, "a", updated_at=(now + timedelta(days=1)).isoformat())
    assert [(gone, until is None) for gone, _, until, _ in versions(clean, "a")] == [
        (False, False),
        (True, False),
        (False, True),
    ]


def test_one_that_is_shown_again_gets_its_last_living_version_back(clean: Any, now: datetime) -> None:
    land(clean, now, "a", "b", "c")
    compare(clean, now, "a", "b", "c")
    compare(clean, now + timedelta(hours=1), "b", "c")
    land(clean, now, "a", updated_at="2026-02-01T00:00:00Z", attributes={"hall": "B"})  # late: it was changed before
    back = compare(clean, now + timedelta(hours=2), "a", "b", "c")
    assert (back.deleted, back.restored) == (0, 1)
    assert [(gone, until is None, hall) for gone, _, until, hall in versions(clean, "a")] == [
        (False, False, "A"), (False, False, "B"), (True, False, "A"), (False, True, "B"),
    ]  # fmt: skip


def test_what_the_platform_itself_calls_deleted_stays_so(clean: Any, now: datetime) -> None:
    land(clean, now, "only", deleted_at="2026-01-02T00:00:00Z")
    assert compare(clean, now, "only").restored == 0
    assert [one[0] for one in versions(clean, "only")] == [True]


def test_a_version_of_the_future_ends_where_it_began(clean: Any, now: datetime) -> None:
    land(clean, now, "a", updated_at=(now + timedelta(days=2)).isoformat())
    with clean.partner("alpha") as connection:
        landing_delete.delete(connection, "alpha", "pretix", "event", ["a"], now)
    assert [(gone, start == until) for gone, start, until, _ in versions(clean, "a")] == [(False, True), (True, False)]


@pytest.mark.parametrize("shown", [(), ("a",)])
def test_too_much_gone_at_once_is_believed_the_second_time(clean: Any, now: datetime, shown: tuple[str, ...]) -> None:
    land(clean, now, "a", "b", "c")
    compare(clean, now, "a", "b", "c")
    assert compare(clean, now, *shown) == Compared(doubted=True, shown=len(shown), before=3)
    assert compare(clean, now, *shown).deleted == 3 - len(shown)
    assert compare(clean, now, *shown) == Compared(shown=len(shown), before=len(shown))


def test_a_good_listing_ends_the_doubt(clean: Any, now: datetime) -> None:
    land(clean, now, "a", "b", "c")
    compare(clean, now, "a", "b", "c")
    assert compare(clean, now).doubted
    assert not compare(clean, now, "a", "b", "c").doubted
    assert compare(clean, now).doubted, "the next bad hour is doubted again"


def test_contacts_keep_the_hashes_they_are_matched_by(clean: Any, now: datetime) -> None:
    person = {
        "native_id": "p",
        "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z",
        "email": "a@b.example",
    }
    landing.write(clean, "alpha", "hubspot", "contact", [person], now=now)
    with clean.partner("alpha") as connection:
        assert landing_delete.delete(connection, "alpha", "hubspot", "contact", ["p"], now) == 1
        assert landing_delete.restore(connection, "alpha", "hubspot", "contact", ["p"], now) == 1
        hashes = connection.execute(text("select email_hash, txid from landing.contact where native_id = 'p'")).all()
    assert len(hashes) == 3 and len({bytes(row.email_hash) for row in hashes}) == 1
