"""Whose records are judged together and whose apart: platforms, kinds, moments; and what a silent source is told."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from integrator.settings import Settings
from integrator.steps.quality import check
from integrator.steps.services import Services
from integrator.storage import landing, measures
from integrator.storage.measures import Condition
from integrator.storage.partners import Partner, register
from integrator.storage.quality_results import Result
from tests.conftest import NOW
from tests.integration.test_quality import SHAPES, contact, event, good, sale


@pytest.fixture(scope="module")
def services(database: Any, server: Any) -> Services:
    """`alpha` sells on a shop and, worse, at a till; `quiet` sends sales alone."""
    made = Services(Settings(home=server.home), database, server.redis_url, lambda: NOW)
    for name in ("alpha", "quiet"):
        register(database, Partner(partner=name, timezone="Europe/Berlin", currency="EUR", region="DE"), NOW)
    with database.batch() as connection:
        for kind, query in SHAPES.items():
            connection.execute(text(f"create view harmonized.{kind} with (security_invoker = true) as {query}"))
    for kind, ones in good().items():
        landing.write(database, "alpha", "shop", kind, ones, now=NOW)
    write(made, "alpha", "till", "sale", [sale(day, n, event_id="nowhere") for day in range(3) for n in range(4)])
    write(made, "quiet", "shop", "sale", [sale(1, n) for n in range(30)])
    return made


def write(services: Services, partner: str, platform: str, kind: str, records: list[dict[str, Any]]) -> None:
    landing.write(services.database, partner, platform, kind, records, now=services.clock())


def results(services: Services, partner: str, kind: str) -> dict[tuple[str, str], Result]:
    (finding,) = check(services, [partner], kind, "run-1")
    return {(one.platform, one.expectation): one for one in finding.results}


def test_platforms_of_a_partner_are_judged_apart(services: Services) -> None:
    found = results(services, "alpha", "sale")
    assert found["shop", "event_is_there"].passed is True
    till = found["till", "event_is_there"]
    assert (till.passed, till.count, till.ids[0]) == (False, 12, "s000-000")
    assert till.severity == "warning", "the till sends no events at all: there is no booking curve to harm"
    assert found["shop", "last_week_as_usual"].passed is True and found["till", "last_week_as_usual"].passed is None


def test_who_keeps_contacts_elsewhere_is_not_told_so_every_night(services: Services) -> None:
    found = results(services, "quiet", "sale")
    contacts = found["shop", "contact_is_there"]
    assert contacts.passed is None and contacts.ids == () and contacts.mend is None
    assert found["shop", "event_is_there"].passed is False, "sales of events that never came are forecast by nobody"


def test_a_source_with_quarantined_records_alone_is_seen(services: Services) -> None:
    write(services, "quiet", "export", "event", [event(1, timezone="Mars/Olympus"), event(2, status="maybe")])
    found = results(services, "quiet", "event")
    assert {name: (one.passed, one.ids) for (platform, name), one in found.items() if platform == "export"} == {
        "none_in_quarantine": (False, ("e001", "e002"))
    }


def test_what_lies_after_the_moment_is_not_there_yet(services: Services) -> None:
    a_month_ago = Services(services.settings, services.database, services.redis_url, lambda: NOW - timedelta(days=30))
    found = results(a_month_ago, "alpha", "sale")
    fresh = found["shop", "newest_record_in_time"]
    assert fresh.passed is True and fresh.observed.startswith("the newest record is 0.0 days old")
    assert found["shop", "last_day_as_usual"].passed is True


def test_the_newest_version_counts_and_what_was_deleted_does_not(services: Services) -> None:
    later = (NOW - timedelta(hours=1)).isoformat()
    write(services, "quiet", "shop", "contact", [contact(n, lost_at=later, converted_at=later) for n in range(3)])
    assert results(services, "quiet", "contact")["shop", "converted_or_lost"].count == 3
    write(services, "quiet", "shop", "contact", [
        contact(0, converted_at=later), contact(1, lost_at=later, converted_at=later, deleted_at=later),
    ])  # fmt: skip
    assert results(services, "quiet", "contact")["shop", "converted_or_lost"].ids == ("c0002",)


def test_counting_names_its_partners_and_reads_no_other(services: Services) -> None:
    every = Condition("any", "record.quantity > :least", {"least": 0})
    with services.database.batch() as connection:
        found = measures.count_faults(connection, measures.landed("sale", alone=True), [every], ["quiet"])
        assert {source: one["any"].at_fault for source, one in found.items()} == {("quiet", "shop"): 30}
        ids = measures.fault_ids(connection, measures.landed("sale"), every, "native_id", ("quiet", "shop"), limit=3)
        assert ids == ["s001-000", "s001-001", "s001-002"]
        assert measures.has_records(connection, "sale", ("quiet", "shop"))
        assert not measures.has_records(connection, "event", ("quiet", "shop"))
        assert measures.count_faults(connection, measures.landed("sale"), [every], []) == {}
        assert measures.arrivals(connection, "sale", ["nobody"], NOW) == {}


def test_a_bound_value_is_never_sql(services: Services) -> None:
    odd = Condition("odd", "record.product = :product", {"product": "'; drop table landing.sale; --"})
    with services.database.batch() as connection:
        found = measures.count_faults(connection, measures.landed("sale", alone=True), [odd], ["quiet", "x' or '1'='1"])
    assert found["quiet", "shop"]["odd"].at_fault == 0 and len(found) == 1
