"""The process that streams is started again whatever went wrong, also when there was no memory to start it."""

import errno
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from integrator.settings import Settings
from integrator.steps.services import Services
from integrator.storage.crypto import MasterKey
from integrator.storage.database import Address, Database
from integrator_realtime import reacting
from integrator_realtime.metrics import Metrics
from integrator_realtime.reacting import Reacting

WAITS = """
import sys
from multiprocessing.connection import Connection
life = Connection(int(sys.argv[1]))
life.recv_bytes()
try:
    life.recv_bytes()
except EOFError:
    pass
"""


@pytest.fixture
def started() -> Iterator[tuple[Reacting, Metrics]]:
    settings, metrics = Settings(stream="push"), Metrics()
    database = Database(Address("127.0.0.1", 1, "none", "none", ""), MasterKey(bytes(32)))
    made = Reacting(Services(settings, database, "redis://127.0.0.1:1/0", settings.clock()), metrics)
    yield made, metrics
    made.close()


def restarts(metrics: Metrics) -> str:
    return next(line for line in metrics.text().splitlines() if line.startswith("integrator_react_restarts_total"))


def test_where_no_process_can_be_started_it_is_tried_again(
    started: tuple[Reacting, Metrics], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, metrics = started
    tries: list[int] = []

    class Short(subprocess.Popen[bytes]):
        """A machine without memory, twice."""

        def __init__(self, *given: Any, **named: Any) -> None:
            tries.append(1)
            if len(tries) < 3:
                raise OSError(errno.ENOMEM, "Cannot allocate memory")
            super().__init__(*given, **named)

    monkeypatch.setattr(reacting.subprocess, "Popen", Short)
    monkeypatch.setattr(reacting, "REST_SECONDS", 0.0)
    monkeypatch.setattr(reacting, "LAUNCH", WAITS)
    made.start()
    deadline = time.monotonic() + 20
    while not made.pid and time.monotonic() < deadline:
        time.sleep(0.01)
    assert made.pid and len(tries) == 3
    assert restarts(metrics) == "integrator_react_restarts_total 2"
