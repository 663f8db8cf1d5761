"""The harmonized tables follow what changed: nothing skipped, nothing left behind, the same as building anew."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from integrator.contracts.errors import Defect
from integrator.steps.harmonize import close_window, open_window, touch_late_rates
from integrator.storage.database import Database
from tests.conftest import NOW
from tests.integration.dbt_runs import Dbt, add_partner, land, rows

HARMONIZED = ("--select", "staging", "harmonized", "--resource-type", "model")
EARLIER = NOW - timedelta(days=20)
TABLES = {
    "event": "partner, platform, event_id, name, capacity",
    "consent": "partner, platform, contact_id, is_processing_allowed, is_pooling_allowed",
    "identity": "partner, platform, native_id, person_id, is_canonical, matched_by",
    "contact": "partner, person_id, contact_id, stage, record_count",
    "sale": "partner, platform, sale_id, contact_id, net_quantity, net_amount_reported, conversion_note",
}


def ids(db: Database, table: str, column: str) -> set[str]:
    return {row[0] for row in rows(db, f"select {column} from harmonized.{table}")}


def persons(db: Database) -> dict[str, str]:
    return dict(rows(db, "select native_id, person_id from harmonized.identity"))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def dbt(database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dbt]:
    """A first night over a few records of two partners."""
    add_partner(database, "acme")
    add_partner(database, "other", currency="EUR")
    with database.batch() as connection:
        land(connection, "event", "acme", "gala", EARLIER, name="Gala", capacity=100)
        land(connection, "event", "acme", "fair", EARLIER, name="Fair", capacity=50)
        land(connection, "contact", "acme", "ann", EARLIER, email_hash=b"a", stage="lead")
        land(connection, "contact", "acme", "bob", EARLIER + timedelta(days=1), phone_hash=b"b", stage="lead")
        land(connection, "contact", "acme", "cat", EARLIER + timedelta(days=2), stage="lead")
        land(connection, "sale", "acme", "s1", EARLIER, event_id="gala", contact_id="cat", quantity=2)
        land(connection, "sale", "other", "s1", EARLIER, currency="USD")
    runner = Dbt(database, tmp_path_factory.mktemp("dbt"))
    runner.night(NOW, *HARMONIZED)
    yield runner


def test_first_night_takes_everything(dbt: Dbt) -> None:
    assert ids(dbt.db, "event", "event_id") == {"gala", "fair"}
    assert len(set(persons(dbt.db).values())) == 3
    assert rows(dbt.db, "select position > '0'::xid8 from ops.reader_position where reader = 'dbt'") == [(True,)]


def test_changed_sql_is_built_anew_and_unchanged_sql_is_not(dbt: Dbt, tmp_path: Path) -> None:
    assert not open_window(dbt.db).rebuild
    (tmp_path / "dbt_project.yml").write_text("name: other")
    changed = open_window(dbt.db, tmp_path)
    assert changed.rebuild and changed.low == "0"


def test_a_row_that_commits_late_is_not_skipped(dbt: Dbt) -> None:
    with dbt.db.batch() as slow:
        land(slow, "event", "acme", "slow", NOW, name="Slow")
        with dbt.db.batch() as quick:
            land(quick, "event", "acme", "quick", NOW, name="Quick")
        window = open_window(dbt.db)
        slow_id = slow.execute(text("select pg_current_xact_id()::text")).scalar_one()
        assert int(window.high) <= int(slow_id), "the window must close below what is still running"
        dbt.night(NOW, *HARMONIZED, window=window)
        assert "slow" not in ids(dbt.db, "event", "event_id")
    dbt.night(NOW, *HARMONIZED)
    assert {"slow", "quick"} <= ids(dbt.db, "event", "event_id")


def test_touched_keys_that_are_gone_disappear(dbt: Dbt) -> None:
    """Deleted by the platform, erased from landing, and consent withdrawn, in one window; the rest stays as it was."""
    untouched = rows(dbt.db, "select * from harmonized.event where event_id = 'gala'")
    with dbt.db.batch() as connection:
        land(connection, "event", "acme", "fair", NOW, name="Fair", deleted_at=NOW)
        connection.execute(text("delete from landing.contact where partner = 'acme' and native_id = 'bob'"))
        connection.execute(
            text("insert into ops.touched_log values ('acme', 'direct', 'contact', 'bob', 'erasure', default, :now)"),
            {"now": NOW},
        )
        land(connection, "contact", "acme", "cat", NOW, consent_processing="denied", stage="lead")
    dbt.night(NOW, *HARMONIZED)
    assert "fair" not in ids(dbt.db, "event", "event_id")
    assert ids(dbt.db, "identity", "native_id") == {"ann"}
    assert ids(dbt.db, "contact", "contact_id") == {"ann"}
    assert "bob" not in ids(dbt.db, "consent", "contact_id")
    assert rows(dbt.db, "select contact_id, net_quantity from harmonized.sale where partner = 'acme'") == [(None, 2)]
    assert rows(dbt.db, "select * from harmonized.event where event_id = 'gala'") == untouched


def test_persons_merge_and_part_again(dbt: Dbt) -> None:
    with dbt.db.batch() as connection:
        land(connection, "contact", "acme", "dan", NOW, platform="shop", phone_hash=b"d")
    dbt.night(NOW, *HARMONIZED)
    apart = persons(dbt.db)
    with dbt.db.batch() as connection:
        land(connection, "contact", "acme", "link", NOW, platform="crm", email_hash=b"a", phone_hash=b"d")
    dbt.night(NOW, *HARMONIZED)
    together = persons(dbt.db)
    assert together == {name: apart["ann"] for name in ("ann", "dan", "link")}
    assert rows(dbt.db, "select contact_id, record_count from harmonized.contact") == [("ann", 3)]
    with dbt.db.batch() as connection:
        land(connection, "contact", "acme", "link", NOW + timedelta(hours=1), platform="crm", email_hash=b"z")
    dbt.night(NOW, *HARMONIZED)
    parted = persons(dbt.db)
    assert {name: parted[name] for name in apart} == apart
    assert sorted(rows(dbt.db, "select contact_id, record_count from harmonized.contact")) == [
        ("ann", 1), ("dan", 1), ("link", 1),
    ]  # fmt: skip


def test_a_late_rate_mends_what_waited_for_it(dbt: Dbt) -> None:
    query = "select net_amount_reported, conversion_note is null from harmonized.sale where partner = 'other'"
    assert rows(dbt.db, query) == [(None, False)]
    with dbt.db.batch() as connection:
        connection.execute(
            text("insert into reference.fx_rate values ('USD', :day, 1.25)"),
            {"day": EARLIER.date() - timedelta(days=2)},
        )
    assert touch_late_rates(dbt.db, NOW) == 1
    dbt.night(NOW, *HARMONIZED)
    assert rows(dbt.db, query) == [(8, True)]
    assert touch_late_rates(dbt.db, NOW) == 0


def test_a_touched_partner_means_all_its_keys(dbt: Dbt) -> None:
    with dbt.db.owner() as connection:
        connection.execute(text("update integrator.partner set default_processing = 'denied' where partner = 'acme'"))
    with dbt.db.batch() as connection:
        connection.execute(
            text("insert into ops.touched_log values ('acme', '', 'partner', '', 'default changed', default, :now)"),
            {"now": NOW},
        )
    dbt.night(NOW, *HARMONIZED)
    assert ids(dbt.db, "contact", "contact_id") == set()
    assert ids(dbt.db, "sale", "partner") == {"acme", "other"}


def test_the_result_is_the_same_as_building_anew(dbt: Dbt) -> None:
    def contents() -> dict[str, list[tuple[object, ...]]]:
        return {
            table: sorted(rows(dbt.db, f"select {columns} from harmonized.{table}"), key=repr)
            for table, columns in TABLES.items()
        }

    followed = contents()
    dbt.night(NOW, *HARMONIZED, "--full-refresh")
    assert contents() == followed


def test_two_runs_cannot_both_move_the_position(dbt: Dbt) -> None:
    first = open_window(dbt.db)
    with dbt.db.batch() as connection:
        land(connection, "event", "acme", "another", NOW)
    close_window(dbt.db, open_window(dbt.db), NOW)
    with pytest.raises(Defect, match="overlapped"):
        close_window(dbt.db, first, NOW)


def test_the_moment_needs_a_zone(dbt: Dbt) -> None:
    from integrator.steps.harmonize import dbt_env

    with pytest.raises(Defect, match="no time zone"):
        dbt_env(dbt.db, open_window(dbt.db), datetime(2026, 1, 1))  # noqa: DTZ001
