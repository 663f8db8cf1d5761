"""The realtime service (or a peer) as a process of its own, a token for it, and an insight to ask it for."""

import base64
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from integrator.contracts.insight import Interval, Subject
from integrator.embedded.endpoints import HOST, free_port
from integrator.steps.predictions import RULE_VERSION, encode, rule_name, stored
from integrator.steps.publish import publish
from integrator.steps.services import Services
from integrator.storage import scored
from models.base import Prediction

RATES = {f"INTEGRATOR_{budget}_RATE": "1000000" for budget in ("INGEST", "READ", "SCORE")}
"""What is measured is the service, and not its limits."""


@contextmanager
def process(module: str, *words: str, added: Mapping[str, str] | None = None) -> Iterator[tuple[int, int]]:
    """`python -m module words… PORT` while the block runs, once it answers; its id and its port. Its environment has `added`."""
    port = free_port()
    started = subprocess.Popen(
        [sys.executable, "-m", module, *words, str(port)], env={**os.environ, **RATES, **(added or {})}
    )
    try:
        wait_for(port)
        yield started.pid, port
    finally:
        started.terminate()
        try:
            started.wait(timeout=30)
        except subprocess.TimeoutExpired:
            started.kill()


def token(port: int, client_id: str, secret: str) -> str:
    """An access token, good for ten minutes."""
    basic = base64.b64encode(f"{client_id}:{secret}".encode()).decode()
    request = urllib.request.Request(
        f"http://{HOST}:{port}/oauth/token", b"grant_type=client_credentials", {"Authorization": f"Basic {basic}"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return str(json.load(answer)["access_token"])


def publish_one(services: Services, value: float = 900.0, position: int = 1) -> None:
    """One insight of the partner `bench`, the attendance of `gala`; a new version for a new value."""
    made = Prediction(
        subject=Subject("event", "gala", "pretix"), status="ready", rung="partner", value=value, unit="people",
        interval=Interval(0.8, value - 80, value + 65), confidence_label="high", coverage=0.81, observations=42,
        baseline=value, contributions=(), summary=f"Expected attendance {value:g}.", details={}, records=120,
    )  # fmt: skip
    at = services.clock()
    scoring = scored.Scoring(
        partner="bench", use_case="attendance", run_id="bench", scored_at=at, input_position=position, as_of=at,
        model_name=rule_name("attendance"), model_version=RULE_VERSION, row_count=1, failure_count=0,
    )  # fmt: skip
    with services.database.partner("bench") as connection:
        scored.replace(connection, scoring, [(0, encode(made), stored({"event_id": "gala"}))])
    publish(services, "bench", "attendance", run_id="bench")


def wait_for(port: int, path: str = "/healthz", seconds: int = 90) -> None:
    """Return once something answers there."""
    for _ in range(10 * seconds):
        try:
            urllib.request.urlopen(f"http://{HOST}:{port}{path}", timeout=2).close()
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"nothing answers on port {port}")
