"""The one dbt invocation of a run, in a process of its own, and what came of it by model, test and partner."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrator.contracts.errors import PermanentError, TransientError, Unavailable
from integrator_dagster.dbt.manifest import PROJECT, environment

if TYPE_CHECKING:
    from integrator.steps.services import Services

Say = Callable[[str], None]
BROKEN = ("error", "runtime error")
# dbt's process ends with ours, however ours ends: a night that was killed and started again would else meet the old
# dbt, still building. Its standard input is a pipe that we hold; os.read, as it holds no lock at the interpreter's end.
SUPERVISED = """
import os, threading
threading.Thread(target=lambda: (os.read(0, 1), os._exit(1)), daemon=True).start()
from dbt.cli.main import cli
cli()
"""
UNREACHABLE = ("could not connect", "connection refused", "server closed the connection", "connection timed out")


@dataclass(frozen=True, kw_only=True)
class NodeResult:
    """One model or test of the invocation, as dbt reports it."""

    unique_id: str
    status: str
    seconds: float = 0.0
    started_at: datetime | None = None
    finished_at: datetime | None = None
    failures: int | None = None
    message: str = ""
    compiled: str | None = None


@dataclass(frozen=True, kw_only=True)
class BuildReport:
    """`rows` counts by relation (`harmonized.sale`) and partner; `offenders` the failing rows by test and partner."""

    nodes: Mapping[str, NodeResult]
    rows: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    offenders: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


def run_dbt(arguments: list[str], env: Mapping[str, str], target: Path, say: Say) -> dict[str, NodeResult]:
    """Run dbt and read its results; raises when a model, not a test, failed or dbt never came to results.

    Its own lines go to `say` as they come.
    """
    target.mkdir(parents=True, exist_ok=True)
    results = target / "run_results.json"
    results.unlink(missing_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-c", SUPERVISED, *arguments,
         "--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT), "--target-path", str(target),
         "--log-path", str(target), "--log-format", "text", "--no-use-colors", "--no-version-check"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.PIPE, text=True, cwd=PROJECT,
        env=environment(**env),
    )  # fmt: skip
    tail: list[str] = []
    try:
        assert process.stdout is not None
        for line in process.stdout:
            words = line.rstrip()
            if words:
                tail = [*tail[-7:], words]
                say(words)
        code = process.wait()
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(10)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
    if not results.exists():
        raise _error(f"dbt ended with {code} before any result: {' | '.join(tail)}")
    nodes = {entry["unique_id"]: _node(entry) for entry in json.loads(results.read_bytes())["results"]}
    broken = [node for node in nodes.values() if node.status in BROKEN]
    if broken:
        first = broken[0]
        raise _error(
            f"{len(broken)} dbt nodes failed, the first {first.unique_id}: {' '.join(first.message.split())[:600]}"
        )
    return nodes


def count_offenders(services: "Services", test: NodeResult) -> dict[str, int]:
    """The rows a failed test found, by partner; empty when its rows do not say whose they are."""
    from sqlalchemy import text
    from sqlalchemy.exc import ProgrammingError

    if not test.compiled:
        return {}
    try:
        with services.database.batch() as connection:
            connection.execute(text("set transaction read only"))
            rows = connection.exec_driver_sql(f"select partner, count(*) from ({test.compiled}) as failing group by 1")
            return {str(row[0]): int(row[1]) for row in rows if row[0] is not None}
    except ProgrammingError:
        return {}


def count_rows(services: "Services") -> dict[str, dict[str, int]]:
    """Rows of every harmonized and feature table by relation and partner, for metadata and for `ops.step_runs`."""
    from psycopg import sql
    from sqlalchemy import text

    counts: dict[str, dict[str, int]] = {}
    with services.database.batch() as connection:
        tables = connection.execute(
            text("""select schemaname, tablename from pg_tables where schemaname in ('harmonized', 'features')
              order by schemaname, tablename""")
        ).all()
        for row in tables:
            schema, name = str(row[0]), str(row[1])
            query = sql.SQL("select partner, count(*) from {} group by 1").format(sql.Identifier(schema, name))
            counts[f"{schema}.{name}"] = {str(r[0]): int(r[1]) for r in connection.exec_driver_sql(query.as_string())}
    return counts


def _node(entry: Mapping[str, Any]) -> NodeResult:
    timing = {span["name"]: span for span in entry["timing"]}
    span = timing.get("execute", {})
    return NodeResult(
        unique_id=entry["unique_id"],
        status=str(entry["status"]),
        seconds=float(entry["execution_time"]),
        started_at=_moment(span.get("started_at")),
        finished_at=_moment(span.get("completed_at")),
        failures=entry.get("failures"),
        message=entry.get("message") or "",
        compiled=entry.get("compiled_code"),
    )


def _moment(value: str | None) -> datetime | None:
    return datetime.fromisoformat(value) if value else None


def _error(message: str) -> PermanentError | TransientError:
    if any(words in message.lower() for words in UNREACHABLE):
        return Unavailable(message)
    return PermanentError(message)
