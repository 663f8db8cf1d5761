"""A live sandbox on loopback for the contract suite: real HTTP, real data, a small part of it.

The packages and prepared data are kept between runs under the repository's `.integrator`, so that they are fetched once;
the anchor and bulk files are the run's own.
"""

import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from integrator.platforms.base import Account
from integrator.platforms.http import HttpPolicy
from integrator_sandbox.app import create_app
from integrator_sandbox.datasets import fetch_data
from integrator_sandbox.demo import demo_connections, further_connections
from integrator_sandbox.limits import Bucket, Fault, SlidingWindow
from integrator_sandbox.prepare import prepared
from integrator_sandbox.state import Sandbox, Subset

ANCHOR = datetime(2026, 3, 16, 20, 0, tzinfo=UTC)
PACKAGES = Path(__file__).resolve().parents[2] / ".integrator"


@dataclass
class LiveSandbox:
    """The sandbox's state and where it is served; `slept` is what the policy would have waited."""

    state: Sandbox
    url: str
    slept: list[float] = field(default_factory=list)

    @property
    def http(self) -> HttpPolicy:
        """A policy that does not wait, and remembers what it would have waited."""
        return HttpPolicy(attempts=4, read_timeout=10.0, sleep=self.slept.append, allow_private=True)

    def clock(self) -> datetime:
        """The sandbox's clock."""
        return self.state.now()

    def connection(self, platform: str) -> tuple[dict[str, Any], dict[str, str]]:
        """Settings and credentials of the platform's demo partner."""
        every = (*demo_connections(self.url), *further_connections(self.url))
        found = next(one for one in every if one["platform"] == platform)
        return found["settings"], found["credentials"]

    def account(self, settings: dict[str, Any], credentials: dict[str, str]) -> Account:
        """An account by the sandbox's clock, with the policy that does not wait."""
        return Account(settings, credentials, self.clock, self.http)

    def fault(self, platform: str, status: int, count: int = 1, **more: Any) -> None:
        """The next requests to a platform fail."""
        self.state.faults.ordered.append(Fault(platform, status, count, **more))

    def move(self, step: timedelta) -> None:
        """Time passes."""
        self.state.fixed = self.state.now() + step


@pytest.fixture(scope="session")
def served() -> Iterator[LiveSandbox]:
    """The sandbox served by uvicorn in a thread, once a run."""
    home = Path(tempfile.mkdtemp(prefix="sandbox-"))
    fetch_data(PACKAGES)
    prepared(PACKAGES)
    for folder in (PACKAGES / "sandbox").glob("prepared-*"):
        shutil.copytree(folder, home / "sandbox" / folder.name)
    (home / "data-packages").symlink_to(PACKAGES / "data-packages")
    subset = Subset(sites=3, products=4, contacts=900, days=60)
    state = Sandbox(home, ANCHOR, subset, control=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = uvicorn.Config(create_app(state), port=port, log_level="error", date_header=False, ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield LiveSandbox(state, f"http://127.0.0.1:{port}")
    server.should_exit = True
    thread.join(10)
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def sandbox(served: LiveSandbox) -> Iterator[LiveSandbox]:
    """The served sandbox at its anchor, without faults, added records or spent limits."""
    state = served.state
    state.fixed = ANCHOR
    state.faults.ordered.clear()
    state.extra.clear()
    state.gone.clear()
    state.written.clear()
    state.requests.clear()
    served.slept.clear()
    state.pretix_limit = SlidingWindow(5000, 60.0)
    state.hubspot_limit = SlidingWindow(5000, 10.0)
    state.hubspot_search_limit = SlidingWindow(500, 1.0)
    # A bucket that restores at once: the tests of throttling fill it themselves.
    state.shopify_bucket = Bucket(1000.0, 1e9)
    for name in ("salesforce", "eventbrite", "stripe"):
        state.parts[name].reset()
    yield served
    state.faults.ordered.clear()
    state.extra.clear()
    state.gone.clear()
