"""Whatever an event's sales look like, its forecast is ordered, within what is possible, and adds up."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.attendance.booking import model
from models.attendance.booking.model import Fitted
from models.attendance.booking.predict import predict
from models.attendance.history import prepared
from models.rounding import sums
from tests.attendance_frames import TODAY
from tests.booking_frames import CONTEXT, GROUPS, event, theatre
from tests.unit.models.test_booking_predict import rows_of, serving

SALES = st.lists(st.tuples(st.integers(0, 399), st.integers(0, 3_000)), max_size=12)


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    found = model.fit(prepared(theatre(events=20)[0]))
    assert found is not None
    return found.fitted


@settings(max_examples=60, deadline=None)
@given(
    sales=SALES,
    days=st.integers(0, 380),
    hours=st.integers(0, 23),
    capacity=st.none() | st.integers(0, 2_000),
    price=st.none() | st.floats(0, 1e6),
    group=st.sampled_from([*GROUPS, "Nowhere"]),
    lead=st.none() | st.integers(0, 700),
)
def test_any_sales_give_a_forecast_that_holds_together(
    fitted: Fitted, sales: list[tuple[int, int]], days: int, hours: int, capacity: int | None, price: float | None,
    group: str, lead: int | None,
) -> None:  # fmt: skip
    day = TODAY + timedelta(days=days)
    opened = None if lead is None else CONTEXT.as_of + timedelta(days=days - lead)
    row: dict[str, Any] = event(group, day, 1)[0] | {
        "bookings": json.dumps([list(pair) for pair in sales if pair[0] >= days]), "capacity": capacity,
        "average_price": price, "on_sale_at": opened,
    }  # fmt: skip
    now = CONTEXT.as_of + timedelta(hours=hours)
    for found in predict(serving(fitted), rows_of(row, now=now)):
        details = found.details
        assert 0 <= details["p10"] <= details["p50"] <= details["p90"]
        assert found.value == details["p50"] and sums(found.value, found.baseline or 0, found.contributions, decimals=0)
        if "not taken as a limit" not in found.summary and capacity:
            assert details["p90"] <= capacity
            assert details["expected_tickets"] <= max(capacity, details["tickets_sold"])
        at = details["sell_out_at"]
        is_sold_out = bool(capacity) and details["tickets_sold"] >= (capacity or 0)
        assert at is None or is_sold_out or datetime.fromisoformat(at) >= now
        assert at is None or datetime.fromisoformat(at).date() <= day + timedelta(days=1)


@settings(max_examples=25, deadline=None)
@given(sold=st.integers(0, 200), more=st.integers(1, 200), days=st.integers(0, 60), group=st.sampled_from(list(GROUPS)))
def test_more_tickets_sold_never_mean_fewer_people(fitted: Fitted, sold: int, more: int, days: int, group: str) -> None:
    """All else equal, by pickup, pace and their mean; the learned model may know better."""
    day = TODAY + timedelta(days=days)
    rows = [
        event(group, day, 1)[0] | {"bookings": json.dumps([[days + 5, count]]), "capacity": None}
        for count in (sold, sold + more)
    ]
    for chosen in ("pace", "pickup"):
        plain = Fitted(**{**vars(fitted), "chosen": [chosen] * len(fitted.chosen)})
        few, many = predict(serving(plain), rows_of(*rows))
        assert (few.value or 0) <= (many.value or 0)
