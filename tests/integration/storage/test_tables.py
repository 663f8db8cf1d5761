"""The smaller tables: clients, endpoints, scorings, figures, logs, rates. What they keep, refuse and hide."""

import threading
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from integrator.contracts.errors import Conflict, NotFound, PermanentError
from integrator.contracts.readiness import Readiness, Requirement
from integrator.storage import (
    insights,
    logs,
    partners,
    quality,
    readiness,
    reference,
    request_log,
    roles,
    scored,
    signing_keys,
)
from integrator.storage.crypto import MasterKey
from integrator.storage.database import Database
from integrator.storage.partners import Partner, register
from integrator.storage.request_log import RequestEntry
from integrator.storage.scored import Scoring
from tests.conftest import NOW

NAMES = ("acme", "other")


@pytest.fixture(scope="module", autouse=True)
def registered(database: Database) -> None:
    for name in NAMES:
        register(database, Partner(partner=name, timezone="UTC", currency="EUR", region="DE"), NOW)


def at_once(work: Callable[[], Any], times: int) -> tuple[list[Any], list[BaseException]]:
    results: list[Any] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results, failures


# --- partners and keys ------------------------------------------------------------------------------------------------


def test_a_partner_registered_by_many_at_once_is_one(database: Database) -> None:
    new = Partner(partner="crowd", timezone="UTC", currency="EUR", region="DE")
    results, failures = at_once(lambda: register(database, new, NOW), 4)
    assert failures == [] and sorted(results) == [False, False, False, True]
    with database.partner("crowd") as connection:
        assert partners.data_key(connection, database.master, "crowd") == partners.data_key(
            connection, database.master, "crowd"
        )


def test_a_new_data_key_serves_and_the_old_one_still_opens(database: Database) -> None:
    with database.partner("acme") as connection:
        old = partners.data_key(connection, database.master, "acme")
        new = partners.add_data_key(connection, database.master, "acme", NOW + timedelta(days=1))
        assert partners.data_key(connection, database.master, "acme") == new != old
        assert partners.data_key(connection, database.master, "acme", old.key_id) == old
        with pytest.raises(PermanentError, match="dk_nothing"):
            partners.data_key(connection, database.master, "acme", "dk_nothing")
    with database.partner("other") as connection, pytest.raises(PermanentError):
        partners.data_key(connection, database.master, "other", old.key_id)


def test_a_dropped_key_opens_nothing(database: Database) -> None:
    """Shredding: what was encrypted with it stays encrypted for good."""
    with database.partner("acme") as connection:
        key = partners.add_data_key(connection, database.master, "acme", NOW + timedelta(days=2))
        connection.execute(
            text("update integrator.data_key set wrapped = null, dropped_at = :now where key_id = :id"),
            {"now": NOW, "id": key.key_id},
        )
        with pytest.raises(PermanentError, match="may have been dropped"):
            partners.data_key(connection, database.master, "acme", key.key_id)
        assert partners.data_key(connection, database.master, "acme").key_id != key.key_id


def test_keys_need_the_master_key_they_were_wrapped_with(database: Database) -> None:
    with database.partner("acme") as connection, pytest.raises(PermanentError, match="cannot decrypt"):
        partners.data_key(connection, MasterKey(b"z" * 32), "acme")


def test_every_difference_of_a_partner_is_named(database: Database) -> None:
    changed = Partner(partner="acme", timezone="Asia/Tokyo", currency="JPY", region="JP", pooling=True)
    with pytest.raises(Conflict) as error:
        register(database, changed, NOW)
    for words in (
        "timezone is 'UTC', not 'Asia/Tokyo'",
        "currency is 'EUR'",
        "region is 'DE'",
        "pooling is False, not True",
    ):
        assert words in str(error.value)


@pytest.mark.parametrize(
    "facts",
    [{"partner": "a;drop"}, {"partner": "ä_b"}, {"partner": "a b"}, {"partner": "_a"}, {"partner": "1a"}, {"partner": ""},
     {"timezone": "../etc/passwd"}, {"timezone": "UTC+1"}, {"timezone": ""}, {"currency": "eur"}, {"currency": "XXX"},
     {"region": "Germany"}, {"region": "de"}, {"region": "DE-"}, {"region": "DE-ABCD"}, {"default_processing": "maybe"},
     {"partner": "acme\n"}, {"region": "DE\n"}],
)  # fmt: skip
def test_facts_of_a_partner_that_are_none(facts: dict[str, Any]) -> None:
    good = {"partner": "good", "timezone": "UTC", "currency": "EUR", "region": "DE-BY"}
    assert Partner(**good)
    with pytest.raises(Exception, match="is not allowed; allowed"):
        Partner(**{**good, **facts})


# --- logins -----------------------------------------------------------------------------------------------------------


def test_a_login_is_made_once_is_bounded_and_cannot_write(database: Database) -> None:
    address = roles.create_partner_role(database, "acme")
    assert address is not None and roles.create_partner_role(database, "acme") is None
    with psycopg.connect(address) as connection:
        assert connection.execute("show statement_timeout").fetchone() == ("30s",)
        limit = connection.execute("select rolconnlimit from pg_roles where rolname = current_user").fetchone()
        assert limit == (roles.CONNECTIONS,)
        for statement in (
            "delete from insights.current", "insert into insights.publication_log values ('acme','r','pricing',now(),1,1)",
            "create table public.mine (x int)", "select * from integrator.client", "select * from ops.outbox",
            "select nextval('insights.published_seq')", "create role evil", "copy (select 1) to program 'id'",
        ):  # fmt: skip
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)
            connection.rollback()
    with pytest.raises(NotFound, match="partner_nobody"):
        roles.rotate_partner_role(database, "nobody")


# --- scorings and figures ---------------------------------------------------------------------------------------------


def scoring(partner: str = "acme", **more: Any) -> Scoring:
    facts: dict[str, Any] = {
        "partner": partner, "use_case": "pricing", "run_id": "r", "scored_at": NOW, "input_position": 1, "as_of": NOW,
        "model_name": "m", "model_version": "1", "row_count": 0, "failure_count": 0,
    }  # fmt: skip
    return Scoring(**{**facts, **more})


def test_a_scoring_replaces_the_last_whole(database: Database) -> None:
    with database.partner("acme") as connection:
        assert scored.last(connection, "acme", "pricing") is None
        scored.replace(connection, scoring(), ((n, f'{{"n":{n}}}', "{}") for n in (2, 0, 1)))
        scored.replace(connection, scoring(run_id="r2"), [(5, '{"text":"ü \\\\ \\t ✓"}', "{}")])
        found = list(scored.predictions(connection, "acme", "pricing"))
        last = scored.last(connection, "acme", "pricing")
    assert [ordinal for ordinal, _ in found] == [5] and "ü \\\\ \\t ✓" in found[0][1]
    assert last is not None and last.run_id == "r2"
    with database.partner("other") as connection:
        assert list(scored.predictions(connection, "acme", "pricing")) == []
        with pytest.raises(Exception, match="row-level security"):
            scored.replace(connection, scoring(), [])


def test_a_scoring_that_breaks_in_the_middle_leaves_the_last(database: Database) -> None:
    with database.partner("acme") as connection:
        scored.replace(connection, scoring(use_case="lead_score"), [(1, "{}", "{}")])

    def breaks() -> Any:
        yield (2, "{}", "{}")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), database.partner("acme") as connection:
        scored.replace(connection, scoring(use_case="lead_score", run_id="broken"), breaks())
    with database.partner("acme") as connection:
        last = scored.last(connection, "acme", "lead_score")
        assert last is not None and last.run_id == "r"
        assert [n for n, _ in scored.predictions(connection, "acme", "lead_score")] == [1]


def test_the_last_scoring_counts_what_is_stale_now(database: Database) -> None:
    day = timedelta(days=1)
    with database.partner("acme") as connection:
        assert scored.state(connection, "acme", "seen", NOW) is None
        scored.replace(connection, scoring(use_case="seen", row_count=5, failure_count=1), [])
        for number, status, stale_after in ((1, "ready", NOW), (2, "ready", NOW + 3 * day), (3, "withdrawn", NOW)):
            connection.execute(
                text("""insert into insights.current (partner, insight_id, insight_version, use_case, subject_kind,
                  subject_id, platform, status, unit, confidence, rung, model_name, model_version, generated_at, checked_at,
                  stale_after, published_seq, summary, details, document, input_position, run_id)
                values ('acme', :id, 1, 'seen', 'event', :id, 'pretix', :status, 'people', 'high', 'partner', 'm', '3',
                  :now, :now, :stale, :n, '', '{}', '{}', 1, 'r')"""),
                {"id": f"ins_seen_{number}", "status": status, "now": NOW, "stale": stale_after, "n": number},
            )
        found = scored.state(connection, "acme", "seen", NOW + day)
        assert found is not None
        assert (found.row_count, found.failure_count, found.model_version, found.stale) == (5, 1, "1", 1)
    with database.partner("other") as connection:
        assert scored.state(connection, "acme", "seen", NOW) is None


def test_figures_of_a_version_are_replaced_and_kept_apart(database: Database) -> None:
    first = [quality.Figure("mean", "mae", 2.0), quality.Figure("boost", "mae", 1.0)]
    with database.partner("acme") as connection:
        quality.remember(connection, "acme", "pricing", "pricing.acme", "1", first, NOW)
        quality.remember(connection, "acme", "pricing", "pricing.acme", "2", first[:1], NOW)
        quality.remember(connection, "acme", "pricing", "pricing.acme", "1", [quality.Figure("boost", "mae", 0.5)], NOW)
        quality.remember(connection, "acme", "pricing", "pricing.acme", "3", [], NOW)
        found = [quality.figures(connection, "acme", "pricing", version) for version in ("1", "2", "3")]
    assert found == [[quality.Figure("boost", "mae", 0.5), first[0]], first[:1], []]


def test_the_newest_readiness_stands(database: Database) -> None:
    for have in (3, 41):
        report = Readiness(
            "pricing", "rule" if have < 40 else "partner", [Requirement("events", "events", have, 40, 9)]
        )
        with database.partner("acme") as connection:
            quality.remember_readiness(connection, "acme", report, NOW)
    with database.partner("acme") as connection:
        (found,) = quality.readiness_of(connection, "acme")
        (shown,) = readiness.of_partner(connection, "acme")
    assert found == report and found.ready and (shown["rung"], shown["at"]) == ("partner", NOW)
    with database.partner("other") as connection:
        assert quality.readiness_of(connection, "acme") == [] == readiness.of_partner(connection, "acme")


# --- logs -------------------------------------------------------------------------------------------------------------


def test_events_newest_first_and_only_ones_own(database: Database) -> None:
    with database.partner("acme") as connection:
        for number in range(5):
            logs.event(connection, "acme", "probe", NOW, {"n": number, "at": NOW, "name": "ü"})
        found = logs.events(connection, "acme", limit=3)
    assert [entry["data"]["n"] for entry in found] == [4, 3, 2] and found[0]["data"]["name"] == "ü"
    with pytest.raises(Exception, match="row-level security"), database.partner("other") as connection:
        logs.event(connection, "acme", "forged", NOW, {})


def test_the_audit_log_only_grows(database: Database) -> None:
    with database.partner("acme") as connection:
        logs.audit(connection, "cli", "acme", "partner.add", "acme", NOW, {"currency": "EUR"})
    for statement in ("update integrator.audit_log set actor = 'nobody'", "delete from integrator.audit_log"):
        with pytest.raises(Exception, match="permission denied"), database.partner("acme") as connection:
            connection.execute(text(statement))


def test_requests_are_logged_once(database: Database) -> None:
    entries = [RequestEntry(f"req_{n}", "acme", "icl", NOW, "GET", "/x", 200, 1.5) for n in range(3)]
    with database.partner("acme") as connection:
        request_log.append(connection, "acme", entries)
        request_log.append(connection, "acme", [*entries, entries[0]])
        request_log.append(connection, "acme", [])
        assert connection.execute(text("select count(*) from ops.request_log")).scalar_one() == 3


# --- no tenant's ------------------------------------------------------------------------------------------------------


def test_a_signing_key_is_never_stored_in_the_clear(database: Database) -> None:
    from integrator.security import keys

    ring = keys.open_keys(database, database.master, NOW)
    with database.service() as connection:
        (stored,) = signing_keys.usable(connection, NOW)
    private = str(ring.signing.as_dict(private=True)["d"])
    assert private.encode() not in stored.wrapped and private not in str(stored.public_jwk)


def test_rotated_by_several_at_once_one_signs(database: Database) -> None:
    from integrator.security import keys

    results, failures = at_once(lambda: keys.rotate(database, database.master, NOW), 4)
    assert failures == [] and len(set(results)) == 4
    ring = keys.open_keys(database, database.master, NOW + timedelta(minutes=1))
    assert ring.signing.kid in results and set(results) <= set(ring.verifying), "what was signed meanwhile verifies"


@pytest.mark.parametrize(
    ("region", "day"),
    [("DE-BY", date(2026, 1, 6)), ("US", date(2026, 7, 4)), ("TW", date(2026, 1, 1)), ("DE-XX", date(2026, 10, 3))],
)
def test_holidays_of_a_region_or_at_least_of_its_country(database: Database, region: str, day: date) -> None:
    reference.load_holidays(database, [region], NOW)
    with database.batch() as connection:
        found = connection.execute(
            text("select holiday_date from reference.holiday where region = :region"), {"region": region}
        ).scalars()
        assert day in set(found)
    assert reference.load_holidays(database, [region, region], NOW) == 0


def test_a_country_nobody_knows_has_none(database: Database) -> None:
    assert reference.load_holidays(database, ["ZZ", "QQ-X"], NOW) == 0


def test_a_later_year_brings_more(database: Database, now: datetime) -> None:
    reference.load_holidays(database, ["FR"], now)
    assert reference.load_holidays(database, ["FR"], now + timedelta(days=366)) > 0


def test_stale_insights_are_counted_by_partner(database: Database) -> None:
    with database.batch() as connection:
        assert insights.stale_counts(connection, NOW) == {}
