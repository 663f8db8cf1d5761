"""Data quality over a real PostgreSQL: each rule fires on a defect planted in months of good records, and on nothing else."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from integrator.contracts.errors import NotFound
from integrator.settings import Settings
from integrator.steps.quality import Finding, check
from integrator.steps.services import Services
from integrator.storage import landing, quality_results
from integrator.storage.partners import Partner, register
from integrator.storage.quality_results import Result
from tests.conftest import NOW

DAYS = 130
A_DAY = 25
SHAPES = {
    "event": """select partner, platform, native_id as event_id, name, starts_at, timezone, status, capacity, attendance
      from landing.event where valid_to is null and deleted_at is null""",
    "contact": """select partner, platform, native_id as contact_id, created_at, stage, country
      from landing.contact where valid_to is null and deleted_at is null""",
    "sale": """select partner, platform, native_id as sale_id, product, sold_at, quantity, unit_price, currency,
        case status when 'paid' then 'sold' else status end as status
      from landing.sale where valid_to is null and deleted_at is null""",
}
"""What harmonize makes of records that need no conversion, as far as a contract speaks of it."""


def event(number: int, **changes: Any) -> dict[str, Any]:
    starts = NOW - timedelta(days=DAYS - number, hours=2)
    return {
        "native_id": f"e{number:03}", "name": "Evening", "starts_at": starts.isoformat(), "timezone": "Europe/Berlin",
        "ends_at": (starts + timedelta(hours=2)).isoformat(), "status": "completed", "capacity": 100, "attendance": 60,
        "updated_at": (starts + timedelta(hours=1)).isoformat(), "venue": {"city": "Berlin"}, **changes,
    }  # fmt: skip


def contact(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "native_id": f"c{number:04}", "created_at": (NOW - timedelta(days=number % DAYS, hours=3)).isoformat(),
        "stage": "lead", "country": "DE", **changes,
    }  # fmt: skip


def sale(day: int, number: int, **changes: Any) -> dict[str, Any]:
    """`day` days ago."""
    return {
        "native_id": f"s{day:03}-{number:03}", "event_id": f"e{DAYS - day:03}", "contact_id": f"c{number:04}",
        "product": "ticket", "sold_at": (NOW - timedelta(days=day, hours=1, minutes=number)).isoformat(), "quantity": 1,
        "unit_price": "12.50", "list_price": "15.00", "currency": "EUR", "status": "paid", **changes,
    }  # fmt: skip


def good() -> dict[str, list[dict[str, Any]]]:
    """Four months of a partner of whom nothing is to be said."""
    return {
        "event": [event(n) for n in range(DAYS + 1)],
        "contact": [contact(n) for n in range(DAYS * 4)],
        "sale": [sale(day, n) for day in range(DAYS) for n in range(A_DAY + day % 3)],
    }


@pytest.fixture(scope="module")
def services(database: Any, server: Any) -> Services:
    """`alpha` with good records, and views in harmonize's place."""
    made = Services(Settings(home=server.home), database, server.redis_url, lambda: NOW)
    for name in ("alpha", "beta", "empty"):
        register(database, Partner(partner=name, timezone="Europe/Berlin", currency="EUR", region="DE"), NOW)
    with database.batch() as connection:
        for kind, query in SHAPES.items():
            connection.execute(text(f"create view harmonized.{kind} with (security_invoker = true) as {query}"))
    write(made, good())
    return made


Write = Callable[..., None]


def write(services: Services, records: Mapping[str, list[dict[str, Any]]], partner: str = "alpha") -> None:
    """On the platform `shop`, as they come."""
    for kind, payloads in records.items():
        landing.write(services.database, partner, "shop", kind, payloads, now=services.clock())


@pytest.fixture
def beta(services: Services) -> Iterator[Write]:
    """Lands good records for `beta` with some put in their place by id; taken out again after the test."""

    def land(
        replaced: Mapping[str, list[dict[str, Any]]], keep: Callable[[dict[str, Any]], bool] = lambda _: True
    ) -> None:
        records = good()
        for kind, ones in replaced.items():
            put = {one["native_id"]: one for one in ones}
            records[kind] = [put.pop(one["native_id"], one) for one in records[kind]] + list(put.values())
        write(services, {kind: [one for one in ones if keep(one)] for kind, ones in records.items()}, "beta")

    yield land
    with services.database.partner("beta") as connection:
        for table in ("event", "contact", "sale", "quarantine"):
            connection.execute(text(f"delete from landing.{table} where partner = 'beta'"))


def failed(findings: list[Finding], partner: str) -> dict[str, Result]:
    """What is not as expected of a partner, by expectation."""
    (finding,) = [one for one in findings if one.partner == partner]
    return {result.expectation: result for result in finding.breaches}


def of_beta(services: Services, kind: str) -> dict[str, Result]:
    return failed(check(services, ["beta"], kind, "run-b"), "beta")


@pytest.mark.parametrize("kind", ["event", "contact", "sale"])
def test_nothing_is_said_of_good_records_and_everything_is_judged(services: Services, kind: str) -> None:
    (finding,) = check(services, ["alpha"], kind, "run-1")
    assert finding.breaches == ()
    judged = {result.dimension for result in finding.results if result.passed}
    assert judged == {"contract", "plausibility", "completeness", "freshness"} | {
        "event": set(), "contact": {"volume"}, "sale": {"volume", "references"}
    }[kind], "an evening a day is too few to say how many are usual"  # fmt: skip


def test_the_contract_breaks_where_harmonize_does(services: Services) -> None:
    broken = (
        SHAPES["sale"]
        .replace("quantity,", "quantity - 2 as quantity,")
        .replace("currency,", "lower(currency) as currency,")
    )
    with services.database.batch() as connection:
        connection.execute(text("drop view harmonized.sale"))
        connection.execute(text(f"create view harmonized.sale with (security_invoker = true) as {broken} limit 30"))
    try:
        found = failed(check(services, ["alpha"], "sale", "run-x"), "alpha")
    finally:
        with services.database.batch() as connection:
            connection.execute(text("drop view harmonized.sale"))
            connection.execute(text(f"create view harmonized.sale with (security_invoker = true) as {SHAPES['sale']}"))
    assert {name: (one.severity, one.count, len(one.ids)) for name, one in found.items()} == {
        "quantity_in_range": ("error", 30, 20), "currency_well_formed": ("error", 30, 20),
    }  # fmt: skip
    assert "negative" in str(found["quantity_in_range"].mend) and "`currency`" in str(
        found["currency_well_formed"].mend
    )


def test_what_cannot_be_so_is_a_warning_with_the_ids(services: Services, beta: Write) -> None:
    tomorrow, after = (NOW + timedelta(days=2)).isoformat(), (NOW + timedelta(days=2, hours=1)).isoformat()
    beta({
        "event": [event(3, attendance=101), event(4, starts_at=tomorrow, ends_at=after), event(5, on_sale_at=tomorrow),
                  event(6, ends_at=(NOW + timedelta(days=400)).isoformat())],
        "contact": [contact(7, created_at=tomorrow), contact(8, converted_at=tomorrow, lost_at=tomorrow)],
        "sale": [sale(9, 1, sold_at=tomorrow), sale(9, 2, unit_price="1250.00"), sale(9, 3, unit_price="0.10")],
    })  # fmt: skip
    found = {kind: of_beta(services, kind) for kind in ("event", "contact", "sale")}
    assert {name: one.ids for kind in found.values() for name, one in kind.items()} == {
        "attendance_after_it_began": ("e004",), "attendance_within_capacity": ("e003",),
        "on_sale_before_it_begins": ("e005",), "ends_within_a_year": ("e006",),
        "created_before_it_arrived": ("c0007",), "converted_before_it_arrived": ("c0008",), "converted_or_lost": ("c0008",),
        "sold_before_it_arrived": ("s009-001",), "price_near_its_product": ("s009-002", "s009-003"),
    }  # fmt: skip
    assert {one.severity for kind in found.values() for one in kind.values()} == {"warning"}


def test_amounts_in_cents_among_amounts_in_euros_leave_the_partner_out(services: Services, beta: Write) -> None:
    beta({"sale": [sale(day, n, unit_price="1250") for day in range(DAYS) for n in range(2)]})
    slip = of_beta(services, "sale")["price_near_its_product"]
    assert (slip.severity, slip.count, len(slip.ids)) == ("error", 2 * DAYS, 20)
    assert "1250" not in slip.observed


def test_a_sale_of_an_unknown_event_or_contact_is_named(services: Services, beta: Write) -> None:
    gone = event(10, deleted_at=NOW.isoformat(), status="cancelled")
    beta({"event": [gone], "sale": [sale(1, 0, event_id="nowhere"), sale(1, 1, contact_id="nobody")]})
    found = of_beta(services, "sale")
    assert {name: (one.ids, one.severity) for name, one in found.items()} == {
        "event_is_there": (("s001-000",), "warning"), "contact_is_there": (("s001-001",), "warning"),
    }  # fmt: skip


def test_most_sales_of_unknown_events_mislead_unless_no_events_are_sent_at_all(services: Services, beta: Write) -> None:
    beta({}, lambda one: not one["native_id"].startswith("e") or one["native_id"] == "e001")
    assert of_beta(services, "sale")["event_is_there"].severity == "error"
    with services.database.partner("beta") as connection:
        connection.execute(text("delete from landing.event where partner = 'beta'"))
    assert of_beta(services, "sale")["event_is_there"].severity == "warning"


def test_a_field_that_was_usual_and_is_gone(services: Services, beta: Write) -> None:
    lately = [(day, n) for day in range(6) for n in range(A_DAY)]
    beta({"sale": [sale(day, n, list_price=None, event_id=None) for day, n in lately]})
    found = of_beta(services, "sale")
    assert {name: one.severity for name, one in found.items()} == {
        "list_price_filled_as_usual": "warning", "event_id_filled_as_usual": "error",
    }  # fmt: skip
    one = found["list_price_filled_as_usual"]
    assert one.count == 6 * A_DAY and one.ids[0] == "s000-000" and "100% before" in one.observed


def test_too_few_too_many_and_none_for_days(services: Services, beta: Write) -> None:
    beta({}, lambda one: not one["native_id"].startswith(("s000", "s001", "s002", "s003", "s004", "s005", "s006")))
    found = of_beta(services, "sale")
    assert set(found) == {"newest_record_in_time", "last_day_as_usual", "last_week_as_usual"}
    assert "usually one comes within 1 day" in found["newest_record_in_time"].observed
    more = [sale(0, n % 60, native_id=f"more{n}") for n in range(A_DAY, 900)]
    write(services, {"sale": more}, "beta")
    assert set(of_beta(services, "sale")) == {"last_day_as_usual", "last_week_as_usual"}
    assert {one.severity for one in found.values()} == {"warning"}


def test_what_waits_in_quarantine_counts_until_it_landed(services: Services, beta: Write) -> None:
    beta({"contact": [contact(11, stage=7), contact(12, created_at="yesterday"), contact(13, country="X" * 99)]})
    waiting = of_beta(services, "contact")["none_in_quarantine"]
    assert waiting.ids == ("c0011", "c0012") and waiting.count == 2
    write(services, {"contact": [contact(11), contact(12)]}, "beta")
    assert of_beta(services, "contact") == {}


def test_partners_are_judged_in_one_go_and_each_reads_its_own(services: Services, beta: Write) -> None:
    beta({"sale": [sale(1, 0, event_id="nowhere")]})
    findings = check(services, ["alpha", "beta", "empty"], "sale", "run-2")
    assert [(one.partner, len(one.breaches)) for one in findings] == [("alpha", 0), ("beta", 1), ("empty", 0)]
    assert findings[2].results == ()
    with services.database.partner("beta") as connection:
        mine = quality_results.newest(connection, "beta", "sale")
        assert mine[0]["expectation"] == "event_is_there" and mine[0]["ids"] == ["s001-000"] and mine[0]["at"] == NOW
        assert quality_results.newest(connection, "alpha") == [], "row-level security keeps them apart"


def test_the_newest_run_is_read_and_the_same_run_replaces_its_own(services: Services) -> None:
    def run(run_id: str, now: datetime, passed: bool) -> None:
        one = Result(
            kind="sale", platform="shop", expectation="event_is_there", dimension="references", severity="warning",
            passed=passed, count=0 if passed else 4, observed="…",
        )  # fmt: skip
        with services.database.partner("empty") as connection:
            quality_results.store(connection, "empty", run_id, [one], now)

    def read() -> list[tuple[str, bool, int]]:
        with services.database.partner("empty") as connection:
            return [(one["run_id"], one["passed"], one["count"]) for one in quality_results.newest(connection, "empty")]

    run("one", NOW - timedelta(days=100), False)
    run("two", NOW - timedelta(days=1), False)
    assert read() == [("two", False, 4)]
    run("two", NOW, True)
    assert read() == [("two", True, 0)]
    with services.database.partner("empty") as connection:
        kept = connection.execute(text("select count(*) from metrics.quality where partner = 'empty'")).scalar_one()
    assert kept == 1, "what is older than 90 days goes"


def test_without_harmonize_there_is_nothing_to_judge(make_database: Callable[[], Any], server: Any) -> None:
    bare = Services(Settings(home=server.home), make_database(), server.redis_url, lambda: NOW)
    with pytest.raises(NotFound, match=r"harmonized\.sale"):
        check(bare, ["alpha"], "sale", "run-1")
