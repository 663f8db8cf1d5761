"""Eventbrite's own ways against its stand-in: continuations, what is no longer shown, late scanners, the hour's budget."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
import requests
from fastapi import FastAPI

from integrator.contracts.errors import Forbidden, RateLimited, Unauthorized, Unavailable
from integrator.contracts.records import KINDS
from integrator.contracts.validation import read_record
from integrator.platforms.base import Cursor, Page, Window
from integrator.platforms.registry import platform
from integrator_sandbox.demo import EVENTBRITE_TOKEN, FAIRS
from integrator_sandbox.limits import SlidingWindow
from tests.serving import serving

if TYPE_CHECKING:
    from tests.contract.conftest import LiveSandbox

NAME = "eventbrite"
AUTHORIZATION = {"Authorization": f"Bearer {EVENTBRITE_TOKEN}"}


def pages(
    sandbox: LiveSandbox, kind: str, cursor: Cursor | None = None, window: Window | None = None
) -> Iterator[Page]:
    settings, credentials = sandbox.connection(NAME)
    source = platform(NAME)
    return source.pull(sandbox.account(settings, credentials), kind, cursor, window)


def records(found: list[Page]) -> list[dict[str, Any]]:
    return [record for page in found for record in page.records]


def asked(sandbox: LiveSandbox, path: str, **params: Any) -> requests.Response:
    return requests.get(f"{sandbox.url}/eventbrite{path}", params=params, headers=AUTHORIZATION, timeout=10)


def count(sandbox: LiveSandbox, kind: str) -> int | None:
    settings, credentials = sandbox.connection(NAME)
    return platform(NAME).count(sandbox.account(settings, credentials), kind)


def missing(sandbox: LiveSandbox) -> list[str]:
    settings, credentials = sandbox.connection(NAME)
    return platform(NAME).check(sandbox.account(settings, credentials))


@pytest.mark.parametrize("kind", ["event", "contact", "sale"])
def test_every_record_can_land_and_none_comes_twice(sandbox: LiveSandbox, kind: str) -> None:
    found = records(list(pages(sandbox, kind)))
    assert {read_record(kind, record).kind for record in found} == {KINDS[kind].kind}
    assert len({(one["native_id"], one["updated_at"]) for one in found}) == len(found)
    assert len({one["native_id"] for one in found}) == count(sandbox, kind)
    for one in found:
        assert not {"email", "phone", "name"} & set(one.get("attributes", {}))


@pytest.mark.parametrize("kind", ["contact", "sale"])
def test_a_crash_at_any_page_resumes_there(sandbox: LiveSandbox, kind: str) -> None:
    whole = list(pages(sandbox, kind))
    assert len(whole) > 5
    for stop in (0, len(whole) // 2, len(whole) - 2):
        rest = list(pages(sandbox, kind, whole[stop].cursor))
        assert records(whole[: stop + 1]) + records(rest) == records(whole)


def test_what_changed_overlaps_and_is_the_same(sandbox: LiveSandbox) -> None:
    before = list(pages(sandbox, "sale"))
    sandbox.move(timedelta(days=1))
    after = list(pages(sandbox, "sale", before[-1].cursor))
    assert records(after)
    assert records(before) + records(after) == records(list(pages(sandbox, "sale")))
    noon = max(one["sold_at"] for one in records(after))
    again = list(pages(sandbox, "sale", {"since": noon}))
    assert records(again)
    assert {one["native_id"] for one in records(again)} <= {one["native_id"] for one in records(after)}


def test_attendance_is_how_many_were_scanned_and_known_from_the_end_on(sandbox: LiveSandbox) -> None:
    found = records(list(pages(sandbox, "event")))
    tickets = [one["event_id"] for one in records(list(pages(sandbox, "sale")))]
    over = [one for one in found if one["status"] == "completed"]
    assert over
    assert all(one["attendance"] == tickets.count(one["native_id"]) for one in over)
    assert all(one["attendance"] is None for one in found if one["status"] == "scheduled")
    assert all(one["updated_at"] >= one["ends_at"] for one in over)


def test_a_ticket_scanned_late_counts_its_event_again(sandbox: LiveSandbox) -> None:
    found = list(pages(sandbox, "event"))
    event = next(one for one in records(found) if one["status"] == "completed")
    sandbox.move(timedelta(hours=3))
    late = {"id": "1", "event_id": event["native_id"], "status": "Checked In", "checked_in": True}
    sandbox.state.injected("eventbrite/attendees").append(late | {"changed": sandbox.clock().isoformat()})
    again = [one for one in records(list(pages(sandbox, "event", found[-1].cursor))) if one["status"] == "completed"]
    assert [one["native_id"] for one in again] == [event["native_id"]]
    assert again[0]["attendance"] == event["attendance"] + 1
    assert again[0]["updated_at"] == event["updated_at"]


def test_a_refund_is_a_second_version(sandbox: LiveSandbox) -> None:
    before = list(pages(sandbox, "sale"))
    ticket = records(before)[7]
    sandbox.move(timedelta(hours=2))
    at = sandbox.clock().strftime("%Y-%m-%dT%H:%M:%SZ")
    sandbox.state.injected("eventbrite/refunds").append({"attendee": ticket["native_id"], "at": at})
    sold, back = records(list(pages(sandbox, "sale", before[-1].cursor)))
    assert sold == ticket
    assert (back["status"], back["updated_at"], back["refunded_amount"]) == ("refunded", at, ticket["unit_price"])


def test_what_is_no_longer_shown_is_missing_from_the_listing(sandbox: LiveSandbox) -> None:
    first = list(pages(sandbox, "event"))
    assert [page.listing is not None for page in first] == [False] * (len(first) - 1) + [True]
    listed = first[-1].listing
    assert listed is not None
    assert listed.ids == {one["native_id"] for one in records(first)}
    gone = min(listed.ids)
    lever = {"platform": NAME, "ids": [gone]}
    assert requests.post(f"{sandbox.url}/_sandbox/removed", json=lever, timeout=10).status_code == 204
    again = list(pages(sandbox, "event", first[-1].cursor))[-1].listing
    assert again is not None
    assert (again.scope, listed.ids - again.ids) == (listed.scope, frozenset({gone}))


def test_a_list_that_was_not_seen_whole_is_no_listing(sandbox: LiveSandbox) -> None:
    first = next(pages(sandbox, "event"))
    assert list(pages(sandbox, "event", first.cursor))[-1].listing is None
    window = Window(sandbox.clock() - timedelta(days=9), sandbox.clock())
    assert all(page.listing is None for page in pages(sandbox, "event", window=window))
    assert all(page.listing is None for page in pages(sandbox, "sale"))


def test_drafts_and_parents_of_series_are_not_read(sandbox: LiveSandbox) -> None:
    whole = list(pages(sandbox, "event"))
    parent = {"id": "1", "is_series_parent": True, "status": "live"}
    sandbox.state.injected(NAME).extend([parent, {"id": "2", "status": "draft"}])
    assert list(pages(sandbox, "event")) == whole


@pytest.mark.parametrize("kind", ["event", "contact", "sale"])
def test_a_backfill_reads_its_window_resumes_and_ends(sandbox: LiveSandbox, kind: str) -> None:
    now = sandbox.clock()
    span = [now - timedelta(days=40), now - timedelta(days=20), now]
    everything = {(one["native_id"], one["updated_at"]) for one in records(list(pages(sandbox, kind)))}
    seen: set[tuple[str, str]] = set()
    for since, until in pairwise(span):
        window = Window(since, until)
        found = list(pages(sandbox, kind, window=window))
        assert found[-1].cursor == {"done": True}
        assert list(pages(sandbox, kind, found[-1].cursor, window)) == []
        assert records(found[:1]) + records(list(pages(sandbox, kind, found[0].cursor, window))) == records(found)
        keys = {(one["native_id"], one["updated_at"]) for one in records(found)}
        assert keys <= everything
        if kind != "event":
            assert not keys & seen
            assert all(since.isoformat() <= at < until.isoformat() for _, at in keys)
        seen |= keys
    assert seen


def test_a_continuation_that_is_too_old_starts_over(sandbox: LiveSandbox) -> None:
    whole = list(pages(sandbox, "sale"))
    stale = whole[1].cursor | {"continuation": "!!!!"}
    assert records(list(pages(sandbox, "sale", stale))) == records(whole)


def test_a_token_taken_back_is_permanent_even_within_a_pull(sandbox: LiveSandbox) -> None:
    running = pages(sandbox, "sale")
    next(running)
    sandbox.state.parts[NAME].expire()
    with pytest.raises(Unauthorized):
        next(running)


def test_the_hours_budget_ends_a_pull_and_says_when_to_come_back(sandbox: LiveSandbox) -> None:
    sandbox.state.parts[NAME].hourly = SlidingWindow(3, 3600.0)
    running = pages(sandbox, "sale")
    found = [next(running) for _ in range(2)]
    with pytest.raises(RateLimited) as caught:
        list(running)
    assert caught.value.retry_after is not None
    assert caught.value.retry_after > 3500
    assert sandbox.slept == []
    sandbox.state.parts[NAME].reset()
    rest = list(pages(sandbox, "sale", found[-1].cursor))
    assert records(found) + records(rest) == records(list(pages(sandbox, "sale")))


def test_check_names_what_may_not_be_seen(sandbox: LiveSandbox) -> None:
    assert missing(sandbox) == []
    sandbox.fault(NAME, 403, path="/orders/")
    assert missing(sandbox) == ["access to orders"]
    settings, credentials = sandbox.connection(NAME)
    other = settings | {"organization": "5"}
    found = platform(NAME).check(sandbox.account(other, credentials))
    assert found == ["access to events", "access to orders", "access to attendees"]
    with pytest.raises(Forbidden):
        list(platform(NAME).pull(sandbox.account(other, credentials), "event", None))


def test_news_of_each_kind_is_found(sandbox: LiveSandbox) -> None:
    settings, credentials = sandbox.connection(NAME)

    def news(cursors: dict[str, Any]) -> bool:
        return platform(NAME).has_news(sandbox.account(settings, credentials), cursors)

    now = {"since": sandbox.clock().isoformat()}
    assert not news({"event": now, "contact": now, "sale": now})
    assert news({"event": None, "contact": now, "sale": now})
    assert news({"event": now, "contact": now | {"continuation": "x"}, "sale": now})
    sandbox.state.injected(NAME).append({"id": "1", "status": "live"})
    assert not news({"event": now})
    at = (sandbox.clock() + timedelta(seconds=1)).isoformat()
    sandbox.state.injected("eventbrite/orders").append({"id": "1", "changed": at})
    assert news({"contact": now})


def test_the_stand_in_refuses_as_documented(sandbox: LiveSandbox) -> None:
    refused = requests.get(f"{sandbox.url}/eventbrite/organizations/{FAIRS}/events/", timeout=10)
    assert (refused.status_code, refused.json()["error"]) == (401, "INVALID_AUTH")
    body = asked(sandbox, f"/organizations/{FAIRS}/attendees/")
    assert body.json()["pagination"].keys() == {
        "object_count", "page_number", "page_size", "page_count", "has_more_items", "continuation",
    }  # fmt: skip
    assert "reset=" in body.headers["x-rate-limit"]
    for path, status, error in (
        (f"/organizations/{FAIRS}/attendees/?changed_since=yesterday", 400, "ARGUMENTS_ERROR"),
        (f"/organizations/{FAIRS}/attendees/?continuation=%21%21%21", 400, "BAD_CONTINUATION_TOKEN"),
        (f"/organizations/{FAIRS}/posters/", 404, "NOT_FOUND"),
        ("/organizations/1/events/", 403, "NOT_AUTHORIZED"),
    ):
        answer = asked(sandbox, path)
        assert (answer.status_code, answer.json()["error"]) == (status, error)
    plain = asked(sandbox, f"/organizations/{FAIRS}/events/").json()["events"][0]
    assert "venue" not in plain
    sandbox.state.parts[NAME].hourly = SlidingWindow(1, 3600.0)
    asked(sandbox, f"/organizations/{FAIRS}/events/")
    over = asked(sandbox, f"/organizations/{FAIRS}/events/")
    assert (over.status_code, over.json()["error"]) == (429, "HIT_RATE_LIMIT")


def test_events_and_tickets_are_the_data(sandbox: LiveSandbox) -> None:
    frame = sandbox.state.frames["fairs"]
    assert sorted(set(frame["district"])) == ["105", "106"]
    visits = frame.group_by("district", "day").len()
    assert visits.height > 200
    sandbox.move(timedelta(days=40))
    found = [one for one in records(list(pages(sandbox, "event"))) if one["status"] == "completed"]
    kept = visits.filter(visits["day"].is_in(frame["day"].unique().sort().tail(60).implode()))
    assert sorted(one["attendance"] for one in found) == sorted(kept["len"].to_list())
    prices = [float(one["unit_price"]) for one in records(list(pages(sandbox, "sale")))]
    assert prices == [float(total) for total in frame["total"].tail(len(prices))]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ([], "did not answer with a list"),
        ({"attendees": [], "pagination": None}, "did not answer with a list"),
        ({"orders": [], "pagination": {}}, "did not answer with a list"),
        ({"attendees": [], "pagination": {"has_more_items": True}}, "does not say where"),
    ],
)
def test_an_answer_of_another_shape_is_transient(sandbox: LiveSandbox, body: Any, said: str) -> None:
    app = FastAPI()
    app.add_api_route("/organizations/1/attendees/", lambda: body)
    with serving(app) as url:
        settings = {"base_url": url, "organization": "1"}
        found = platform(NAME).pull(sandbox.account(settings, {"access_token": "x"}), "sale", None)  # fmt: skip
        with pytest.raises(Unavailable, match=said):
            list(found)


def test_the_code_flow_gives_a_token_that_opens_the_account(sandbox: LiveSandbox) -> None:
    oauth = platform(NAME).spec.oauth
    assert oauth is not None
    assert oauth.authorize.format(**oauth.defaults) == "https://www.eventbrite.com/oauth/authorize"
    settings, _ = sandbox.connection(NAME)
    back = "https://host.example/back"
    query = {"response_type": "code", "client_id": "sandbox-client", "redirect_uri": back, "state": "s1"}
    page = requests.get(oauth.authorize.format(**settings), params=query, allow_redirects=False, timeout=10)
    where = page.headers["Location"]
    assert where.startswith(f"{back}?code=")
    assert where.endswith("state=s1")
    code = where.split("code=")[1].split("&")[0]
    form = {"grant_type": "authorization_code", "client_id": "sandbox-client", "client_secret": "sandbox-secret"}
    form |= {"code": code, "redirect_uri": back}
    token = oauth.token.format(**settings)
    answer = requests.post(token, data=form, timeout=10).json()
    kept = {name: answer[field] for name, field in oauth.keeps.items()}
    assert platform(NAME).check(sandbox.account(settings, kept)) == []
    assert requests.post(token, data=form, timeout=10).status_code == 400
