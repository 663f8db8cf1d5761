"""`metrics.price_decision`: the audit trail of recommended prices and of those taken. What a bound means is not known here."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection, text

SAME_PRICE = 0.005
"""Prices of a period are averages over its lines: within half a per cent two are one."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """One recommendation, and what price was taken afterwards: None until one was seen."""

    insight_id: str
    insight_version: int
    subject_kind: str
    subject_id: str
    platform: str
    recommended_at: datetime
    expires_at: datetime
    currency: str
    current_price: Decimal
    recommended_price: Decimal
    floor: Decimal
    ceiling: Decimal
    bound: str | None
    aim: str
    taken_price: Decimal | None
    taken_from: datetime | None
    taken_source: str | None
    followed: str | None


_DECISION = ", ".join(Decision.__dataclass_fields__)


def record(connection: Connection, partner: str, run_id: str, only: Collection[str] | None = None) -> int:
    """Note every recommendation that a run published, with `only` those of these insight ids; how many are new.

    A version is noted once and never rewritten.
    """
    among = "" if only is None else "and insight_id = any(:only)"
    return connection.execute(
        text(f"""insert into metrics.price_decision (partner, insight_id, insight_version, subject_kind, subject_id,
            platform, model_name, model_version, confidence, recommended_at, expires_at, currency, current_price,
            recommended_price, low, high, floor, ceiling, bound, aim, expected_quantity, expected_revenue, expected_profit)
          select partner, insight_id, insight_version, subject_kind, subject_id, platform, model_name, model_version,
            confidence, generated_at, (details ->> 'expires_at')::timestamptz, unit,
            (details ->> 'current_price')::numeric, value, low, high, (details ->> 'floor')::numeric,
            (details ->> 'ceiling')::numeric, details ->> 'binding', details ->> 'aim',
            (details ->> 'expected_quantity')::numeric, (details ->> 'expected_revenue')::numeric,
            (details ->> 'expected_profit')::numeric
          from insights.version
          where partner = :partner and run_id = :run_id and use_case = 'pricing' and status = 'ready' {among}
            and details ->> 'aim' is not null and details ->> 'floor' is not null
          on conflict (partner, insight_id, insight_version) do nothing"""),
        {"partner": partner, "run_id": run_id} | ({} if only is None else {"only": list(only)}),
    ).rowcount


def observe(connection: Connection, partner: str) -> int:
    """Fill in the prices taken since, from `metrics.outcome`; how many decisions got theirs.

    The first period that began after the recommendation and before it expired counts; where the API and a platform both
    tell of it, the API is believed.
    """
    return connection.execute(
        text("""update metrics.price_decision d
          set taken_price = o.price, taken_from = o.begins_at, taken_to = o.happened_at, taken_quantity = o.value,
            taken_source = o.source,
            followed = case
              when abs(o.price - d.recommended_price) <= :same * d.recommended_price
                and abs(o.price - d.recommended_price) <= abs(o.price - d.current_price) then 'followed'
              when abs(o.price - d.current_price) <= :same * d.current_price then 'kept'
              else 'other' end
          from metrics.price_decision open
          cross join lateral (
            select price, begins_at, happened_at, value, source from metrics.outcome
            where partner = open.partner and use_case = 'pricing' and subject_id = open.subject_id
              and subject_kind = open.subject_kind and platform = open.platform and price > 0
              and (currency is null or currency = open.currency)
              and begins_at >= open.recommended_at and begins_at < open.expires_at
            order by begins_at, source limit 1) o
          where open.partner = :partner and open.taken_price is null
            and d.partner = :partner and d.insight_id = open.insight_id and d.insight_version = open.insight_version"""),
        {"partner": partner, "same": SAME_PRICE},
    ).rowcount


def of_subject(connection: Connection, partner: str, subject_id: str) -> list[Decision]:
    """Every decision on one product or tier, oldest first."""
    rows = connection.execute(
        text(f"""select {_DECISION} from metrics.price_decision
        where partner = :partner and subject_id = :subject_id order by recommended_at, platform, insight_version"""),
        {"partner": partner, "subject_id": subject_id},
    )
    return [Decision(**row._mapping) for row in rows]
