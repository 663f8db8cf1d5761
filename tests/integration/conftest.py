"""Fixtures over a real PostgreSQL and Redis for whatever stands behind the models."""

from datetime import datetime
from typing import Any

import pytest

from integrator.settings import Settings
from integrator.steps.services import Services
from tests.publishing import register_both


@pytest.fixture(scope="module")
def services(database: Any, server: Any) -> Services:
    """Two registered partners, `alpha` and `beta`, on a database of the module's own; Redis is emptied."""
    from redis import Redis

    moment = datetime.fromisoformat("2026-03-16T12:00:00+00:00")
    settings = Settings(home=server.home, allow_loopback_webhooks=True, allow_private_platforms=True)
    made = Services(settings, database, server.redis_url, lambda: moment)
    with Redis.from_url(server.redis_url) as redis:
        redis.flushdb()
    register_both(made, moment)
    return made
