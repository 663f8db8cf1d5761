"""What event streams read of the published insights: versions in the order they were published, and freshness.

`published_seq` grows in commit order (`insights.lock`), so a reader that has seen one has seen all below it.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from integrator.storage.insights import Served

_SERVED = ", ".join(Served.__slots__)
_WANTED = """(cast(:use_cases as text[]) is null or use_case = any(:use_cases))
          and (cast(:subjects as text[]) is null or subject_id = any(:subjects))
          and (cast(:platform as text) is null or platform = :platform)
          and (cast(:kind as text) is null or subject_kind = :kind)"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which insights a stream is about; None means all."""

    use_cases: frozenset[str] | None = None
    subjects: frozenset[str] | None = None
    platform: str | None = None
    kind: str | None = None

    def covers(self, served: Served) -> bool:
        """Whether it is about this one."""
        return (
            (self.subjects is None or served.subject_id in self.subjects)
            and (self.use_cases is None or served.use_case in self.use_cases)
            and self.platform in (None, served.platform)
            and self.kind in (None, served.subject_kind)
        )

    def values(self) -> dict[str, Any]:
        """As parameters of a query."""
        names = (self.use_cases, self.subjects)
        use_cases, subjects = (None if found is None else sorted(found) for found in names)
        return {"use_cases": use_cases, "subjects": subjects, "platform": self.platform, "kind": self.kind}


def versions(
    connection: Connection, partner: str, wanted: Wanted, *, after: int, limit: int, until: int | None = None
) -> list[Served]:
    """Versions published after `after` (and not after `until`), oldest first: keyset paging on `published_seq`."""
    rows = connection.execute(
        text(f"""select {_SERVED} from insights.version
        where partner = :partner and published_seq > :after
          and (cast(:until as bigint) is null or published_seq <= :until) and {_WANTED}
        order by published_seq limit :limit"""),
        {"partner": partner, "after": after, "until": until, "limit": limit, **wanted.values()},
    )
    return [Served(**row._mapping) for row in rows]


def current(connection: Connection, partner: str, wanted: Wanted, *, until: int) -> list[Served]:
    """The current insights of named subjects as of `until`, oldest publication first."""
    rows = connection.execute(
        text(f"""select {_SERVED} from insights.current
        where partner = :partner and published_seq <= :until and {_WANTED} order by published_seq"""),
        {"partner": partner, "until": until, **wanted.values()},
    )
    return [Served(**row._mapping) for row in rows]


@dataclass(frozen=True, slots=True)
class Freshness:
    """When a version was last confirmed, and from when on it is stale."""

    insight_version: int
    checked_at: datetime
    stale_after: datetime

    @classmethod
    def of(cls, served: Served) -> "Freshness":
        """As it was when the version was read."""
        return cls(served.insight_version, served.checked_at, served.stale_after)


def freshness(connection: Connection, partner: str, insight_ids: Collection[str]) -> dict[str, Freshness]:
    """Of these insights, as they are current."""
    rows = connection.execute(
        text("""select insight_id, insight_version, checked_at, stale_after from insights.current
        where partner = :partner and insight_id = any(:ids)"""),
        {"partner": partner, "ids": list(insight_ids)},
    )
    return {row.insight_id: Freshness(row.insight_version, row.checked_at, row.stale_after) for row in rows}
