"""Running dbt against a test's database, and landing rows with the transaction under the test's control."""

import json
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text

from integrator.steps.harmonize import PROJECT_DIR, Window, close_window, dbt_args, dbt_env, open_window
from integrator.storage.database import Database


@contextmanager
def environment(values: dict[str, str]) -> Iterator[None]:
    """`os.environ` with these values, put back afterwards."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@dataclass
class Dbt:
    """One project, one database, parsed once: later runs reuse the manifest."""

    db: Database
    target: Path
    manifest: Any = field(default=None)

    def invoke(self, args: list[str], values: dict[str, str]) -> dict[str, str]:
        """Run dbt in this process; returns status by node name, and fails the test if dbt itself broke."""
        from dbt.cli.main import dbtRunner

        where = [
            "--project-dir",
            str(PROJECT_DIR),
            "--profiles-dir",
            str(PROJECT_DIR),
            "--target-path",
            str(self.target),
        ]
        quiet = ["--quiet", "--log-path", str(self.target), "--log-level-file", "none"]
        with environment(values), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if self.manifest is None:
                self.manifest = dbtRunner().invoke(["parse", *where, *quiet]).result
            outcome = dbtRunner(manifest=self.manifest).invoke([*args, *where, *quiet])
        assert outcome.exception is None, outcome.exception
        return {result.node.name: str(result.status) for result in outcome.result}

    def night(self, now: datetime, *args: str, window: Window | None = None) -> dict[str, str]:
        """One window: opened, built, closed."""
        window = window or open_window(self.db)
        statuses = self.invoke(["build", *dbt_args(window), *args], dbt_env(self.db, window, now))
        assert not {name for name, status in statuses.items() if status in ("error", "skipped", "fail")}, statuses
        close_window(self.db, window, now)
        return statuses


def add_partner(db: Database, name: str, *, currency: str = "GBP", timezone: str = "UTC", **more: Any) -> None:
    """Register a tenant by its row alone."""
    values = {
        "region": "GB-ENG",
        "processing": "granted",
        "pooling": True,
        "now": datetime(2026, 1, 1).astimezone(),
    } | more
    with db.owner() as connection:
        connection.execute(
            text(
                "insert into integrator.partner values (:name, :timezone, :currency, :region, :processing, :pooling, :now)"
            ),
            {"name": name, "currency": currency, "timezone": timezone} | values,
        )


def land(connection: Connection, kind: str, partner: str, native_id: str, valid_from: datetime, **fields: Any) -> None:
    """A new version of a record, in the caller's transaction; the one before ends where it begins."""
    key = {"partner": partner, "platform": fields.pop("platform", "direct"), "native_id": native_id}
    where = "partner = :partner and platform = :platform and native_id = :native_id and valid_to is null"
    connection.execute(text(f"update landing.{kind} set valid_to = :at where {where}"), key | {"at": valid_from})
    defaults: dict[str, Any] = {
        "event": {"timezone": "UTC", "status": "scheduled", "starts_at": valid_from + timedelta(days=30)},
        "contact": {"created_at": valid_from},
        "sale": {
            "product": "ticket", "sold_at": valid_from, "quantity": 1, "unit_price": 10, "currency": "GBP",
            "status": "paid", "refunded_quantity": 0, "refunded_amount": 0,
        },
    }[kind]  # fmt: skip
    row = key | {"record_hash": b"\0", "valid_from": valid_from, "arrived_at": valid_from} | defaults | fields
    row["attributes"] = json.dumps(row.get("attributes", {}))
    names = ", ".join(row)
    connection.execute(text(f"insert into landing.{kind} ({names}) values ({', '.join(':' + n for n in row)})"), row)


def rows(db: Database, query: str, **values: Any) -> list[tuple[Any, ...]]:
    """What the night's role reads."""
    with db.batch() as connection:
        return [tuple(row) for row in connection.execute(text(query), values)]
