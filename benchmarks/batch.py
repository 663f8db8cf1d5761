"""A night of twenty partners after a day's news: 1,000,000 sale lines, 5,000 series, 100,000 leads, landing to webhooks.

The first night trains every model and publishes everything; then a day's records are pushed, and the clock runs from the
first of them until the receiver has every webhook of the second night. `INTEGRATOR_BENCH_BATCH` is the share of all these
sizes (default 1).
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import text

from benchmarks.client import Line, Target
from benchmarks.figure import Figure
from benchmarks.installation import furnish
from benchmarks.service import process, token
from benchmarks.webhooks import counted, receiver, tell
from integrator.embedded.endpoints import HOST
from integrator.embedded.session import close_storage
from integrator.security import clients
from integrator.settings import Settings
from integrator.steps.services import Services, open_services
from integrator.storage import webhooks

PARTNERS = 20
SHARE = float(os.environ.get("INTEGRATOR_BENCH_BATCH", "1"))
LINES, SERIES, LEADS = int(1_000_000 * SHARE), int(250 * SHARE), int(5_000 * SHARE)
EVERY_DAYS, HISTORY_DAYS, SOLD_DAYS, LEAD_DAYS = 7, 420, 200, 80
PATIENCE_SECONDS = 600


def measure(home: Path) -> list[Figure]:
    """The first night, and the one after a day's news."""
    settings = Settings(home=home / "batch", allow_loopback_webhooks=True)
    services = open_services(settings)
    try:
        furnish(
            services, partners=PARTNERS, lines=LINES, leads=LEADS, series=SERIES, every=EVERY_DAYS, days=HISTORY_DAYS
        )
        first, _ = _night(settings)
        with _service(services) as port, receiver() as url:
            _listened(services, url)
            began = time.monotonic()
            records = _news(services, port)
            landed = time.monotonic() - began
            night, said = _night(settings)
            messages = _delivered(services, url)
            whole = time.monotonic() - began
        standing = _standing(services)
    finally:
        services.database.close()
        close_storage(settings)
    print("\n".join(line for line in said.splitlines() if "running for" not in line), file=sys.stderr)
    size = f"{PARTNERS} partners, {LINES:,} sale lines, {SERIES * PARTNERS:,} series, {LEADS * PARTNERS:,} leads"
    return [
        Figure(
            f"batch: {size}, after a day's news, landing to webhooks", whole, "s", "< 300 s", "the first night", first
        ),
        Figure("of that, landing the day's records", landed, "s"),
        Figure("of that, the night itself", night, "s"),
        *(Figure(f"insights of {use_case} that stand after it", count, "insights") for use_case, count in standing),
        Figure("records of the day", records, "records"),
        Figure("webhooks delivered after it", messages, "messages"),
    ]


def _night(settings: Settings) -> tuple[float, str]:
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "integrator.cli.main", "run", "nightly"], capture_output=True, text=True, check=False,
        env={**os.environ, "INTEGRATOR_HOME": str(settings.root), "INTEGRATOR_ALLOW_LOOPBACK_WEBHOOKS": "true"},
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"the night ended with {done.returncode}: {done.stderr[-2000:]}")
    return time.monotonic() - began, done.stderr


@contextmanager
def _service(services: Services) -> Iterator[int]:
    """The realtime service, which lands the day's records and sends the webhooks; what it streams is not the batch."""
    added = {"INTEGRATOR_STREAM": "off", "INTEGRATOR_ALLOW_LOOPBACK_WEBHOOKS": "true"}
    with process("integrator_realtime", "--home", str(services.settings.root), "--port", added=added) as (_, port):
        yield port


def _listened(services: Services, url: str) -> None:
    for number in range(PARTNERS):
        path = f"{url}/p{number}"
        endpoint = webhooks.add(services.database, f"p{number}", path, datetime.now(UTC), allow_loopback=True)
        tell(path, endpoint.secret)


def _news(services: Services, port: int) -> int:
    """A day of every partner: what was sold, who came new, and how many came to yesterday's events."""
    total = 0
    for number in range(PARTNERS):
        made = clients.create(services.database, f"p{number}", "sales:write contacts:write events:write", _now())
        target = Target(HOST, port, token(port, made.client_id, str(made.client_secret)))
        line = Line(target)
        for path, records in (("events", _ended(services, number)), ("contacts", _came()), ("sales", _sold())):
            body = "\n".join(map(json.dumps, records)).encode()
            line.ask(target.post(f"/v1/{path}", body))
            total += len(records)
        line.close()
    return total


def _ended(services: Services, number: int) -> list[dict[str, Any]]:
    with services.database.partner(f"p{number}") as connection:
        found = connection.execute(
            text("""select native_id, name, starts_at, timezone, series_id, on_sale_at, capacity from landing.event
              where partner = :partner and valid_to is null and starts_at >= date_trunc('day', now()) - interval '1 day'
                and starts_at < date_trunc('day', now())"""),
            {"partner": f"p{number}"},
        )
        return [
            {
                **row._mapping, "starts_at": row.starts_at.isoformat(), "on_sale_at": row.on_sale_at.isoformat(),
                "status": "completed", "attendance": 100 + place % 150, "updated_at": _now().isoformat(),
            }
            for place, row in enumerate(found)
        ]  # fmt: skip


def _came() -> list[dict[str, Any]]:
    return [
        {
            "native_id": f"new-{place}", "email": f"new-{place}@example.com", "created_at": _now().isoformat(),
            "stage": "trial", "source": "web", "country": "DE", "consent": {"processing": "granted", "pooling": "denied"},
        }
        for place in range(LEADS // LEAD_DAYS)
    ]  # fmt: skip


def _sold() -> list[dict[str, Any]]:
    return [
        {
            "native_id": f"new-{place}", "event_id": _coming(place), "contact_id": f"c{1 + place % LEADS}",
            "product": f"product {place % 40}", "sold_at": (_now() - timedelta(minutes=5 * place)).isoformat(),
            "quantity": 1 + place % 4, "unit_price": str(20 + place % 45), "currency": "EUR", "status": "paid",
        }
        for place in range(LINES // PARTNERS // SOLD_DAYS)
    ]  # fmt: skip


def _coming(place: int) -> str:
    """An event of the next weeks, by the ids that `installation` gives."""
    series = 1 + place % SERIES
    first = -HISTORY_DAYS + series % EVERY_DAYS
    ahead = (1 - first + EVERY_DAYS - 1) // EVERY_DAYS + place % 4
    return f"e{series}-{first + ahead * EVERY_DAYS}"


def _delivered(services: Services, url: str) -> int:
    """How many messages the receiver has, once nothing waits any more."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        with services.database.batch() as connection:
            states: dict[str, int] = {
                row.status: row.n
                for row in connection.execute(text("select status, count(*) as n from ops.outbox group by status"))
            }
        if states and states.keys() == {"delivered"}:
            found = counted(url)["messages"]
            assert found == states["delivered"], (found, states)
            return found
        time.sleep(0.1)
    raise SystemExit(f"webhooks still wait after {PATIENCE_SECONDS} s: {states}")


def _standing(services: Services) -> list[tuple[str, int]]:
    with services.database.batch() as connection:
        found = connection.execute(
            text("""select use_case, count(*) as n from insights.current where status <> 'withdrawn'
              group by use_case order by use_case""")
        )
        return [(row.use_case, row.n) for row in found]


def _now() -> datetime:
    return datetime.now(UTC)
