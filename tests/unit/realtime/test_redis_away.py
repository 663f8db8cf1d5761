"""Redis going away is said once, with the reason, and its return; in between nothing is said of every request."""

import asyncio
import logging

import pytest
from starlette.requests import Request

from integrator.settings import Settings
from integrator.steps.services import Services
from integrator.storage.crypto import MasterKey
from integrator.storage.database import Address, Database
from integrator_realtime import gateway as module
from integrator_realtime.gateway import Gateway
from integrator_realtime.metrics import Metrics
from integrator_realtime.redis_line import RedisLine


def test_the_reason_is_logged_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(module, "REST_SECONDS", 0.0)
    settings = Settings()
    database = Database(Address("127.0.0.1", 1, "none", "none", ""), MasterKey(bytes(32)))
    gateway = Gateway(Services(settings, database, "redis://127.0.0.1:1/0", settings.clock()), "http://x", Metrics())
    request = Request({"type": "http", "client": ("192.0.2.1", 1)})

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"*2\r\n*2\r\n:0\r\n:0\r\n$-1\r\n")
        await reader.read()
        writer.close()

    async def work() -> None:
        gateway._redis = RedisLine("redis://:s3cret@127.0.0.1:1/0")
        for _ in range(3):
            assert await gateway.failures(request, "icl_x", charge=False) == 0
        server = await asyncio.start_server(refuse, "127.0.0.1", 0)
        gateway._redis = RedisLine(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0")
        assert await gateway._ask([("PING",)]) is not None
        await gateway.close()
        server.close()
        await asyncio.sleep(0.01)

    with caplog.at_level(logging.WARNING, logger="integrator_realtime.gateway"):
        asyncio.run(work())
    away, back = [record.getMessage() for record in caplog.records]
    assert away.startswith("Redis is away, lookups go to PostgreSQL: ConnectionRefusedError: ") and "s3cret" not in away
    assert back == "Redis is back"
