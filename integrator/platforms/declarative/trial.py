"""Trying a definition on a live platform before it is used: a page of each stream, its second, its filter.

Nothing is landed and no value is shown: what is told is how often a field was filled and why records would be
quarantined. A stream is fine when it can be read, all of its records would land, its pages differ and its filter holds.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from integrator.contracts.errors import IntegratorError, InvalidInput, TransientError, Unauthorized
from integrator.contracts.validation import read_record
from integrator.platforms.base import Raw
from integrator.platforms.declarative.client import Answer, Declared, ask, request, rows_of, session_for
from integrator.platforms.declarative.definition import Stream
from integrator.platforms.declarative.pull import asking_of, changes_of, prefixed
from integrator.platforms.http import Session, closing, decoded


@dataclass
class Finding:
    """What became of one field over all records of a page, or of none (``field`` is ``-``) when something else is said."""

    stream: str
    field: str
    filled: int = 0
    empty: int = 0
    quarantined: int = 0
    reason: str | None = None


@dataclass
class Trial:
    """One stream's trial: rows and records of its first page, a finding a field, words on paging and filter."""

    stream: str
    kind: str
    rows: int = 0
    records: int = 0
    quarantined: int = 0
    paging: str = "not tried"
    incremental: str = "not tried"
    problems: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether the stream may be used as it is."""
        return not self.problems and self.quarantined == 0


def attempt(account: Declared) -> Iterator[Trial]:
    """A trial of each stream; `Unauthorized` and transient failures are raised, they say nothing about the file."""
    with closing(session_for(account)) as session:
        for stream in account.definition.streams:
            trial = Trial(stream.name, stream.mapping.kind)
            try:
                _attempt(account, session, stream, trial)
            except (TransientError, Unauthorized):
                raise
            except IntegratorError as error:
                trial.problems.append(str(error))
            yield trial


def _attempt(account: Declared, session: Session, stream: Stream, trial: Trial) -> None:
    body = decoded(account.definition.name, request(account, session, stream, {}))
    try:
        rows = rows_of(account, stream, body)
    except TransientError as error:  # here it is the file that is wrong, not the platform's day
        raise InvalidInput(f"{error}; it has {_shape(body)}") from error
    trial.rows = len(rows)
    _map(account, stream, rows, trial)
    first = ask(account, session, stream, {})
    _page(account, session, stream, first, trial)
    _filter(account, session, stream, first.rows, trial)


def _map(account: Declared, stream: Stream, rows: list[Any], trial: Trial) -> None:
    mapping = stream.mapping
    names = [rule.field for rule in mapping.rules]
    findings = {name: Finding(stream.name, name) for name in names}
    reasons: dict[str, Counter[str]] = {}
    for row in rows:
        for record, problems in mapping.reports(row):
            trial.records += 1
            unread = {problem.field: problem.reason for problem in problems}
            fault = _fault(stream, prefixed(account, record), unread)
            trial.quarantined += fault is not None
            _fill(findings, record, stream.name, unread)
            if fault is not None:
                name, reason = fault
                findings.setdefault(name, Finding(stream.name, name)).quarantined += 1
                reasons.setdefault(name, Counter())[reason] += 1
    for name, counted in reasons.items():
        findings[name].reason = "; ".join(f"{reason} ({number})" for reason, number in counted.most_common(3))
    trial.findings = list(findings.values())
    if not trial.records:
        trial.problems.append("there are no records to judge the mapping by")


def _fault(stream: Stream, record: Raw, unread: Mapping[str, str]) -> tuple[str, str] | None:
    """The field and reason for which landing would quarantine the record."""
    if unread:
        return next(iter(unread.items()))
    try:
        read_record(stream.mapping.kind, record)
    except InvalidInput as error:
        return error.field or "-", str(error).partition(" - at ")[0]
    return None


def _fill(findings: dict[str, Finding], record: Raw, stream: str, unread: Mapping[str, str]) -> None:
    flat = dict(record)
    for outer in ("venue", "consent", "attributes"):
        flat |= {f"{outer}.{name}": value for name, value in (flat.pop(outer, None) or {}).items()}
    for name in flat:
        findings.setdefault(name, Finding(stream, name))
    for name, finding in findings.items():
        if name not in unread:
            finding.filled += name in flat
            finding.empty += name not in flat


def _page(account: Declared, session: Session, stream: Stream, first: Answer, trial: Trial) -> None:
    if first.next is None:
        trial.paging = f"{len(first.rows)} rows in one answer"
        if stream.paging.type != "none" and len(first.rows) >= stream.paging.size:
            trial.problems.append(f"paging: a full page of {len(first.rows)} rows, yet nothing says what follows")
        return
    second = ask(account, session, stream, {}, first.next)
    known = {_text(row) for row in first.rows}
    again = sum(_text(row) in known for row in second.rows)
    trial.paging = f"{len(first.rows)} rows, then {len(second.rows) - again} others"
    if again or not second.rows:
        trial.problems.append(f"paging: of the second page's {len(second.rows)} rows {again} are on the first as well")


def _filter(account: Declared, session: Session, stream: Stream, rows: list[Any], trial: Trial) -> None:
    how = stream.incremental
    if how is None:
        trial.incremental = "read whole each time"
        return
    changes = changes_of(account, stream, how, None, None)
    times = [at for at in map(changes.changed_at, rows) if at is not None]
    if len(times) < len(rows) or not times:
        trial.problems.append(
            f"incremental: {len(rows) - len(times)} of {len(rows)} rows have no moment at {how.field}"
        )
        return
    if how.ordered and times != sorted(times):
        trial.problems.append("incremental: the list is not sorted by that moment, oldest first")
    newest = max(times)
    asked = changes.rounded(newest)
    found = asking_of(account, session, stream, how)(asked, None).rows
    older = sum(at < asked for at in map(changes.changed_at, found) if at is not None)
    trial.incremental = f"asked from the newest change on: {len(found)} rows, {older} of them older"
    if older:
        trial.problems.append(f"incremental: {older} of {len(found)} rows are older than {how.param} asked for")
    elif min(times) == newest:
        trial.incremental += "; all rows have one moment, which proves little"


def _shape(body: Any) -> str:
    """An answer's outermost names, so that the right one is found; no values."""
    if isinstance(body, Mapping):
        return f"an object with {', '.join(sorted(map(str, body))[:20]) or 'nothing'}"
    return "a list: $" if isinstance(body, list) else "neither an object nor a list"


def _text(row: Any) -> bytes:
    return msgspec.json.encode(row, order="sorted")
