"""`ops.inference_log`: every inference counted by outcome, apart per partner and model, with the time one took."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

OUTCOMES = ("success", "failure", "fallback", "refusal")


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Milliseconds of one inference, its feature row included: mean over all, what 95 of 100 kept to, the slowest."""

    mean_ms: float
    p95_ms: float
    max_ms: float


@dataclass(frozen=True, kw_only=True)
class Inferences:
    """What one model did since a moment; latencies are weighted by the number of inferences."""

    model_name: str
    model_version: str
    is_shadow: bool
    runs: int
    last_at: datetime
    counts: Mapping[str, int]
    mean_ms: float | None
    p50_ms: float | None
    p95_ms: float | None
    max_ms: float | None


def count(
    connection: Connection, partner: str, use_case: str, *, run_id: str, at: datetime, model: tuple[str, str],
    outcomes: Mapping[str, int], latency: Latency | None, is_shadow: bool = False,
) -> None:  # fmt: skip
    """Append one line for each outcome that occurred; `model` is name and version, `is_shadow` a challenger's mark."""
    facts: dict[str, Any] = {
        "partner": partner, "use_case": use_case, "run_id": run_id, "at": at, "name": model[0], "version": model[1],
        "is_shadow": is_shadow, "mean_ms": latency and latency.mean_ms, "p95_ms": latency and latency.p95_ms,
        "max_ms": latency and latency.max_ms,
    }  # fmt: skip
    rows = [{**facts, "outcome": outcome, "count": number} for outcome, number in outcomes.items() if number]
    if rows:
        connection.execute(
            text("""insert into ops.inference_log (partner, use_case, run_id, at, model_name, model_version, outcome,
                inference_count, is_shadow, latency_ms, latency_p95_ms, latency_max_ms)
              values (:partner, :use_case, :run_id, :at, :name, :version, :outcome, :count, :is_shadow, :mean_ms,
                :p95_ms, :max_ms)"""),
            rows,
        )


def since(connection: Connection, partner: str, use_case: str, moment: datetime) -> list[Inferences]:
    """Every model that answered for the partner since `moment`, the last one used first.

    p50 is of the runs' means, p95 of the runs' own 95th percentiles: rows are timed by the batch they went in.
    """
    rows = connection.execute(
        text("""with logged as (
            select *, model_name || ' ' || model_version || ' ' || is_shadow as model from ops.inference_log
            where partner = :partner and use_case = :use_case and at >= :moment
          ), placed as (
            select *,
              sum(inference_count) over (partition by model order by latency_ms) as below_mean,
              sum(inference_count) over (partition by model order by latency_p95_ms) as below_p95,
              sum(inference_count) over (partition by model) as total
            from logged
          )
          select model_name, model_version, is_shadow, count(distinct run_id) as runs, max(at) as last_at,
            coalesce(sum(inference_count) filter (where outcome = 'success'), 0)::bigint as success,
            coalesce(sum(inference_count) filter (where outcome = 'failure'), 0)::bigint as failure,
            coalesce(sum(inference_count) filter (where outcome = 'fallback'), 0)::bigint as fallback,
            coalesce(sum(inference_count) filter (where outcome = 'refusal'), 0)::bigint as refusal,
            sum(inference_count * latency_ms) / nullif(sum(inference_count) filter (where latency_ms is not null), 0)
              as mean_ms,
            min(latency_ms) filter (where below_mean >= 0.5 * total) as p50_ms,
            min(latency_p95_ms) filter (where below_p95 >= 0.95 * total) as p95_ms,
            max(latency_max_ms) as max_ms
          from placed group by model_name, model_version, is_shadow order by last_at desc, is_shadow"""),
        {"partner": partner, "use_case": use_case, "moment": moment},
    ).mappings()
    return [
        Inferences(
            **{name: row[name] for name in Inferences.__dataclass_fields__ if name != "counts"},
            counts={outcome: row[outcome] for outcome in OUTCOMES},
        )
        for row in rows
    ]
