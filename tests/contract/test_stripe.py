"""Stripe's own ways against its stand-in: newest first, events of 30 days, keys and their permissions, landing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
import requests
from fastapi import FastAPI

from integrator.contracts.errors import Forbidden, InvalidInput, RateLimited, Unauthorized, Unavailable
from integrator.contracts.validation import read_record
from integrator.platforms.base import Cursor, Page, Window, stamp
from integrator.platforms.registry import platform
from integrator_sandbox.demo import STRIPE_KEY
from integrator_sandbox.limits import SlidingWindow
from tests.serving import serving

if TYPE_CHECKING:
    from tests.contract.conftest import LiveSandbox

NAME = "stripe"


def pages(
    sandbox: LiveSandbox, kind: str, cursor: Cursor | None = None, window: Window | None = None
) -> Iterator[Page]:
    settings, credentials = sandbox.connection(NAME)
    source = platform(NAME)
    return source.pull(sandbox.account(settings, credentials), kind, cursor, window)


def records(found: list[Page]) -> list[dict[str, Any]]:
    return [record for page in found for record in page.records]


def asked(sandbox: LiveSandbox, path: str, key: str = STRIPE_KEY) -> requests.Response:
    return requests.get(f"{sandbox.url}/stripe{path}", headers={"Authorization": f"Bearer {key}"}, timeout=10)


def refund(sandbox: LiveSandbox, charge: str, amount: int) -> str:
    """Money goes back now; returns when."""
    now = sandbox.clock().replace(microsecond=0)
    one = {"charge": charge, "amount": amount, "created": int(now.timestamp())}
    sandbox.state.injected("stripe/refunds").append(one)
    return stamp(now)


@pytest.mark.parametrize("kind", ["contact", "sale"])
def test_every_record_can_land_and_none_comes_twice(sandbox: LiveSandbox, kind: str) -> None:
    found = records(list(pages(sandbox, kind)))
    for record in found:
        read_record(kind, record)
    assert len({one["native_id"] for one in found}) == len(found)
    settings, credentials = sandbox.connection(NAME)
    counted = platform(NAME).count(sandbox.account(settings, credentials), kind)
    assert counted == len(found) > 200


@pytest.mark.parametrize("kind", ["contact", "sale"])
def test_a_crash_at_any_page_resumes_there(sandbox: LiveSandbox, kind: str) -> None:
    whole = list(pages(sandbox, kind))
    assert len(whole) > 4
    for stop in (0, len(whole) // 2, len(whole) - 2):
        rest = list(pages(sandbox, kind, whole[stop].cursor))
        assert records(whole[: stop + 1]) + records(rest) == records(whole)
        assert rest[-1].cursor == whole[-1].cursor


def test_what_comes_while_the_list_is_read_is_found_among_the_events(sandbox: LiveSandbox) -> None:
    running = pages(sandbox, "sale")
    found = [next(running)]
    sandbox.move(timedelta(days=1))
    found += list(running)
    before = {one["native_id"] for one in records(found)}
    after = records(list(pages(sandbox, "sale", found[-1].cursor)))
    fresh = {one["native_id"] for one in after}
    assert fresh
    assert not fresh & before
    assert fresh | before == {one["native_id"] for one in records(list(pages(sandbox, "sale")))}


def test_events_overlap_and_tell_the_same_as_the_list(sandbox: LiveSandbox) -> None:
    whole = {one["native_id"]: one for one in records(list(pages(sandbox, "sale")))}
    since = sandbox.clock() - timedelta(days=2)
    changed = list(pages(sandbox, "sale", {"since": stamp(since)}))
    assert len(changed) > 2
    assert [page.cursor["since"] for page in changed] == sorted(page.cursor["since"] for page in changed)
    assert records(changed)
    for one in records(changed):
        assert one == whole[one["native_id"]]
    rest = list(pages(sandbox, "sale", changed[1].cursor))
    assert records(changed[2:]) == [one for one in records(rest) if one in records(changed[2:])]
    again = list(pages(sandbox, "sale", {"since": max(one["sold_at"] for one in whole.values())}))
    assert records(again), "the last events come again"


def test_refunds_come_by_events_and_stand_in_the_list(sandbox: LiveSandbox) -> None:
    before = list(pages(sandbox, "sale"))
    sale = next(one for one in records(before) if float(one["unit_price"]) * one["quantity"] > 20)
    sandbox.move(timedelta(hours=1))
    at = [refund(sandbox, sale["native_id"], 1000)]
    sandbox.move(timedelta(hours=1))
    whole = round(float(sale["unit_price"]) * sale["quantity"] * 100)
    at.append(refund(sandbox, sale["native_id"], whole - 1000))
    part, rest = records(list(pages(sandbox, "sale", before[-1].cursor)))
    assert [part["updated_at"], rest["updated_at"]] == at
    assert (part["status"], part["refunded_amount"], part["refunded_quantity"]) == ("paid", "10", 0)
    assert (rest["status"], rest["refunded_quantity"]) == ("refunded", sale["quantity"])
    listed = [one for one in records(list(pages(sandbox, "sale"))) if one["native_id"] == sale["native_id"]]
    assert listed == [sale, part, rest]


def test_customers_change_and_go(sandbox: LiveSandbox) -> None:
    before = list(pages(sandbox, "contact"))
    name = records(before)[5]["native_id"]
    sandbox.move(timedelta(hours=1))
    now = sandbox.clock()
    changed = {"id": name, "created": 1, "email": "ann@example.org", "name": None, "metadata": {"vip": "yes"}}
    event = {"id": "evt_1", "created": int(now.timestamp()), "type": "customer.updated", "data": {"object": changed}}
    sandbox.state.injected("stripe/events").append(event)
    sandbox.state.removed(NAME)[records(before)[6]["native_id"]] = now
    found = {one["native_id"]: one for one in records(list(pages(sandbox, "contact", before[-1].cursor)))}
    assert set(found) == {name, records(before)[6]["native_id"]}
    assert (found[name]["email"], found[name]["attributes"]) == ("ann@example.org", {"vip": "yes"})
    assert found[records(before)[6]["native_id"]]["deleted_at"] == stamp(now)


def test_a_list_left_at_a_customer_since_deleted_starts_over(sandbox: LiveSandbox) -> None:
    whole = list(pages(sandbox, "contact"))
    sandbox.state.removed(NAME)[whole[1].cursor["after"]] = sandbox.clock()
    rest = records(list(pages(sandbox, "contact", whole[1].cursor)))
    assert len(rest) == len(records(whole)) - 1
    sandbox.fault(NAME, 400)
    with pytest.raises(InvalidInput):
        list(pages(sandbox, "contact"))


def test_after_a_pause_longer_than_events_are_kept_the_list_is_read_again(sandbox: LiveSandbox) -> None:
    before = list(pages(sandbox, "sale"))
    sale = records(before)[3]["native_id"]
    sandbox.move(timedelta(days=1))
    at = refund(sandbox, sale, 100)
    sandbox.move(timedelta(days=45))
    found = list(pages(sandbox, "sale", before[-1].cursor))
    told = {(one["native_id"], one["updated_at"]) for one in records(found)}
    assert (sale, at) in told
    assert told == {(one["native_id"], one["updated_at"]) for one in records(list(pages(sandbox, "sale")))}
    assert found[-1].cursor == {"since": stamp(sandbox.clock())}
    assert "from" in found[0].cursor
    rest = list(pages(sandbox, "sale", found[0].cursor))
    assert records(found[:1]) + records(rest) == records(found)
    assert len(records(list(pages(sandbox, "contact", before[-1].cursor)))) > 200


@pytest.mark.parametrize("kind", ["contact", "sale"])
def test_a_backfill_reads_its_window_resumes_and_ends(sandbox: LiveSandbox, kind: str) -> None:
    field = "sold_at" if kind == "sale" else "created_at"
    now = sandbox.clock()
    everything = {one["native_id"]: one for one in records(list(pages(sandbox, kind)))}
    seen: list[str] = []
    for since, until in pairwise((now - timedelta(days=60), now - timedelta(days=30), now)):
        window = Window(since, until)
        found = list(pages(sandbox, kind, None, window))
        assert found[-1].cursor == {"done": True}
        assert list(pages(sandbox, kind, found[-1].cursor, window)) == []
        if len(found) > 1:
            rest = list(pages(sandbox, kind, found[0].cursor, window))
            assert records(found[:1]) + records(rest) == records(found)
        assert all(stamp(since) <= one[field] < stamp(until) for one in records(found))
        seen += [one["native_id"] for one in records(found)]
    assert len(set(seen)) == len(seen)
    assert set(seen) == {name for name, one in everything.items() if one[field] >= stamp(now - timedelta(days=60))}


def test_a_key_that_was_rolled_is_permanent_even_within_a_pull(sandbox: LiveSandbox) -> None:
    running = pages(sandbox, "sale")
    next(running)
    sandbox.state.parts[NAME].expire()
    with pytest.raises(Unauthorized) as caught:
        next(running)
    assert STRIPE_KEY not in str(caught.value)


def test_the_permission_a_restricted_key_lacks_is_named(sandbox: LiveSandbox) -> None:
    settings, credentials = sandbox.connection(NAME)
    source = platform(NAME)
    assert source.check(sandbox.account(settings, credentials)) == []
    lacks = sandbox.state.injected("stripe/lacks")
    lacks.append({"permission": "rak_charge_read"})
    assert source.check(sandbox.account(settings, credentials)) == ["rak_charge_read"]
    with pytest.raises(Forbidden, match="stripe: the restricted key lacks rak_charge_read"):
        list(pages(sandbox, "sale"))
    lacks.append({"permission": "rak_event_read"})
    assert source.check(sandbox.account(settings, credentials)) == ["rak_charge_read", "rak_event_read"]
    assert records(list(pages(sandbox, "contact")))


def test_too_many_requests_a_second_are_ridden_out(sandbox: LiveSandbox) -> None:
    calm = records(list(pages(sandbox, "sale")))
    # Time passes only while the client waits.
    sandbox.state.parts[NAME].second = SlidingWindow(3, 1.0, lambda: sum(sandbox.slept))
    assert records(list(pages(sandbox, "sale"))) == calm
    assert sandbox.slept
    sandbox.state.parts[NAME].second = SlidingWindow(3, 1.0, lambda: 0.0)
    with pytest.raises(RateLimited):
        list(pages(sandbox, "sale"))


def test_a_count_that_is_not_exact_is_none(sandbox: LiveSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, credentials = sandbox.connection(NAME)

    def count() -> int | None:
        return platform(NAME).count(sandbox.account(settings, credentials), "sale")

    assert count() == len(records(list(pages(sandbox, "sale"))))
    monkeypatch.setattr("integrator.platforms.stripe.pull.COUNTED", 100)
    assert count() is None
    sandbox.fault(NAME, 400, path="/search")
    assert count() is None


def test_news_of_each_kind_is_found(sandbox: LiveSandbox) -> None:
    settings, credentials = sandbox.connection(NAME)

    def news(cursors: dict[str, Any]) -> bool:
        return platform(NAME).has_news(sandbox.account(settings, credentials), cursors)

    now = {"since": stamp(sandbox.clock())}
    assert not news({"contact": now, "sale": now})
    assert news({"contact": None, "sale": now})
    assert news({"contact": now, "sale": now | {"after": "ch_1"}})
    sandbox.move(timedelta(seconds=5))
    refund(sandbox, "ch_1", 100)
    assert news({"contact": now, "sale": now})
    assert not news({"contact": now})


def test_the_stand_in_refuses_as_documented(sandbox: LiveSandbox) -> None:
    for path, status, said in (
        ("/v1/charges?limit=101", 400, "Invalid integer"),
        ("/v1/charges?starting_after=ch_x", 400, "No such charge"),
        ("/v1/charges/search?query=amount", 400, "unable to parse"),
        ("/v1/posters", 404, "Unrecognized request URL"),
    ):
        answer = asked(sandbox, path)
        error = answer.json()["error"]
        assert (answer.status_code, error["type"]) == (status, "invalid_request_error")
        assert said in error["message"]
    assert asked(sandbox, "/v1/charges", key="sk_test_other").status_code == 401
    usual = asked(sandbox, "/v1/charges").json()
    assert (len(usual["data"]), usual["has_more"], usual["object"]) == (10, True, "list")
    assert "refunds" not in usual["data"][0], "refunds come only when they are asked for"
    times = [one["created"] for one in asked(sandbox, "/v1/events?limit=100").json()["data"]]
    assert times == sorted(times, reverse=True)
    assert min(times) > (sandbox.clock() - timedelta(days=30)).timestamp()


@pytest.mark.parametrize("body", [[], {}, {"data": {}}, {"data": [{"broken": True}], "has_more": True}])
def test_an_answer_of_another_shape_is_transient(sandbox: LiveSandbox, body: Any) -> None:
    app = FastAPI()
    app.add_api_route("/v1/charges", lambda: body)
    with serving(app) as url:
        found = platform(NAME).pull(sandbox.account({"base_url": url}, {"secret_key": "x"}), "sale", None)
        with pytest.raises(Unavailable, match="stripe: "):
            list(found)


def test_charges_are_the_data(sandbox: LiveSandbox) -> None:
    frame = sandbox.state.frames["counter"]
    assert frame["product"].n_unique() == 40
    assert not set(frame["product"]) & set(sandbox.state.frames["grocer"]["product"])
    rows = frame.filter(frame["rank"] < 605).head(50)
    sales = records(list(pages(sandbox, "sale")))[::-1][:50]
    assert [one["product"] for one in sales] == rows["product"].to_list()
    assert [one["quantity"] for one in sales] == rows["quantity"].to_list()
    totals = [float(one["unit_price"]) * one["quantity"] for one in sales]
    assert totals == pytest.approx([float(total) for total in rows["total"]], abs=0.01)
