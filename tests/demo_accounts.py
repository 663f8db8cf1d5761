"""The demo's accounts on every platform, registered in a database of a test's own and pulled through the real step."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from integrator.cli.up import demo_account
from integrator.contracts.records import LandingResult
from integrator.platforms.registry import spec
from integrator.settings import Settings
from integrator.steps.ingest import ingest
from integrator.steps.services import Services
from integrator.storage import connections, partners
from integrator.storage.partners import Partner
from integrator_sandbox.demo import demo_connections, further_connections

# Zone and currency do not matter to landing: every partner here has the same.
ZONE, CURRENCY, REGION = "America/New_York", "USD", "US"


def services_for(server: Any, database: Any, clock: Callable[[], datetime]) -> Services:
    """Services on the test's database; platforms may be on this machine."""
    return Services(Settings(home=server.home, allow_private_platforms=True), database, server.redis_url, clock)


def demo_partner(url: str, platform: str) -> Mapping[str, Any]:
    """The demo's connection to a platform: partner, settings, credentials, allowed attributes."""
    return next(one for one in (*demo_connections(url), *further_connections(url)) if one["platform"] == platform)


def connect(services: Services, url: str, platform: str) -> str:
    """Register the platform's demo partner and save its connection; returns the partner."""
    account = demo_account(dict(demo_partner(url, platform)))
    partner = Partner(partner=account.partner, timezone=ZONE, currency=CURRENCY, region=REGION)
    partners.register(services.database, partner, services.clock())
    with services.database.partner(account.partner) as connection:
        connections.save(connection, services.database.master, account, services.clock())
    return account.partner


def pull_all(services: Services, partner: str, platform: str) -> dict[str, LandingResult]:
    """Ingest every kind the platform has, as a night does; what landed, by kind."""
    return {kind: ingest(services, partner, platform, kind).landed for kind in spec(platform).kinds}
