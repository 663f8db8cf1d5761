"""What the tests of the night put among the real data: a person nobody may find again, broken records, a newcomer."""

from datetime import timedelta
from typing import Any

import requests

from integrator.storage import landing, partners
from integrator.storage.partners import Partner
from integrator_sandbox.demo import ORGANIZER, PRETIX_TOKEN
from tests.pipeline.installation import NOW, TIMEOUT, Installation, Platforms

NEWCOMER = "newcomer"
KNOWN_DAYS = 12
TRACES = ("zyx.planted", "7700900123", "zyxwv", "quarantined.person")
"""Parts of the planted person's address, number and name, and of the one whose record is broken."""
BROKEN_DATE = "not a date"


def hubspot_contact(native_id: str, **properties: Any) -> dict[str, Any]:
    """A contact in HubSpot's shape, three days old."""
    created = (NOW - timedelta(days=3)).isoformat()
    return {
        "id": native_id, "archived": False, "createdAt": created, "updatedAt": created,
        "properties": {
            "createdate": created, "lastmodifieddate": created, "lifecyclestage": "lead", "hs_lead_status": "NEW",
            "country": "US", "email": "zyx.planted@example.com", "phone": "+44 7700900123", "firstname": "Zyxwv",
            "lastname": "Planted", **properties,
        },
        "propertiesWithHistory": {
            "lifecyclestage": [{"value": "lead", "timestamp": created, "sourceType": "API"}],
            "site_name": [{"value": "2", "timestamp": created, "sourceType": "API"}],
        },
    }  # fmt: skip


def plant(sandbox: Platforms) -> None:
    """At the platforms: a contact with personal data, one that cannot be read, a date that has no date."""
    sandbox.add(
        "hubspot",
        hubspot_contact("900001"),
        hubspot_contact("900002", createdate="quarantined.person@example.com", email="quarantined.person@example.com"),
    )
    events = requests.get(
        f"{sandbox.url}/pretix/api/v1/organizers/{ORGANIZER}/events/", timeout=TIMEOUT,
        headers={"Authorization": f"Token {PRETIX_TOKEN}"},
    )  # fmt: skip
    slug = sorted(event["slug"] for event in events.json()["results"])[0]
    sandbox.add(
        "pretix",
        {
            "id": 990001, "event": slug, "name": {"en": "Broken"}, "active": True, "date_from": BROKEN_DATE,
            "date_to": (NOW - timedelta(days=9)).isoformat(), "last_modified": (NOW - timedelta(days=9)).isoformat(),
            "location": None, "meta_data": {},
        },
    )  # fmt: skip


def known_attendance(day: int) -> int:
    """How many came `day` days ago."""
    return 100 + 10 * day


def register_newcomer(installation: Installation) -> None:
    """A partner without a platform, with a handful of records of its own: 12 past days of one series, three coming."""
    services = installation.services
    now = services.clock()
    partners.register(
        services.database, Partner(partner=NEWCOMER, timezone="Europe/Berlin", currency="EUR", region="DE"), now
    )
    past = [_event(-day, known_attendance(day)) for day in range(1, KNOWN_DAYS + 1)]
    coming = [_event(day, None) for day in range(1, 4)]
    alone = {**_event(5, None), "native_id": "premiere", "series_id": None}
    landed = landing.write(services.database, NEWCOMER, "direct", "event", [*past, *coming, alone], now=now)
    assert landed.accepted == KNOWN_DAYS + 4
    contacts = [
        {"native_id": f"c{n}", "created_at": (NOW - timedelta(days=n)).isoformat(), "email": f"zyx.planted{n}@example.com",
         "name": "Zyxwv Planted", "attributes": {"note": f"call 7700900123 or zyx.planted{n}@example.com"}}
        for n in range(1, 4)
    ]  # fmt: skip
    assert landing.write(services.database, NEWCOMER, "direct", "contact", contacts, now=now).accepted == len(contacts)
    sale = {
        "native_id": "s1", "product": "ticket", "sold_at": (NOW - timedelta(days=1)).isoformat(), "quantity": 2,
        "unit_price": "10.00", "currency": "EUR", "status": "paid",
    }  # fmt: skip
    assert landing.write(services.database, NEWCOMER, "direct", "sale", [sale], now=now).accepted == 1


def _event(day: int, attendance: int | None) -> dict[str, Any]:
    starts = NOW + timedelta(days=day)
    return {
        "native_id": f"day{day}", "name": "Market", "series_id": "market", "starts_at": starts.isoformat(),
        "ends_at": (starts + timedelta(hours=2)).isoformat(), "timezone": "Europe/Berlin", "capacity": 500,
        "status": "scheduled" if attendance is None else "completed", "attendance": attendance,
        "updated_at": min(NOW, starts + timedelta(hours=3)).isoformat(),
    }  # fmt: skip
