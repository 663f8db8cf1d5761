"""The rules of harmonize, each on a partner of its own, in one night: consent, refunds, rates, zones, calendars."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from integrator.storage.database import Database
from integrator.storage.outcomes_gather import gather
from tests.conftest import NOW
from tests.integration.dbt_runs import Dbt, add_partner, land, rows

DAY = timedelta(days=1)
RATES = {"USD": "1.25", "GBP": "0.80", "JPY": "160"}  # of one euro
SAID = (None, "granted", "denied")


def plant_consent(connection: Any) -> None:
    """Every word a contact may have given, under both defaults, with and without the partner's own pooling."""
    for partner in ("opt_in", "opt_out", "alone"):
        for processing in SAID:
            for pooling in SAID:
                land(
                    connection, "contact", partner, f"{processing}-{pooling}", NOW - 9 * DAY, stage="lead",
                    consent_processing=processing, consent_pooling=pooling,
                )  # fmt: skip
        # one person on two platforms: an explicit no stops both
        for platform, processing in (("crm", "granted"), ("shop", "denied")):
            land(
                connection, "contact", partner, f"both-{platform}", NOW - 9 * DAY, platform=platform,
                email_hash=b"both", consent_processing=processing,
            )  # fmt: skip
        land(connection, "sale", partner, "of-a-no", NOW - 2 * DAY, contact_id="denied-None", quantity=3)


def plant_refunds(connection: Any) -> None:
    common: dict[str, Any] = {"unit_price": 10, "quantity": 4}
    cases: dict[str, dict[str, Any]] = {
        "whole": {"status": "paid"},
        "part": {"status": "paid", "refunded_quantity": 1, "refunded_amount": 10},
        "money_only": {"status": "paid", "refunded_amount": 5},
        "all": {"status": "refunded", "refunded_quantity": 4, "refunded_amount": 40},
        "all_unsaid": {"status": "refunded"},
        "pending": {"status": "pending"},
        "cancelled": {"status": "cancelled"},
        "too_many": {"status": "paid", "refunded_quantity": 9, "refunded_amount": 40},
    }
    for name, more in cases.items():
        land(connection, "sale", "refunds", name, NOW - 3 * DAY, **common, **more)


def plant_rates(connection: Any) -> None:
    day = NOW.date() - 3 * DAY
    for code, rate in RATES.items():
        connection.execute(
            text("insert into reference.fx_rate values (:code, :day, :rate)"), {"code": code, "day": day, "rate": rate}
        )
    for code in ("EUR", "USD", "GBP", "JPY", "ISK"):
        land(connection, "sale", "rates", code, NOW - 3 * DAY, currency=code, unit_price=100)
    land(connection, "sale", "rates", "six_days_later", NOW + 3 * DAY, currency="USD", unit_price=100)
    land(connection, "sale", "rates", "before_the_rate", NOW - 4 * DAY, currency="USD", unit_price=100)
    land(connection, "sale", "yen", "from_dollars", NOW - 3 * DAY, currency="USD", unit_price=100)


STARTS = {  # what London's clocks say on either side of both changes of 2026
    "winter_night": (datetime(2026, 3, 28, 23, 30, tzinfo=UTC), (date(2026, 3, 28), 23)),
    "summer_night": (datetime(2026, 3, 29, 23, 30, tzinfo=UTC), (date(2026, 3, 30), 0)),
    "the_gap": (datetime(2026, 3, 29, 1, 0, tzinfo=UTC), (date(2026, 3, 29), 2)),
    "first_of_two": (datetime(2026, 10, 25, 0, 30, tzinfo=UTC), (date(2026, 10, 25), 1)),
    "second_of_two": (datetime(2026, 10, 25, 1, 30, tzinfo=UTC), (date(2026, 10, 25), 1)),
}


def plant_events(connection: Any) -> None:
    for name, (starts, _) in STARTS.items():
        land(connection, "event", "zones", name, NOW - 60 * DAY, starts_at=starts, timezone="Europe/London")
    noon = datetime(2026, 3, 17, 12, tzinfo=UTC)
    for zone in ("Pacific/Auckland", "America/Los_Angeles", "Asia/Kathmandu"):
        land(connection, "event", "zones", zone, NOW - 60 * DAY, starts_at=noon, timezone=zone)
    for region, day, name in (
        ("GB", "2026-03-17", "Union Day"), ("GB-NIR", "2026-03-17", "St Patrick"), ("DE", "2026-03-18", "German Day"),
        ("DE-BY", "2026-03-19", "Bavarian Day"),
    ):  # fmt: skip
        connection.execute(
            text("insert into reference.holiday values (:region, :day, :name)"),
            {"region": region, "day": day, "name": name},
        )
    places: dict[str, dict[str, Any]] = {
        "of_the_partner": {},
        "own_region": {"venue_region": "GB-NIR"},
        "country_alone": {"venue_country": "DE"},
        "region_in_country": {"venue_country": "DE", "venue_region": "BY"},
        "region_without_calendar": {"venue_country": "DE", "venue_region": "BE"},
        "nowhere_known": {"venue_region": "FR-75"},
    }
    for name, where in places.items():
        for day in (17, 18, 19):
            land(
                connection, "event", "places", f"{name}-{day}", NOW - 60 * DAY,
                starts_at=datetime(2026, 3, day, 12, tzinfo=UTC), **where,
            )  # fmt: skip


def plant_outcomes(connection: Any) -> None:
    """What came of an event, a ticket tier and two leads, one of them known on two platforms."""
    land(
        connection, "event", "told", "gala", NOW - 60 * DAY, starts_at=NOW - 9 * DAY, status="completed", attendance=870,
        series_id="galas",
    )  # fmt: skip
    ticket: dict[str, Any] = {"product": "gala", "tier": "balcony", "event_id": "gala"}
    for days, quantity, refunded in ((13, 4, 1), (12, 2, 0), (1, 1, 0)):  # 3 and 4 March, 15 March: a Sunday
        land(
            connection, "sale", "told", f"s{days}", NOW - days * DAY, quantity=quantity, refunded_quantity=refunded,
            refunded_amount=10 * refunded, **ticket,
        )  # fmt: skip
    for platform, converted in (("crm", None), ("shop", NOW - 20 * DAY)):
        land(
            connection, "contact", "told", f"ada-{platform}", NOW - 50 * DAY, platform=platform, email_hash=b"ada",
            converted_at=converted,
        )  # fmt: skip
    land(connection, "contact", "told", "bob", NOW - 50 * DAY, platform="crm")


@pytest.fixture(scope="module")
def db(database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """One night over all of it, then a second one after deletions."""
    add_partner(database, "opt_in", processing="denied")
    add_partner(database, "opt_out", processing="granted")
    add_partner(database, "alone", processing="granted", pooling=False)
    for name, currency in (("refunds", "GBP"), ("rates", "EUR"), ("yen", "JPY"), ("zones", "GBP"), ("places", "GBP")):
        add_partner(database, name, currency=currency)
    add_partner(database, "gone", currency="GBP")
    add_partner(database, "told", currency="GBP")
    with database.batch() as connection:
        plant_consent(connection)
        plant_refunds(connection)
        plant_rates(connection)
        plant_events(connection)
        plant_outcomes(connection)
        for name in ("kept", "deleted", "back"):
            land(connection, "event", "gone", name, NOW - 9 * DAY)
            land(connection, "sale", "gone", name, NOW - 9 * DAY, event_id=name)
            land(connection, "contact", "gone", name, NOW - 9 * DAY, stage="lead")
    dbt = Dbt(database, tmp_path_factory.mktemp("dbt"))
    dbt.night(NOW, "--resource-type", "model")
    with database.batch() as connection:
        for kind in ("event", "sale", "contact"):
            for name in ("deleted", "back"):
                land(connection, kind, "gone", name, NOW - DAY, deleted_at=NOW - DAY)
            land(connection, kind, "gone", "back", NOW, deleted_at=None)
    dbt.night(NOW, "--resource-type", "model")
    yield database


def allowed(processing: str | None, default: str) -> bool:
    return (processing or default) == "granted"


@pytest.mark.parametrize(
    ("partner", "default", "pools"),
    [("opt_in", "denied", True), ("opt_out", "granted", True), ("alone", "granted", False)],
)
def test_consent_follows_the_contact_s_word_then_the_partner_s_default(
    db: Database, partner: str, default: str, pools: bool
) -> None:
    query = "select contact_id, is_processing_allowed, is_pooling_allowed from harmonized.consent where partner = :partner and platform = 'direct'"
    found = {name: (processing, pooling) for name, processing, pooling in rows(db, query, partner=partner)}
    for processing in SAID:
        for pooling in SAID:
            may = allowed(processing, default)
            assert found[f"{processing}-{pooling}"] == (may, may and pooling == "granted" and pools), (
                processing,
                pooling,
            )


@pytest.mark.parametrize(("partner", "default"), [("opt_in", "denied"), ("opt_out", "granted"), ("alone", "granted")])
def test_contacts_without_consent_stop_before_harmonized_and_features(db: Database, partner: str, default: str) -> None:
    expected = {f"{processing}-{pooling}" for processing in SAID for pooling in SAID if allowed(processing, default)}
    for relation in ("harmonized.contact", "features.lead_score"):
        found = {row[0] for row in rows(db, f"select contact_id from {relation} where partner = :p", p=partner)}
        assert found == expected, relation
    people = {row[0] for row in rows(db, "select native_id from harmonized.identity where partner = :p", p=partner)}
    assert not people & {"both-crm", "both-shop"}, "an explicit no on one platform stops the person on all"


def test_a_sale_of_who_said_no_counts_without_saying_whose(db: Database) -> None:
    query = "select partner, contact_id, net_quantity from harmonized.sale where sale_id = 'of-a-no' order by 1"
    assert rows(db, query) == [("alone", None, 3), ("opt_in", None, 3), ("opt_out", None, 3)]


def test_pooling_is_never_allowed_where_the_partner_does_not_pool(db: Database) -> None:
    query = "select partner, count(*) from harmonized.contact where is_pooling_allowed group by 1 order by 1"
    assert rows(db, query) == [("opt_in", 1), ("opt_out", 2)]


@pytest.mark.parametrize(
    ("sale", "status", "net", "amount"),
    [
        ("whole", "sold", 4, 40),
        ("part", "partly_refunded", 3, 30),
        ("money_only", "partly_refunded", 4, 35),
        ("all", "refunded", 0, 0),
        ("all_unsaid", "refunded", 0, 0),
        ("pending", "pending", 0, 0),
        ("cancelled", "cancelled", 0, 0),
        ("too_many", "partly_refunded", 0, 0),
    ],
)
def test_refunds_are_netted(db: Database, sale: str, status: str, net: int, amount: int) -> None:
    query = "select status, net_quantity, net_amount from harmonized.sale where partner = 'refunds' and sale_id = :sale"
    assert rows(db, query, sale=sale) == [(status, net, Decimal(amount))]


def test_a_day_s_pricing_is_what_is_left_of_it(db: Database) -> None:
    query = "select quantity, revenue from features.pricing where partner = 'refunds'"
    assert rows(db, query) == [(4 + 3 + 4, Decimal(40 + 30 + 35))]


def test_amounts_are_converted_across_the_euro_and_the_original_stays(db: Database) -> None:
    query = (
        "select sale_id, round(net_amount_reported, 4), fx_rate_date, net_amount, currency, conversion_note is null"
        " from harmonized.sale where partner = 'rates'"
    )
    found = {row[0]: row[1:] for row in rows(db, query)}
    day = (NOW - 3 * DAY).date()
    assert found["EUR"] == (Decimal(100), None, Decimal(100), "EUR", True)
    assert found["USD"] == (Decimal(80), day, Decimal(100), "USD", True)
    assert found["GBP"] == (Decimal(125), day, Decimal(100), "GBP", True)
    assert found["JPY"] == (Decimal("0.625"), day, Decimal(100), "JPY", True)
    assert found["ISK"] == (None, None, Decimal(100), "ISK", False)
    (yen,) = rows(db, "select round(net_amount_reported, 2) from harmonized.sale where partner = 'yen'")
    assert yen == (Decimal(12800),), "dollars to yen by way of the euro: 100 / 1.25 * 160"


def test_a_rate_is_never_from_the_future_and_never_older_than_a_week(db: Database) -> None:
    query = "select sale_id, conversion_note from harmonized.sale where partner = 'rates' and currency = 'USD'"
    notes = dict(rows(db, query))  # type: ignore[arg-type]
    assert notes["before_the_rate"] is not None and "no ECB rate from USD to EUR" in notes["before_the_rate"]
    assert notes["six_days_later"] is None and notes["USD"] is None


@pytest.mark.parametrize("name", STARTS)
def test_local_dates_follow_the_clocks_of_the_venue(db: Database, name: str) -> None:
    query = "select starts_on, local_hour, weekday from harmonized.event where partner = 'zones' and event_id = :name"
    day, hour = STARTS[name][1]
    assert rows(db, query, name=name) == [(day, hour, day.isoweekday())]


def test_one_moment_is_two_days_on_two_sides_of_the_world(db: Database) -> None:
    query = "select event_id, starts_on, local_hour from harmonized.event where partner = 'zones' and event_id like '%/%' order by 1"
    assert rows(db, query) == [
        ("America/Los_Angeles", date(2026, 3, 17), 5),
        ("Asia/Kathmandu", date(2026, 3, 17), 17),
        ("Pacific/Auckland", date(2026, 3, 18), 1),
    ]


@pytest.mark.parametrize(
    ("place", "holidays"),
    [
        ("of_the_partner", {17: "Union Day"}),  # GB-ENG has no calendar of its own
        ("own_region", {17: "St Patrick"}),
        ("country_alone", {18: "German Day"}),
        ("region_in_country", {19: "Bavarian Day"}),
        ("region_without_calendar", {18: "German Day"}),
        ("nowhere_known", {}),
    ],
)
def test_holidays_are_the_region_s_else_its_country_s(db: Database, place: str, holidays: dict[int, str]) -> None:
    query = "select starts_on, is_holiday, holiday_name from harmonized.event where partner = 'places' and event_id like :place || '-__'"
    found = {day.day: (is_holiday, name) for day, is_holiday, name in rows(db, query, place=place)}
    assert found == {day: (day in holidays, holidays.get(day)) for day in (17, 18, 19)}


@pytest.mark.parametrize(
    ("relation", "column"),
    [("harmonized.event", "event_id"), ("harmonized.sale", "sale_id"), ("harmonized.contact", "contact_id"),
     ("harmonized.identity", "native_id"), ("features.attendance", "event_id"), ("features.lead_score", "contact_id")],
)  # fmt: skip
def test_what_a_platform_deleted_is_gone_and_what_came_back_is_there(db: Database, relation: str, column: str) -> None:
    found = [row[0] for row in rows(db, f"select {column} from {relation} where partner = 'gone' order by 1")]
    assert found == ["back", "kept"]


def test_no_feature_row_is_there_twice(db: Database) -> None:
    keys = {
        "attendance": "platform, event_id", "pricing": "platform, product, tier, sold_on", "lead_score": "platform, contact_id",
        "attendance_training": "platform, event_id", "lead_score_training": "platform, contact_id, as_of",
    }  # fmt: skip
    for relation, key in keys.items():
        query = f"select 1 from features.{relation} group by partner, {key} having count(*) > 1"
        assert rows(db, query) == [], relation


def test_outcomes_are_read_off_the_harmonized_records(db: Database) -> None:
    said = [
        ("attendance", "event", "gala", "direct"), ("attendance", "series", "galas", "direct"),
        ("pricing", "tier", "gala/balcony", "direct"), ("lead_score", "contact", "ada-crm", "crm"),
        ("lead_score", "contact", "bob", "crm"),
    ]  # fmt: skip
    with db.batch() as connection:
        for use_case, kind, subject, platform in said:
            connection.execute(
                text("""insert into ops.prediction_log values ('told', :subject, 1, :use_case, :kind, :subject, :platform,
                  'success', 'partner', 'm', '1', 1, :at, :at, 'r', '{"details": {"horizon_days": 30}}', '{}')"""),
                {"subject": subject, "use_case": use_case, "kind": kind, "platform": platform, "at": NOW - 40 * DAY},
            )
    with db.partner("told") as connection:
        assert [gather(connection, "told", name, NOW) for name in ("attendance", "pricing", "lead_score")] == [2, 5, 2]
        assert [gather(connection, "told", name, NOW) for name in ("attendance", "pricing", "lead_score")] == [0, 0, 0]
    query = "select subject_id, happened_at, value, price from metrics.outcome where use_case = :case order by 1, 2"
    assert rows(db, query, case="attendance") == [(name, NOW - 9 * DAY, 870, None) for name in ("gala", "galas")]
    weeks = rows(db, query, case="pricing")
    first = datetime(2026, 2, 16, tzinfo=UTC)  # after the week of the first word on it, 4 February
    assert [(at, value) for _, at, value, _ in weeks] == [
        (first + n * 7 * DAY, value) for n, value in enumerate((0, 0, 0, 5, 1))
    ], "up to the last Sunday that the platform was heard of"
    assert [price for *_, price in weeks] == [None, None, None, 10, 10]
    assert rows(db, query, case="lead_score") == [
        ("ada-crm", NOW - 20 * DAY, 1, None),
        ("bob", NOW - 10 * DAY, 0, None),
    ], "she converted in the shop; his month passed"
