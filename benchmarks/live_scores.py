"""Live lead scores, explained and logged, beside `mlflow models serve` on the same registered model."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.client import Target, quantiles
from benchmarks.figure import Figure
from benchmarks.load import flooded, timed
from benchmarks.lookups import Cost
from benchmarks.push import processor_seconds
from benchmarks.service import process, token, wait_for
from integrator.embedded.endpoints import HOST, free_port
from integrator.embedded.session import close_storage
from integrator.security import clients
from integrator.settings import Settings
from integrator.steps.services import Services, open_services
from integrator.storage.partners import Partner, register
from models.base import Context, TrainConfig
from models.gate import Verdict
from models.registry import use_case

MOMENT = datetime(2026, 3, 1, tzinfo=UTC)
CONTEXT = Context(partner="bench", timezone="UTC", currency="EUR", region="DE", as_of=MOMENT)
LEADS, ASKED = 1500, 200
SECONDS, RATE = 6.0, 50
ROOT = Path(__file__).resolve().parent.parent


def measure(home: Path) -> list[Figure]:
    """Rates on one connection and on eight, the same for the peer; then ours at a steady pace."""
    settings = Settings(home=home / "scores")
    services = open_services(settings)
    try:
        register(services.database, Partner(partner="bench", timezone="UTC", currency="EUR", region="DE"), MOMENT)
        rows = _champion(services)
        made = clients.create(services.database, "bench", "score:write", services.clock())
        with process("integrator_realtime", "--home", str(settings.root), "--no-webhooks", "--port") as (pid, port):
            target = Target(HOST, port, token(port, made.client_id, str(made.client_secret)))
            asked = [_json(target, "/v1/score/lead_score", _payload(row)) for row in rows]
            timed(target, asked, 5, 1, 10)  # loads the model, and sees each value once
            ours = {lines: _measured(pid, target, asked, lines) for lines in (1, 8)}
            half, most = quantiles(timed(target, asked, RATE, 8, 3 * SECONDS))
        with _mlflow(services) as (pid, port):
            target = Target(HOST, port)
            peer = {lines: _measured(pid, target, _invocations(target, rows), lines) for lines in (1, 8)}
    finally:
        services.database.close()
        close_storage(settings)
    best = max(cost.rate for cost in peer.values())
    least = min(cost.micros for cost in peer.values())
    named = "the better of `mlflow models serve` on 1 and 8 connections"
    return [
        *(
            Figure(f"live lead scores, {_lines(lines)}", ours[lines].rate, "scores/s", "2 × mlflow", named, best)
            for lines in (1, 8)
        ),
        Figure("processor time of a live lead score", ours[8].micros, "µs", "1/2 ×", "`mlflow models serve`", least),
        Figure(f"live lead scores at {RATE}/s, p99", most, "ms", "< 15 ms", "their median", half),
    ]


def _measured(pid: int, target: Target, requests: Sequence[bytes], lines: int) -> Cost:
    before = processor_seconds(pid)
    found = flooded(target, requests, lines, SECONDS)
    return Cost(found.rate, (processor_seconds(pid) - before) * 1e6 / found.count)


def _lines(count: int) -> str:
    return "1 connection" if count == 1 else f"{count} connections"


def _champion(services: Services) -> Sequence[dict[str, Any]]:
    """Train and promote one; feature rows of leads to ask about."""
    frame = _leads()
    case = use_case("lead_score")
    trained = case.train(frame, TrainConfig(candidates=("additive_boosting",)), CONTEXT)
    verdict = Verdict(promote=True, reasons=("measured",))
    services.tracking.log("lead_score", "bench", trained, verdict=verdict, now=services.clock())
    return case.rows(frame.head(ASKED), CONTEXT)


def _leads() -> pl.DataFrame:
    """Made-up leads, seeded: what is measured is time, and no figure of quality rests on them."""
    rng = np.random.default_rng(7)
    records = []
    for i in range(LEADS):
        as_of = MOMENT - timedelta(days=30 * (10 - i % 10))
        created = as_of - timedelta(days=int(rng.integers(0, 29)), hours=int(rng.integers(0, 24)))
        visits, plan = int(rng.poisson(4)), str(rng.choice(["pro", "basic", "free"]))
        odds = -2.6 + 0.25 * visits + {"pro": 0.8, "basic": 0.0, "free": -0.8}[plan]
        own = {
            "plan": plan, "visits": visits, "seats": int(rng.integers(1, 50)), "is_mobile": bool(rng.random() < 0.5),
            "wanted_on": (as_of + timedelta(days=int(rng.integers(1, 60)))).date().isoformat(),
        }  # fmt: skip
        records.append(
            {
                "partner": "bench", "platform": "direct", "contact_id": f"c{i}", "person_id": f"p{i}", "as_of": as_of,
                "created_at": created, "created_weekday": created.isoweekday(), "created_hour": created.hour,
                "age_days": (as_of - created).days, "stage": str(rng.choice(["lead", "opportunity"], p=[0.8, 0.2])),
                "source": str(rng.choice(["web", "fair", "referral"])), "country": str(rng.choice(["DE", "AT", "CH"])),
                "purchases": int(rng.poisson(0.3)), "spent": 0.0, "attributes": json.dumps(own), "horizon_days": 90,
                "converted": bool(rng.random() < 1 / (1 + np.exp(-odds))),
            }
        )  # fmt: skip
    return pl.DataFrame(records)


def _payload(row: dict[str, Any]) -> bytes:
    """The lead as a host would ask about it: a contact nobody knows."""
    said = {name: row[name] for name in ("stage", "source", "country", "created_at", "purchases", "attributes")}
    return json.dumps({"subject": row["contact_id"], **said}).encode()


def _invocations(target: Target, rows: Sequence[dict[str, Any]]) -> list[bytes]:
    bodies = ({"dataframe_split": {"columns": ["row"], "data": [[json.dumps(row)]]}} for row in rows)
    return [_json(target, "/invocations", json.dumps(body).encode()) for body in bodies]


def _json(target: Target, path: str, body: bytes) -> bytes:
    return target.post(path, body).replace(b"application/x-ndjson", b"application/json", 1)


@contextmanager
def _mlflow(services: Services) -> Iterator[tuple[int, int]]:
    port = free_port()
    programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {
        **os.environ, "PATH": programs, "PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": services.tracking.uri,
        "MLFLOW_REGISTRY_URI": services.tracking.uri, "MLFLOW_DISABLE_TELEMETRY": "true",
    }  # fmt: skip
    words = (
        f"-W ignore -m mlflow models serve -m models:/lead_score.bench@champion --env-manager local -h {HOST} -p {port}"
    )
    server = subprocess.Popen(
        [sys.executable, *words.split()], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        wait_for(port, "/ping", 180)
        yield server.pid, port
    finally:
        os.killpg(server.pid, 15)
        server.wait(timeout=30)
