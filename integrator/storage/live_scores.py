"""`ops.live_score`: what was scored on request, and what such a score starts from: the last row of a subject.

Feature rows and predictions are JSON texts here; what they mean is the steps' business.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, text


@dataclass(frozen=True, slots=True)
class Ground:
    """A subject as it was last scored, and what is published of it now (null where nothing is)."""

    subject_kind: str
    subject_id: str
    platform: str
    feature_row: str | None
    input_position: int
    as_of: datetime | None
    insight_id: str | None
    insight_version: int | None
    status: str | None
    value: float | None


@dataclass(frozen=True, slots=True)
class Scored:
    """One answer, as it is kept."""

    score_id: str
    subject_kind: str | None
    subject_id: str | None
    platform: str | None
    outcome: str
    rung: str
    model_name: str
    model_version: str
    input_position: int
    as_of: datetime
    prediction: str
    feature_row: str
    document: str


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What stood behind one answer."""

    partner: str
    use_case: str
    model_name: str
    model_version: str
    input_position: int
    as_of: datetime
    at: datetime
    feature_row: Mapping[str, Any]
    document: str


_KEPT = ", ".join(Kept.__dataclass_fields__)


def ground(connection: Connection, partner: str, use_case: str, subject_ids: Sequence[str]) -> list[Ground]:
    """What is known of some native ids, one entry per platform and kind: the newest row, by input position.

    It is that of the last scoring, or of the version that stands where this was made from newer input.
    """
    rows = connection.execute(
        text("""with found as (
            select s.prediction #>> '{subject,kind}' as subject_kind, s.prediction #>> '{subject,id}' as subject_id,
              s.prediction #>> '{subject,platform}' as platform, s.feature_row, h.input_position, h.as_of
            from ops.scored s join ops.scoring h on h.partner = :partner and h.use_case = :use_case
            where s.partner = :partner and s.use_case = :use_case and s.prediction #>> '{subject,id}' = any(:ids)
            union all
            select l.subject_kind, l.subject_id, l.platform, l.feature_row, l.input_position, l.as_of
            from insights.current c
            join ops.prediction_log l on l.partner = :partner and l.insight_id = c.insight_id
              and l.insight_version = c.insight_version
            where c.partner = :partner and c.use_case = :use_case and c.subject_id = any(:ids)
          ), known as (
            select distinct on (subject_id, platform, subject_kind) * from found
            order by subject_id, platform, subject_kind, input_position desc
          ), standing as (
            select subject_kind, subject_id, platform, insight_id, insight_version, status, value
            from insights.current where partner = :partner and use_case = :use_case and subject_id = any(:ids)
          )
          select subject_kind, subject_id, platform, k.feature_row::text as feature_row,
            coalesce(k.input_position, 0) as input_position, k.as_of, c.insight_id, c.insight_version, c.status,
            c.value::double precision as value
          from known k full join standing c using (subject_kind, subject_id, platform)
          order by subject_id, platform, subject_kind"""),
        {"partner": partner, "use_case": use_case, "ids": list(subject_ids)},
    )
    return [Ground(**row._mapping) for row in rows]


def probe(connection: Connection, partner: str, use_case: str) -> str | None:
    """One feature row of the last scoring as JSON text, to try a model on; None before the first."""
    found: str | None = connection.execute(
        text("""select feature_row::text from ops.scored where partner = :partner and use_case = :use_case
        order by ordinal limit 1"""),
        {"partner": partner, "use_case": use_case},
    ).scalar_one_or_none()
    return found


def scorings(connection: Connection, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """(Partner, use case) → the run of its last scoring: another one may have brought other rates and judgements.

    The night's role alone sees several partners.
    """
    rows = connection.execute(
        text("""select partner, use_case, run_id from ops.scoring join
        unnest(cast(:partners as text[]), cast(:use_cases as text[])) as asked(partner, use_case) using (partner, use_case)"""),
        {"partners": [partner for partner, _ in keys], "use_cases": [use_case for _, use_case in keys]},
    )
    return {(row.partner, row.use_case): row.run_id for row in rows}


def are_erased(connection: Connection, partner: str, hashes: Sequence[bytes]) -> set[bytes]:
    """Those of some identity hashes whose person was erased and must not come back."""
    rows = connection.execute(
        text(
            "select identity_hash from integrator.tombstone where partner = :partner and identity_hash = any(:hashes)"
        ),
        {"partner": partner, "hashes": list(hashes)},
    )
    return {bytes(row.identity_hash) for row in rows}


def attribute_policies(connection: Connection, partner: str, kind: str) -> dict[str, str]:
    """Attribute → open or vault, over all platforms: what one of them keeps in the vault is personal here."""
    rows = connection.execute(
        text("""select attribute, min(decision) filter (where decision = 'vault') as vault
        from landing.attribute_policy where partner = :partner and kind = :kind group by attribute"""),
        {"partner": partner, "kind": kind},
    )
    return {row.attribute: row.vault or "open" for row in rows}


def allowed_attributes(connection: Connection, partner: str) -> frozenset[str]:
    """Attributes that the partner's connections, whichever they are, declare free of personal data."""
    rows = connection.execute(
        text("select distinct unnest(allowed_attributes) as name from integrator.connection where partner = :partner"),
        {"partner": partner},
    )
    return frozenset(row.name for row in rows)


def append(connection: Connection, partner: str, use_case: str, at: datetime, entries: Sequence[Scored]) -> None:
    """Keep answers.

    The commit does not wait for the disk: a database that loses its machine loses half a second of this log, a process
    that is killed loses nothing.
    """
    if not entries:
        return
    # One text and no arrays: psycopg escapes each text of an array by itself, which took longer than all else of a score.
    connection.execute(
        text("""with lazily as (select set_config('synchronous_commit', 'off', true) as is_off)
          insert into ops.live_score (partner, use_case, at, score_id, subject_kind, subject_id, platform, outcome, rung,
            model_name, model_version, input_position, as_of, prediction, feature_row, document)
          select :partner, :use_case, :at, s.score_id, s.subject_kind, s.subject_id, s.platform, s.outcome, s.rung,
            s.model_name, s.model_version, s.input_position, s.as_of, s.prediction::jsonb, s.feature_row::jsonb, s.document
          from lazily, json_to_recordset(cast(:entries as json)) as s(score_id text, subject_kind text, subject_id text,
            platform text, outcome text, rung text, model_name text, model_version text, input_position bigint,
            as_of timestamptz, prediction text, feature_row text, document text)
          where lazily.is_off = 'off'"""),
        {"partner": partner, "use_case": use_case, "at": at, "entries": msgspec.json.encode(entries).decode()},
    )


def kept(connection: Connection, partner: str, score_id: str) -> Kept | None:
    """One answer by its id."""
    row = connection.execute(
        text(f"select {_KEPT} from ops.live_score where partner = :partner and score_id = :score_id"),
        {"partner": partner, "score_id": score_id},
    ).one_or_none()
    return Kept(**row._mapping) if row else None


def owner_of(connection: Connection, score_id: str) -> str | None:
    """Whose answer it is; only the night's role sees more than one partner."""
    found: str | None = connection.execute(
        text("select partner from ops.live_score where score_id = :score_id"), {"score_id": score_id}
    ).scalar_one_or_none()
    return found


def sweep(connection: Connection, partner: str, before: datetime) -> int:
    """Forget answers older than that; how many."""
    return connection.execute(
        text("delete from ops.live_score where partner = :partner and at < :before"),
        {"partner": partner, "before": before},
    ).rowcount
