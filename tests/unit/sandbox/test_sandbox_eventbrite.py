"""The Eventbrite stand-in in the test's process, over three days of hand-made visits."""

import base64
import hashlib
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from fastapi import FastAPI

from integrator_sandbox import eventbrite
from integrator_sandbox.demo import EVENTBRITE_CLIENT, EVENTBRITE_TOKEN, FAIRS
from integrator_sandbox.eventbrite_fairs import Fairs
from integrator_sandbox.limits import SlidingWindow
from integrator_sandbox.state import Sandbox, Subset
from tests.asgi import Direct

NOW = datetime(2026, 3, 16, 20, 0, tzinfo=UTC)
VISITS = (("105", 3, 120), ("106", 1, 60))
BACK = "https://host.example/back"


def sandbox(home: Path, **subset: int) -> Sandbox:
    """Forty days up to two weeks after now: each day three visits from one district and one from another."""
    made = Sandbox(home, NOW, Subset(**subset))
    last = date(2001, 2, 28)
    rows = [
        (last - timedelta(days=back), district, f"c{number}", total)
        for back in range(39, -1, -1)
        for district, count, total in VISITS
        for number in range(count)
    ]
    frame = pl.DataFrame(rows, schema=["day", "district", "customer", "total"], orient="row")
    made.__dict__["frames"] = {"fairs": frame}
    return made


@pytest.fixture
def stand(tmp_path: Path) -> eventbrite.Eventbrite:
    return eventbrite.Eventbrite(sandbox(tmp_path))


@pytest.fixture
def api(stand: eventbrite.Eventbrite) -> Direct:
    app = FastAPI()
    app.include_router(eventbrite.router(stand))
    return Direct(app)


def listed(api: Direct, name: str, **params: Any) -> dict[str, Any]:
    answer = api.get(f"/eventbrite/organizations/{FAIRS}/{name}/", params=params)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def test_continuations_reach_everything_once(api: Direct, stand: eventbrite.Eventbrite) -> None:
    found: list[str] = []
    body = listed(api, "attendees")
    while True:
        found += [one["id"] for one in body["attendees"]]
        told = body["pagination"]
        if not told["has_more_items"]:
            break
        assert len(body["attendees"]) == told["page_size"] == 50
        body = listed(api, "attendees", continuation=told["continuation"])
    assert len(found) == len(set(found)) == told["object_count"] == len(stand.fairs.attendees())
    assert "continuation" not in told


def test_events_are_days_and_follow_the_clock(stand: eventbrite.Eventbrite) -> None:
    events = stand.fairs.events()
    assert len(events) == 80
    over = {one["id"] for one in events if one["status"] == "completed"}
    live = [one for one in events if one["status"] == "live"]
    assert all(one["end"]["utc"] <= "2026-03-16T20:00:00Z" for one in events if one["id"] in over)
    assert 20 <= len(live) <= 36
    assert {one["event_id"] for one in stand.fairs.attendees()} == over
    before = len(over)
    stand.fairs.sandbox.fixed = NOW + timedelta(days=1)
    assert sum(one["status"] == "completed" for one in stand.fairs.events()) == before + 2
    stand.fairs.sandbox.fixed = NOW - timedelta(days=400)
    assert stand.fairs.events() == []
    assert stand.fairs.orders() == []


def test_a_subset_is_the_latest_days(tmp_path: Path) -> None:
    assert len(Fairs(sandbox(tmp_path, days=20)).events()) == 40


def test_filters(api: Direct, stand: eventbrite.Eventbrite) -> None:
    newest = max(one["changed"] for one in stand.fairs.attendees())
    assert listed(api, "attendees", changed_since=newest)["pagination"]["object_count"] == 4
    assert listed(api, "orders", changed_since="2027-01-01T00:00:00Z")["orders"] == []
    statuses = {one["status"] for one in listed(api, "events", status="live,started")["events"]}
    assert statuses == {"live"}
    ticket = stand.fairs.attendees()[0]
    stand.fairs.sandbox.injected("eventbrite/refunds").append({"attendee": ticket["id"], "at": newest})
    of_event = api.get(f"/eventbrite/events/{ticket['event_id']}/attendees/", params={"status": "attending"})
    assert of_event.json()["pagination"]["object_count"] == 2
    (back,) = [one for one in stand.fairs.attendees() if one["refunded"]]
    assert (back["status"], back["checked_in"], back["changed"]) == ("Not Attending", False, newest)


def test_what_is_expanded_has_to_be_asked_for(api: Direct) -> None:
    assert "venue" not in listed(api, "events")["events"][0]
    assert listed(api, "events", expand="venue,category")["events"][0]["venue"]["name"] == "Ta-Feng"


def test_a_token_or_the_budget_is_refused_at_the_gate(stand: eventbrite.Eventbrite) -> None:
    path = f"/eventbrite/organizations/{FAIRS}/events/"
    assert stand.rule(path, f"Bearer {EVENTBRITE_TOKEN}") is None
    refused = stand.rule(path, "Bearer other")
    assert refused is not None
    assert refused[0] == 401
    assert stand.rule("/eventbrite/oauth/token", "") is None
    stand.hourly = SlidingWindow(0, 3600.0)
    stand.hourly._times.append(stand.hourly._monotonic())
    over = stand.rule(path, f"Bearer {EVENTBRITE_TOKEN}")
    assert over is not None
    assert (over[0], over[2]["error"]) == (429, "HIT_RATE_LIMIT")
    assert over[1]["x-rate-limit"].endswith("reset=3600s")
    stand.expire()
    expired = stand.rule(path, f"Bearer {EVENTBRITE_TOKEN}")
    assert expired is not None
    assert expired[0] == 401


def challenge(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


@pytest.mark.parametrize(("verifier", "status"), [("v" * 43, 200), ("w" * 43, 400)])
def test_a_code_asked_for_with_a_challenge_needs_its_verifier(api: Direct, verifier: str, status: int) -> None:
    query = {"response_type": "code", "client_id": EVENTBRITE_CLIENT["client_id"], "redirect_uri": BACK, "state": "s"}
    query |= {"code_challenge": challenge("v" * 43), "code_challenge_method": "S256"}
    where = api.get("/eventbrite/oauth/authorize", params=query).headers["location"]
    code = where.split("code=")[1].split("&")[0]
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": BACK, "code_verifier": verifier}
    answer = api.post("/eventbrite/oauth/token", data=form | EVENTBRITE_CLIENT)
    assert answer.status_code == status
    assert api.post("/eventbrite/oauth/token", data=form | EVENTBRITE_CLIENT).status_code == 400


def test_an_unknown_client_gets_no_code(api: Direct) -> None:
    assert api.get("/eventbrite/oauth/authorize", params={"client_id": "x"}).status_code == 400
