"""Drift: a partner's features and predictions now against those the serving model was trained on. Kept and judged.

Leads: the open ones now against the labelled snapshots. Attendance and pricing: what took place since the training
against what had by then; both as the features have it, so that coming events do not look different for being ahead.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime

import polars as pl

from integrator.steps.predictions import rule_name
from integrator.steps.services import Services
from integrator.storage import frames, training_facts, verdicts
from models.drift import FEATURE, LEAST_CURRENT, PREDICTION, Drift, compare, flattened, has_drifted, share
from models.registry import spec
from models.verdicts import DRIFT, Check

# What moves by itself (calendar, age of a record), says who it is, or is the outcome.
LEFT_OUT = frozenset(
    "partner platform event_id series_id contact_id person_id product tier name venue_name timezone currency status weekday "
    "month is_holiday holiday_name days_out is_past input_position horizon_days pooling_allowed unconverted_lines "
    "tickets_sold attendance converted quantity revenue line_count event_starts_at event_tickets_sold days_to_event "
    "event_capacity bookings".split()
)
WHEN: Mapping[str, str] = {"attendance": "starts_at", "pricing": "sold_on"}
"""The column by which rows are told apart: before the training, and since."""
Pair = tuple[pl.DataFrame, pl.DataFrame]


@dataclass(frozen=True, kw_only=True)
class DriftReport:
    """Every column compared, and the verdict."""

    results: tuple[Drift, ...]
    check: Check


def look(services: Services, partner: str, use_case: str) -> DriftReport:
    """Compare, keep what was found, and give the verdict; open where no model of a training serves."""
    now = services.clock()
    with services.database.partner(partner) as connection:
        serving = training_facts.serving(connection, partner, use_case)
    if serving is None or serving.trained_at is None or serving.model_name == rule_name(use_case):
        return _kept(services, partner, use_case, (), "not judged: no trained model serves", now)
    reference, current = _features(services, partner, use_case, serving.trained_at)
    found = compare(reference, current, about=FEATURE)
    with services.database.partner(partner) as connection:
        then, since = training_facts.predicted(connection, partner, use_case, serving)
    found += compare(_values(then), _values(since), about=PREDICTION)
    return _kept(services, partner, use_case, tuple(found), None, now)


def _features(services: Services, partner: str, use_case: str, trained_at: datetime) -> Pair:
    facts, column = spec(use_case), WHEN.get(use_case)
    rows = frames.read_features(services.database, facts.training_relation, partner)
    if column is None:
        then = rows.filter(pl.col("as_of") <= trained_at)
        since = frames.read_features(services.database, facts.relation, partner)
    else:
        moment = trained_at if rows[column].dtype != pl.Date else trained_at.date()
        then, since = rows.filter(pl.col(column) <= moment), rows.filter(pl.col(column) > moment)
    return _plain(then), _plain(since)


def _plain(rows: pl.DataFrame) -> pl.DataFrame:
    return flattened(rows.select(name for name in rows.columns if name not in LEFT_OUT))


def _values(values: list[float]) -> pl.DataFrame:
    return pl.DataFrame({"value": pl.Series(values, dtype=pl.Float64)})


def _kept(
    services: Services, partner: str, use_case: str, found: tuple[Drift, ...], reason: str | None, now: datetime
) -> DriftReport:
    check = verdict(found, reason)
    with services.database.partner(partner) as connection:
        verdicts.add_drift(connection, partner, use_case, (asdict(one) for one in found), now)
        verdicts.replace_checks(connection, partner, use_case, [asdict(check)], now)
    return DriftReport(results=found, check=check)


def verdict(found: tuple[Drift, ...], reason: str | None = None) -> Check:
    """The check `drift` of what was compared; `n` is of the rows now."""
    drifted, judged = share(found)
    n = max((one.n_current for one in found), default=0)
    passed = has_drifted(found)
    if passed is None:
        lacks = reason or f"not judged: {n} of {LEAST_CURRENT} rows since the training"
        return Check(name=DRIFT, passed=None, observed=lacks, n=n, needed=LEAST_CURRENT)
    names = ", ".join(one.feature for one in found if one.drifted and one.about == FEATURE)
    moved = any(one.drifted for one in found if one.about == PREDICTION)
    observed = f"{drifted} of {judged} features drifted{f': {names}' if names else ''}"
    observed += f"; predictions {'did' if moved else 'did not'}"
    return Check(name=DRIFT, passed=not passed, observed=observed, n=n, needed=LEAST_CURRENT)
