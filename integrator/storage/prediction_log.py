"""`ops.prediction_log`: the feature row, model and input behind every published version."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, text


@dataclass(frozen=True, kw_only=True)
class Logged:
    """What stood behind one version of an insight."""

    insight_id: str
    insight_version: int
    use_case: str
    outcome: str
    rung: str
    model_name: str
    model_version: str
    input_position: int
    as_of: datetime
    at: datetime
    run_id: str
    prediction: Mapping[str, Any]
    feature_row: Mapping[str, Any]


Source = Literal["last", "staged"]
_SOURCES: dict[Source, str] = {
    "last": "ops.scored s on s.partner = :partner and s.use_case = :use_case and s.ordinal = p.ordinal",
    "staged": "scored_staged s on s.ordinal = p.ordinal",
}
_LOGGED = ", ".join(Logged.__dataclass_fields__)


def write_staged(
    connection: Connection, partner: str, use_case: str, run_id: str,
    *, source: Source, at: datetime, as_of: datetime, input_position: int,
) -> int:  # fmt: skip
    """Copy prediction and feature row of every staged version, inside the database: of the last scoring, or a staged one."""
    return connection.execute(
        text(f"""insert into ops.prediction_log (partner, insight_id, insight_version, use_case, subject_kind,
            subject_id, platform, outcome, rung, model_name, model_version, input_position, as_of, at, run_id,
            prediction, feature_row)
          select :partner, p.insight_id, p.insight_version, :use_case, p.subject_kind, p.subject_id, p.platform,
            case p.status when 'fallback' then 'fallback' when 'refused' then 'refusal' else 'success' end,
            p.rung, p.model_name, p.model_version, :position, :as_of, :at, :run_id, s.prediction, s.feature_row
          from publishing p
          join {_SOURCES[source]}"""),
        {
            "partner": partner, "use_case": use_case, "run_id": run_id, "at": at, "as_of": as_of,
            "position": input_position,
        },
    ).rowcount  # fmt: skip


def of_version(connection: Connection, partner: str, insight_id: str, version: int) -> Logged | None:
    """The entry of one version; None for a withdrawal, which no model made."""
    row = connection.execute(
        text(f"""select {_LOGGED} from ops.prediction_log
        where partner = :partner and insight_id = :insight_id and insight_version = :version"""),
        {"partner": partner, "insight_id": insight_id, "version": version},
    ).one_or_none()
    return Logged(**row._mapping) if row else None


def last_values(
    connection: Connection, partner: str, use_case: str, before: datetime, horizon: int | None = None,
    only: Collection[str] | None = None,
) -> dict[tuple[str, str], float]:  # fmt: skip
    """What a model had last said of each subject by `before`, by (platform, subject id); the naive rule's is left out.

    With `horizon` only values of that `details.horizon_days`: another label's probability is no earlier one of this.
    With `only` of these subject ids.
    """
    rows = connection.execute(
        text(f"""with latest as (
            select distinct on (platform, subject_id) platform, subject_id, insight_id, insight_version
            from ops.prediction_log
            where partner = :partner and use_case = :use_case and outcome = 'success' and as_of <= :before
              {"" if only is None else "and subject_id = any(:only)"}
            order by platform, subject_id, as_of desc, at desc)
          select l.platform, l.subject_id, cast(p.prediction ->> 'value' as double precision) as value
          from latest l
          join ops.prediction_log p on p.partner = :partner and p.insight_id = l.insight_id
            and p.insight_version = l.insight_version
          where p.prediction ->> 'value' is not null
            and (cast(:horizon as text) is null or p.prediction #>> '{{details,horizon_days}}' = cast(:horizon as text))"""),
        {
            "partner": partner,
            "use_case": use_case,
            "before": before,
            "horizon": None if horizon is None else str(horizon),
            **({} if only is None else {"only": list(only)}),
        },
    )
    return {(row.platform, row.subject_id): float(row.value) for row in rows}


def owner_of(connection: Connection, insight_id: str) -> str | None:
    """Whose insight it is; only the night's role sees more than one partner."""
    found: str | None = connection.execute(
        text("select partner from insights.current where insight_id = :insight_id"), {"insight_id": insight_id}
    ).scalar_one_or_none()
    return found
