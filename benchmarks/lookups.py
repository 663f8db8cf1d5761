"""Lookups by id with authentication, beside a bare FastAPI route and Feast's feature server over the same Redis."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from redis import Redis

from benchmarks.bare_lookup import KEY
from benchmarks.client import Target, quantiles
from benchmarks.figure import Figure
from benchmarks.load import flooded, timed
from benchmarks.push import LOOKUP, processor_seconds
from benchmarks.sales import NOW
from benchmarks.service import process, publish_one, token, wait_for
from integrator.embedded.endpoints import HOST, free_port
from integrator.embedded.session import close_storage
from integrator.security import clients
from integrator.settings import Settings
from integrator.steps.services import Services, open_services
from integrator.storage import insights
from integrator.storage.partners import Partner, register

LINES, SECONDS, RATE = 16, 6.0, 500
LOCK = Path(__file__).with_name("requirements-feast.lock")
ROOT = Path(__file__).resolve().parent.parent


def measure(home: Path) -> list[Figure]:
    """Rates on 16 connections, the peers and then ours; then ours at a steady pace."""
    settings = Settings(home=home / "lookups")
    services = open_services(settings)
    try:
        register(services.database, Partner(partner="bench", timezone="UTC", currency="EUR", region="DE"), NOW)
        publish_one(services)
        made = clients.create(services.database, "bench", "insights:read", services.clock())
        document = _document(services)
        with Redis.from_url(services.redis_url) as redis:
            redis.set(KEY, document)
        with process("integrator_realtime", "--home", str(settings.root), "--no-webhooks", "--port") as (pid, port):
            target = Target(HOST, port, token(port, made.client_id, str(made.client_secret)))
            _measured(
                pid, target, target.get(LOOKUP)
            )  # warm; beside it the service makes ready what else it starts with
            bare = _bare(services.redis_url)
            feast = _feast(home, services.redis_url, len(document))
            ours = _measured(pid, target, target.get(LOOKUP))
            half, most = quantiles(timed(target, [target.get(LOOKUP)], RATE, LINES, 2 * SECONDS))
    finally:
        services.database.close()
        close_storage(settings)
    what = f"lookups by id with authentication, {LINES} connections"
    served, plain = "Feast's Python feature server, same size and Redis", "FastAPI + one Redis GET, no authentication"
    return [
        Figure(what, ours.rate, "requests/s", "8 × Feast", served, feast.rate),
        Figure("the same beside a bare route", ours.rate, "requests/s", "1 ×", plain, bare.rate),
        Figure("processor time of a lookup", ours.micros, "µs", "1/8 × Feast", served, feast.micros),
        Figure("the same beside a bare route", ours.micros, "µs", "1 ×", plain, bare.micros),
        Figure(f"lookups at {RATE}/s, p99", most, "ms", "< 10 ms", "their median", half),
    ]


@dataclass(frozen=True)
class Cost:
    """Answers a second, and microseconds of a processor for each: the second does not move with other work."""

    rate: float
    micros: float


def _measured(pid: int, target: Target, request: bytes) -> Cost:
    before = processor_seconds(pid)
    found = flooded(target, [request], LINES, SECONDS)
    return Cost(found.rate, (processor_seconds(pid) - before) * 1e6 / found.count)


def _document(services: Services) -> bytes:
    with services.database.partner("bench") as connection:
        (served,) = insights.of_subject(connection, "bench", "attendance", "gala")
    return served.document.encode()


def _bare(redis_url: str) -> Cost:
    with process("benchmarks.bare_lookup", redis_url) as (pid, port):
        target = Target(HOST, port)
        return _measured(pid, target, target.get("/insights/gala"))


def _feast(home: Path, redis_url: str, size: int) -> Cost:
    with feast_server(home, redis_url, size) as (pid, port):
        target = Target(HOST, port)
        body = json.dumps({"features": ["insight:document"], "entities": {"subject": ["gala"]}}).encode()
        head = f"POST /get-online-features HTTP/1.1\r\nHost: {HOST}:{port}\r\nContent-Type: application/json\r\n"
        return _measured(pid, target, f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)


@contextmanager
def feast_server(home: Path, redis_url: str, size: int) -> Iterator[tuple[int, int]]:
    """Feast, installed from its lock for this run, serving one document of that size."""
    python, folder = _installed(home), home / "feast"
    parts = urlsplit(redis_url)
    where = [f"{parts.hostname}:{parts.port}", parts.password or "", str(size)]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "FEAST_USAGE": "False"}
    quiet = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": ROOT, "env": env}
    subprocess.run([str(python), "-m", "benchmarks.feast_repo", str(folder), *where], **quiet)  # type: ignore[call-overload]
    port = free_port()
    command = [str(python.with_name("feast")), "-c", str(folder), "serve", "--host", HOST, "--port", str(port)]
    server = subprocess.Popen(
        [*command, "--no-access-log", "--max-requests", "0"],
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(port, "/health", 180)
        yield server.pid, port
    finally:
        server.terminate()
        server.wait(timeout=30)


def _installed(home: Path) -> Path:
    """Feast's Python; `INTEGRATOR_BENCH_FEAST` names an environment that was made from the lock before."""
    ready = os.environ.get("INTEGRATOR_BENCH_FEAST")
    if ready:
        return Path(ready) / "bin" / "python"
    python, uv = home / "feast-env" / "bin" / "python", str(Path(sys.executable).with_name("uv"))
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(home / "feast-env")], check=True)
    install = [uv, "pip", "install", "--quiet", "--python", str(python), "--require-hashes", "-r", str(LOCK)]
    subprocess.run(install, check=True)
    return python
