"""The sandbox's host pages: each demo partner's backend gets a client of its own, and its page's origin is registered."""

from datetime import timedelta

from integrator.contracts.errors import Unavailable
from integrator.steps.services import Services
from integrator.storage import partners

SCOPES = "insights:read widgets:issue"
SECONDS = 10


def open_host_pages(services: Services, sandbox: str, realtime: str) -> list[str]:
    """The pages' addresses, for the demo partners there are; `Unavailable` when the sandbox does not take an account."""
    from integrator_sandbox.demo import demo_connections

    with services.database.service() as connection:
        known = {partner.partner for partner in partners.list_all(connection)}
    names = [str(demo["partner"]) for demo in demo_connections(sandbox) if demo["partner"] in known]
    return [_open(services, name, sandbox, realtime) for name in names]


def _open(services: Services, partner: str, sandbox: str, realtime: str) -> str:
    import requests

    from integrator.security import origins

    origins.add(services.database, partner, sandbox, services.clock())
    address = f"{sandbox}/_sandbox/hosts/{partner}"
    before = requests.get(address, timeout=SECONDS)
    client_id, secret = _client(services, partner, before.json()["client_id"] if before.ok else None)
    account = {"api": realtime, "client_id": client_id, "client_secret": secret}
    answer = requests.put(address, json=account, timeout=SECONDS)
    if not answer.ok:
        raise Unavailable(f"the sandbox did not take the account of {partner}'s host: {answer.text}")
    return f"{sandbox}/host/{partner}"


def _client(services: Services, partner: str, client_id: str | None) -> tuple[str, str]:
    """The host's client with a fresh secret: the same client every time, for as long as it is in force."""
    from integrator.security import clients

    now = services.clock()
    found = clients.find(services.database, client_id) if client_id else None
    if found is not None and found.partner == partner and found.in_force(now):
        made = clients.rotate(services.database, partner, found.client_id, now, overlap=timedelta(0))
    else:
        made = clients.create(services.database, partner, SCOPES, now)
    return made.client_id, made.client_secret
