"""A real pretix from its own package: what is done there arrives here, all of it, and nothing twice."""

import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from integrator.contracts.records import LandingResult
from integrator.steps import ingest
from integrator.steps.services import Services
from integrator.storage import connections
from integrator.storage.connections import PlatformConnection
from tests.platforms.box_office import BoxOffice
from tests.platforms.real_pretix import RealPretix

KINDS = ("event", "contact", "sale")


def account(pretix: RealPretix, *, token: str | None = None) -> PlatformConnection:
    return PlatformConnection(
        partner="hall", connection_id="pretix", platform="pretix",
        settings={"base_url": pretix.url, "organizer": pretix.organizer, "country": "DE", "city": "Berlin"},
        credentials={"token": token or pretix.token},
    )  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def connected(services: Services, pretix: RealPretix) -> None:
    with services.database.partner("hall") as connection:
        connections.save(connection, services.database.master, account(pretix), services.clock())


def pull(services: Services) -> dict[str, LandingResult]:
    """One sync of every kind."""
    return {kind: ingest.ingest(services, "hall", "pretix", kind).landed for kind in KINDS}


def current(services: Services, kind: str) -> dict[str, Any]:
    """The current version of every record of a kind, by native id; two for one id would be a defect."""
    with services.database.partner("hall") as connection:
        rows = connection.execute(
            text(f"select * from landing.{kind} where partner = 'hall' and valid_to is null and deleted_at is null")
        ).all()
    counted = Counter(row.native_id for row in rows)
    assert not [name for name, count in counted.items() if count > 1]
    return {row.native_id: row for row in rows}


def versions(services: Services, kind: str) -> Counter[str]:
    with services.database.partner("hall") as connection:
        return Counter(
            connection.execute(text(f"select native_id from landing.{kind} where partner = 'hall'")).scalars()
        )


def soon(days: int) -> datetime:
    return (datetime.now(UTC) + timedelta(days=days)).replace(microsecond=0)


@pytest.fixture(scope="module")
def story(services: Services, office: BoxOffice) -> dict[str, Any]:
    """Two events, one still to come and one that is over, and the first orders; pulled once."""
    office.event("gala", soon(20))
    office.event("matinee", soon(-3))
    orders = {
        "paid": office.sell("gala", "ada@example.org", tickets=2, paid=True),
        "pending": office.sell("gala", "bob@example.org", tickets=1, paid=False),
        "seen": office.sell("matinee", "eve@example.org", tickets=3, paid=True),
    }
    office.admit(orders["seen"], "matinee")
    return {"orders": orders, "first": pull(services)}


class TestFirstPull:
    def test_nothing_is_quarantined(self, story: dict[str, Any]) -> None:
        assert {kind: (r.quarantined, r.errors) for kind, r in story["first"].items()} == dict.fromkeys(KINDS, (0, []))

    def test_events_come_with_capacity_and_attendance(self, services: Services, story: dict[str, Any]) -> None:
        events = current(services, "event")
        assert set(events) == {"gala", "matinee"}
        gala, matinee = events["gala"], events["matinee"]
        assert (gala.status, gala.capacity, gala.attendance, gala.timezone) == ("scheduled", 50, None, "Europe/Berlin")
        assert (matinee.status, matinee.attendance) == ("completed", 3)

    def test_every_ticket_is_a_sale_with_its_exact_price(self, services: Services, story: dict[str, Any]) -> None:
        sales = current(services, "sale")
        assert len(sales) == 6
        code = story["orders"]["paid"]["code"]
        found = [(s.unit_price, s.currency, s.status, s.event_id) for s in (sales[f"{code}-1"], sales[f"{code}-2"])]
        assert found == [(Decimal("25.00"), "EUR", "paid", "gala"), (Decimal("15.50"), "EUR", "paid", "gala")]
        assert sales[f"{story['orders']['pending']['code']}-1"].status == "pending"

    def test_buyers_come_without_their_addresses(self, services: Services, story: dict[str, Any]) -> None:
        contacts = current(services, "contact")
        assert len(contacts) == 3
        assert "@example.org" not in str(contacts)
        assert all(contact.email_hash for contact in contacts.values())

    def test_sales_name_events_and_contacts_that_are_there(self, services: Services, story: dict[str, Any]) -> None:
        events, contacts = current(services, "event"), current(services, "contact")
        for sale in current(services, "sale").values():
            assert sale.event_id in events and sale.contact_id in contacts


class TestLater:
    def test_a_second_pull_finds_nothing_new(self, services: Services, story: dict[str, Any]) -> None:
        before = {kind: versions(services, kind) for kind in KINDS}
        again = pull(services)
        assert {kind: (r.accepted, r.quarantined) for kind, r in again.items()} == dict.fromkeys(KINDS, (0, 0))
        assert {kind: versions(services, kind) for kind in KINDS} == before
        assert not ingest.has_news(services, "hall", "pretix")

    def test_a_payment_a_cancellation_and_a_new_order_arrive_once(
        self, services: Services, office: BoxOffice, story: dict[str, Any]
    ) -> None:
        orders = story["orders"]
        time.sleep(1.1)  # pretix counts changes by the second
        office.pay(orders["pending"])
        office.cancel(orders["paid"])
        fresh = office.sell("gala", "joe@example.org", tickets=2, paid=True)
        assert ingest.has_news(services, "hall", "pretix")
        landed = pull(services)["sale"]
        assert (landed.accepted, landed.quarantined) == (5, 0)  # one paid, two cancelled, two new
        sales = current(services, "sale")
        assert sales[f"{orders['pending']['code']}-1"].status == "paid"
        assert {sales[f"{orders['paid']['code']}-{n}"].status for n in (1, 2)} == {"cancelled"}
        assert {sales[f"{fresh['code']}-{n}"].status for n in (1, 2)} == {"paid"}
        assert versions(services, "sale")[f"{orders['paid']['code']}-1"] == 2
        assert pull(services)["sale"].accepted == 0

    def test_more_seats_arrive(self, services: Services, office: BoxOffice, story: dict[str, Any]) -> None:
        office.resize("gala", 80)
        assert pull(services)["event"].accepted == 1
        assert current(services, "event")["gala"].capacity == 80

    def test_late_check_ins_arrive(self, services: Services, office: BoxOffice, story: dict[str, Any]) -> None:
        late = office.sell("matinee", "kim@example.org", tickets=2, paid=True)
        office.admit(late, "matinee")
        pull(services)
        assert current(services, "event")["matinee"].attendance == 5

    def test_an_event_that_is_deleted_is_gone_here_too(
        self, services: Services, office: BoxOffice, story: dict[str, Any]
    ) -> None:
        office.event("mistake", soon(40))
        pull(services)
        assert "mistake" in current(services, "event")
        office.remove("mistake")
        pull(services)
        assert "mistake" not in current(services, "event")
        assert {"gala", "matinee"} <= set(current(services, "event"))

    def test_what_is_counted_there_is_here(self, services: Services, pretix: RealPretix, story: dict[str, Any]) -> None:
        from integrator.steps.connections import reconcile

        for line in reconcile(services, "hall", "pretix"):
            assert line.counted in (None, line.landed), line


class TestPermissions:
    def test_full_rights_lack_nothing(self, services: Services, pretix: RealPretix, story: dict[str, Any]) -> None:
        assert ingest.check(services, account(pretix)) == []

    def test_a_token_without_orders_is_told_so(
        self, services: Services, pretix: RealPretix, story: dict[str, Any]
    ) -> None:
        """pretix answers it with an empty list of orders, which must not pass for a shop without sales."""
        missing = ingest.check(services, account(pretix, token=pretix.blind_token))
        assert missing == ["can_view_orders"]
