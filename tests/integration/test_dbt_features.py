"""A whole build over several partners: what the features say, as known when, to whom, and how they are reached."""

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from integrator.steps.harmonize import dbt_address, dbt_env, failing_partners, open_window
from tests.conftest import NOW
from tests.integration.dbt_runs import Dbt, add_partner, land, rows
from tests.integration.planted_bookings import EVENTS, plant_bookings, tickets

DAY = timedelta(days=1)
LEAK = "contract_number"


def plant_leads(connection: Any) -> None:
    """Leads of which every third converts after 20 days, and only then gets a contract number and its stage."""
    for number in range(60):
        created = NOW - 200 * DAY + number * DAY
        name = f"lead{number}"
        land(connection, "contact", "crm", name, created, stage="lead", source="web", attributes={"size": number})
        if number % 3 == 0:
            land(
                connection, "contact", "crm", name, created + 20 * DAY, created_at=created, stage="customer",
                source="web", converted_at=created + 20 * DAY, attributes={"size": number, LEAK: f"K{number}"},
            )  # fmt: skip
    for name, more in {"fresh": {}, "denied": {"consent_processing": "denied"}, "lost": {"lost_at": NOW - DAY}}.items():
        land(connection, "contact", "crm", name, NOW - 5 * DAY, stage="lead", **more)
    land(
        connection,
        "contact",
        "crm",
        "seen_late",
        NOW,
        created_at=NOW - 100 * DAY,
        stage="customer",
        attributes={LEAK: "K"},
    )
    land(connection, "sale", "crm", "bought", NOW - 4 * DAY, contact_id="fresh", quantity=3, currency="USD")


def plant_sales(connection: Any) -> None:
    """A shop in New Taiwan dollars with a refund, a pending line, and a currency without a rate."""
    sold = datetime(2026, 3, 1, 20, 0, tzinfo=NOW.tzinfo)  # already the 2nd in Taipei
    common: dict[str, Any] = {"product": "tea", "currency": "TWD", "attributes": {"product_type": "drinks"}}
    fields = {"product_type": "drinks", "deal": True, "shelf": "2", "clerk": "Ada"}
    land(connection, "sale", "shop", "a", sold, quantity=3, unit_price=100, **common | {"attributes": fields})
    fields = {"deal": "no", "shelf": 4.5}
    land(connection, "sale", "shop", "b", sold, quantity=1, unit_price=60, **common | {"attributes": fields})
    land(connection, "sale", "shop", "c", sold, quantity=2, unit_price=100, **common)
    land(
        connection, "sale", "shop", "c", sold + 5 * DAY, sold_at=sold, quantity=2, unit_price=100,
        refunded_quantity=1, refunded_amount=100, **common,
    )  # fmt: skip
    land(connection, "sale", "shop", "d", sold, quantity=9, unit_price=100, status="pending", **common)
    land(connection, "sale", "shop", "e", sold, quantity=1, unit_price=5, **{**common, "currency": "ISK"})


def plant_events(connection: Any) -> None:
    for number in range(40):
        starts = NOW - 30 * DAY + number * DAY
        past = starts < NOW
        land(
            connection, "event", "venue", f"day{number}", starts - 10 * DAY, starts_at=starts, capacity=100,
            name=f"Day {number}", status="completed" if past else "scheduled", attendance=50 if past else None,
        )  # fmt: skip
    land(connection, "event", "venue", "off", NOW - 20 * DAY, starts_at=NOW - 2 * DAY, status="cancelled", attendance=0)
    land(connection, "sale", "venue", "t1", NOW - 3 * DAY, event_id="day35", quantity=4)
    land(connection, "sale", "venue", "t2", NOW - 3 * DAY, event_id="day35", quantity=2, status="cancelled")
    land(connection, "sale", "venue", "p1", NOW - 21 * DAY, event_id="day10", product="past")
    land(connection, "sale", "venue", "c1", NOW - 3 * DAY, event_id="day35", product="coming")
    land(
        connection, "sale", "venue", "l1", NOW - 5 * DAY, sold_at=NOW - 8 * DAY, product="late", attributes={"deal": 1}
    )
    for filler in range(3000):  # enough that reading them all would be the wrong plan
        land(connection, "sale", "venue", f"f{filler}", NOW - 9 * DAY, event_id=f"old{filler % 300}")


@pytest.fixture(scope="module")
def built(database: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Dbt, dict[str, str]]]:
    """One night with every test, over partners of each use case."""
    add_partner(database, "crm", currency="USD")
    add_partner(database, "shop", currency="TWD", timezone="Asia/Taipei", region="TW")
    add_partner(database, "venue", timezone="Europe/London")
    add_partner(database, "stage")
    with database.batch() as connection:
        connection.execute(text("insert into reference.holiday values ('GB', :day, 'Spring Day')"), {"day": NOW.date()})
        connection.execute(text("insert into reference.holiday values ('TW', '2026-03-02', 'Tea Day')"))
        plant_leads(connection)
        plant_sales(connection)
        plant_events(connection)
        plant_bookings(connection)
    dbt = Dbt(database, tmp_path_factory.mktemp("dbt"))
    yield dbt, dbt.night(NOW)


def test_every_data_test_passes(built: tuple[Dbt, dict[str, str]]) -> None:
    dbt, statuses = built
    assert {name for name, status in statuses.items() if status == "warn"} == {"sale_is_of_a_known_event"}
    assert sum(status == "pass" for status in statuses.values()) > 40
    assert failing_partners(dbt.db, dbt.target) == {}, "an unknown event is for reading, it excludes nobody"


def test_unit_tests_pass(built: tuple[Dbt, dict[str, str]]) -> None:
    statuses = built[0].invoke(["test", "--select", "test_type:unit"], dbt_address(built[0].db))
    judged = {name: status for name, status in statuses.items() if not name.startswith("integrator-on-run")}
    assert len(judged) >= 5 and set(judged.values()) == {"pass"}


def test_attendance_and_its_training_rows(built: tuple[Dbt, dict[str, str]]) -> None:
    db = built[0].db
    query = "select days_out, tickets_sold, attendance, is_holiday from features.attendance where event_id = :event"
    assert rows(db, query, event="day35") == [(5, 5, None, False)]
    assert rows(db, query, event="day30") == [(0, 0, None, True)], "GB-ENG has no calendar of its own: GB's holds"
    training = rows(db, "select event_id from features.attendance_training")
    assert {row[0] for row in training} == {f"day{number}" for number in range(30)}


def curves(connection: Any, moment: datetime) -> dict[str, Any]:
    connection.execute(text("select set_config('integrator.as_of', :at, true)"), {"at": moment.isoformat()})
    query = """select event_id, starts_on, tickets_sold, bookings, average_price from features.attendance_view
        where partner = 'stage'"""
    return {row.event_id: row for row in connection.execute(text(query))}


@pytest.mark.parametrize("days_ago", [0, 3, 11, 25, 45, 80])
def test_tickets_and_curves_agree_at_every_moment(built: tuple[Dbt, dict[str, str]], days_ago: int) -> None:
    """Refunds, late news, moved and deleted lines: a curve remembers on each day what was known at that day's end."""
    moment = datetime.combine(NOW.date() - days_ago * DAY, time(15), NOW.tzinfo)  # midnight in Tokyo
    with built[0].db.batch() as connection:
        now, then = curves(connection, NOW + DAY), curves(connection, moment)
    assert then.keys() == now.keys() == EVENTS.keys()
    for event, row in then.items():
        assert row.tickets_sold == tickets(event, moment)
        days_out = (row.starts_on - moment.date()).days
        if days_out >= 0:
            remembered = [point for point in now[event].bookings if point[0] >= days_out]
            assert row.bookings == remembered
            assert row.tickets_sold == (remembered[-1][1] if remembered else 0)
    if days_ago == 0:
        assert {row.average_price for row in now.values()} == {Decimal(20)}
        assert len(now["gala"].bookings) > 20, "moved lines come to it too"


def test_a_curve_ends_at_the_start(built: tuple[Dbt, dict[str, str]]) -> None:
    """What is refunded after the event changes its tickets and not how it was sold; what has no sales has an empty curve."""
    db = built[0].db
    past = rows(db, "select tickets_sold, bookings from features.attendance where event_id = 'matinee'")[0]
    start = NOW - 40 * DAY
    assert past[1][-1][1] == tickets("matinee", datetime.combine(start.date(), time(15), NOW.tzinfo)) != past[0]
    assert rows(db, "select bookings, average_price from features.attendance where event_id = 'day39'") == [([], None)]


def test_pricing_is_daily_net_and_converted(built: tuple[Dbt, dict[str, str]]) -> None:
    got = rows(
        built[0].db,
        "select sold_on, quantity, line_count, revenue, unit_price, currency, unconverted_lines, product_group, is_holiday"
        " from features.pricing where partner = 'shop'",
    )
    price = (Decimal(5 * 100 + 60) / 6).quantize(Decimal("0.000001"))
    assert got == [(date(2026, 3, 2), 6, 4, Decimal(460), price, "TWD", 1, "drinks", True)]


def test_a_day_s_fields_are_means_of_what_was_known_of_its_lines(built: tuple[Dbt, dict[str, str]]) -> None:
    got = rows(built[0].db, "select attributes, days_to_event, event_id from features.pricing where partner = 'shop'")
    assert got == [({"deal": 0.75, "shelf": 2.625}, None, None)], "weighted by quantity; a name is no number"


def test_a_field_counts_from_when_it_was_first_seen(built: tuple[Dbt, dict[str, str]]) -> None:
    db = built[0].db
    query = "select quantity, attributes from features.pricing_view where partner = 'venue' and product = 'late'"
    assert rows(db, query) == [(1, {"deal": 1.0})]
    with db.batch() as connection:
        moment = (NOW - 7 * DAY).isoformat()
        connection.execute(text("select set_config('integrator.as_of', :at, true)"), {"at": moment})
        found = connection.execute(text(query)).all()
    assert found == [(1, {})], "the line proves itself, its fields do not"


def test_a_ticket_s_row_knows_its_coming_event(built: tuple[Dbt, dict[str, str]]) -> None:
    columns = "days_to_event, event_capacity, event_tickets_sold, event_starts_at > as_of"
    query = f"select {columns} from features.pricing where partner = 'venue' and product = :product"
    assert rows(built[0].db, query, product="coming") == [(8, 100, 5, True)], "a cancelled line holds no seat"
    assert rows(built[0].db, query, product="past") == [(1, 100, None, False)], "no seats are left of what is over"


def test_live_leads_are_open_fresh_and_allowed(built: tuple[Dbt, dict[str, str]]) -> None:
    got = rows(built[0].db, "select contact_id, age_days, purchases, spent, horizon_days from features.lead_score")
    assert got == [("fresh", 5, 1, Decimal(30), 90)]


def test_training_does_not_know_what_was_known_only_after_conversion(built: tuple[Dbt, dict[str, str]]) -> None:
    """The planted field gives the answer away in the current version, so reading that instead would show here."""
    db = built[0].db
    naive = rows(
        db,
        f"select training.converted, contact.attributes ? '{LEAK}' from features.lead_score_training as training"
        " inner join harmonized.contact using (partner, person_id) where training.contact_id <> 'seen_late'",
    )
    assert {leaked for converted, leaked in naive if converted} == {True}
    assert {leaked for converted, leaked in naive if not converted} == {False}
    honest = rows(
        db, f"select converted, stage, attributes ? '{LEAK}', as_of, created_at from features.lead_score_training"
    )
    assert {row[0] for row in honest} == {True, False}
    assert {row[1] for row in honest} <= {"lead", None}
    assert not any(row[2] for row in honest)
    assert all(created <= moment <= NOW - 90 * DAY for *_, moment, created in honest)
    unseen = rows(
        db, "select distinct stage, attributes from features.lead_score_training where contact_id = 'seen_late'"
    )
    assert unseen == [(None, {})]


def test_a_past_moment_is_read_as_it_was(built: tuple[Dbt, dict[str, str]]) -> None:
    """The views answer for any moment; nothing that came later shows."""
    db = built[0].db
    moment = NOW - 12 * DAY
    with db.batch() as connection:
        connection.execute(text("select set_config('integrator.as_of', :at, true)"), {"at": moment.isoformat()})
        late = connection.execute(
            text("select max(starts_at) from features.attendance_view where attendance is not null")
        )
        assert late.scalar_one() < moment
        tea = connection.execute(text("select quantity from features.pricing_view where partner = 'shop'")).scalar_one()
        assert tea == 7, "the refund had not happened"
        leads = connection.execute(text("select contact_id, stage, attributes from features.lead_score_view")).all()
        assert leads == [("seen_late", None, {})], "its creation proves it, and nothing else was known"
        assert (
            connection.execute(text("select count(*) from features.attendance_view where event_id = 'day39'")).scalar()
            == 0
        )


def test_every_relation_is_protected(built: tuple[Dbt, dict[str, str]]) -> None:
    unprotected = rows(
        built[0].db,
        "select relname from pg_class where relnamespace in ('staging'::regnamespace, 'harmonized'::regnamespace,"
        " 'features'::regnamespace) and (relkind = 'r' and not (relrowsecurity and relforcerowsecurity)"
        " or relkind = 'v' and not coalesce(reloptions @> '{security_invoker=true}', false)"
        " or relkind not in ('r', 'v', 'i'))",
    )
    assert unprotected == []


def test_a_service_sees_its_partner_alone(built: tuple[Dbt, dict[str, str]]) -> None:
    db = built[0].db
    relations = rows(
        db,
        "select oid::regclass::text from pg_class where relkind in ('r', 'v') and relnamespace in"
        " ('staging'::regnamespace, 'harmonized'::regnamespace, 'features'::regnamespace)",
    )
    assert len(relations) == 30
    with db.partner("shop") as connection:
        for (relation,) in relations:
            seen = set(connection.execute(text(f"select distinct partner from {relation}")).scalars())
            assert seen <= {"shop"}, relation
        assert connection.execute(text("select count(*) from features.pricing")).scalar_one() == 1


def test_analysts_read_tables_and_training_views_but_no_landing(built: tuple[Dbt, dict[str, str]]) -> None:
    def may(relation: str) -> bool:
        return bool(
            rows(built[0].db, f"select has_table_privilege('integrator_analyst', '{relation}', 'select')")[0][0]
        )

    assert may("features.attendance_training") and may("harmonized.contact") and may("features.lead_score_training")
    assert not may("features.lead_score_view") and not may("staging.stg_contact") and not may("landing.contact")


@pytest.mark.parametrize(
    ("query", "indexes"),
    [
        ("features.attendance_view where partner = 'venue' and platform = 'direct' and event_id = 'day35'",
         {"landing.event": "event_", "landing.sale": "sale_of_event"}),
        ("features.pricing_view where partner = 'venue' and platform = 'direct' and product = 'none'",
         {"landing.sale": "sale_of_product"}),
        ("harmonized.sale_view where partner = 'venue' and platform = 'direct' and sale_id = 't1'",
         {"landing.sale": "sale_"}),
    ],
)  # fmt: skip
def test_one_subject_reaches_the_index_of_landing(
    built: tuple[Dbt, dict[str, str]], query: str, indexes: dict[str, str]
) -> None:
    with built[0].db.partner("venue") as connection:
        plan = connection.execute(text(f"explain (format json) select * from {query}")).scalar_one()
    scans: dict[str, list[tuple[str, str]]] = {}

    def walk(node: dict[str, Any]) -> None:
        if "Relation Name" in node:
            scans.setdefault(f"landing.{node['Relation Name']}", []).append(
                (node["Node Type"], node.get("Index Name", ""))
            )
        if "Bitmap" in node["Node Type"] and "Index Name" in node:
            scans.setdefault("bitmap", []).append((node["Node Type"], node["Index Name"]))
        for child in node.get("Plans", []):
            walk(child)

    walk(plan[0]["Plan"])
    for relation, index in indexes.items():
        assert relation in scans
        used = [*scans[relation], *scans.get("bitmap", [])]
        assert not [kind for kind, _ in used if kind == "Seq Scan"], (relation, used)
        assert any(name.startswith(index) for _, name in used), (relation, used)


def test_failing_rows_name_their_partner(built: tuple[Dbt, dict[str, str]]) -> None:
    dbt, _ = built
    with dbt.db.batch() as connection:
        connection.execute(
            text("update harmonized.sale set net_quantity = -1 where partner = 'shop' and sale_id = 'a'")
        )
    statuses = dbt.invoke(
        ["test", "--select", "sale", "--resource-type", "test"], dbt_env(dbt.db, open_window(dbt.db), NOW)
    )
    assert statuses["sale_net_is_within_quantity"] == "warn"
    assert failing_partners(dbt.db, dbt.target) == {"shop": ["sale_net_is_within_quantity"]}
