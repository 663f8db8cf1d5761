"""Sale records landed a second in process, beside the ceiling of COPY, a plain insert, and dlt merging the same rows."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import plain_service
from benchmarks.figure import Figure
from benchmarks.push import large_rows
from benchmarks.sales import BATCH, NOW, batches, body
from integrator.embedded.session import close_storage, open_storage
from integrator.settings import Settings
from integrator.storage.database import Database
from integrator.storage.landing_body import write_body
from integrator.storage.partners import Partner, register

ROWS, PIECE = 100_000, 200_000
DLT_ROWS = 20_000
WRITERS = 2
ROOT = Path(__file__).resolve().parent.parent
LOCK = Path(__file__).with_name("requirements-peers.lock")


def measure(home: Path) -> list[Figure]:
    """Rows a second into the same PostgreSQL, committed batch by batch."""
    settings = Settings(home=home)
    storage = open_storage(settings)
    database = storage.database
    try:
        register(database, Partner(partner="bench", timezone="UTC", currency="EUR", region="DE"), NOW)
        address = database.address
        url = database.url(address.owner, password=address.password)
        plain, copied = _plain(url), _copied(database)
        merged = _dlt(home, url.set(drivername="postgresql").render_as_string(hide_password=False))
        empty = _landed(database, 0, ROWS)
        large = large_rows()
        _landed(database, ROWS, max(0, large - ROWS))
        full = _landed(database, large, ROWS)
        again = _landed(database, 0, ROWS)
    finally:
        database.close()
        close_storage(settings)
    return [
        Figure(
            "sale records landed, into an empty table",
            empty,
            "rows/s",
            "60,000",
            "COPY of ready rows, no checks",
            copied,
        ),
        Figure(f"the same into {large:,} rows", full, "rows/s", "60,000", "COPY of ready rows, no checks", copied),
        Figure("the same beside a plain service's insert", full, "rows/s", "", "pydantic + SQLAlchemy insert", plain),
        Figure("the same beside dlt", full, "rows/s", "4 × dlt", "dlt merge, PostgreSQL", merged),
        Figure("the same records again, unchanged", again, "rows/s"),
    ]


def _landed(database: Database, first: int, rows: int) -> float:
    """Two writers, as two requests at once would be; bodies are made before the clock runs."""
    seconds = 0.0
    for start in range(first, first + rows, PIECE):
        bodies = [body(at) for at in range(start, min(start + PIECE, first + rows), BATCH)]
        seconds += _together(
            bodies, lambda raw: write_body(database, "bench", "direct", "sale", raw, "ndjson", now=NOW)
        )
    return rows / seconds if rows else 0.0


def _together(bodies: Sequence[bytes], write: Callable[[bytes], Any]) -> float:
    waiting, guard = iter(bodies), threading.Lock()

    def work() -> None:
        while True:
            with guard:
                raw = next(waiting, None)
            if raw is None:
                return
            write(raw)

    threads = [threading.Thread(target=work) for _ in range(WRITERS)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.monotonic() - started


def _plain(url: Any) -> float:
    engine = plain_service.fresh_table(url)
    everything = list(batches(0, ROWS))
    started = time.monotonic()
    for batch in everything:
        plain_service.store(engine, batch)
    engine.dispose()
    return ROWS / (time.monotonic() - started)


def _copied(database: Database) -> float:
    columns = (
        "native_id",
        "product",
        "event_id",
        "contact_id",
        "sold_at",
        "quantity",
        "unit_price",
        "currency",
        "status",
    )
    ready = [
        "".join("\t".join(str(row[name]) for name in columns) + "\n" for row in batch).encode()
        for batch in batches(0, ROWS)
    ]
    with database.owner() as connection:
        connection.exec_driver_sql(
            "create table public.copied (native_id text primary key, product text, event_id text, contact_id text, "
            "sold_at timestamptz, quantity integer, unit_price numeric, currency text, status text)"
        )
    started = time.monotonic()
    for lines in ready:
        with database.owner() as connection:
            driver: Any = connection.connection.driver_connection
            with (
                driver.cursor() as cursor,
                cursor.copy(f"copy public.copied ({', '.join(columns)}) from stdin") as pipe,
            ):
                pipe.write(lines)
    return ROWS / (time.monotonic() - started)


def _dlt(home: Path, url: str) -> float:
    """dlt in an environment of its own, made for this run from its lock."""
    python = home / "peers" / "bin" / "python"
    uv = str(Path(sys.executable).with_name("uv"))
    quiet = {"check": True, "stdout": subprocess.DEVNULL}
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(home / "peers")], **quiet)  # type: ignore[call-overload]
    install = [uv, "pip", "install", "--quiet", "--python", str(python), "--require-hashes", "-r", str(LOCK)]
    subprocess.run(install, **quiet)  # type: ignore[call-overload]
    with_peer = [str(python), "-W", "ignore", "-m", "benchmarks.dlt_merge", url, str(DLT_ROWS)]
    done = subprocess.run(
        with_peer, check=True, capture_output=True, text=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    return float(done.stdout.split()[-1])
