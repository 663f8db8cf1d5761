"""From a pushed record to the insight in the host's webhook receiver: the real service, 50 records a second for a minute.

Twenty partners have a night behind them; `INTEGRATOR_BENCH_STREAM_SALES` says over how many sale lines (default 200,000).
Half of the records are new leads, each of which makes an insight of its own and is timed; the others are tickets that
they buy, which move an event, a series, a price and the lead. All are one partner's, or all partners' in turn.
"""

import json
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from benchmarks.client import Target, paced, quantiles
from benchmarks.figure import Figure
from benchmarks.installation import furnish
from benchmarks.service import process, token
from integrator.embedded.endpoints import HOST
from integrator.embedded.session import close_storage
from integrator.security import clients
from integrator.settings import Settings
from integrator.steps.services import Services, open_services
from integrator.storage import webhooks

PARTNERS = 20
RATE, SECONDS = 50, 60
WARM_SECONDS = 20
PATIENCE_SECONDS = 120


def measure(home: Path) -> list[Figure]:
    """All records of one partner, then of all partners in turn."""
    settings = Settings(home=home / "stream", allow_loopback_webhooks=True)
    services = open_services(settings)
    try:
        furnished(services)
        with receiver() as (url, arrived), _service(services) as port:
            targets = [_target(services, port, f"p{number}", url) for number in range(PARTNERS)]
            one = _measured(targets[:1], arrived, "one")
            every = _measured(targets, arrived, "all")
    finally:
        services.database.close()
        close_storage(settings)
    return [*_figures("one partner's", *one), *_figures(f"{PARTNERS} partners'", *every)]


def _figures(whose: str, taken: Sequence[float], answered: Sequence[float]) -> list[Figure]:
    half, most = quantiles(taken)
    half_answered, most_answered = quantiles(answered)
    what = f"record pushed → insight in the webhook receiver, {whose} {RATE}/s for {SECONDS} s"
    return [
        Figure(f"{what}, p50", half, "ms", "< 500 ms", "its own 200 after commit, p50", half_answered),
        Figure(f"{what}, p99", most, "ms", "< 1,500 ms", "its own 200 after commit, p99", most_answered),
    ]


def furnished(services: Services) -> None:
    """The installation, with a night's tables and views."""
    from integrator_dagster.dbt.night import build

    lines = int(os.environ.get("INTEGRATOR_BENCH_STREAM_SALES", "200000"))
    furnish(services, partners=PARTNERS, lines=lines, leads=5000, series=25)
    build(services, "bench", lambda _: None)


def _measured(targets: Sequence[Target], arrived: dict[str, float], name: str) -> tuple[list[float], list[float]]:
    """Seconds from when each lead was due to be pushed until its insight arrived, and until its push was answered."""
    _pushed(targets, f"{name}-warm", WARM_SECONDS, arrived)
    return _pushed(targets, name, SECONDS, arrived)


def _pushed(
    targets: Sequence[Target], name: str, seconds: int, arrived: dict[str, float]
) -> tuple[list[float], list[float]]:
    count = RATE * seconds
    requests = [_request(targets[place // 2 % len(targets)], name, place) for place in range(count)]
    began = time.time() + 0.2  # when `paced` begins
    answered = paced(targets[0], requests, RATE)
    leads = {f"{name}-{place}": began + place / RATE for place in range(0, count, 2)}
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not leads.keys() <= arrived.keys():
        if time.monotonic() > deadline:
            raise SystemExit(f"{len(leads.keys() - arrived.keys())} of {len(leads)} insights never arrived")
        time.sleep(0.1)
    return [arrived[lead] - due for lead, due in leads.items()], answered


def _request(target: Target, name: str, place: int) -> bytes:
    now = datetime.now(UTC)
    lead = f"{name}-{place - place % 2}"
    record: dict[str, Any]
    if place % 2 == 0:
        record = {
            "native_id": lead, "email": f"{lead}@example.com", "created_at": (now - timedelta(days=place % 50)).isoformat(),
            "stage": "trial", "source": "web", "country": "DE", "consent": {"processing": "granted", "pooling": "denied"},
        }  # fmt: skip
        return target.post("/v1/contacts", json.dumps(record).encode())
    record = {
        "native_id": f"{name}-{place}", "event_id": f"e{1 + place % 25}-{1 + place % 28}", "contact_id": lead,
        "product": f"product {place % 40}", "sold_at": now.isoformat(), "quantity": 1 + place % 4,
        "unit_price": str(20 + place % 45), "currency": "EUR", "status": "paid",
    }  # fmt: skip
    return target.post("/v1/sales", json.dumps(record).encode())


def _target(services: Services, port: int, partner: str, url: str) -> Target:
    webhooks.add(services.database, partner, url, datetime.now(UTC), allow_loopback=True, use_cases=("lead_score",))
    made = clients.create(services.database, partner, "sales:write contacts:write", services.clock())
    return Target(HOST, port, token(port, made.client_id, str(made.client_secret)))


@contextmanager
def receiver() -> Iterator[tuple[str, dict[str, float]]]:
    """A host's receiver, and when it first heard of each subject."""
    arrived: dict[str, float] = {}

    class Hooks(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            arrived.setdefault(json.loads(body)["data"]["subject"]["id"], time.time())
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer((HOST, 0), Hooks)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://{HOST}:{server.server_port}/hook", arrived
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def _service(services: Services) -> Iterator[int]:
    """The realtime service, streaming, at a port of its own."""
    added = {"INTEGRATOR_STREAM": "push", "INTEGRATOR_ALLOW_LOOPBACK_WEBHOOKS": "true"}
    with process("integrator_realtime", "--home", str(services.settings.root), "--port", added=added) as (_, port):
        yield port
