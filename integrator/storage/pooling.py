"""`ops.pooled_contribution` and `ops.pooled_standing`: whose rows a pooled model learned from, and whom it serves."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from integrator.storage.database import Database

SERVED = ("better", "not_judged")
"""The reasons for which a partner is served with the pooled model; any other keeps its rule."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What became of the pooled model on one partner's own rows; the values are None where there were too few."""

    model_version: str
    reason: str
    observations: int
    metric: str
    pooled_value: float | None = None
    rule_value: float | None = None

    @property
    def is_served(self) -> bool:
        """Whether the partner is served with it."""
        return self.reason in SERVED


def remember_contribution(
    connection: Connection, partner: str, use_case: str, version: str, rows: int, now: datetime
) -> None:
    """That `rows` of the partner went into a version; said again, the same line."""
    connection.execute(
        text("""insert into ops.pooled_contribution (partner, use_case, model_version, row_count, at)
          values (:partner, :use_case, :version, :rows, :now)
          on conflict (partner, use_case, model_version) do update set row_count = excluded.row_count, at = excluded.at"""),
        {"partner": partner, "use_case": use_case, "version": version, "rows": rows, "now": now},
    )


def contributors(connection: Connection, use_case: str, version: str) -> set[str]:
    """Every partner whose rows a version learned from; only the batch role sees more than one."""
    rows = connection.execute(
        text("select partner from ops.pooled_contribution where use_case = :use_case and model_version = :version"),
        {"use_case": use_case, "version": version},
    )
    return set(rows.scalars())


def standing(connection: Connection, partner: str, use_case: str) -> Standing | None:
    """The partner's newest standing, of whatever version; None when it was never judged."""
    row = connection.execute(
        text("""select model_version, reason, observations, metric, pooled_value, rule_value from ops.pooled_standing
          where partner = :partner and use_case = :use_case"""),
        {"partner": partner, "use_case": use_case},
    ).one_or_none()
    return None if row is None else Standing(**row._mapping)


def remember_standing(connection: Connection, partner: str, use_case: str, found: Standing, now: datetime) -> None:
    """The partner's standing; the one before is replaced."""
    connection.execute(
        text("""insert into ops.pooled_standing
            (partner, use_case, model_version, is_served, reason, observations, metric, pooled_value, rule_value, at)
          values (:partner, :use_case, :model_version, :is_served, :reason, :observations, :metric, :pooled_value,
            :rule_value, :now)
          on conflict (partner, use_case) do update set model_version = excluded.model_version,
            is_served = excluded.is_served, reason = excluded.reason, observations = excluded.observations,
            metric = excluded.metric, pooled_value = excluded.pooled_value, rule_value = excluded.rule_value,
            at = excluded.at"""),
        {"partner": partner, "use_case": use_case, "now": now, "is_served": found.is_served, **found.__dict__},
    )


def forget_standing(connection: Connection, partner: str, use_case: str) -> None:
    """The partner is not served with a pooled model any more: it took its consent back, or has a model of its own."""
    connection.execute(
        text("delete from ops.pooled_standing where partner = :partner and use_case = :use_case"),
        {"partner": partner, "use_case": use_case},
    )


def set_consent(database: Database, partner: str, *, pooling: bool, now: datetime) -> bool:
    """Give or take back a partner's consent to pooling; whether that changed anything.

    What the partner's contacts allow follows from it, so the next run of dbt makes all of the partner's rows anew. That
    is noted also when nothing changed: two roles write, and a command killed between them is simply said again.
    """
    with database.owner() as connection:
        changed = connection.execute(
            text("update integrator.partner set pooling = :pooling where partner = :partner and pooling <> :pooling"),
            {"partner": partner, "pooling": pooling},
        ).rowcount
    with database.partner(partner) as connection:
        connection.execute(
            text("""insert into ops.touched_log (partner, platform, kind, native_id, reason, at)
              values (:partner, '', 'partner', :partner, 'pooling', :now)"""),
            {"partner": partner, "now": now},
        )
    return bool(changed)
