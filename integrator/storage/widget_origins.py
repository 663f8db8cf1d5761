"""`integrator.widget_origin`: the pages that may show a partner's insights. What an origin looks like is
`integrator.security.origins`.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text


def add(connection: Connection, partner: str, origin: str, now: datetime) -> bool:
    """Register an origin; False when it was there."""
    return bool(
        connection.execute(
            text("""insert into integrator.widget_origin (partner, origin, created_at)
            values (:partner, :origin, :now) on conflict do nothing"""),
            {"partner": partner, "origin": origin, "now": now},
        ).rowcount
    )


def remove(connection: Connection, partner: str, origin: str) -> bool:
    """Forget an origin; False when the partner has none such."""
    return bool(
        connection.execute(
            text("delete from integrator.widget_origin where partner = :partner and origin = :origin"),
            {"partner": partner, "origin": origin},
        ).rowcount
    )


def for_partner(connection: Connection, partner: str) -> list[dict[str, Any]]:
    """A partner's origins, oldest first."""
    rows = connection.execute(
        text("""select origin, created_at from integrator.widget_origin
        where partner = :partner order by created_at, origin"""),
        {"partner": partner},
    )
    return [dict(row._mapping) for row in rows]


def partners_by_origin(connection: Connection) -> dict[str, frozenset[str]]:
    """All partners' origins, for the answer to a preflight, which says no more than where it comes from."""
    rows = connection.execute(
        text("select origin, array_agg(partner) as partners from integrator.widget_origin group by origin")
    )
    return {row.origin: frozenset(row.partners) for row in rows}
