"""The JavaScript client: built, and its own tests run against the running service."""

import os
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from integrator.security import clients
from integrator.settings import Settings
from integrator.steps.services import Services
from integrator.storage.partners import Partner, register
from integrator_realtime.app import create_app
from tests.serving import serving

PACKAGE = Path(__file__).resolve().parents[2] / "sdk" / "js" / "client"
SCOPES = "events:write contacts:write sales:write quarantine:write insights:read"


@pytest.fixture(scope="module")
def environment(server: Any, make_database: Callable[[], Any]) -> Iterator[dict[str, str]]:
    """Where the service is, and a client of the partner `alpha`."""
    database, settings = make_database(), Settings(home=server.home)
    services = Services(settings, database, server.redis_url, lambda: datetime.now(UTC))
    register(
        database, Partner(partner="alpha", timezone="Europe/Berlin", currency="EUR", region="DE"), services.clock()
    )
    made = clients.create(database, "alpha", SCOPES, services.clock())
    with serving(create_app(services)) as url:
        yield {"TEST_URL": url, "TEST_CLIENT_ID": made.client_id, "TEST_CLIENT_SECRET": made.client_secret}
    database.close()


def npm(*arguments: str, environment: dict[str, str]) -> str:
    """npm in the package; what it printed."""
    done = subprocess.run(
        ["npm", *arguments], cwd=PACKAGE, env={**os.environ, **environment}, capture_output=True, text=True, check=False,
        timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    return done.stdout


def test_it_builds_and_passes_its_own_tests(environment: dict[str, str]) -> None:
    npm("ci", "--no-audit", "--no-fund", environment={})
    said = npm("test", environment=environment)
    assert "fail 0" in said and "skipped 0" in said
    passed = next(int(line.split()[-1]) for line in said.splitlines() if line.strip("ℹ# ").startswith("pass "))
    assert passed > 35
