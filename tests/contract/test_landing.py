"""What the platforms' stand-ins tell, landed in a real database: nothing twice, the bad in quarantine, nobody by name."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from integrator.contracts.records import LandingResult
from integrator.platforms.base import Cursor, Page
from integrator.platforms.registry import platform
from integrator.settings import Settings
from integrator.steps.services import Services
from integrator.storage import landing
from tests.publishing import register_both

if TYPE_CHECKING:
    from tests.contract.conftest import LiveSandbox

PARTNER = "alpha"
ADDED: dict[str, dict[str, list[dict[str, Any]]]] = {
    "eventbrite": {
        "eventbrite": [{"id": "1", "status": "live"}],
        "eventbrite/attendees": [{"id": "2", "profile": {"email": "ann@example.org"}}],
        "eventbrite/orders": [
            {"id": "3", "status": "placed", "email": "ann@example.org", "name": "Ann Lee",
             "created": "2026-03-01T04:00:00Z", "changed": "2026-03-01T04:00:00Z"},
        ],
    },
    "stripe": {
        "stripe": [{"id": "ch_x", "amount": "much", "billing_details": {"email": "ann@example.org"}}],
        "stripe/customers": [
            {"id": "cus_x", "created": 1_772_337_600, "email": "ann@example.org", "name": "Ann Lee",
             "metadata": {"billing_email": "ann@example.org", "note": "ask ann@example.org", "segment": "retail"}},
        ],
    },
}  # fmt: skip
BAD = {("eventbrite", "event"), ("eventbrite", "sale"), ("stripe", "sale")}


@pytest.fixture(scope="module")
def services(database: Any, server: Any, served: LiveSandbox) -> Services:
    """Two registered partners; their platforms are the stand-ins."""
    made = Services(Settings(home=server.home), database, server.redis_url, served.clock)
    register_both(made, made.clock())
    return made


def pages(sandbox: LiveSandbox, name: str, kind: str, cursor: Cursor | None = None) -> Iterator[Page]:
    settings, credentials = sandbox.connection(name)
    return platform(name).pull(sandbox.account(settings, credentials), kind, cursor)


def land(services: Services, name: str, found: list[Page]) -> LandingResult:
    landed = LandingResult()
    for page in found:
        landed += landing.write(
            services.database, PARTNER, name, page.kind, page.records, now=services.clock()
        )  # fmt: skip
    return landed


def table(services: Services, name: str, kind: str) -> list[Any]:
    with services.database.partner(PARTNER) as connection:
        query = f"select to_jsonb(landed)::text as row, native_id from landing.{kind} landed where platform = :platform"
        return list(connection.execute(text(query), {"platform": name}))


@pytest.mark.parametrize("name", list(ADDED))
def test_all_of_a_platform_lands_once_and_the_bad_apart(sandbox: LiveSandbox, services: Services, name: str) -> None:
    for where, records in ADDED[name].items():
        sandbox.state.injected(where).extend(records)
    for kind in platform(name).spec.kinds:
        found = list(pages(sandbox, name, kind))
        told = {record["native_id"] for page in found for record in page.records}
        first, again = land(services, name, found), land(services, name, found)
        bad = 1 if (name, kind) in BAD else 0
        assert (first.quarantined, again.accepted, again.quarantined) == (bad, 0, bad)
        rows = table(services, name, kind)
        assert len({row.native_id for row in rows}) == len(told) - bad
        for row in rows:
            assert "ann@" not in row.row
            assert "Ann Lee" not in row.row
        sandbox.move(timedelta(days=2))
        assert land(services, name, list(pages(sandbox, name, kind, found[-1].cursor))).accepted > 0
        if (name, kind) != ("stripe", "contact"):  # listed customers have no time of change, told ones have
            assert land(services, name, list(pages(sandbox, name, kind))).accepted == 0
        sandbox.move(timedelta(days=-2))


def test_a_customers_own_words_go_to_the_vault(sandbox: LiveSandbox, services: Services) -> None:
    sandbox.state.injected("stripe/customers").extend(ADDED["stripe"]["stripe/customers"])
    land(services, "stripe", list(pages(sandbox, "stripe", "contact")))
    row = next(row.row for row in table(services, "stripe", "contact") if row.native_id == "cus_x")
    assert '"segment": "retail"' in row
    assert "billing_email" not in row
    assert '"note"' not in row
