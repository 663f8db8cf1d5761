"""How predictions turned out: outcomes gathered, held against the predictions they answer, summed up and judged.

One partner and use case at a time. Only what is new is joined: an outcome waits until it was held against its predictions
once, and waits again when its value changes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, cast

import msgspec
import polars as pl
from sqlalchemy import Connection

from integrator.contracts.insight import Subject, insight_id
from integrator.steps import realized_answers as answers
from integrator.steps.predictions import decimals_of, encode, predict_all, restored
from integrator.steps.services import Services
from integrator.storage import frames, outcomes_gather, partners, realized, scored, verdicts
from integrator.storage.realized import CHALLENGER, CHAMPION, Stood, Waiting
from models.base import Prediction, UseCase
from models.realized import Quality, summaries
from models.registry import spec
from models.registry import use_case as code_of
from models.verdicts import Check, judge

AT_ONCE = 2_000
"""Outcomes joined in one transaction."""
KEPT = timedelta(days=400)
RATE = "probability"
BY_HORIZON = ("lead_score",)
"""Use cases that predict whether something happens within a time: judged when the time is over, never by who was first."""


@dataclass(frozen=True, kw_only=True)
class RealizedReport:
    """`gathered` outcomes were new or another than before, `joined` were held against predictions, `answered` is how many."""

    gathered: int
    joined: int
    answered: int
    quality: tuple[Quality, ...]
    checks: tuple[Check, ...]


@dataclass(frozen=True)
class _Case:
    """One prediction and the outcome it answers; `due_at` is when it may be judged."""

    outcome: Waiting
    actual: float
    due_at: datetime
    bucket: str
    stood: Stood


def preload() -> None:
    """Import what pictures and tests of drift are made with: 3 s that can pass while something else runs."""
    from importlib import import_module

    for name in ("matplotlib.backends.backend_agg", "scipy.stats"):
        import_module(name)


def realize(services: Services, partner: str, use_case: str) -> RealizedReport:
    """Bring a partner's realized quality of one use case up to date; said twice, the second changes nothing."""
    now = services.clock()
    with services.database.partner(partner) as connection:
        gathered = outcomes_gather.gather(connection, partner, use_case, now)
        realized.forget(connection, partner, now - KEPT)
    joined = answered = 0
    while step := _join(services, partner, use_case, now):
        joined, answered = joined + step[0], answered + step[1]
    quality, checks = _summed_up(services, partner, use_case, now)
    return RealizedReport(gathered=gathered, joined=joined, answered=answered, quality=quality, checks=checks)


def _summed_up(
    services: Services, partner: str, use_case: str, now: datetime
) -> tuple[tuple[Quality, ...], tuple[Check, ...]]:
    found = answers_of(services, partner, use_case)
    is_rate = spec(use_case).unit == RATE
    quality = tuple(summaries(found, now, is_rate=is_rate))
    with services.database.partner(partner) as connection:
        scoring = scored.last(connection, partner, use_case)
        serving = ("", "") if scoring is None else (scoring.model_name, scoring.model_version)
        checks = tuple(judge(found, now, serving, is_rate=is_rate))
        verdicts.replace_quality(connection, partner, use_case, (asdict(one) for one in quality), now)
        verdicts.replace_checks(connection, partner, use_case, [asdict(one) for one in checks], now)
    return quality, checks


def answers_of(services: Services, partner: str, use_case: str) -> pl.DataFrame:
    """`metrics.realized` of a partner and use case."""
    found = frames.read_features(services.database, "metrics.realized", partner)
    return found.filter(pl.col("use_case") == use_case)


def picture(services: Services, partner: str, use_case: str) -> bytes | None:
    """How what was served turned out, as a PNG; None while there is too little to show."""
    from models.realized_plot import realized_plot

    facts = spec(use_case)
    found = answers_of(services, partner, use_case)
    return realized_plot(found, services.clock(), is_rate=facts.unit == RATE, unit=facts.unit or "units a period")


def _join(services: Services, partner: str, use_case: str, now: datetime) -> tuple[int, int] | None:
    """Join the next outcomes that wait: how many, and how many answers they gave; None when none waits."""
    with services.database.partner(partner) as connection:
        waiting = realized.waiting(connection, partner, use_case, AT_ONCE)
        if not waiting:
            return None
        cases = _by_horizon if use_case in BY_HORIZON else _by_moment
        found = list(cases(connection, partner, use_case, waiting))
        decimals = decimals_of(spec(use_case), partners.get(connection, partner).currency)
        rows = list(_rows(use_case, found, _naive(code_of(use_case), found, decimals)))
        return len(waiting), realized.replace(connection, partner, use_case, waiting, rows, now)


def _by_moment(connection: Connection, partner: str, use_case: str, waiting: Sequence[Waiting]) -> Iterator[_Case]:
    """Outcomes with a moment of their own: one case for each lead bucket and model that had spoken by then."""
    asked = [
        (outcome, name, (outcome.begins_at if use_case == "pricing" else outcome.happened_at) - lead)
        for outcome in preferred(waiting) if outcome.value is not None
        for name, lead in answers.buckets(use_case).items()
    ]  # fmt: skip
    asks = [(n, _insight(partner, use_case, outcome), moment) for n, (outcome, _, moment) in enumerate(asked)]
    for n, stood in realized.standing(connection, partner, asks):
        outcome, bucket, _ = asked[n]
        assert outcome.value is not None
        yield _Case(outcome, outcome.value, outcome.happened_at, bucket, stood)


def preferred(waiting: Sequence[Waiting]) -> list[Waiting]:
    """One outcome for each event, and for each moment of any other subject: the API's where there is one.

    An event that was moved has one outcome all the same; the last its application spoke of.
    """
    chosen: dict[tuple[Any, ...], Waiting] = {}
    for one in sorted(waiting, key=lambda one: (one.source != "api", -one.happened_at.timestamp())):
        moment = None if one.subject_kind in realized.WHOLE_SUBJECT else one.happened_at
        chosen.setdefault((*one.subject, moment), one)
    return list(chosen.values())


def _by_horizon(connection: Connection, partner: str, use_case: str, waiting: Sequence[Waiting]) -> Iterator[_Case]:
    """The first word of each model on a lead, and whether its horizon was kept.

    Not the last word before the conversion: what is known of a lead a day before it converts is chosen by the outcome,
    and leads that never convert have no such day.
    """
    by_insight: dict[str, list[Waiting]] = {}
    for one in waiting:
        by_insight.setdefault(_insight(partner, use_case, one), []).append(one)
    for stood in realized.first_words(connection, partner, list(by_insight)):
        due_at = answers.due(stood.prediction, stood.feature_row, stood.as_of)
        found = answers.lead_answer(by_insight[stood.insight_id], stood.as_of, due_at)
        if found is not None:
            yield _Case(found[0], found[1], due_at, answers.FIRST, stood)


def _insight(partner: str, use_case: str, outcome: Waiting) -> str:
    return insight_id(partner, use_case, Subject(cast(Any, outcome.subject_kind), outcome.subject_id, outcome.platform))


def _naive(code: UseCase, cases: Sequence[_Case], decimals: int) -> dict[tuple[Any, ...], Mapping[str, Any]]:
    """What the naive rule says from the same feature rows, by the prediction it stands beside."""
    stood = {case.stood.made: case.stood for case in cases if case.stood.feature_row is not None}
    rows = [restored(one.feature_row) for one in stood.values() if one.feature_row is not None]
    found = predict_all(code.rule(), rows, decimals)
    return {
        made: msgspec.json.decode(encode(result))
        for made, result in zip(stood, found, strict=True) if isinstance(result, Prediction)
    }  # fmt: skip


def _rows(
    use_case: str, cases: Sequence[_Case], naive: Mapping[tuple[Any, ...], Mapping[str, Any]]
) -> Iterator[tuple[Any, ...]]:
    """Rows of `realized.COLUMNS`; champions first, for a challenger is held beside the rule of the champion's case."""
    ruled: dict[tuple[Any, ...], float | None] = {}
    for case in sorted(cases, key=lambda case: case.stood.role != CHAMPION):
        said = answers.expected(use_case, case.stood.prediction, case.outcome)
        if said is None:
            continue
        key = (*case.outcome.subject, case.due_at, case.bucket)
        if case.stood.role == CHALLENGER:
            rule = ruled.get(key)
        else:
            rule = _ruled(use_case, case, naive.get(case.stood.made))
            ruled[key] = rule
        yield _row(use_case, case, said, rule)


def _ruled(use_case: str, case: _Case, naive: Mapping[str, Any] | None) -> float | None:
    """The naive rule's value; of a rate that the row does not carry, the typical rate the insight itself names."""
    said = None if naive is None else answers.expected(use_case, naive, case.outcome)
    if said is not None:
        return said.value
    baseline = case.stood.prediction.get("baseline") if use_case in BY_HORIZON else None
    return None if baseline is None else float(baseline)


def _row(use_case: str, case: _Case, said: answers.Expected, rule: float | None) -> tuple[Any, ...]:
    stood, actual = case.stood, case.actual
    # One lead is no rate: its interval is checked bin by bin, over many.
    holds = None if said.low is None or said.high is None or use_case in BY_HORIZON else said.low <= actual <= said.high
    return (
        *case.outcome.subject, case.due_at, case.bucket, stood.role, stood.model_name, stood.model_version, stood.rung,
        stood.insight_id, stood.insight_version, stood.as_of, stood.at, (case.due_at - stood.at) / timedelta(days=1),
        said.value, said.low, said.high, said.level, holds,
        actual, said.value - actual, rule, None if rule is None else rule - actual,
        case.outcome.source, case.outcome.received_at,
    )  # fmt: skip
