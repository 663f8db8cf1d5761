"""The Stripe stand-in in the test's process, over hand-made sale lines."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from fastapi import FastAPI

from integrator_sandbox import stripe
from integrator_sandbox.demo import STRIPE_KEY
from integrator_sandbox.state import Sandbox, Subset
from tests.asgi import Direct

NOW = datetime(2026, 3, 16, 20, 0, tzinfo=UTC)
COLUMNS = ["line", "day", "customer", "product", "subclass", "quantity", "rank", "total"]


@pytest.fixture
def stand(tmp_path: Path) -> stripe.Stripe:
    """Ninety days up to two weeks after now, three lines a day of two products."""
    made = Sandbox(tmp_path, NOW, Subset())
    last = date(2001, 2, 28)
    rows = [
        (
            3 * back + n,
            last - timedelta(days=89 - back),
            f"c{back % 7}",
            f"p{n % 2}",
            "s",
            n + 1,
            601 + n % 2,
            10 * n + 10,
        )
        for back in range(90)
        for n in range(3)
    ]
    made.__dict__["frames"] = {"counter": pl.DataFrame(rows, schema=COLUMNS, orient="row")}
    return stripe.Stripe(made)


@pytest.fixture
def api(stand: stripe.Stripe) -> Direct:
    app = FastAPI()
    app.include_router(stripe.router(stand))
    return Direct(app)


def listed(api: Direct, name: str, **params: Any) -> dict[str, Any]:
    answer = api.get(f"/stripe/v1/{name}", params=params)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


@pytest.mark.parametrize("limit", [1, 7, 100])
def test_starting_after_reaches_everything_once_newest_first(api: Direct, limit: int, stand: stripe.Stripe) -> None:
    found: list[dict[str, Any]] = []
    body = listed(api, "charges", limit=limit)
    while body["has_more"] and len(found) < 60:
        found += body["data"]
        body = listed(api, "charges", limit=limit, starting_after=found[-1]["id"])
    found += body["data"]
    ids = [one["id"] for one in stand.counter.charges()]
    assert [one["id"] for one in found] == ids[: len(found)]
    times = [one["created"] for one in found]
    assert times == sorted(times, reverse=True)
    assert max(times) <= NOW.timestamp()


def test_created_bounds_are_as_named(api: Direct, stand: stripe.Stripe) -> None:
    at = stand.counter.charges()[10]["created"]
    times = {one["created"] for one in stand.counter.charges()}
    for name, passes in (("gt", at.__lt__), ("gte", at.__le__), ("lt", at.__gt__), ("lte", at.__ge__)):
        found = {one["created"] for one in listed(api, "charges", limit=100, **{f"created[{name}]": at})["data"]}
        assert found
        assert found <= {time for time in times if passes(time)}


def test_events_hold_thirty_days_and_their_objects_as_they_were(api: Direct, stand: stripe.Stripe) -> None:
    charge = stand.counter.charges()[0]
    then = charge["created"] + 60
    stand.sandbox.injected("stripe/refunds").append({"charge": charge["id"], "amount": 500, "created": then})
    made, refunded = (
        next(
            one for one in stand.counter.events() if one["type"] == kind and one["data"]["object"]["id"] == charge["id"]
        )
        for kind in ("charge.succeeded", "charge.refunded")
    )
    assert made["data"]["object"]["amount_refunded"] == 0
    assert refunded["data"]["object"]["amount_refunded"] == 500
    assert refunded["created"] == then
    assert stand.counter.charges()[0]["refunds"]["data"][0]["amount"] == 500
    oldest = (NOW - timedelta(days=30)).timestamp()
    assert all(oldest < one["created"] <= NOW.timestamp() for one in stand.counter.events())
    kinds = {one["type"] for one in listed(api, "events", limit=100, **{"types[]": ["charge.refunded"]})["data"]}
    assert kinds == {"charge.refunded"}
    stand.sandbox.fixed = NOW + timedelta(days=60)
    assert not [one for one in stand.counter.events() if one["type"] == "charge.refunded"]


def test_customers_come_with_their_first_charge_and_go_with_an_event(stand: stripe.Stripe) -> None:
    known = stand.counter.customers()
    assert len(known) == 7
    first = {one["customer"]: one["created"] for one in stand.counter.charges()}
    assert all(one["created"] == first[one["id"]] for one in known)
    stand.sandbox.removed("stripe")[known[0]["id"]] = NOW
    assert len(stand.counter.customers()) == 6
    (gone,) = [one for one in stand.counter.events() if one["type"] == "customer.deleted"]
    assert gone["data"]["object"]["id"] == known[0]["id"]


def test_refunds_are_shown_only_when_expanded(api: Direct) -> None:
    assert "refunds" not in listed(api, "charges")["data"][0]
    assert listed(api, "charges", **{"expand[]": "data.refunds"})["data"][0]["refunds"]["object"] == "list"


def test_a_search_counts_only_when_asked(api: Direct, stand: stripe.Stripe) -> None:
    body = listed(api, "charges/search", query="created>0", limit=1, **{"expand[]": "total_count"})
    assert (body["object"], body["total_count"]) == ("search_result", len(stand.counter.charges()))
    assert "total_count" not in listed(api, "charges/search", query="created>0")


def test_keys_permissions_and_the_rate_are_refused_at_the_gate(stand: stripe.Stripe) -> None:
    stand.second.limit = 1
    assert stand.rule("/stripe/v1/charges", f"Bearer {STRIPE_KEY}") is None
    over = stand.rule("/stripe/v1/charges", f"Bearer {STRIPE_KEY}")
    assert over is not None
    assert (over[0], over[2]["error"]["code"]) == (429, "rate_limit")
    stand.reset()
    stand.sandbox.injected("stripe/lacks").append({"permission": "rak_event_read"})
    assert stand.rule("/stripe/v1/charges", f"Bearer {STRIPE_KEY}") is None
    lacking = stand.rule("/stripe/v1/events", f"Bearer {STRIPE_KEY}")
    assert lacking is not None
    assert lacking[0] == 403
    assert "rak_event_read" in lacking[2]["error"]["message"]
    stand.expire()
    rolled = stand.rule("/stripe/v1/charges", f"Bearer {STRIPE_KEY}")
    assert rolled is not None
    assert rolled[0] == 401
    assert STRIPE_KEY not in str(rolled)
