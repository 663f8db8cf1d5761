"""Dates move by whole weeks around one anchor; the anchor is fixed once."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from integrator_sandbox.timeline import anchor, shift


@pytest.mark.parametrize("day", range(1, 29))
def test_weekdays_hold_and_about_two_weeks_lie_ahead(day: int) -> None:
    at = datetime(2026, 11, day, 23, 30, tzinfo=UTC)
    last = date(2016, 12, 19)
    moved = shift(at, last)
    assert moved.days % 7 == 0
    assert (last + moved).weekday() == last.weekday()
    assert timedelta(days=10) <= last + moved - at.date() <= timedelta(days=18)


def test_anchor_is_fixed_at_the_first_start(tmp_path: Path) -> None:
    first = datetime(2026, 3, 16, 12, 0, 1, 5, tzinfo=UTC)
    assert anchor(tmp_path, first) == first.replace(microsecond=0)
    assert anchor(tmp_path, first + timedelta(days=40)) == first.replace(microsecond=0)
