"""`metrics.model_quality` and `metrics.readiness`: how good each version is, and what a partner still lacks."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import msgspec
from sqlalchemy import Connection, text

from integrator.contracts.readiness import Readiness


@dataclass(frozen=True)
class Figure:
    """One metric of one candidate on the backtest."""

    candidate: str
    metric: str
    value: float


def remember(
    connection: Connection,
    partner: str,
    use_case: str,
    model_name: str,
    version: str,
    figures: Iterable[Figure],
    now: datetime,
) -> None:
    """Store the backtest of a version, naive rule included; the same version again replaces its figures."""
    rows = [
        {
            "partner": partner,
            "use_case": use_case,
            "model_name": model_name,
            "version": version,
            "now": now,
            **figure.__dict__,
        }
        for figure in figures
    ]
    if not rows:
        return
    connection.execute(
        text("""insert into metrics.model_quality (partner, use_case, model_name, model_version, candidate, metric, value, at)
          values (:partner, :use_case, :model_name, :version, :candidate, :metric, :value, :now)
          on conflict (partner, use_case, model_name, model_version, candidate, metric)
          do update set value = excluded.value, at = excluded.at"""),
        rows,
    )


def figures(connection: Connection, partner: str, use_case: str, version: str) -> list[Figure]:
    """The stored figures of a version, by candidate and metric."""
    rows = connection.execute(
        text("""select candidate, metric, value from metrics.model_quality
          where partner = :partner and use_case = :use_case and model_version = :version order by candidate, metric"""),
        {"partner": partner, "use_case": use_case, "version": version},
    )
    return [Figure(row.candidate, row.metric, row.value) for row in rows]


def remember_readiness(connection: Connection, partner: str, readiness: Readiness, now: datetime) -> None:
    """The partner's newest readiness for one use case."""
    connection.execute(
        text("""insert into metrics.readiness (partner, use_case, rung, document, at)
          values (:partner, :use_case, :rung, cast(:document as jsonb), :now)
          on conflict (partner, use_case) do update set rung = excluded.rung, document = excluded.document, at = excluded.at"""),
        {
            "partner": partner,
            "use_case": readiness.use_case,
            "rung": readiness.rung,
            "document": msgspec.json.encode(readiness).decode(),
            "now": now,
        },
    )


def readiness_of(connection: Connection, partner: str) -> list[Readiness]:
    """What is known of a partner's readiness, by use case."""
    rows = connection.execute(
        text("select document::text from metrics.readiness where partner = :partner order by use_case"),
        {"partner": partner},
    )
    return [msgspec.json.decode(row.document, type=Readiness) for row in rows]
