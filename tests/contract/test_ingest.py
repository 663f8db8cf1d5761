"""Every platform of the demo through the real step into a real database: landed once, and known the second time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from integrator.contracts.records import LandingResult
from integrator.platforms.registry import platform
from integrator_sandbox.demo import demo_connections, further_connections
from tests.demo_accounts import connect, pull_all, services_for

if TYPE_CHECKING:
    from integrator.steps.services import Services
    from tests.contract.conftest import LiveSandbox

NAMES = [one["platform"] for one in (*demo_connections("http://h"), *further_connections("http://h"))]
CURRENT = "valid_to is null and deleted_at is null"


@pytest.fixture
def services(server: Any, make_database: Callable[[], Any], sandbox: LiveSandbox) -> Services:
    """On an empty database, by the sandbox's clock."""
    return services_for(server, make_database(), sandbox.clock)


def rows(services: Services, partner: str, kind: str, what: str = "count(*)", where: str = CURRENT) -> Any:
    """One value over a partner's landed records of a kind."""
    with services.database.partner(partner) as connection:
        return connection.execute(
            text(f"select {what} from landing.{kind} where partner = :partner and {where}"),
            {"partner": partner},
        ).scalar_one()


@pytest.mark.parametrize("name", NAMES)
def test_what_a_platform_has_lands_once(sandbox: LiveSandbox, services: Services, name: str) -> None:
    partner = connect(services, sandbox.url, name)
    first = pull_all(services, partner, name)
    assert sum(result.accepted for result in first.values()) > 200
    for kind, result in first.items():
        assert result.quarantined == 0, result.errors[:3]
        assert (rows(services, partner, kind) > 0) == (result.accepted > 0)
    again = pull_all(services, partner, name)
    assert sum((result for result in again.values()), LandingResult()).accepted == 0


def test_an_agencys_leads_land_with_their_conversions(sandbox: LiveSandbox, services: Services) -> None:
    partner = connect(services, sandbox.url, "salesforce")
    sandbox.state.injected("salesforce").append(
        {"Id": "00Q900000000001EAA", "IsDeleted": False, "CreatedDate": "2026-03-01T12:00:00Z", "IsConverted": True,
         "SystemModstamp": "2026-03-08T12:00:00Z", "ConvertedDate": "2026-03-06", "Status": "Closed - Converted",
         "FirstName": "Ada", "LastName": "Lovelace", "Email": "ada@example.com", "hotel_market__c": 12.0}
    )  # fmt: skip
    pull_all(services, partner, "salesforce")
    settings, credentials = sandbox.connection("salesforce")
    told = platform("salesforce").count(sandbox.account(settings, credentials), "contact")
    assert told is not None
    assert rows(services, partner, "contact") == told
    assert rows(services, partner, "contact", where=f"{CURRENT} and converted_at is not null") > 10
    assert rows(services, partner, "contact", where=f"{CURRENT} and lost_at is not null") > 10
    ada = rows(services, partner, "contact", "attributes::text", f"{CURRENT} and native_id = '00Q900000000001EAA'")
    assert ada == '{"hotel_market__c": 12}'
    assert rows(services, partner, "contact", where="contact::text ilike '%ada@%'") == 0
    sandbox.state.removed("salesforce")["00Q000000000010EAA"] = sandbox.clock()
    pull_all(services, partner, "salesforce")
    assert rows(services, partner, "contact") == told - 1


def test_a_lead_that_cannot_be_read_is_quarantined_and_the_others_land(
    sandbox: LiveSandbox, services: Services
) -> None:
    partner = connect(services, sandbox.url, "salesforce")
    sandbox.state.injected("salesforce").append({"Id": "00Q9", "CreatedDate": None, "Email": "ada@example.com"})
    landed = pull_all(services, partner, "salesforce")["contact"]
    assert landed.quarantined == 1
    assert landed.accepted + landed.unchanged > 400
    assert "ada@example.com" not in str(landed.errors)
