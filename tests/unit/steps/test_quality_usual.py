"""What is usual, and how far from it is too far."""

import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrator.steps.quality_usual import completeness, freshness, volume
from integrator.storage.measures import HISTORY, Arrivals, Shares

NOW = datetime(2026, 3, 16, 12, tzinfo=UTC)


def shares(recent: int, recent_filled: int, usual: int = 1000, usual_filled: int = 950) -> Shares:
    return Shares(7, recent, recent_filled, usual, usual_filled)


@pytest.mark.parametrize(
    ("seen", "is_fired", "is_grave"),
    [
        (shares(200, 190), False, False),  # as before
        (shares(200, 175), False, False),  # a tenth less at most
        (shares(200, 168), True, False),
        (shares(200, 80), True, True),  # not half as often
        (shares(20, 17), False, False),  # three of twenty may lack it by chance
        (shares(20, 12), True, False),
        (shares(200, 200), False, False),  # more than usual is no fault
    ],
)
def test_a_field_is_missed_when_chance_does_not_explain_it(seen: Shares, is_fired: bool, is_grave: bool) -> None:
    judged = completeness(seen)
    assert judged.score is not None and (judged.score > 1, judged.is_grave) == (is_fired, is_grave)
    assert f"of {seen.recent} records of the last 7 days, 95% before" in judged.observed


@pytest.mark.parametrize("seen", [shares(19, 0), shares(200, 0, 99, 99), shares(200, 0, 1000, 799), shares(0, 0, 0, 0)])
def test_a_field_that_is_not_usual_or_too_new_is_not_judged(seen: Shares) -> None:
    judged = completeness(seen)
    assert judged.score is None and not judged.is_grave and judged.observed


@given(st.integers(20, 10_000), st.integers(100, 10_000), st.floats(0.8, 1), st.floats(0, 1))
def test_completeness_never_fires_on_a_share_as_high_as_before(
    recent: int, usual: int, share: float, more: float
) -> None:
    before = round(usual * share)
    filled = min(recent, -(-before * recent // usual) + round(more * recent))
    judged = completeness(Shares(7, recent, filled, usual, before))
    assert judged.score is None or judged.score <= 1


def arrived(changed: set[int], *, elapsed: float, landed: set[int] | None = None) -> Arrivals:
    return Arrivals(
        dated={}, changed=frozenset(changed), landed=frozenset(landed or set()), newest=NOW - timedelta(days=elapsed)
    )


@pytest.mark.parametrize(
    ("arrivals", "is_late"),
    [
        (arrived(set(range(60)), elapsed=0.1), False),
        (arrived(set(range(1, 60)), elapsed=1.9), False),
        (arrived(set(range(3, 60)), elapsed=3), True),
        (arrived(set(range(1, 60, 7)) | set(range(60, 120, 7)), elapsed=13), False),  # once a week
        (arrived(set(range(16, 130, 7)), elapsed=16), True),
        # sold every day, uploaded once a week
        (arrived(set(range(6, 90)), elapsed=6.5, landed={6, 13, 20, 27}), False),
        (arrived(set(range(6, 90)), elapsed=6.5, landed={6}), True),
        (arrived(set(), elapsed=HISTORY.days + 1), True),  # nothing for half a year
    ],
)
def test_late_is_twice_the_usual_gap(arrivals: Arrivals, is_late: bool) -> None:
    judged = freshness(arrivals, NOW)
    assert judged.score is not None and (judged.score > 1) == is_late


def test_freshness_needs_a_history() -> None:
    assert freshness(arrived({0, 5, 9}, elapsed=0.5), NOW).score is None
    assert freshness(Arrivals(dated={}, changed=frozenset(), landed=frozenset(), newest=None), NOW).score is None


def days(*, count: int = 140, a_day: int = 40, **changed: int) -> dict[int, int]:
    chance = random.Random(7)
    found = {day: a_day + chance.randrange(-8, 9) for day in range(count)}
    return found | {int(day.removeprefix("day")): records for day, records in changed.items()}


@pytest.mark.parametrize(
    ("seen", "width", "is_fired"),
    [
        (days(), 1, False),
        (days(), 7, False),
        (days(day0=0), 1, True),
        (days(day0=70), 1, False),
        (days(day0=400), 1, True),
        (days(day0=0), 7, False),  # one day of seven
        ({day: records for day, records in days().items() if day >= 7}, 7, True),
        ({day: records * (1 if day >= 7 else 4) for day, records in days().items()}, 7, True),
        # seven times as many on every seventh day, today among them
        ({day: records * (7 if day % 7 == 0 else 1) for day, records in days().items()}, 1, False),
    ],
)
def test_a_day_and_a_week_are_compared_with_their_like(seen: dict[int, int], width: int, is_fired: bool) -> None:
    judged = volume(seen, width=width)
    assert judged.score is not None and (judged.score > 1) == is_fired
    assert "usually about" in judged.observed


def test_a_wild_history_allows_more_than_a_calm_one() -> None:
    wild = {day: 10 if day // 7 % 2 else 200 for day in range(1, 140)}
    assert volume(wild, width=7).score == 1 < volume({day: 40 for day in range(7, 140)}, width=7).score  # type: ignore[operator]


@pytest.mark.parametrize("seen", [{}, {0: 100}, days(count=50), days(a_day=9, count=140)])
def test_a_short_history_or_a_handful_of_records_is_not_judged(seen: dict[int, int]) -> None:
    assert volume(seen, width=1).score is None


@given(st.dictionaries(st.integers(0, 190), st.integers(0, 100_000)), st.sampled_from([1, 7]))
def test_volume_is_a_number_or_not_judged_whatever_came(seen: dict[int, int], width: int) -> None:
    judged = volume(seen, width=width)
    assert judged.score is None or 0 <= judged.score < 1000
