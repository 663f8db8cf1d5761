"""A real Chromium, the realtime service and a host's page, each where it would be: three origins on loopback."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser, Locator, Page, sync_playwright

from integrator.embedded.endpoints import free_port
from integrator.security import clients, origins
from integrator.settings import Settings
from integrator.steps.publish import publish
from integrator.steps.services import Services
from integrator_realtime.app import create_app
from integrator_sandbox import host
from models.base import Prediction
from tests.publishing import put_scored, register_both
from tests.serving import serving

CHROMIUM = "/usr/bin/chromium"
QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip


@dataclass
class World:
    """What a test drives: the service (stopped and started), the host's page, and what is published."""

    services: Services
    api: str
    page_url: str
    browser: Browser
    ahead: timedelta = timedelta(0)
    position: int = 100
    stack: ExitStack = field(default_factory=ExitStack)

    def start(self) -> None:
        """Serve the realtime API, at the same address every time."""
        app = create_app(self.services)
        self.stack.enter_context(serving(app, port=int(self.api.rpartition(":")[2])))

    def stop(self) -> None:
        """End it in order."""
        self.stack.close()

    def publish(self, *predictions: Prediction, use_case: str = "attendance", partner: str = "alpha") -> None:
        """All of a use case: what is not among them is withdrawn."""
        self.position += 1
        at = self.services.clock()
        put_scored(self.services, partner, predictions, position=self.position, at=at, use_case=use_case)
        publish(self.services, partner, use_case, run_id=f"run-{self.position}")

    def open(self, subject: str, use_case: str = "attendance", *, url: str | None = None, **query: str) -> "Shown":
        """The host's page about one subject."""
        context = self.browser.new_context(viewport={"width": 460, "height": 420}, **OPTIONS)
        page = context.new_page()
        return Shown(page, self, url or self.page_url, {"use_case": use_case, "subject": subject, **query})


OPTIONS: dict[str, Any] = {"locale": "en-GB", "timezone_id": "Europe/London"}


class Shown:
    """An open page; leaving it closes it. `errors` are of its scripts."""

    def __init__(self, page: Page, world: World, url: str, query: dict[str, str]) -> None:
        self.page, self.world = page, world
        self.errors: list[str] = []
        self.requests: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self.requests.append(f"{request.method} {request.url.partition('?')[0]}"))
        self.url = f"{url}?{httpx.QueryParams(query)}"

    def __enter__(self) -> "Shown":
        self.page.goto(self.url)
        return self

    def __exit__(self, *_: object) -> None:
        self.page.context.close()

    @property
    def card(self) -> Locator:
        """The element."""
        return self.page.locator("integrator-insight")

    def part(self, name: str) -> Locator:
        """A part of its shadow."""
        return self.card.locator(f".{name}")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, headless."""
    assert Path(CHROMIUM).exists(), f"{CHROMIUM} is missing: `make test-browser` installs it"
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield made
        made.close()


@pytest.fixture(scope="module")
def world(database: Any, server: Any, browser: Browser, tmp_path_factory: Any) -> Iterator[World]:
    """The partner `alpha` with a host whose origin is registered, and the service running."""
    from redis import Redis

    made: list[World] = []

    def clock() -> datetime:
        return datetime.now(UTC) + (made[0].ahead if made else timedelta(0))

    settings = Settings(home=server.home, live_heartbeat_seconds=1.0)
    services = Services(settings, database, server.redis_url, clock)
    with Redis.from_url(server.redis_url) as redis:
        redis.flushdb()
    register_both(services, clock())
    api = f"http://127.0.0.1:{free_port()}"
    backend = FastAPI()
    backend.include_router(host.router(tmp_path_factory.mktemp("hosts")))
    with serving(backend) as page_url:
        made.append(World(services, api, f"{page_url}/host/alpha", browser))
        origins.add(database, "alpha", page_url, clock())
        client = clients.create(database, "alpha", "insights:read widgets:issue", clock())
        account = {"api": api, "client_id": client.client_id, "client_secret": client.client_secret}
        assert httpx.put(f"{page_url}/_sandbox/hosts/alpha", json=account).status_code == 204
        made[0].start()
        yield made[0]
        made[0].stop()


@pytest.fixture
def foreign(world: World, tmp_path: Path) -> Iterator[Callable[[], str]]:
    """The same host at an origin that nobody registered."""
    backend = FastAPI()
    backend.include_router(host.router(tmp_path))
    client = clients.create(world.services.database, "alpha", "insights:read widgets:issue", world.services.clock())
    account = {"api": world.api, "client_id": client.client_id, "client_secret": client.client_secret}
    with serving(backend) as url:
        assert httpx.put(f"{url}/_sandbox/hosts/alpha", json=account).status_code == 204
        yield lambda: f"{url}/host/alpha"
