"""Reading a filtered list of changes, for any platform that has one: the newest change seen, the rows as new as that.

A cursor is ``{since, seen}`` between pulls, and within a list of no order ``{since, newest, seen, next}``: ``seen`` marks
the rows within the overlap, so that what is asked for again is not handed on again.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any

import msgspec

from integrator.contracts.errors import InvalidInput
from integrator.platforms.base import Raw, Window, mapped, moment, stamp

MOST_SEEN = 1_000  # marks kept in a cursor; what is beyond comes again, and landing leaves it alone
MOST_LOOKS = 5  # answers that hold only what came before, when many changed at one instant
STEP_BACK = timedelta(seconds=1)  # filters may be exclusive, or know whole seconds only
LEAST_MEMORY = 2 * STEP_BACK

State = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """One answer of a list: its rows, the state that asks for what follows (None at the end), the platform's clock."""

    rows: list[Any]
    next: State | None
    at: datetime


# Asks for what changed since a moment (None: everything), at a state of the list (None: its first answer).
Ask = Callable[[datetime | None, State | None], Answer]


def whole_second(at: datetime) -> datetime:
    """A moment rounded down, as filters take it: none is left out."""
    return at.replace(microsecond=0)


class Changes:
    """One reading of a list, from what its cursor knows, or within a backfill's window."""

    def __init__(
        self,
        changed: Callable[[Any], str],
        to_records: Callable[[Any], list[Raw]],
        known: Mapping[str, Any] | None,
        window: Window | None = None,
        *,
        overlap: timedelta = timedelta(minutes=1),
        rounded: Callable[[datetime], datetime] = whole_second,
    ) -> None:
        """``changed`` is a row's moment of change (RFC 3339; raising or odd: unknown); ``rounded`` what a filter takes."""
        known = known or {}
        self.changed, self.to_records, self.window = changed, to_records, window
        self.overlap, self.rounded = overlap, rounded
        self.since: datetime | None = moment(known["since"]) if known.get("since") else None
        self.newest: datetime | None = moment(known["newest"]) if known.get("newest") else self.since
        self.seen: dict[str, str] = dict(known.get("seen") or {})
        self.past = False

    def start(self) -> datetime | None:
        """From when on to ask: the last change seen less the overlap, or the beginning of the window."""
        if self.since is not None:
            return self.rounded(self.since - self.overlap)
        return self.rounded(self.window.since - STEP_BACK) if self.window else None

    def take(self, rows: list[Any]) -> list[Raw]:
        """The records of the rows that are new, remembering the rows; one that cannot be mapped comes as it is."""
        records: list[Raw] = []
        for row in rows:
            at = self.changed_at(row)
            if not self._outside(at) and self._remember(row, at):
                records += mapped(row, self.to_records)
        self._forget()
        return records

    def fresh(self, ask: Ask) -> bool:
        """Whether there is a row that was not there at the last pull, in a few requests; where they run out, perhaps."""
        if self.since is None:
            return True
        since, state = self.rounded(self.since), None
        for _ in range(MOST_LOOKS):
            answer = ask(since, state)
            if any(self._is_new(row) for row in answer.rows):
                return True
            if answer.next is None:
                return False
            state = answer.next
        return True

    def cursor(self) -> Raw:
        """Resumes with the filter moved to the newest change."""
        return {"since": None if self.newest is None else stamp(self.newest), "seen": dict(self.seen)}

    def within(self, state: State) -> Raw:
        """Resumes within the list, the filter unmoved."""
        since = None if self.since is None else stamp(self.since)
        newest = None if self.newest is None else stamp(self.newest)
        return {"since": since, "newest": newest, "seen": dict(self.seen), "next": state}

    def finished(self, now: datetime) -> Raw:
        """Between pulls; where nothing was ever seen, the platform's own ``now`` is what to start from."""
        if self.newest is None:
            self.newest = now
        return {"done": True} if self.window else self.cursor()

    def changed_at(self, row: Any) -> datetime | None:
        """When a row last changed; None where it cannot be read."""
        try:
            return moment(self.changed(row))
        except (AttributeError, InvalidInput, IndexError, KeyError, TypeError, ValueError):
            return None

    def _is_new(self, row: Any) -> bool:
        at = self.changed_at(row)
        return (at is None or self.since is None or at >= self.since) and _mark(row) not in self.seen

    def _outside(self, at: datetime | None) -> bool:
        if self.window is None or at is None:
            return False
        self.past = self.past or at >= self.window.until
        return not self.window.since <= at < self.window.until

    def _remember(self, row: Any, at: datetime | None) -> bool:
        """False for a row that has come before."""
        mark = _mark(row)
        if mark in self.seen:
            return False
        if at is not None:
            self.seen[mark] = stamp(at)
            self.newest = at if self.newest is None else max(self.newest, at)
        return True

    def _forget(self) -> None:
        if self.newest is None:
            return
        oldest = self.newest - max(LEAST_MEMORY, self.overlap)
        recent = sorted(((at, mark) for mark, at in self.seen.items() if moment(at) >= oldest), reverse=True)
        self.seen = {mark: at for at, mark in recent[:MOST_SEEN]}


def oldest_first(ask: Ask, changes: Changes, *, numbered: bool) -> Iterator[tuple[list[Raw], Raw]]:
    """Records and cursors of a list sorted by change: every answer is a place to resume.

    Where pages are ``numbered`` the filter moves along instead: numbers shift under changes while one reads.
    """
    since, state = changes.start(), None
    while True:
        answer = ask(since, state)
        records = changes.take(answer.rows)
        if answer.next is None or changes.past:
            yield records, changes.finished(answer.at)
            return
        yield records, changes.cursor()
        _require_progress(state, answer.next)
        state = answer.next
        moved = changes.rounded(changes.newest - STEP_BACK) if numbered and changes.newest else since
        if moved != since:  # a page of one instant cannot move the filter: only then the number does
            since, state = moved, None


def any_order(ask: Ask, changes: Changes, state: State | None) -> Iterator[tuple[list[Raw], Raw]]:
    """Records and cursors of a list of no order: the filter stays until the list has been read, only then it moves."""
    since = changes.start()
    while True:
        answer = ask(since, state)
        records = changes.take(answer.rows)
        if answer.next is None:
            yield records, changes.finished(answer.at)
            return
        yield records, changes.within(answer.next)
        _require_progress(state, answer.next)
        state = answer.next


def _require_progress(state: State | None, following: State) -> None:
    if following == state:
        raise InvalidInput("the paging comes back to where it was; allowed: pages that follow each other")


def _mark(row: Any) -> str:
    return blake2b(msgspec.json.encode(row, order="sorted"), digest_size=9).hexdigest()
