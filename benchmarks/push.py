"""Sale records over HTTP, acknowledged when durable: the service as its own process, beside a plain one in the same run.

The large table is filled with `INTEGRATOR_BENCH_ROWS` records first (default 200,000; a million is the issue's own
figure and takes minutes). Other work on the machine moves every latency: what a post costs the processors moves less.
"""

import base64
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

from benchmarks.client import Target, flood, paced, quantiles
from benchmarks.figure import Figure
from benchmarks.sales import BATCH, NOW, body
from integrator.contracts.insight import Interval, Subject
from integrator.embedded.endpoints import HOST, free_port
from integrator.embedded.session import close_storage
from integrator.security import clients
from integrator.settings import Settings
from integrator.steps.predictions import RULE_VERSION, encode, rule_name, stored
from integrator.steps.publish import publish
from integrator.steps.services import Services, open_services
from integrator.storage import scored
from integrator.storage.partners import Partner, register
from models.base import Prediction

FEW, PLAIN = 100_000, 50_000
FAR = 10_000_000
PUSHED_BESIDE_LOOKUPS = 20_000
SECONDS = 10
POSTS, LOOKUPS = 200, 100
TICKS = os.sysconf("SC_CLK_TCK")
PATH, LOOKUP = "/v1/sales", "/v1/insights/attendance/gala"


def measure(home: Path) -> list[Figure]:
    """Into an empty table and a large one; small posts; lookups beside it; memory."""
    settings = Settings(home=home / "push")
    services = open_services(settings)
    try:
        register(services.database, Partner(partner="bench", timezone="UTC", currency="EUR", region="DE"), NOW)
        _publish_one(services)
        made = clients.create(services.database, "bench", "sales:write insights:read", services.clock())
        with _process("integrator_realtime", "--home", str(settings.root), "--no-webhooks", "--port") as (pid, port):
            target = Target(HOST, port, _token(port, made.client_id, str(made.client_secret)))
            figures = _ours(pid, target)
        address = services.database.address
        url = services.database.url(address.owner, password=address.password).render_as_string(hide_password=False)
        with _process("benchmarks.plain_service", url) as (_, port):
            plain = _rate(Target(HOST, port), 0, PLAIN)
    finally:
        services.database.close()
        close_storage(settings)
    return [_beside(figure, plain) for figure in figures]


def _ours(pid: int, target: Target) -> list[Figure]:
    lookups, posts = [target.get(LOOKUP)] * (LOOKUPS * SECONDS), _singles(target, POSTS * SECONDS)
    _rate(target, FAR, 4 * BATCH)  # warm: connections, plans, the worker
    paced(target, _singles(target, POSTS, 3 * FAR), POSTS)
    before, large = _resident(pid), large_rows()
    empty = _rate(target, 0, FEW)
    _, quiet = quantiles(paced(target, lookups, LOOKUPS))
    spent = _seconds(pid)
    half, most = quantiles(paced(target, posts, POSTS))
    service, database = ((now - then) * 1000 / len(posts) for now, then in zip(_seconds(pid), spent, strict=True))
    beside = _lookups_beside(target, lookups)
    _rate(target, FEW, max(0, large - FEW))
    after = _resident(pid)
    full = _rate(target, large, FEW)
    return [
        Figure("sales over HTTP, into an empty table", empty, "rows/s", "60,000"),
        Figure(f"sales over HTTP, into {large:,} rows", full, "rows/s", "60,000"),
        Figure("single-record posts at 200/s, p99", most, "ms", "< 25 ms", "their median", half),
        Figure("processor time of such a post in the service", service, "ms", "", "in PostgreSQL", database),
        Figure("lookups while 20,000 records/s come in, p99", beside, "ms", "< 20 ms", "lookups alone, p99", quiet),
        Figure(f"memory of service and worker after {large:,} records", after, "MiB", "flat", "before them", before),
    ]


def large_rows() -> int:
    """How many records the large table holds."""
    return max(FEW, int(os.environ.get("INTEGRATOR_BENCH_ROWS", "200000")))


def _beside(figure: Figure, plain: float) -> Figure:
    if figure.unit != "rows/s":
        return figure
    return Figure(figure.what, figure.value, figure.unit, figure.aim, "FastAPI + pydantic + SQLAlchemy insert", plain)


def _rate(target: Target, first: int, rows: int) -> float:
    """Rows a second; bodies are made piece by piece, before the clock runs."""
    seconds, piece = 0.0, 40 * BATCH
    for start in range(first, first + rows, piece):
        ends = min(start + piece, first + rows)
        seconds += flood(target, [target.post(PATH, body(at)) for at in range(start, ends, BATCH)])
    return rows / seconds if rows else 0.0


def _singles(target: Target, count: int, first: int = 2 * FAR) -> list[bytes]:
    return [target.post(PATH, body(first + number, 1)) for number in range(count)]


def _lookups_beside(target: Target, lookups: Sequence[bytes]) -> float:
    count = PUSHED_BESIDE_LOOKUPS // BATCH
    pushes = [target.post(PATH, body(4 * FAR + n * BATCH)) for n in range(count * SECONDS)]
    pusher = Thread(target=paced, args=[target, pushes, count, 2])
    pusher.start()
    taken = paced(target, lookups, len(lookups) / SECONDS)
    pusher.join()
    return quantiles(taken)[1]


def _resident(pid: int) -> float:
    pages = sum(int((_proc(one, "statm").split() or "00")[1]) for one in _family(pid))
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def _seconds(pid: int) -> tuple[float, float]:
    """Processor time so far of the service with its worker, and of the sessions that serve it."""
    return sum(map(_spent, _family(pid))), sum(map(_spent, _sessions()))


def _spent(pid: int) -> float:
    fields = _proc(pid, "stat").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS if fields else 0.0


def _family(pid: int) -> list[int]:
    threads = Path(f"/proc/{pid}/task").iterdir()
    return [pid, *(int(word) for thread in threads for word in _proc(pid, f"task/{thread.name}/children").split())]


def _sessions() -> list[int]:
    processes = (int(path.name) for path in Path("/proc").glob("[0-9]*"))
    return [pid for pid in processes if "integrator_service" in (line := _proc(pid, "cmdline")) and "postgres" in line]


def _proc(pid: int, name: str) -> str:
    """Empty for what has ended meanwhile."""
    try:
        return Path(f"/proc/{pid}/{name}").read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


def _publish_one(services: Services) -> None:
    """One insight to look up."""
    made = Prediction(
        subject=Subject("event", "gala", "pretix"), status="ready", rung="partner", value=900.0, unit="people",
        interval=Interval(0.8, 820, 965), confidence_label="high", coverage=0.81, observations=42, baseline=900.0,
        contributions=(), summary="Expected attendance 900.", details={}, records=120,
    )  # fmt: skip
    at = services.clock()
    scoring = scored.Scoring(
        partner="bench", use_case="attendance", run_id="bench", scored_at=at, input_position=1, as_of=at,
        model_name=rule_name("attendance"), model_version=RULE_VERSION, row_count=1, failure_count=0,
    )  # fmt: skip
    with services.database.partner("bench") as connection:
        scored.replace(connection, scoring, [(0, encode(made), stored({"event_id": "gala"}))])
    publish(services, "bench", "attendance", run_id="bench")


@contextmanager
def _process(module: str, *words: str) -> Iterator[tuple[int, int]]:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", module, *words, str(port)], env={**os.environ, "INTEGRATOR_INGEST_RATE": "100000"}
    )
    try:
        _wait(port)
        yield process.pid, port
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait(port: int) -> None:
    for _ in range(300):
        try:
            urllib.request.urlopen(f"http://{HOST}:{port}/healthz", timeout=2).close()
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"nothing answers on port {port}")


def _token(port: int, client_id: str, secret: str) -> str:
    basic = base64.b64encode(f"{client_id}:{secret}".encode()).decode()
    request = urllib.request.Request(
        f"http://{HOST}:{port}/oauth/token", b"grant_type=client_credentials", {"Authorization": f"Basic {basic}"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return str(json.load(answer)["access_token"])
