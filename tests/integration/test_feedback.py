"""Feedback over HTTP: what is kept, what is refused and why, said twice, and never across tenants."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from integrator.contracts.insight import Interval, Subject, insight_id
from integrator.steps.publish import publish
from integrator.steps.services import Services
from integrator_realtime.app import create_app
from tests.publishing import prediction, put_scored
from tests.pushing import ARRAY, GZIP, NDJSON, caller, is_problem, lines, packed
from tests.serving import serving

DAY = timedelta(days=1)
SUBJECTS = {
    "gala": Subject("event", "gala", "pretix"),
    "north": Subject("series", "north", "pretix"),
    "mug": Subject("product", "mug", "shopify"),
    "lead": Subject("contact", "lead", "hubspot"),
}
USE_CASE = {"gala": "attendance", "north": "attendance", "mug": "pricing", "lead": "lead_score"}


def ins(subject: str, partner: str = "alpha") -> str:
    return insight_id(partner, USE_CASE[subject], SUBJECTS[subject])


@pytest.fixture(scope="module")
def http(services: Services) -> Iterator[httpx.Client]:
    """Published three days ago: an event of yesterday, a series, a product and a lead; of beta another gala."""
    now = services.clock()
    before = now - 3 * DAY
    gala = prediction("gala"), {"at": (now - DAY).isoformat()}
    horizon = [{"at": (before + n * DAY).isoformat(), "p10": 80, "p50": 90, "p90": 99} for n in range(1, 5)]
    north = prediction("north", 90, subject=SUBJECTS["north"], details={"horizon": horizon}), {"occurrences": []}
    for partner in ("alpha", "beta"):
        entries = [gala, north] if partner == "alpha" else [gala]
        put_scored(
            services, partner, [entry for entry, _ in entries], position=1, at=before,
            feature_rows=[row for _, row in entries],
        )  # fmt: skip
        publish(services, partner, "attendance", run_id="run-1")
    mug = prediction("mug", 12.5, subject=SUBJECTS["mug"], unit="EUR", interval=Interval(0.8, 12, 13))
    put_scored(services, "alpha", [mug], position=1, at=before, use_case="pricing")
    publish(services, "alpha", "pricing", run_id="run-1")
    lead = prediction("lead", 0.2, subject=SUBJECTS["lead"], unit="probability", interval=Interval(0.8, 0.1, 0.3))
    put_scored(services, "alpha", [lead], position=1, at=before, use_case="lead_score")
    publish(services, "alpha", "lead_score", run_id="run-1")
    with serving(create_app(services)) as url, httpx.Client(base_url=url) as client:
        yield client


@pytest.fixture(scope="module")
def alpha(http: httpx.Client, services: Services) -> dict[str, str]:
    return caller(http, services, "alpha", "feedback:write")


@pytest.fixture(scope="module")
def beta(http: httpx.Client, services: Services) -> dict[str, str]:
    return caller(http, services, "beta", "feedback:write events:write")


@pytest.fixture(autouse=True)
def _empty(services: Services) -> None:
    with services.database.batch() as connection:
        connection.execute(text("delete from metrics.outcome"))
        connection.execute(text("delete from metrics.decision"))


def give(http: httpx.Client, who: dict[str, str], *items: Any) -> dict[str, Any]:
    answer = http.post("/v1/feedback", json=list(items), headers=who)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def kept(services: Services, partner: str = "alpha", table: str = "outcome") -> list[Any]:
    with services.database.partner(partner) as connection:
        rows = connection.execute(text(f"select * from metrics.{table} where partner = :partner"), {"partner": partner})
        return list(rows.all())


def reasons(body: dict[str, Any]) -> list[tuple[int, str | None, str | None]]:
    return [(error["index"], error["field"], error["value"]) for error in body["errors"]]


def test_each_use_case_says_what_happened(
    http: httpx.Client, services: Services, alpha: dict[str, str], now: datetime
) -> None:
    week_ago, hour_ago = (now - 7 * DAY).isoformat(), (now - timedelta(hours=1)).isoformat()
    body = give(
        http, alpha,
        {"id": ins("gala"), "actual": 870},
        {"use_case": "pricing", "subject": {"kind": "product", "id": "mug", "platform": "shopify"},
         "price_taken": "12.50", "quantity": 40, "from": week_ago, "to": now.isoformat()},
        {"use_case": "lead_score", "subject_id": "lead", "platform": "hubspot", "converted": True, "at": hour_ago},
    )  # fmt: skip
    assert body == {"accepted": 3, "unchanged": 0, "errors": []}
    found = {row.subject_id: row for row in kept(services)}
    assert (found["gala"].value, found["gala"].happened_at, found["gala"].source) == (870, now - DAY, "api")
    assert (found["mug"].value, str(found["mug"].price), found["mug"].currency) == (40, "12.50", "EUR")
    assert (found["mug"].begins_at, found["mug"].happened_at) == (now - 7 * DAY, now)
    assert found["lead"].value == 1 and found["lead"].platform == "hubspot"


def test_said_again_changes_nothing_and_another_value_is_the_last_word(
    http: httpx.Client, services: Services, alpha: dict[str, str], now: datetime
) -> None:
    item = {"id": ins("gala"), "actual": 870, "at": (now - DAY).isoformat()}
    assert give(http, alpha, item)["accepted"] == 1
    first = kept(services)
    assert give(http, alpha, item) == {"accepted": 0, "unchanged": 1, "errors": []}
    assert kept(services) == first
    assert give(http, alpha, {**item, "actual": 880})["accepted"] == 1
    both = give(http, alpha, {**item, "actual": 1}, {**item, "actual": 880})
    assert (both["accepted"], both["unchanged"]) == (0, 2)
    assert [row.value for row in kept(services)] == [880] and kept(services)[0].joined_at is None


def test_an_event_knows_when_it_began_and_a_series_date_may_be_said_loosely(
    http: httpx.Client, services: Services, alpha: dict[str, str], now: datetime
) -> None:
    morning = (now - DAY).replace(hour=6)
    give(http, alpha, {"id": ins("gala"), "actual": 870, "at": (now - timedelta(hours=2)).isoformat()},
         {"id": ins("north"), "actual": 88, "at": morning.isoformat()})  # fmt: skip
    assert [row.happened_at for row in kept(services)] == [now - DAY, now - DAY]


def test_decisions_stand_by_version(http: httpx.Client, services: Services, alpha: dict[str, str]) -> None:
    said = {"id": ins("mug"), "decision": "rejected", "reason_code": "brand_policy"}
    assert give(http, alpha, said, {"id": ins("gala"), "insight_version": 1, "decision": "accepted", "actual": 5})
    found = {row.subject_id: row for row in kept(services, table="decision")}
    assert (found["mug"].decision, found["mug"].reason_code, found["mug"].insight_version) == (
        "rejected", "brand_policy", 1,
    )  # fmt: skip
    assert found["gala"].decision == "accepted" and len(kept(services)) == 1
    assert give(http, alpha, said)["unchanged"] == 1
    assert give(http, alpha, {**said, "decision": "accepted"})["accepted"] == 1


def test_bad_items_are_named_one_by_one_and_good_ones_count(
    http: httpx.Client, services: Services, alpha: dict[str, str], now: datetime
) -> None:
    ahead, good = (now + DAY).isoformat(), {"id": ins("gala"), "actual": 870}
    cases: list[tuple[dict[str, Any], str | None, str | None]] = [
        ({"id": "ins_unknown", "actual": 1}, "id", "ins_unknown"),
        ({"id": ins("gala", "beta"), "actual": 1}, "id", ins("gala", "beta")),
        ({"id": ins("gala"), "insight_version": 9, "actual": 1}, "insight_version", "9"),
        ({"id": ins("gala"), "converted": True}, "converted", "True"),
        ({"id": ins("gala"), "use_case": "pricing", "actual": 1}, "use_case", "pricing"),
        ({"id": ins("gala"), "actual": -1}, "actual", "-1"),
        ({"id": ins("gala"), "actual": "870"}, "actual", "870"),
        ({"id": ins("gala")}, None, None),
        ({"id": ins("north"), "actual": 3}, "at", None),
        ({"id": ins("north"), "actual": 3, "at": ahead}, "at", ahead),
        ({"id": ins("lead"), "converted": True, "at": "2026-01-01T00:00:00"}, "at", "2026-01-01T00:00:00"),
        ({"id": ins("mug"), "quantity": 3, "at": now.isoformat()}, "price_taken", None),
        ({"id": ins("mug"), "price_taken": 0, "at": now.isoformat()}, "price_taken", "0"),
        ({"id": ins("mug"), "price_taken": 3}, "at", None),
        ({"id": ins("mug"), "price_taken": 3, "from": now.isoformat()}, "to", None),
        ({"id": ins("mug"), "price_taken": 3, "at": now.isoformat(), "currency": "USD"}, "currency", "USD"),
        ({"id": ins("mug"), "decision": "perhaps"}, "decision", "perhaps"),
        ({"id": ins("mug"), "decision": "rejected", "reason_code": "Because I say so"}, "reason_code", "Because I say so"),
        ({"use_case": "lead_score", "subject_id": "ada@example.org", "converted": True}, "subject_id", None),
        ({"use_case": "attendance", "subject_id": "nobody", "actual": 1}, "subject_id", "nobody"),
        ({"subject_id": "gala", "actual": 1}, "use_case", None),
        ({"actual": 1}, "id", None),
        ({"id": ins("gala"), "actual": 1, "comment": "Ada was there"}, "comment", "Ada was there"),
    ]  # fmt: skip
    body = give(http, alpha, *(item for item, _, _ in cases), good)
    assert reasons(body) == [(number, name, value) for number, (_, name, value) in enumerate(cases)]
    assert all(error["reason"] for error in body["errors"]) and "ada@" not in json.dumps(body)
    assert "allowed: at, actual" in body["errors"][3]["reason"] and "allowed: EUR" in body["errors"][15]["reason"]
    assert body["accepted"] == 1 and [row.subject_id for row in kept(services)] == ["gala"]


def test_ambiguous_subjects_are_told_apart(http: httpx.Client, services: Services, alpha: dict[str, str]) -> None:
    twin = prediction("gala", subject=Subject("event", "gala", "eventbrite"))
    row = {"at": (services.clock() - DAY).isoformat()}
    put_scored(services, "alpha", [prediction("gala"), twin], position=2, at=services.clock(), feature_rows=[row, row])
    publish(services, "alpha", "attendance", run_id="run-2")
    item = {"use_case": "attendance", "subject_id": "gala", "actual": 3}
    body = give(http, alpha, item, {**item, "platform": "eventbrite"})
    assert (
        reasons(body) == [(0, "subject_id", "gala")]
        and "eventbrite (event), pretix (event)" in body["errors"][0]["reason"]
    )
    assert [row.platform for row in kept(services)] == ["eventbrite"]


def test_lines_gzip_and_the_key_of_an_answer(http: httpx.Client, services: Services, alpha: dict[str, str]) -> None:
    body = lines({"id": ins("gala"), "actual": 1}, "", "{broken", {"id": "ins_x", "actual": 1})
    head = {**alpha, **NDJSON, "Idempotency-Key": "feedback-1"}
    first = http.post("/v1/feedback", content=packed(body), headers={**head, **GZIP})
    assert reasons(first.json()) == [(2, None, None), (3, "id", "ins_x")] and first.json()["accepted"] == 1
    again = http.post("/v1/feedback", content=body, headers=head)
    assert again.json() == first.json() and again.headers["idempotent-replayed"] == "true"
    other = http.post("/v1/feedback", content=lines({"id": "ins_y", "actual": 1}), headers=head)
    is_problem(other, 422, "idempotency-key-reused")


def test_bodies_that_cannot_be_taken(http: httpx.Client, alpha: dict[str, str]) -> None:
    def send(content: bytes, **headers: str) -> httpx.Response:
        return http.post("/v1/feedback", content=content, headers={**alpha, **ARRAY, **headers})

    is_problem(send(b"{}"), 422, "invalid-input")
    is_problem(send(b"  "), 400, "empty-body")
    is_problem(send(b"[]", **{"Content-Type": "text/csv"}), 415, "unsupported-media-type")
    is_problem(send(b"[]", **GZIP), 400, "broken-encoding")
    is_problem(send(b"[" + b"1," * 10_000 + b"1]"), 413, "too-many-records")
    assert send(b"[]").json() == {"accepted": 0, "unchanged": 0, "errors": []}


def test_a_tenant_speaks_of_its_own_insights_alone(
    http: httpx.Client, services: Services, alpha: dict[str, str], beta: dict[str, str]
) -> None:
    give(http, alpha, {"id": ins("gala"), "actual": 870}, {"id": ins("mug"), "decision": "accepted"})
    before = kept(services), kept(services, table="decision")
    body = give(http, beta, {"id": ins("gala"), "actual": 1}, {"id": ins("mug"), "decision": "rejected"},
                {"use_case": "pricing", "subject_id": "mug", "decision": "rejected"},
                {"use_case": "attendance", "subject_id": "gala", "actual": 5})  # fmt: skip
    assert [field for _, field, _ in reasons(body)] == ["id", "id", "subject_id"] and body["accepted"] == 1
    assert (kept(services), kept(services, table="decision")) == before
    assert [row.value for row in kept(services, "beta")] == [5]


def test_who_may_and_what_is_logged(http: httpx.Client, services: Services, beta: dict[str, str]) -> None:
    is_problem(http.post("/v1/feedback", json=[]), 401, "unauthorized")
    reader = caller(http, services, "beta", "insights:read")
    assert (
        "feedback:write" in is_problem(http.post("/v1/feedback", json=[], headers=reader), 403, "forbidden")["detail"]
    )
    give(http, beta, {"use_case": "attendance", "subject_id": "gala", "actual": 5})
    counted = http.get("/metrics").text
    assert 'integrator_feedback_total{outcome="accepted"}' in counted
    operation = http.get("/openapi.json").json()["paths"]["/v1/feedback"]["post"]
    assert operation["security"][0] == {"oauth": ["feedback:write"]}
