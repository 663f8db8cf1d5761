"""`metrics.quality`: what each run found about a partner's records, and what else a partner reads beside it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Connection, text

Severity = Literal["error", "warning"]
KEPT = timedelta(days=90)
MOST_REASONS = 100


@dataclass(frozen=True, kw_only=True)
class Result:
    """One expectation held against one partner's records of one kind and platform.

    `passed` is None where it cannot be judged yet; `count` and `ids` are of the records at fault, the ids of the first
    of them; `severity` error means that the partner is left out of the steps after it.
    """

    kind: str
    platform: str
    expectation: str
    dimension: str
    severity: Severity
    passed: bool | None
    count: int = 0
    ids: tuple[str, ...] = ()
    observed: str = ""
    mend: str | None = None


def store(connection: Connection, partner: str, run_id: str, results: Sequence[Result], now: datetime) -> None:
    """Keep what a run found; the same run again replaces its own. What is older than 90 days goes."""
    connection.execute(
        text("delete from metrics.quality where partner = :partner and at < :before"),
        {"partner": partner, "before": now - KEPT},
    )
    if results:
        connection.execute(
            text("""insert into metrics.quality (partner, run_id, kind, platform, expectation, dimension, severity, passed,
                count, ids, observed, mend, at)
              values (:partner, :run_id, :kind, :platform, :expectation, :dimension, :severity, :passed,
                :count, :ids, :observed, :mend, :now)
              on conflict (partner, kind, platform, expectation, run_id) do update set dimension = excluded.dimension,
                severity = excluded.severity, passed = excluded.passed, count = excluded.count, ids = excluded.ids,
                observed = excluded.observed, mend = excluded.mend, at = excluded.at"""),
            [
                {**asdict(one), "ids": list(one.ids), "partner": partner, "run_id": run_id, "now": now}
                for one in results
            ],
        )


def newest(connection: Connection, partner: str, kind: str | None = None) -> list[dict[str, Any]]:
    """What the newest run of each kind found; those that failed first, errors before warnings."""
    rows = connection.execute(
        text("""select * from (
            select kind, platform, expectation, dimension, severity, passed, count, ids, observed, mend, run_id, at,
              first_value(run_id) over (partition by kind order by at desc, quality_id desc) as newest_run
            from metrics.quality
            where partner = :partner and (cast(:kind as text) is null or kind = :kind)
          ) as result
          where run_id = newest_run
          order by passed is not distinct from false desc, severity, kind, platform, dimension, expectation"""),
        {"partner": partner, "kind": kind},
    )
    return [{name: value for name, value in row._mapping.items() if name != "newest_run"} for row in rows]


def quarantine_counts(connection: Connection, partner: str, kind: str | None = None) -> list[dict[str, Any]]:
    """What waits in quarantine by platform, kind, field and reason, the most first; a hundred reasons at most."""
    rows = connection.execute(
        text("""select platform, kind, field, reason, count(*) as count, max(quarantined_at) as newest_at
          from landing.quarantine
          where partner = :partner and replayed_at is null and (cast(:kind as text) is null or kind = :kind)
          group by 1, 2, 3, 4 order by count(*) desc, 1, 2, 3, 4 limit :limit"""),
        {"partner": partner, "kind": kind, "limit": MOST_REASONS},
    )
    return [dict(row._mapping) for row in rows]


def connection_freshness(connection: Connection, partner: str) -> list[dict[str, Any]]:
    """When each of a partner's connections was last pulled to its end, and its status."""
    rows = connection.execute(
        text("""select connection_id as connection, platform, status, status_reason as reason, last_synced_at
          from integrator.connection where partner = :partner order by connection_id"""),
        {"partner": partner},
    )
    return [dict(row._mapping) for row in rows]
