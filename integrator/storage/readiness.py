"""`metrics.readiness`: per partner and use case, what is there and what the next rung needs. Reading only."""

from typing import Any

from sqlalchemy import Connection, text


def of_partner(connection: Connection, partner: str) -> list[dict[str, Any]]:
    """One entry per use case: `use_case`, `rung`, `at` and the stored document."""
    rows = connection.execute(
        text("""select use_case, rung, document, at from metrics.readiness
        where partner = :partner order by use_case"""),
        {"partner": partner},
    )
    return [{**row.document, "use_case": row.use_case, "rung": row.rung, "at": row.at} for row in rows]
