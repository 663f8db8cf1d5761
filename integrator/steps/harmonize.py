"""What surrounds one run of dbt: which changes it takes, the moment it reads at, and how it reaches the database.

The SQL is in `dbt_project/`, the running of it is the orchestrator's. Nothing here computes a feature.
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import text

from integrator.contracts.errors import Defect
from integrator.storage.database import Database

PROJECT_DIR = Path(__file__).parents[2] / "dbt_project"
READER = "dbt"
ROLE = "integrator_batch"
LATE_RATES = """
    insert into ops.touched_log (partner, platform, kind, native_id, reason, at)
    select sale.partner, sale.platform, 'sale', sale.sale_id, 'late rate', :now
    from harmonized.sale
    inner join harmonized.sale_history as line
        on line.partner = sale.partner and line.platform = sale.platform and line.sale_id = sale.sale_id
        and line.valid_to is null and line.conversion_note is null
    where sale.conversion_note is not null
"""


@dataclass(frozen=True)
class Window:
    """Changes with `low` <= transaction id < `high`; ids are xid8 as text.

    `rebuild` says that the SQL differs from the last run's, so that everything is to be built anew.
    """

    low: str
    high: str
    fingerprint: str
    rebuild: bool


def fingerprint(project: Path = PROJECT_DIR) -> str:
    """A hash of all SQL and of the project file: what a table built by it depends on besides its input."""
    digest = hashlib.sha256()
    queries = [path for folder in ("models", "macros") for path in project.glob(f"{folder}/**/*.sql")]
    for path in sorted([*queries, project / "dbt_project.yml"]):
        digest.update(path.relative_to(project).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:32]


def open_window(db: Database, project: Path = PROJECT_DIR) -> Window:
    """The window of the next run: from the end of the last that succeeded to below the oldest running transaction.

    Rows commit out of order: whatever is still running now ends up at or above `high` and is the next window's.
    """
    current = fingerprint(project)
    with db.batch() as connection:
        row = connection.execute(
            text("select position::text, fingerprint from ops.reader_position where reader = :reader"),
            {"reader": READER},
        ).one_or_none()
        high: str = connection.execute(text("select pg_snapshot_xmin(pg_current_snapshot())::text")).scalar_one()
    if row is None or row.fingerprint != current:
        return Window(low="0", high=high, fingerprint=current, rebuild=True)
    return Window(low=row.position, high=high, fingerprint=current, rebuild=False)


def close_window(db: Database, window: Window, now: datetime) -> None:
    """Store where the run ended; only after it succeeded. Raises `Defect` if another run has moved on meanwhile."""
    with db.batch() as connection:
        moved = connection.execute(
            text("""
                insert into ops.reader_position as known (reader, position, fingerprint, moved_at)
                values (:reader, cast(:high as xid8), :fingerprint, :now)
                on conflict (reader) do update
                set position = excluded.position, fingerprint = excluded.fingerprint, moved_at = excluded.moved_at
                where known.position <= excluded.position
            """),
            {"reader": READER, "high": window.high, "fingerprint": window.fingerprint, "now": now},
        ).rowcount
    if moved != 1:
        raise Defect(f"reader {READER!r} already stands above {window.high}: two runs of dbt overlapped")


def touch_late_rates(db: Database, now: datetime) -> int:
    """Mark the sale lines whose missing exchange rate has arrived; call after loading rates. Returns how many."""
    with db.batch() as connection:
        if connection.execute(text("select to_regclass('harmonized.sale_history')")).scalar_one() is None:
            return 0
        return connection.execute(text(LATE_RATES), {"now": now}).rowcount


def dbt_args(window: Window) -> list[str]:
    """Further arguments of `dbt build`: unit tests judge SQL and not a night; changed SQL means everything anew."""
    return ["--exclude-resource-type", "unit_test", *(["--full-refresh"] if window.rebuild else [])]


def dbt_env(db: Database, window: Window, as_of: datetime, *, lead_horizon_days: int | None = None) -> dict[str, str]:
    """The environment of one run: the address, the window and the moment (aware). Holds a password, so never log it.

    `lead_horizon_days` is within how many days a lead's conversion counts; None leaves it to the project.

    Environment and not `--vars`, because dbt parses the whole project anew whenever those change.
    """
    if as_of.tzinfo is None:
        raise Defect(f"as_of {as_of.isoformat()} has no time zone")
    return {
        **dbt_address(db),
        "INTEGRATOR_DBT_POSITION_LOW": window.low,
        "INTEGRATOR_DBT_POSITION_HIGH": window.high,
        "INTEGRATOR_DBT_AS_OF": as_of.astimezone(UTC).isoformat(),
        **({} if lead_horizon_days is None else {"INTEGRATOR_DBT_LEAD_HORIZON_DAYS": str(lead_horizon_days)}),
    }


def dbt_address(db: Database) -> dict[str, str]:
    """How dbt reaches the database, for `dbt_project/profiles.yml`; no more is needed to test or to compile."""
    return {
        "INTEGRATOR_DBT_HOST": db.address.host,
        "INTEGRATOR_DBT_PORT": str(db.address.port),
        "INTEGRATOR_DBT_USER": ROLE,
        "INTEGRATOR_DBT_PASSWORD": db.master.password(ROLE),
        "INTEGRATOR_DBT_DBNAME": db.address.name,
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "DO_NOT_TRACK": "1",
    }


def failing_partners(db: Database, target: Path) -> dict[str, list[str]]:
    """Partner → names of the data tests it failed in the run whose artifacts are in `target`.

    Tests whose `meta` says `excludes_partner: false` are left out: they are for reading, not for acting.
    Raises `Defect` when there is no run to read.
    """
    try:
        results = json.loads((target / "run_results.json").read_text())["results"]
        nodes = json.loads((target / "manifest.json").read_text())["nodes"]
    except FileNotFoundError as error:
        raise Defect(f"no run of dbt in {target}: {error.filename} is missing") from error
    failed: dict[str, list[str]] = {}
    with db.batch() as connection:
        for result in results:
            node = nodes.get(result["unique_id"], {})
            if result["status"] not in ("warn", "fail") or not node.get("config", {}).get("meta", {}).get(
                "excludes_partner"
            ):
                continue
            query = f"select distinct partner from ({result['compiled_code']}) as failure order by partner"
            partners: list[str] = list(connection.exec_driver_sql(query.replace("%", "%%")).scalars())
            for partner in partners:
                failed.setdefault(partner, []).append(node["name"])
    return failed
