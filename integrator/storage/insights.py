"""The published insights: writing versions under the partner's lock, and reading them back.

Writers hold `lock` from before they read until they commit, so that `published_seq` grows in commit order.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from integrator.storage.landing_merge import copy, session_table

FEW = 200
"""Staged rows up to which any plan will do."""
STAGED = (
    ("ordinal", "integer"), ("insight_id", "text"), ("insight_version", "integer"), ("subject_kind", "text"),
    ("subject_id", "text"), ("platform", "text"), ("status", "text"), ("value", "numeric"), ("unit", "text"),
    ("low", "numeric"), ("high", "numeric"), ("level", "numeric"), ("confidence", "text"), ("rung", "text"),
    ("model_name", "text"), ("model_version", "text"), ("summary", "text"), ("details", "jsonb"), ("document", "text"),
)  # fmt: skip
_CARRIED = ", ".join(name for name, _ in STAGED if name != "ordinal")
_PUBLISHED = (
    f"{_CARRIED}, partner, use_case, generated_at, checked_at, stale_after, published_seq, input_position, run_id"
)


@dataclass(frozen=True, slots=True)
class Standing:
    """What is published now of one insight."""

    insight_version: int
    status: str
    model_name: str
    model_version: str
    input_position: int
    document: str


@dataclass(frozen=True, slots=True)
class Served:
    """A document and its freshness, as every channel hands it out."""

    use_case: str
    subject_kind: str
    subject_id: str
    platform: str
    insight_id: str
    insight_version: int
    status: str
    checked_at: datetime
    stale_after: datetime
    published_seq: int
    document: str


_SERVED = ", ".join(Served.__slots__)
_STANDING = ", ".join(Standing.__slots__)


def lock(connection: Connection, partner: str) -> None:
    """One publication per partner at a time, until the transaction ends."""
    connection.execute(
        text("select pg_advisory_xact_lock(hashtextextended('publish:' || :partner, 0))"), {"partner": partner}
    )


def standing(
    connection: Connection, partner: str, use_case: str, only: Collection[str] | None = None
) -> dict[str, Standing]:
    """Everything published now of a use case, by insight id; with `only`, of these ids."""
    rows = connection.execute(
        text(f"""select insight_id, {_STANDING} from insights.current
        where partner = :partner and use_case = :use_case {"" if only is None else "and insight_id = any(:only)"}"""),
        {"partner": partner, "use_case": use_case} | ({} if only is None else {"only": list(only)}),
    )
    return {row.insight_id: _standing(row._mapping) for row in rows}


def highest_position(connection: Connection, partner: str, insight_ids: Collection[str]) -> int:
    """The newest input position among current insights; 0 when none of them is published."""
    found: int = connection.execute(
        text("""select coalesce(max(input_position), 0) from insights.current
        where partner = :partner and insight_id = any(:ids)"""),
        {"partner": partner, "ids": list(insight_ids)},
    ).scalar_one()
    return found


def _standing(facts: Mapping[Any, Any]) -> Standing:
    return Standing(**{name: facts[name] for name in Standing.__slots__})


def stage(connection: Connection, rows: Iterable[Sequence[object]]) -> int:
    """COPY new versions (columns of `STAGED`) into the temporary table `publishing`, until commit or staged anew."""
    session_table(connection, "publishing", STAGED)
    count = copy(connection, "publishing", STAGED, rows)
    if count > FEW:
        connection.exec_driver_sql("analyze publishing")
    return count


def write_staged(
    connection: Connection, partner: str, use_case: str, run_id: str,
    *, at: datetime, stale_after: datetime, input_position: int,
) -> int:  # fmt: skip
    """Staged rows become versions and take the place of the current ones; how many."""
    values = {
        "partner": partner, "use_case": use_case, "run_id": run_id, "at": at, "stale_after": stale_after,
        "position": input_position,
    }  # fmt: skip
    written = connection.execute(
        text(f"""insert into insights.version ({_PUBLISHED})
        select {_CARRIED}, :partner, :use_case, :at, :at, :stale_after, nextval('insights.published_seq'), :position,
          :run_id
        from (select * from publishing order by ordinal) staged"""),
        values,
    ).rowcount
    connection.execute(
        text("""delete from insights.current c using publishing p
        where c.partner = :partner and c.insight_id = p.insight_id"""),
        values,
    )
    connection.execute(
        text(f"""insert into insights.current ({_PUBLISHED}) select {_PUBLISHED} from insights.version v
        where v.partner = :partner and (v.insight_id, v.insight_version)
          in (select insight_id, insight_version from publishing)"""),
        values,
    )
    return written


def confirm(
    connection: Connection, partner: str, insight_ids: Sequence[str],
    *, at: datetime, stale_after: datetime, input_position: int,
) -> None:  # fmt: skip
    """Unchanged insights: only their freshness moves, and the input that confirmed them; never backwards."""
    if not insight_ids:
        return
    values = {
        "partner": partner, "ids": list(insight_ids), "at": at, "stale_after": stale_after, "position": input_position,
    }  # fmt: skip
    connection.execute(
        text("""update insights.version v set checked_at = greatest(v.checked_at, :at),
          stale_after = greatest(v.stale_after, :stale_after)
        from insights.current c where c.partner = :partner and c.insight_id = any(:ids)
          and v.partner = :partner and v.insight_id = c.insight_id and v.insight_version = c.insight_version"""),
        values,
    )
    connection.execute(
        text("""update insights.current set checked_at = greatest(checked_at, :at),
          stale_after = greatest(stale_after, :stale_after), input_position = greatest(input_position, :position)
        where partner = :partner and insight_id = any(:ids)"""),
        values,
    )


def log_publication(
    connection: Connection, partner: str, use_case: str, run_id: str, *, at: datetime, rows: int, changed: int
) -> None:
    """Say that a run completed; said again, the counts of changes add up."""
    connection.execute(
        text("""insert into insights.publication_log as log (partner, run_id, use_case, completed_at, rows, changed)
          values (:partner, :run_id, :use_case, :at, :rows, :changed)
          on conflict (partner, run_id, use_case) do update
            set completed_at = excluded.completed_at, rows = excluded.rows,
              changed = log.changed + excluded.changed"""),
        {"partner": partner, "run_id": run_id, "use_case": use_case, "at": at, "rows": rows, "changed": changed},
    )


def current(connection: Connection, partner: str, use_case: str, only: Collection[str] | None = None) -> list[Served]:
    """Every current insight of a use case; with `only`, all of the subject ids that these insight ids are about.

    Platforms and kinds may share a subject id, and who reads it has to see that there are several.
    """
    about = """and subject_id = any(array(
          select subject_id from insights.current where partner = :partner and insight_id = any(:only)))"""
    rows = connection.execute(
        text(f"""select {_SERVED} from insights.current
        where partner = :partner and use_case = :use_case {"" if only is None else about}"""),
        {"partner": partner, "use_case": use_case} | ({} if only is None else {"only": list(only)}),
    )
    return [Served(**row._mapping) for row in rows]


def of_subject(connection: Connection, partner: str, use_case: str, subject_id: str) -> list[Served]:
    """The current insights of one native id: several where platforms or kinds share it."""
    rows = connection.execute(
        text(f"""select {_SERVED} from insights.current
        where partner = :partner and use_case = :use_case and subject_id = :subject_id
        order by platform, subject_kind"""),
        {"partner": partner, "use_case": use_case, "subject_id": subject_id},
    )
    return [Served(**row._mapping) for row in rows]


def last_seq(connection: Connection, partner: str) -> int:
    """The newest `published_seq` of a partner; 0 when nothing was ever published."""
    found: int = connection.execute(
        text("select coalesce(max(published_seq), 0) from insights.version where partner = :partner"),
        {"partner": partner},
    ).scalar_one()
    return found


def page(
    connection: Connection, partner: str, *, use_case: str | None, after: int, limit: int, status: str | None = None,
    subject: str | None = None,
) -> list[Served]:  # fmt: skip
    """Current insights published after `after`, oldest publication first: keyset paging on `published_seq`.

    `subject` is a native id, whichever use cases, platforms and kinds have it.
    """
    rows = connection.execute(
        text(f"""select {_SERVED} from insights.current
        where partner = :partner and published_seq > :after
          and (cast(:use_case as text) is null or use_case = :use_case)
          and (cast(:status as text) is null or status = :status)
          and (cast(:subject as text) is null or subject_id = :subject)
        order by published_seq limit :limit"""),
        {
            "partner": partner,
            "use_case": use_case,
            "after": after,
            "limit": limit,
            "status": status,
            "subject": subject,
        },
    )
    return [Served(**row._mapping) for row in rows]


def history(connection: Connection, partner: str, insight_id: str) -> list[Served]:
    """Every version of one insight, oldest first."""
    rows = connection.execute(
        text(f"""select {_SERVED} from insights.version
        where partner = :partner and insight_id = :insight_id order by insight_version"""),
        {"partner": partner, "insight_id": insight_id},
    )
    return [Served(**row._mapping) for row in rows]


def stale_counts(connection: Connection, now: datetime) -> dict[str, int]:
    """Current insights past their `stale_after`, by partner; all partners (the night's own look)."""
    rows = connection.execute(
        text("""select partner, count(*) as n from insights.current
        where stale_after < :now and status <> 'withdrawn' group by partner order by partner"""),
        {"now": now},
    )
    return {row.partner: int(row.n) for row in rows}
