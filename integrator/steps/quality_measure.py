"""What was seen of each source: every figure that a suite judges, with words and, where records are at fault, which."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from integrator.steps import quality_usual
from integrator.steps.quality_contract import conditions, id_column
from integrator.steps.quality_suite import MISLEADING_SHARES, NEEDED_FIELDS, usually_filled
from integrator.steps.quality_usual import Judgement
from integrator.storage import measures
from integrator.storage.measures import PLAUSIBLE, REFERENCES, Condition, Counted, Source


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One figure of one source; `count` records are at fault, found by `condition` in `relation` or already in `ids`."""

    score: float | None
    observed: str
    is_grave: bool = False
    count: int = 0
    ids: tuple[str, ...] = ()
    condition: Condition | None = None
    relation: str = ""
    id_column: str = "native_id"


Measured = Mapping[Source, Mapping[str, Seen]]


def measure(
    connection: Connection, kind: str, columns: Sequence[str], partners: Sequence[str], now: datetime
) -> Measured:
    """Every figure of the kind's suite for every source of the partners; `columns` are those of the harmonized table."""
    found: dict[Source, dict[str, Seen]] = {}
    for part in (
        _contract(connection, kind, columns, partners),
        _landed(connection, kind, partners),
        _filled(connection, kind, partners, now),
        _in_time(connection, kind, partners, now),
        _quarantined(connection, kind, partners),
    ):
        for source, name, seen in part:
            found.setdefault(source, {})[name] = seen
    return found


Part = Iterator[tuple[Source, str, Seen]]


def _contract(connection: Connection, kind: str, columns: Sequence[str], partners: Sequence[str]) -> Part:
    rules = {rule.name: rule for rule in conditions(kind, columns)}
    relation = measures.harmonized(kind)
    for source, counts in measures.count_faults(connection, relation, list(rules.values()), partners).items():
        for name, counted in counts.items():
            yield source, name, Seen(
                score=counted.at_fault, observed=_said(counted), is_grave=True, count=counted.at_fault,
                condition=rules[name], relation=relation, id_column=id_column(kind),
            )  # fmt: skip


def _landed(connection: Connection, kind: str, partners: Sequence[str]) -> Part:
    rules = {rule.name: rule for rule in (*PLAUSIBLE[kind], *REFERENCES.get(kind, ()))}
    relation = measures.landed(kind)
    for source, counts in measures.count_faults(connection, relation, list(rules.values()), partners).items():
        for name, counted in counts.items():
            yield source, name, Seen(
                score=counted.at_fault if counted.among and not _is_elsewhere(connection, source, name, counted) else None,
                observed=_said(counted), count=counted.at_fault,
                is_grave=_misleads(connection, source, name, counted), condition=rules[name], relation=relation,
            )  # fmt: skip


def _is_elsewhere(connection: Connection, source: Source, name: str, counted: Counted) -> bool:
    """Whether a shop that keeps its contacts elsewhere names them all the same: said every night, it would be noise."""
    if name != "contact_is_there" or counted.at_fault < counted.among:
        return False
    return not measures.has_records(connection, "contact", source)


def _misleads(connection: Connection, source: Source, name: str, counted: Counted) -> bool:
    """Whether so many are at fault that a model would learn from the fault; who sends no events at all has no curve to harm."""
    share = MISLEADING_SHARES.get(name)
    if share is None or counted.at_fault <= share * counted.among:
        return False
    return name != "event_is_there" or measures.has_records(connection, "event", source)


def _filled(connection: Connection, kind: str, partners: Sequence[str], now: datetime) -> Part:
    relation = measures.landed(kind, alone=True)
    for source, fields in measures.filled(connection, kind, partners, now).items():
        for name, shares in fields.items():
            judged = quality_usual.completeness(shares)
            yield source, usually_filled(name), Seen(
                score=judged.score, observed=judged.observed, is_grave=judged.is_grave and (kind, name) in NEEDED_FIELDS,
                count=shares.recent - shares.recent_filled, relation=relation,
                condition=measures.unfilled(kind, name, now),
            )  # fmt: skip


def _in_time(connection: Connection, kind: str, partners: Sequence[str], now: datetime) -> Part:
    for source, arrivals in measures.arrivals(connection, kind, partners, now).items():
        yield source, "newest_record_in_time", _judged(quality_usual.freshness(arrivals, now))
        yield source, "last_day_as_usual", _judged(quality_usual.volume(arrivals.dated, width=1))
        yield source, "last_week_as_usual", _judged(quality_usual.volume(arrivals.dated, width=7))


def _quarantined(connection: Connection, kind: str, partners: Sequence[str]) -> Part:
    for source, (count, ids) in measures.in_quarantine(connection, kind, partners).items():
        yield (
            source,
            "none_in_quarantine",
            Seen(score=count, observed=f"{count} records wait in quarantine", count=count, ids=tuple(ids)),
        )


def _judged(judgement: Judgement) -> Seen:
    return Seen(score=judgement.score, observed=judgement.observed)


def _said(counted: Counted) -> str:
    return f"{counted.at_fault} of {counted.among} records" if counted.among else "no record that it speaks of"
