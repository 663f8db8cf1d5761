"""What data quality is judged by, counted inside PostgreSQL: one scan a kind for all partners, no rows pulled.

Conditions are SQL over the alias `record`, put together from our own columns with bound values. Figures come back by
source: a partner and one of its platforms. What is still to be known about a figure (usual, too far) is not decided here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text

Source = tuple[str, str]
"""Partner and platform."""

RECENT = {"event": timedelta(days=28), "contact": timedelta(days=7), "sale": timedelta(days=7)}
"""Lately, by kind: events are few."""
HISTORY = timedelta(days=190)


@dataclass(frozen=True)
class Condition:
    """What a record at fault looks like; `among` are the records that the rule speaks of."""

    name: str
    sql: str
    values: Mapping[str, Any] = field(default_factory=dict)
    among: str = "true"


@dataclass(frozen=True)
class Counted:
    """One condition over one source."""

    among: int
    at_fault: int


@dataclass(frozen=True)
class Shares:
    """How often a field is filled: among the recent records, and among those of the half year before."""

    recent_days: int
    recent: int
    recent_filled: int
    usual: int
    usual_filled: int


@dataclass(frozen=True, kw_only=True)
class Arrivals:
    """Records by whole days before now (0: the last 24 hours): by their own date, their last change, their arrival."""

    dated: Mapping[int, int]
    changed: frozenset[int]
    landed: frozenset[int]
    newest: datetime | None


DATED = {"event": "record.starts_at", "contact": "record.created_at", "sale": "record.sold_at"}
"""When the fact itself took place."""
CHANGED = {"event": "coalesce(record.updated_at, record.arrived_at)", **{k: DATED[k] for k in ("contact", "sale")}}
"""When the partner last did something: events are entered long before they start."""
FIELDS: Mapping[str, Mapping[str, str]] = {
    "event": {
        "name": "name", "ends_at": "ends_at", "category": "category", "series_id": "series_id",
        "on_sale_at": "on_sale_at", "venue_city": "venue_city", "capacity": "coalesce(capacity, venue_capacity)",
    },
    "contact": {"stage": "stage", "source": "source", "country": "country", "email": "email_hash", "phone": "phone_hash"},
    "sale": {
        "event_id": "event_id", "contact_id": "contact_id", "tier": "tier", "list_price": "list_price",
        "unit_cost": "unit_cost", "channel": "channel",
    },
}  # fmt: skip
"""Optional fields that a partner may usually fill. Those that come late by nature (attendance, conversion) are none."""
LATE = "record.arrived_at + interval '1 day'"
PLAUSIBLE: Mapping[str, tuple[Condition, ...]] = {
    "event": (
        Condition(
            "attendance_after_it_began", f"record.starts_at > {LATE}", among="record.attendance is not null"
        ),
        Condition(
            "attendance_within_capacity",
            "record.attendance > coalesce(record.capacity, record.venue_capacity)",
            among="record.attendance is not null and coalesce(record.capacity, record.venue_capacity) is not null",
        ),
        Condition("on_sale_before_it_begins", "record.on_sale_at > record.starts_at", among="record.on_sale_at is not null"),
        Condition(
            "ends_within_a_year", "record.ends_at > record.starts_at + interval '366 days'",
            among="record.ends_at is not null",
        ),
    ),
    "contact": (
        Condition("created_before_it_arrived", f"record.created_at > {LATE}"),
        Condition("converted_before_it_arrived", f"record.converted_at > {LATE}", among="record.converted_at is not null"),
        Condition(
            "converted_or_lost", "record.lost_at is not null", among="record.converted_at is not null"
        ),
    ),
    "sale": (
        Condition("sold_before_it_arrived", f"record.sold_at > {LATE}"),
        Condition(
            "price_near_its_product",
            "record.unit_price::double precision not between usual.price / 50 and usual.price * 50",
            among="record.unit_price > 0 and usual.lines >= 20",
        ),
    ),
}  # fmt: skip
REFERENCES: Mapping[str, tuple[Condition, ...]] = {
    "sale": (
        Condition("event_is_there", "event.native_id is null", among="record.event_id is not null"),
        Condition("contact_is_there", "contact.native_id is null", among="record.contact_id is not null"),
    )
}
"""A record that was deleted, cancelled or denied its consent is there: its current version says so."""

_CURRENT = "record.partner = any(:partners) and record.valid_to is null and record.deleted_at is null"
_SALES = """landing.sale as record
  left join landing.event as event on event.partner = record.partner and event.platform = record.platform
    and event.native_id = record.event_id and event.valid_to is null
  left join landing.contact as contact on contact.partner = record.partner and contact.platform = record.platform
    and contact.native_id = record.contact_id and contact.valid_to is null
  left join (
    select partner, platform, product, currency, count(*) as lines,
      percentile_cont(0.5) within group (order by unit_price::double precision) as price
    from landing.sale where partner = any(:partners) and valid_to is null and deleted_at is null and unit_price > 0
    group by partner, platform, product, currency
  ) as usual on usual.partner = record.partner and usual.platform = record.platform
    and usual.product = record.product and usual.currency = record.currency"""


def landed(kind: str, *, alone: bool = False) -> str:
    """The records of a kind, as a relation for `count_faults`; sales with what they name and usually cost, unless `alone`."""
    return _SALES if kind == "sale" and not alone else f"landing.{kind} as record"


def harmonized(kind: str) -> str:
    """The kind's harmonized table, as a relation for `count_faults`."""
    return (
        f"(select *, null::timestamptz as valid_to, null::timestamptz as deleted_at from harmonized.{kind}) as record"
    )


def count_faults(
    connection: Connection, relation: str, conditions: Sequence[Condition], partners: Sequence[str]
) -> dict[Source, dict[str, Counted]]:
    """Every condition over every source of the partners, in one scan."""
    figures = ", ".join(
        f"count(*) filter (where {one.among}) as among_{n}, "
        f"count(*) filter (where ({one.among}) and ({one.sql})) as fault_{n}"
        for n, one in enumerate(conditions)
    )
    rows = connection.execute(
        text(f"select record.partner, record.platform, {figures} from {relation} where {_CURRENT} group by 1, 2"),
        {"partners": list(partners), **_values(conditions)},
    ).mappings()
    return {
        (row["partner"], row["platform"]): {
            one.name: Counted(row[f"among_{n}"], row[f"fault_{n}"]) for n, one in enumerate(conditions)
        }
        for row in rows
    }


def fault_ids(
    connection: Connection, relation: str, condition: Condition, id_column: str, source: Source, limit: int
) -> list[str]:
    """The ids of the first records at fault, in the ids' order."""
    partner, platform = source
    return list(
        connection.execute(
            text(f"""select record.{id_column} from {relation} where {_CURRENT} and record.platform = :platform
              and ({condition.among}) and ({condition.sql}) order by 1 limit :limit"""),
            {"partners": [partner], "platform": platform, "limit": limit, **_values([condition])},
        ).scalars()
    )


def has_records(connection: Connection, kind: str, source: Source) -> bool:
    """Whether the source ever sent a record of the kind."""
    partner, platform = source
    return bool(
        connection.execute(
            text(f"select exists (select from landing.{kind} where partner = :partner and platform = :platform)"),
            {"partner": partner, "platform": platform},
        ).scalar_one()
    )


def filled(
    connection: Connection, kind: str, partners: Sequence[str], now: datetime
) -> dict[Source, dict[str, Shares]]:
    """How often each of the kind's usual fields is filled, lately and before."""
    recent, before = f"{CHANGED[kind]} > :recent", f"{CHANGED[kind]} <= :recent"
    figures = ", ".join(
        f"count({column}) filter (where {when}) as {name}_{part}"
        for name, column in FIELDS[kind].items()
        for part, when in (("recent", recent), ("usual", before))
    )
    rows = connection.execute(
        text(f"""select record.partner, record.platform, count(*) filter (where {recent}) as recent,
            count(*) filter (where {before}) as usual, {figures}
          from landing.{kind} as record
          where {_CURRENT} and {CHANGED[kind]} > :oldest and {CHANGED[kind]} <= :now group by 1, 2"""),
        {"partners": list(partners), "now": now, "recent": now - RECENT[kind], "oldest": now - HISTORY},
    ).mappings()
    return {
        (row["partner"], row["platform"]): {
            name: Shares(RECENT[kind].days, row["recent"], row[f"{name}_recent"], row["usual"], row[f"{name}_usual"])
            for name in FIELDS[kind]
        }
        for row in rows
    }


def unfilled(kind: str, field_name: str, now: datetime) -> Condition:
    """The recent records that lack a field, for `fault_ids`."""
    return Condition(
        field_name, f"{FIELDS[kind][field_name]} is null",
        {"recent": now - RECENT[kind], "now": now}, among=f"{CHANGED[kind]} > :recent and {CHANGED[kind]} <= :now",
    )  # fmt: skip


def arrivals(connection: Connection, kind: str, partners: Sequence[str], now: datetime) -> dict[Source, Arrivals]:
    """When each source's records took place, changed and came, by whole days before `now`; up to HISTORY back."""
    moments = {"dated": DATED[kind], "changed": CHANGED[kind], "landed": "record.arrived_at"}
    # Every version that came is an arrival; what a fact's own date says is counted once, in its current version.
    parts = " union all ".join(
        f"""select '{name}' as what, record.partner, record.platform,
          floor(extract(epoch from (:now - {moment})) / 86400)::integer as day, count(*) as records, max({moment}) as newest
        from landing.{kind} as record
        where record.partner = any(:partners) {"" if name == "landed" else f"and {_CURRENT}"} and {moment} <= :now
          and {moment} > :oldest
        group by 2, 3, 4"""
        for name, moment in moments.items()
    )
    found: dict[Source, dict[str, dict[int, int]]] = {}
    newest: dict[Source, datetime] = _newest(connection, kind, partners, now)
    for row in connection.execute(
        text(parts), {"partners": list(partners), "now": now, "oldest": now - HISTORY}
    ).mappings():
        source = found.setdefault((row["partner"], row["platform"]), {name: {} for name in moments})
        source[row["what"]][row["day"]] = row["records"]
    return {
        source: Arrivals(
            dated=found.get(source, {}).get("dated", {}), changed=frozenset(found.get(source, {}).get("changed", {})),
            landed=frozenset(found.get(source, {}).get("landed", {})), newest=moment,
        )
        for source, moment in newest.items()
    }  # fmt: skip


def _newest(connection: Connection, kind: str, partners: Sequence[str], now: datetime) -> dict[Source, datetime]:
    rows = connection.execute(
        text(f"""select record.partner, record.platform, max({CHANGED[kind]}) as newest from landing.{kind} as record
          where {_CURRENT} and {CHANGED[kind]} <= :now group by 1, 2"""),
        {"partners": list(partners), "now": now},
    )
    return {(row.partner, row.platform): row.newest for row in rows}


def in_quarantine(connection: Connection, kind: str, partners: Sequence[str]) -> dict[Source, tuple[int, list[str]]]:
    """Records that wait in quarantine and did not land since: how many, and the native ids that are known of them."""
    rows = connection.execute(
        text(f"""select waiting.partner, waiting.platform, count(*) as records,
            (array_agg(distinct waiting.native_id) filter (where waiting.native_id is not null))[1:20] as ids
          from landing.quarantine as waiting
          where waiting.partner = any(:partners) and waiting.kind = :kind and waiting.replayed_at is null
            and not exists (
              select from landing.{kind} as record
              where record.partner = waiting.partner and record.platform = waiting.platform
                and record.native_id = waiting.native_id and record.arrived_at >= waiting.quarantined_at
            )
          group by 1, 2"""),
        {"partners": list(partners), "kind": kind},
    )
    return {(row.partner, row.platform): (row.records, row.ids or []) for row in rows}


def _values(conditions: Sequence[Condition]) -> dict[str, Any]:
    return {name: value for one in conditions for name, value in one.values.items()}
