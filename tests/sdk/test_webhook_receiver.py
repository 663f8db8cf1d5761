"""The guide's receiver in Node, verified with the official `standardwebhooks` package of npm, run against us."""

import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from integrator.embedded.endpoints import free_port
from integrator.settings import Settings
from integrator.steps.services import Services
from integrator.storage.partners import Partner, register
from tests.webhook_story import EXAMPLE, tell


def test_the_node_receiver_of_the_guide(server: Any, make_database: Callable[[], Any]) -> None:
    installed = subprocess.run(
        ["npm", "ci", "--no-audit", "--no-fund"], cwd=EXAMPLE, capture_output=True, text=True, check=False, timeout=280
    )
    assert installed.returncode == 0, installed.stdout[-2000:] + installed.stderr[-2000:]
    settings = Settings(home=server.home, allow_loopback_webhooks=True)
    moment = datetime(2026, 3, 16, 12, tzinfo=UTC)
    database = make_database()
    services = Services(settings, database, server.redis_url, lambda: moment)
    register(database, Partner(partner="alpha", timezone="Europe/Berlin", currency="EUR", region="DE"), moment)
    tell(services, ["node", "receiver.mjs"], free_port())
    database.close()
