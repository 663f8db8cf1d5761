"""Sale records over HTTP, acknowledged when durable: the service as its own process, beside a plain one in the same run.

The large table is filled with `INTEGRATOR_BENCH_ROWS` records first (default 200,000; a million is the issue's own
figure and takes minutes). Other work on the machine moves every latency: what a post costs the processors moves less.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from threading import Thread

from benchmarks.client import Target, flood, paced, quantiles
from benchmarks.figure import Figure
from benchmarks.sales import BATCH, NOW, body
from benchmarks.service import process, publish_one, token
from integrator.embedded.endpoints import HOST
from integrator.embedded.session import close_storage
from integrator.security import clients
from integrator.settings import Settings
from integrator.steps.services import open_services
from integrator.storage.partners import Partner, register

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
        publish_one(services)
        made = clients.create(services.database, "bench", "sales:write insights:read", services.clock())
        with process("integrator_realtime", "--home", str(settings.root), "--no-webhooks", "--port") as (pid, port):
            target = Target(HOST, port, token(port, made.client_id, str(made.client_secret)))
            figures = _ours(pid, target)
        address = services.database.address
        url = services.database.url(address.owner, password=address.password).render_as_string(hide_password=False)
        with process("benchmarks.plain_service", url) as (_, port):
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
    return processor_seconds(pid), sum(map(spent, _sessions()))


def processor_seconds(pid: int) -> float:
    """Processor time so far of a process and its children."""
    return sum(map(spent, _family(pid)))


def spent(pid: int) -> float:
    """Processor time so far of one process, in seconds; 0 once it has ended."""
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
