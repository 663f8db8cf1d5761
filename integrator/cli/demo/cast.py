"""Who takes part in the demo, and setting them up: partners, logins, connections, webhook endpoints, API clients."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from integrator.cli.up import demo_account
from integrator.contracts.errors import Unavailable
from integrator.steps.services import Services
from integrator.storage import connections, partners, reference, webhook_secrets, webhooks
from integrator.storage.partners import Partner
from integrator.storage.roles import create_partner_role, rotate_partner_role

CAST = (
    Partner(partner="car_parks", timezone="Europe/London", currency="GBP", region="GB-ENG"),
    Partner(partner="grocer", timezone="Asia/Taipei", currency="TWD", region="TW"),
    Partner(partner="travel", timezone="America/New_York", currency="USD", region="US"),
)
FURTHER = (
    Partner(partner="agency", timezone="America/New_York", currency="USD", region="US"),
    Partner(partner="fairs", timezone="Asia/Taipei", currency="TWD", region="TW"),
    Partner(partner="counter", timezone="Asia/Taipei", currency="TWD", region="TW"),
)
"""Who stands on the other platforms: Salesforce, Eventbrite, Stripe."""
SCOPES = ("insights:read", "quality:read")


@dataclass(frozen=True)
class Login:
    """What a demo partner would keep: its database address and its API client."""

    partner: str
    database_url: str
    client_id: str
    client_secret: str


def prepare(services: Services, sandbox_url: str, *, all_platforms: bool = False) -> list[Login]:
    """Register everyone and everything; saying it again changes nothing."""
    from integrator_sandbox.demo import demo_connections, further_connections

    now = services.clock()
    people = CAST + FURTHER if all_platforms else CAST
    accounts = demo_connections(sandbox_url) + (further_connections(sandbox_url) if all_platforms else [])
    reference.load_rates(services.database)
    logins = []
    for partner in people:
        partners.register(services.database, partner, now)
        logins.append(_login(services, partner.partner))
        _receive_webhooks(services, partner.partner, sandbox_url)
    reference.load_holidays(services.database, [partner.region for partner in people], now)
    for demo in accounts:
        _connect(services, demo)
    return logins


def _connect(services: Services, demo: dict[str, Any]) -> None:
    account = demo_account(demo)
    with services.database.partner(account.partner) as connection:
        there = {
            a.connection_id: a for a in connections.for_partner(connection, services.database.master, account.partner)
        }
        standing = there.get(account.connection_id)
        if standing is None or standing.status == "failed" or standing.settings != account.settings:
            connections.save(connection, services.database.master, account, services.clock())


def _login(services: Services, partner: str) -> Login:
    """Passwords and secrets are shown once, so the demo keeps its own in a file only its user can read."""
    from integrator.security.clients import create

    path = services.settings.root / "demo-logins.json"
    kept: dict[str, dict[str, str]] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    address = create_partner_role(services.database, partner)
    if partner in kept and address is None:
        return Login(partner, **_at_port(services, kept[partner]))
    if address is None:
        address = rotate_partner_role(services.database, partner)
    client = create(services.database, partner, list(SCOPES), services.clock())
    kept[partner] = {
        "database_url": address, "client_id": client.client_id, "client_secret": client.client_secret,
    }  # fmt: skip
    _write_private(path, json.dumps(kept, indent=2))
    return Login(partner, **kept[partner])


def _at_port(services: Services, kept: dict[str, str]) -> dict[str, str]:
    """The kept address at the port PostgreSQL has now: it is another one when the old was taken meanwhile."""
    from sqlalchemy import make_url

    url = make_url(kept["database_url"]).set(host=services.database.address.host, port=services.database.address.port)
    return {**kept, "database_url": url.render_as_string(hide_password=False)}


def _receive_webhooks(services: Services, partner: str, sandbox_url: str) -> None:
    """One endpoint in the sandbox; the receiver is told the secret, as a host's own receiver would be."""
    url = f"{sandbox_url}/_sandbox/webhooks/{partner}"
    standing = [endpoint for endpoint in webhooks.list_all(services.database, partner) if endpoint.status == "active"]
    for endpoint in standing:
        if endpoint.url != url:
            webhooks.remove(services.database, partner, endpoint.endpoint_id)
    there = next((endpoint for endpoint in standing if endpoint.url == url), None)
    made = there or webhooks.add(services.database, partner, url, services.clock(), allow_loopback=True)
    _tell_receiver(url, webhook_secrets.secret(services.database, partner, made.endpoint_id))


def _tell_receiver(url: str, secret: str) -> None:
    import requests

    try:
        requests.put(url, json={"secret": secret}, timeout=10).raise_for_status()
    except requests.RequestException as error:
        raise Unavailable(f"the sandbox's webhook receiver did not take the secret: {error}") from error


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
