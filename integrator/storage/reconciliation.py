"""What of a platform's records is here, counted: landed, deleted, waiting in quarantine."""

from dataclasses import dataclass

from sqlalchemy import Connection, text

from integrator.contracts.errors import invalid
from integrator.contracts.records import KINDS


@dataclass(frozen=True)
class Here:
    """Current records of one kind, those that stand as deleted, and those that wait in quarantine."""

    landed: int
    deleted: int
    quarantined: int


def counted(connection: Connection, partner: str, platform: str, kind: str) -> Here:
    """What is here of one platform and kind."""
    if kind not in KINDS:
        raise invalid("kind", kind, KINDS)
    row = connection.execute(
        text(f"""select
            count(*) filter (where deleted_at is null) as landed, count(*) filter (where deleted_at is not null) as deleted,
            (select count(*) from landing.quarantine
              where partner = :partner and platform = :platform and kind = :kind and replayed_at is null) as quarantined
          from landing.{kind} where partner = :partner and platform = :platform and valid_to is null"""),
        {"partner": partner, "platform": platform, "kind": kind},
    ).one()
    return Here(row.landed, row.deleted, row.quarantined)
