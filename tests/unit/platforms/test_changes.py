"""Reading a list of changes: nothing lost, nothing twice, whatever the list does while it is read."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integrator.contracts.errors import InvalidInput
from integrator.platforms.base import Raw, Window, stamp
from integrator.platforms.changes import MOST_SEEN, Answer, Changes, any_order, oldest_first

START = datetime(2026, 3, 1, tzinfo=UTC)
LATER = START + timedelta(days=9)


class Table:
    """Rows with a moment of change, asked for as platforms are: a filter, then numbered pages."""

    def __init__(self, seconds: list[float], *, size: int = 3, exclusive: bool = False) -> None:
        self.rows = [self.row(number, at) for number, at in enumerate(seconds)]
        self.size, self.exclusive, self.ordered, self.asked = size, exclusive, True, 0

    @staticmethod
    def row(number: int, seconds: float) -> Raw:
        """One row, changed so many seconds after the start."""
        return {"id": str(number), "at": stamp(START + timedelta(seconds=seconds))}

    def ask(self, since: datetime | None, state: Raw | None) -> Answer:
        """A page."""
        self.asked += 1
        assert self.asked < 2_000
        low = since or datetime.min.replace(tzinfo=UTC)
        kept = [
            r for r in self.rows if (at := datetime.fromisoformat(r["at"])) > low or (at == low and not self.exclusive)
        ]
        if self.ordered:
            kept.sort(key=lambda row: datetime.fromisoformat(row["at"]))
        page = (state or {"page": 0})["page"]
        end = (page + 1) * self.size
        return Answer(kept[end - self.size : end], {"page": page + 1} if end < len(kept) else None, LATER)

    def changes(self, known: Raw | None = None, window: Window | None = None) -> Changes:
        """A reading of it."""
        return Changes(lambda row: str(row["at"]), lambda row: [{"native_id": row["id"]}], known, window)

    def read(self, known: Raw | None = None, window: Window | None = None) -> tuple[list[str], list[Raw]]:
        """Ids in the order they came, and the cursors after each page."""
        changes = self.changes(known, window)
        state = (known or {}).get("next")
        pages = oldest_first(self.ask, changes, numbered=True) if self.ordered else any_order(self.ask, changes, state)
        found = list(pages)
        return [record["native_id"] for records, _ in found for record in records], [cursor for _, cursor in found]


TIMES = st.lists(st.integers(0, 40).map(lambda n: n / 2), max_size=14)


@settings(max_examples=150, deadline=None)
@given(TIMES, st.booleans(), st.booleans(), st.integers(0, 13))
def test_everything_comes_once_and_any_page_resumes(
    times: list[float], exclusive: bool, ordered: bool, stop: int
) -> None:
    table = Table(times, exclusive=exclusive)
    table.ordered = ordered
    ids, cursors = table.read()
    assert sorted(ids) == sorted(row["id"] for row in table.rows)
    rest, _ = table.read(cursors[stop % len(cursors)])
    assert len(rest) == len(set(rest))
    assert table.read(cursors[-1])[0] == []
    assert not table.changes(cursors[-1]).fresh(table.ask)


@settings(max_examples=150, deadline=None)
@given(TIMES, st.integers(0, 13), st.booleans())
def test_a_change_behind_the_cursor_comes_alone(times: list[float], which: int, exclusive: bool) -> None:
    table = Table([*times, 5.0], exclusive=exclusive)
    _, cursors = table.read()
    number = which % len(table.rows)
    table.rows[number] = Table.row(number, 60)
    assert table.changes(cursors[-1]).fresh(table.ask)
    assert table.read(cursors[-1])[0] == [str(number)]


@settings(max_examples=100, deadline=None)
@given(TIMES, st.integers(0, 20), st.integers(0, 20), st.booleans())
def test_a_window_holds_what_changed_within_it(times: list[float], low: int, length: int, ordered: bool) -> None:
    table = Table(times, exclusive=True)
    table.ordered = ordered
    window = Window(START + timedelta(seconds=low), START + timedelta(seconds=low + length))
    ids, cursors = table.read(window=window)
    assert sorted(ids) == sorted(str(n) for n, at in enumerate(times) if low <= at < low + length)
    assert cursors[-1] == {"done": True}


def test_rows_that_move_behind_while_one_reads_push_none_past_the_page() -> None:
    table = Table([float(n * 2) for n in range(12)])
    changes = table.changes()
    pages = oldest_first(table.ask, changes, numbered=True)
    ids = [record["native_id"] for record in next(pages)[0]]
    table.rows[0], table.rows[1] = Table.row(0, 100), Table.row(1, 101)
    ids += [record["native_id"] for records, _ in pages for record in records]
    assert set(ids) == {str(n) for n in range(12)}
    assert sorted(ids) == sorted([*map(str, range(12)), "0", "1"])


def test_a_cursor_stays_small_when_everything_changed_at_once() -> None:
    table = Table([1.0] * (MOST_SEEN + 500), size=700)
    ids, cursors = table.read()
    assert len(ids) == len(table.rows)
    assert all(len(cursor["seen"]) <= MOST_SEEN for cursor in cursors)


def test_a_row_without_a_moment_comes_each_time_and_moves_nothing() -> None:
    table = Table([1.0, 2.0])
    changes = table.changes()
    odd: list[Any] = [{"id": "9"}, {"id": "8", "at": "soon"}, "no row"]
    records = changes.take(odd)
    assert records[:2] == [{"native_id": "9"}, {"native_id": "8"}]
    assert records[2]["native_id"] is None
    assert changes.newest is None
    assert changes.finished(LATER)["since"] == stamp(LATER)


def test_paging_that_comes_back_to_where_it_was_is_refused() -> None:
    table = Table([1.0, 2.0])
    stuck = Answer(table.rows, {"page": 1}, LATER)
    for pages in (
        oldest_first(lambda since, state: stuck, table.changes(), numbered=False),
        any_order(lambda since, state: stuck, table.changes(), None),
    ):
        with pytest.raises(InvalidInput, match="comes back"):
            list(pages)
