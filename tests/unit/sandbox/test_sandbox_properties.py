"""Promises of the stand-ins for any input: whole weeks, windows that never overfill, filters that ignore nonsense."""

import tempfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from integrator_sandbox import control
from integrator_sandbox.limits import Bucket, Fault, Faults, SlidingWindow
from integrator_sandbox.shopify_filters import updated_since
from integrator_sandbox.state import Sandbox, Subset
from integrator_sandbox.timeline import FUTURE, anchor, shift
from tests.asgi import Direct

MOMENTS = st.datetimes(datetime(2001, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
DAYS = st.dates(date(2000, 1, 1), date(2025, 1, 1))


@given(MOMENTS, DAYS)
def test_dates_move_by_whole_weeks_to_about_two_weeks_ahead(at: datetime, last: date) -> None:
    moved = shift(at, last)
    assert moved % timedelta(weeks=1) == timedelta(0)
    assert (last + moved).weekday() == last.weekday()
    assert abs(last + moved - (at.date() + FUTURE)) <= timedelta(days=4)


@given(MOMENTS, DAYS, st.integers(0, 400))
def test_distances_between_days_hold(at: datetime, last: date, before: int) -> None:
    first = last - timedelta(days=before)
    assert (last + shift(at, last)) - (first + shift(at, last)) == last - first


@given(MOMENTS)
def test_the_anchor_is_a_whole_second_and_stays(at: datetime) -> None:
    with tempfile.TemporaryDirectory() as folder:
        first = anchor(Path(folder), at)
        assert first == at.replace(microsecond=0) and first.tzinfo is not None
        assert anchor(Path(folder), at + timedelta(days=9)) == first


class Ticker:
    """Seconds that pass only when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@given(st.integers(1, 5), st.integers(1, 20), st.lists(st.integers(0, 8), min_size=1, max_size=60))
def test_no_window_ever_holds_more_than_its_limit(limit: int, seconds: int, pauses: list[int]) -> None:
    ticker = Ticker()
    window = SlidingWindow(limit, seconds, ticker)
    passed: list[float] = []
    for pause in pauses:
        ticker.now += pause
        wait = window.take()
        if wait is None:
            passed.append(ticker.now)
        else:
            assert 0 < wait <= seconds
        assert 0 <= window.remaining <= limit
    for moment in passed:
        assert sum(moment - seconds < other <= moment for other in passed) <= limit


@given(st.integers(1, 5), st.floats(1, 20))
def test_waiting_as_told_is_enough(limit: int, seconds: float) -> None:
    ticker = Ticker()
    window = SlidingWindow(limit, seconds, ticker)
    for _ in range(limit):
        assert window.take() is None
    wait = window.take()
    assert wait is not None
    ticker.now += wait + 1e-6
    assert window.take() is None


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 1200), st.booleans()), max_size=40))
def test_a_bucket_is_never_below_nothing_nor_above_its_size(steps: list[tuple[float, float, bool]]) -> None:
    ticker = Ticker()
    bucket = Bucket(1000.0, 50.0, ticker)
    for pause, cost, give in steps:
        ticker.now += pause
        before = bucket.available
        if give:
            bucket.give_back(cost)
        else:
            assert bucket.take(cost) is (cost <= before)
        assert 0 <= bucket.available <= 1000


@given(st.text(max_size=80) | st.none())
def test_a_filter_that_cannot_be_read_is_ignored_like_shopify_does(query: str | None) -> None:
    moment, strictly = updated_since(query)
    assert moment is not None or strictly is False


@given(MOMENTS, st.sampled_from([">", ">="]), st.sampled_from(["", "'", '"']), st.sampled_from(["", " "]))
def test_a_bound_is_read_however_it_is_quoted(at: datetime, operator: str, quote: str, space: str) -> None:
    moment, strictly = updated_since(f"status:any updated_at:{operator}{space}{quote}{at.isoformat()}{quote}")
    assert (moment, strictly) == (at, operator == ">")


@given(st.lists(st.tuples(st.sampled_from(["pretix", "shopify"]), st.integers(0, 3)), max_size=5))
def test_every_fault_is_met_as_often_as_ordered(orders: list[tuple[str, int]]) -> None:
    faults = Faults([Fault(platform, 500 + n, count) for n, (platform, count) in enumerate(orders)])
    for platform in ("pretix", "shopify"):
        wanted = [500 + n for n, (name, count) in enumerate(orders) if name == platform for _ in range(count)]
        met = [faults.next_for(platform, f"/{platform}/x") for _ in range(len(wanted) + 2)]
        assert [fault.status for fault in met if fault] == wanted


@pytest.fixture
def levers(tmp_path: Path) -> tuple[Sandbox, Direct]:
    """The levers alone; nothing here needs the data."""
    sandbox = Sandbox(tmp_path, datetime(2026, 3, 16, 20, tzinfo=UTC), Subset(), control=True)
    app = FastAPI()
    app.include_router(control.router(sandbox))
    return sandbox, Direct(app)


def test_faults_are_ordered_and_reset(levers: tuple[Sandbox, Direct]) -> None:
    sandbox, client = levers
    order: dict[str, Any] = {"platform": "shopify", "status": 429, "count": 2, "retry_after": 1.5, "path": "/bulk"}
    assert client.post("/_sandbox/faults", json=order).status_code == 204
    assert sandbox.faults.ordered == [Fault("shopify", 429, 2, 1.5, "/bulk")]
    sandbox.requests["shopify"] = 7
    sandbox.injected("pretix").append({"id": 1})
    assert client.post("/_sandbox/reset").status_code == 204
    assert (sandbox.faults.ordered, sandbox.extra, sandbox.requests) == ([], {}, {})


def test_tokens_expire_and_stay_known(levers: tuple[Sandbox, Direct]) -> None:
    sandbox, client = levers
    sandbox.hubspot_tokens.update({"a": 1e12, "b": 1e12})
    client.post("/_sandbox/expire")
    assert sandbox.hubspot_tokens == {"a": 0.0, "b": 0.0}


@pytest.mark.parametrize(
    ("said", "now"),
    [("2026-04-01T10:00:00+02:00", datetime(2026, 4, 1, 8, tzinfo=UTC)), ("2026-04-01T08:00:00Z", datetime(2026, 4, 1, 8, tzinfo=UTC))],
)  # fmt: skip
def test_the_clock_is_moved_and_read_in_utc(said: str, now: datetime, levers: tuple[Sandbox, Direct]) -> None:
    sandbox, client = levers
    client.post("/_sandbox/clock", json={"now": said})
    assert sandbox.now() == sandbox.clock() == now and sandbox.now().tzinfo is UTC


def test_the_anchor_does_not_follow_the_clock(levers: tuple[Sandbox, Direct]) -> None:
    sandbox, client = levers
    first = sandbox.anchor
    client.post("/_sandbox/clock", json={"now": "2027-01-01T00:00:00Z"})
    assert sandbox.anchor == first == datetime(2026, 3, 16, 20, tzinfo=UTC)
    assert Sandbox(sandbox.home, datetime(2028, 1, 1, tzinfo=UTC)).anchor == first, "nor does a new process's"
