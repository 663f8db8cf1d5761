"""Live scores over HTTP: what is known laid under what is said, explained, logged, reproduced; tenants and persons kept apart.

All of it stands on one installation, whose models take a while to train: leads with a champion, a shop with one, and
events that go by the rule.
"""

import asyncio
import gzip
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

import httpx
import msgspec
import pytest
from sqlalchemy import text

from integrator.contracts.errors import Unavailable
from integrator.contracts.insight import parse
from integrator.security import clients
from integrator.settings import Settings
from integrator.steps.champions import Champions
from integrator.steps.explain import explain
from integrator.steps.live_models import Held
from integrator.steps.live_score import Outcome, score_now
from integrator.steps.publish import publish
from integrator.steps.score import score
from integrator.steps.services import Services
from integrator.steps.train import train
from integrator.storage import inferences, insights
from integrator.storage.partners import Partner, register
from integrator_realtime import bodies
from integrator_realtime.app import create_app
from integrator_realtime.routes import score as routes_score
from models.base import TrainConfig
from models.lead_score.live import LiveLeads
from tests.attendance_frames import TODAY, arena
from tests.feature_tables import put
from tests.integration import attendance_features
from tests.integration.lead_features import MOMENT, make_relations, put_leads
from tests.lead_frames import leads
from tests.pricing_frames import shop
from tests.serving import serving

SOLD_UNTIL = datetime(2026, 1, 26, tzinfo=UTC)
MONDAY = TODAY + timedelta(days=7)
PATH = "/v1/score/lead_score"
TRAVEL = Partner(partner="travel", timezone="UTC", currency="USD", region="US")
VENUE = Partner(partner="venue", timezone="Europe/London", currency="TWD", region="GB-ENG")
WEST = Partner(partner="west", timezone="America/New_York", currency="USD", region="US")
STRICT = Partner(partner="strict", timezone="UTC", currency="USD", region="US", default_processing="denied")


@pytest.fixture(scope="module")
def installation(database: Any, server: Any, tmp_path_factory: pytest.TempPathFactory) -> Services:
    """Travel scores leads; venue has events and prices; strict has nothing but a registration."""
    made = Services(Settings(home=tmp_path_factory.mktemp("home")), database, server.redis_url, lambda: MOMENT)
    make_relations(made)
    for partner in (TRAVEL, STRICT, VENUE, WEST):
        register(database, partner, MOMENT)
    put_leads(made, "travel", leads())
    assert train(made, "travel", "lead_score", TrainConfig(candidates=("logistic",)), run_id="t-1").promoted
    score(made, "travel", "lead_score", run_id="s-1")
    publish(made, "travel", "lead_score", run_id="s-1")
    attendance_features.make_relations(made)
    attendance_features.put_features(made, 5, arena(), partner="venue")
    for relation in ("pricing", "pricing_training"):
        put(database, relation, "venue", shop(products=6), at=SOLD_UNTIL, position=5)
    assert train(made, "venue", "pricing", TrainConfig(), run_id="t").promoted
    for use_case in ("attendance", "pricing"):
        score(made, "venue", use_case, run_id="s")
        publish(made, "venue", use_case, run_id="s")
    return made


@pytest.fixture(scope="module")
def http(installation: Services) -> Iterator[httpx.Client]:
    with serving(create_app(installation, issuer="http://127.0.0.1:8080")) as url, httpx.Client(base_url=url) as client:
        yield client


@pytest.fixture(scope="module")
def travel(installation: Services, http: httpx.Client) -> dict[str, str]:
    return bearer(installation, http, "travel", "score:write insights:read")


@pytest.fixture(scope="module")
def venue(installation: Services, http: httpx.Client) -> dict[str, str]:
    return bearer(installation, http, "venue", "score:write insights:read")


@pytest.fixture(scope="module")
def west(installation: Services, http: httpx.Client) -> dict[str, str]:
    return bearer(installation, http, "west", "score:write")


@pytest.fixture(scope="module")
def known(installation: Services) -> dict[str, Any]:
    """A published lead score, as its document."""
    with installation.database.partner("travel") as connection:
        return dict(json.loads(insights.current(connection, "travel", "lead_score")[0].document))


def bearer(services: Services, http: httpx.Client, partner: str, scopes: str) -> dict[str, str]:
    made = clients.create(services.database, partner, scopes, services.clock())
    answer = http.post(
        "/oauth/token", data={"grant_type": "client_credentials"}, auth=(made.client_id, str(made.client_secret))
    )
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def ask(http: httpx.Client, headers: dict[str, str], body: Any, status: int = 200, path: str = PATH) -> Any:
    answer = http.post(path, json=body, headers=headers)
    assert answer.status_code == status, answer.text
    return answer.json()


def test_a_known_lead_without_anything_said_scores_as_published(
    http: httpx.Client, travel: dict[str, str], known: dict[str, Any]
) -> None:
    found = ask(http, travel, {"subject": known["subject"]["id"]})
    assert found["schema"] == "score/v1" and found["id"].startswith("scr_")
    for name in ("value", "interval", "explanation", "confidence", "details", "model", "rung", "subject", "status"):
        assert found[name] == known[name], name
    assert found["standing"] == {
        "insight_id": known["id"], "insight_version": 1, "status": "ready", "value": known["value"], "difference": 0,
    }  # fmt: skip
    assert found["assumed"] == {} and found["not_used"] == {}


def test_what_is_said_is_laid_over_the_row_and_explained(
    http: httpx.Client, travel: dict[str, str], known: dict[str, Any]
) -> None:
    said = {
        "subject": known["subject"], "stage": "opportunity",
        "attributes": {"visits": 14, "plan": "pro", "shoe_size": 44},
    }  # fmt: skip
    found = ask(http, travel, said)
    assert found["assumed"] == {"stage": "opportunity", "attributes": said["attributes"]}
    assert found["not_used"] == {"attributes.shoe_size": "the model does not know it"}
    told = found["explanation"]
    effects = sum(part["effect"] for part in told["contributions"])
    assert round(told["baseline"] + effects, 4) == found["value"]
    assert found["standing"]["difference"] == round(found["value"] - known["value"], 4)
    assert found["value"] > known["value"] or known["value"] > 0.5
    assert any(part["label"] == "Visits: 14" for part in told["contributions"])


def test_a_canonical_contact_nobody_knows_is_scored_without_its_personal_fields(
    http: httpx.Client, travel: dict[str, str], installation: Services
) -> None:
    said = {
        "native_id": "new-1", "platform": "hubspot", "created_at": "2026-03-10T09:00:00Z", "email": "ada@example.org",
        "name": "Ada Lovelace", "phone": "+44 20 7946 0018", "stage": "lead", "source": "web", "country": "GB",
        "attributes": {"visits": 9, "plan": "pro", "contact_email": "ada@example.org", "note": "call +49 30 123456 soon"},
    }  # fmt: skip
    answer = http.post(PATH, json=said, headers=travel)
    found = answer.json()
    assert answer.status_code == 200 and found["status"] == "ready" and found["standing"] is None
    assert found["subject"] == {"kind": "contact", "id": "new-1", "platform": "hubspot"}
    personal = {name for name, reason in found["not_used"].items() if "personal" in reason}
    assert personal >= {"email", "name", "phone", "attributes.contact_email"}
    with installation.database.batch() as connection:
        kept = connection.execute(
            text("select feature_row::text || prediction::text || document from ops.live_score where score_id = :id"),
            {"id": found["id"]},
        ).scalar_one()
    for secret in ("ada@example.org", "Lovelace", "7946"):
        assert secret not in kept and secret not in answer.text
    assert ask(http, travel, {"stage": "opportunity"})["subject"] is None


def test_a_live_score_can_be_made_again(http: httpx.Client, travel: dict[str, str], installation: Services) -> None:
    answer = http.post(PATH, json={"subject": "c1", "attributes": {"visits": 3}}, headers=travel)
    again = explain(installation, answer.json()["id"])
    assert again.identical and again.document == answer.text
    assert again.feature_row["attributes"]["visits"] == 3


def test_scores_are_counted_apart(http: httpx.Client, travel: dict[str, str], installation: Services) -> None:
    def counts() -> dict[str, int]:
        with installation.database.partner("travel") as connection:
            found = inferences.since(connection, "travel", "lead_score", MOMENT.replace(hour=0))
        return {name: sum(one.counts[name] for one in found) for name in ("success", "refusal", "failure")}

    before = counts()
    ask(http, travel, [{"stage": "lead"}, {"stage": "lead", "consent": {"processing": "denied"}}, {"stge": 1}])
    after = counts()
    assert {name: after[name] - before[name] for name in after} == {"success": 1, "refusal": 1, "failure": 0}
    page = http.get("/metrics").text
    assert 'integrator_scores_total{use_case="lead_score",outcome="invalid"} 1' in page
    assert 'integrator_models_total{what="loaded"}' in page


@pytest.mark.parametrize(
    ("error", "status"), [(Unavailable("the model is broken"), 503), (ZeroDivisionError("a mistake of ours"), 500)]
)
def test_what_fails_as_one_is_counted_as_many(
    http: httpx.Client, travel: dict[str, str], installation: Services, monkeypatch: pytest.MonkeyPatch,
    error: Exception, status: int,
) -> None:  # fmt: skip
    """In the metric and in the log of inferences alike, however they came."""

    def counts() -> tuple[int, int]:
        with installation.database.partner("travel") as connection:
            found = inferences.since(connection, "travel", "lead_score", MOMENT.replace(hour=0))
        line = 'integrator_scores_total{use_case="lead_score",outcome="failure"} '
        page = [text for text in http.get("/metrics").text.splitlines() if text.startswith(line)]
        return sum(one.counts["failure"] for one in found), int(float(page[0].removeprefix(line))) if page else 0

    def failing(*_: Any) -> NoReturn:
        time.sleep(0.05)  # so that others come meanwhile
        raise error

    before = counts()
    lead = {"stage": "lead"}
    with monkeypatch.context() as patched:
        if status == 503:
            patched.setattr(Champions, "get", failing)
        else:
            patched.setattr(routes_score, "score_now", failing)
        ask(http, travel, [lead] * 7, status)
        ask(http, travel, {**lead, "attributes": {f"a{n}": "x" * 9_000 for n in range(9)}}, status)
        with ThreadPoolExecutor(5) as pool:
            codes = list(pool.map(lambda _: http.post(PATH, json=lead, headers=travel).status_code, range(5)))
    after = counts()
    assert codes == [status] * 5
    assert [new - old for new, old in zip(after, before, strict=True)] == [13, 13]


def test_large_and_packed_bodies_are_read_on_threads(
    http: httpx.Client, travel: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    on_loop: list[bool] = []

    def inflated(body: bytes, most: int) -> bytes:
        on_loop.append(asyncio._get_running_loop() is not None)
        return real(body, most)

    real = bodies.inflated
    monkeypatch.setattr(bodies, "inflated", inflated)
    packed = {**travel, "Content-Type": "application/json", "Content-Encoding": "gzip"}

    def post(body: bytes) -> Any:
        answer = http.post(PATH, content=gzip.compress(body), headers=packed)
        return answer.status_code, answer.json()

    lead = {"subject": "n1", "stage": "lead", "attributes": {"visits": 3}}
    large = {**lead, "attributes": {"visits": 3, **{f"a{n}": "x" * 9_000 for n in range(9)}}}
    value = ask(http, travel, lead)["value"]
    assert ask(http, travel, large)["value"] == value
    assert post(json.dumps(lead).encode())[1]["value"] == post(json.dumps(large).encode())[1]["value"] == value
    status, many = post(json.dumps([large, 7, large]).encode())
    assert status == 200 and [one.get("value", one["status"]) for one in many["scores"]] == [value, 422, value]
    assert post(json.dumps({**large, "stage": 5}).encode())[1]["field"] == "stage"
    assert post(b" " * (20 << 20))[0] == 413 and post(b"[" * (1 << 17))[0] == 422
    assert http.post(PATH, content=b"no gzip", headers=packed).status_code == 400
    assert on_loop and not any(on_loop)


def test_in_a_batch_each_payload_stands_for_itself(http: httpx.Client, travel: dict[str, str]) -> None:
    found = ask(http, travel, [{"stage": "lead"}, 7, {"stage": 5}, {"subject": {"id": "a", "name": "x"}}])["scores"]
    assert [one.get("status") for one in found] == ["ready", 422, 422, 422]
    assert found[2]["field"] == "stage" and found[2]["type"] == "urn:integrator:problem:invalid-input"
    assert "allowed: 1 to 1000" in ask(http, travel, [], 422)["detail"]
    assert "1001 payloads" in ask(http, travel, [{"stage": "lead"}] * 1001, 422)["detail"]
    many = ask(http, travel, [{"stage": "lead", "attributes": {"visits": n}} for n in range(1000)])["scores"]
    assert len({one["id"] for one in many}) == 1000


@pytest.mark.parametrize(
    ("bad", "field", "allowed"),
    [
        ({"attributes": {"plan": "a\x00b"}}, "attributes.plan", "cannot be stored"),
        ({"attributes": {"pl\x00an": "pro"}}, "attributes", "cannot be stored"),
        ({"attributes": {"contact_email\x00": "ada@example.org"}}, "attributes", "cannot be stored"),
        ({"created_at": "0001-01-01T00:00:00Z"}, "created_at", "allowed: 1900 to 2200"),
        ({"created_at": "9999-12-31T23:59:59-10:00"}, "created_at", "allowed: 1900 to 2200"),
        ({"converted_at": "0001-01-01T00:00:00Z"}, "converted_at", "allowed: 1900 to 2200"),
    ],
)
def test_one_bad_lead_of_three_fails_alone(
    http: httpx.Client, west: dict[str, str], bad: Any, field: str, allowed: str
) -> None:
    good = {"subject": "n1", "consent": {"processing": "granted"}, "attributes": {"plan": "pro"}}
    first, found, last = ask(http, west, [good, {**good, **bad}, good])["scores"]
    assert first["id"].startswith("scr_") and last["id"].startswith("scr_")
    assert (found["status"], found["field"]) == (422, field) and allowed in found["detail"]
    assert ask(http, west, {**good, **bad}, 422)["field"] == field


def test_a_payload_that_breaks_the_reading_of_it_is_its_callers_alone(
    http: httpx.Client, travel: dict[str, str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever a value overflows that no rule has foreseen."""
    read = LiveLeads.read

    def reading(self: LiveLeads, payload: Mapping[str, Any]) -> dict[str, Any]:
        if payload.get("source") == "a secret":
            raise OverflowError(f"{payload['source']} is too large")
        return read(self, payload)

    monkeypatch.setattr(LiveLeads, "read", reading)
    good, bad = {"stage": "lead"}, {"source": "a secret"}
    first, found, last = ask(http, travel, [good, bad, good])["scores"]
    assert (first["status"], found["status"], last["status"]) == ("ready", 422, "ready")
    assert "secret" not in ask(http, travel, bad, 422)["detail"]
    assert "OverflowError" in caplog.text and "secret" not in caplog.text


def test_singles_that_come_at_once_go_together_and_each_has_its_own_answer(
    http: httpx.Client, travel: dict[str, str], venue: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    together: list[int] = []

    def noted(services: Services, held: Held, items: Sequence[Any]) -> list[Outcome]:
        together.append(len(items))
        time.sleep(0.05)  # so that others come meanwhile
        if {"stage": "breaks"} in items:
            raise ZeroDivisionError("a mistake of ours")
        return score_now(services, held, items)

    monkeypatch.setattr(routes_score, "score_now", noted)
    said: list[tuple[Any, dict[str, str]]] = [
        ({"stage": "lead", "attributes": {"visits": n}}, travel) for n in range(12)
    ]
    said += [({"stage": 5}, travel), ({"stage": "breaks"}, travel), ({"stage": "lead"}, venue)]
    with ThreadPoolExecutor(len(said)) as pool:
        answers = list(pool.map(lambda one: http.post(PATH, json=one[0], headers=one[1]), said))
    *good, bad, broken, foreign = answers
    assert max(together) > 1
    assert [one.json()["assumed"]["attributes"]["visits"] for one in good] == list(range(12))
    assert (bad.status_code, bad.json()["field"]) == (422, "stage")
    assert broken.status_code == 500 and "ZeroDivisionError" not in broken.text
    assert foreign.status_code == 200 and foreign.json()["model"]["name"] == "lead_score.rule"
    monkeypatch.undo()
    for one, (body, _) in zip(good, said, strict=False):
        alone = ask(http, travel, body)
        assert {**one.json(), "id": alone["id"]} == alone


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"stage": "ada@example.org"}, "stage"),
        ({"subject": "ada@example.org"}, "subject"),
        ({"created_at": "2026-03-10T09:00:00"}, "created_at"),
        ({"created_at": "2027-03-10T09:00:00Z"}, "created_at"),
        ({"purchases": -1}, "purchases"),
        ({"attributes": {"a": [1]}}, "attributes"),
        ({"attributes": {"ada@example.org": 1}}, "attributes"),
        ({"stage": "a\x00b"}, "stage"),
        ({"stage": "x" * 4_000_000}, "stage"),
        ({"subject": "a\x00b", "stage": "lead"}, "subject"),
        ({"unheard_of": 1}, "unheard_of"),
        ({"subject": {"id": "c1", "kind": "event"}}, "kind"),
        ({}, "subject"),
    ],
)
def test_bad_values_are_named(http: httpx.Client, travel: dict[str, str], said: Any, field: str) -> None:
    problem = ask(http, travel, said, 422)
    assert problem["field"].startswith(field), problem
    assert "ada@" not in json.dumps(problem)


def test_nobody_else_is_shown_anything(
    http: httpx.Client, installation: Services, travel: dict[str, str], known: dict[str, Any]
) -> None:
    strict = bearer(installation, http, "strict", "score:write")
    silent = ask(http, strict, {"subject": known["subject"]["id"], "stage": "lead"})
    assert silent["status"] == "refused" and "did not agree" in silent["explanation"]["summary"]
    agreed = ask(http, strict, {"subject": known["subject"]["id"], "consent": {"processing": "granted"}})
    assert agreed["standing"] is None and agreed["rung"] == "rule" and agreed["status"] == "refused"
    assert agreed["partner"] == "strict" and "0 leads" in agreed["explanation"]["summary"]
    reader = bearer(installation, http, "travel", "insights:read")
    assert "score:write" in ask(http, reader, {"stage": "lead"}, 403)["detail"]
    assert ask(http, travel, {"stage": "lead"}, 404, "/v1/score/weather")["detail"].startswith("use case 'weather'")
    assert http.post(PATH, content=b"{", headers={**travel, "Content-Type": "application/json"}).status_code == 422
    assert http.post(PATH, content=b"{}", headers={**travel, "Content-Type": "text/plain"}).status_code == 415


def test_a_lead_that_is_closed_is_not_scored(http: httpx.Client, travel: dict[str, str]) -> None:
    closed = ask(http, travel, {"native_id": "c9", "converted_at": "2026-03-11T00:00:00Z"})
    assert closed["status"] == "refused" and closed["value"] is None and closed["interval"] is None


def published(services: Services, use_case: str) -> dict[str, Any]:
    with services.database.partner("venue") as connection:
        return {one.subject_id: parse(one.document) for one in insights.current(connection, "venue", use_case)}


def test_what_if_the_price_were_105(http: httpx.Client, venue: dict[str, str], installation: Services) -> None:
    before = published(installation, "pricing")
    product, standing = next((name, one) for name, one in before.items() if one.status == "ready")
    found = ask(http, venue, {"subject": product, "price": "105"}, path="/v1/score/pricing")
    assert (found["value"], found["unit"], found["status"]) == (105, "TWD", "ready")
    assert found["explanation"]["baseline"] == standing.value
    assert found["details"]["what_if"]["price"] == standing.value and "profit_difference" in found["details"]["what_if"]
    assert found["standing"]["difference"] == round(105 - standing.value, 2)
    assert found["assumed"] == {"price": 105} and found["model"]["version"] == "1"
    assert explain(installation, found["id"]).identical
    assert published(installation, "pricing") == before, "nothing is published"
    assert ask(http, venue, {"subject": product}, path="/v1/score/pricing")["value"] == standing.value
    (bad, unknown) = ask(
        http, venue, [{"subject": product, "price": 0}, {"subject": "nothing", "price": 3}], path="/v1/score/pricing"
    )["scores"]
    assert (bad["status"], bad["field"]) == (422, "price") and "0 is not allowed; allowed: a finite" in bad["detail"]
    assert unknown["status"] == 404
    assert ask(http, venue, {"price": 3}, 422, "/v1/score/pricing")["field"] == "subject"


def test_what_if_it_were_a_friday(http: httpx.Client, venue: dict[str, str], installation: Services) -> None:
    before = published(installation, "attendance")
    standing = before[f"hall-{MONDAY}"]
    said = {"subject": {"id": standing.subject.id, "platform": "pretix"}, "weekday": "friday"}
    found = ask(http, venue, said, path="/v1/score/attendance")
    assert found["status"] == "fallback" and found["rung"] == "rule"
    assert found["value"] > 1.15 * standing.value, "Fridays are fuller"
    assert found["standing"]["difference"] == found["value"] - standing.value
    assert explain(installation, found["id"]).identical
    same = ask(http, venue, {"subject": standing.subject.id}, path="/v1/score/attendance")
    assert (same["value"], same["explanation"]) == (standing.value, msgspec.to_builtins(standing.explanation))
    assert published(installation, "attendance") == before
    series = ask(http, venue, {"subject": "hall", "weekday": "friday"}, 422, "/v1/score/attendance")
    assert "a series cannot be moved" in series["detail"]
    assert ask(http, venue, {"subject": "hall"}, path="/v1/score/attendance")["details"]["horizon"]
    far = ask(http, venue, {"subject": standing.subject.id, "date": "2030-01-01"}, 404, "/v1/score/attendance")
    assert "too far ahead" in far["detail"]
    for name, value in (("date", "9999-12-31"), ("date", "0001-01-01"), ("starts_at", "9999-12-31T23:00:00-05:00")):
        bad = {"subject": standing.subject.id, name: value}
        scored, refused, again = ask(http, venue, [said, bad, said], path="/v1/score/attendance")["scores"]
        assert scored["value"] == again["value"] == found["value"]
        assert (refused["status"], refused["field"]) == (422, name) and "1900 to 2200" in refused["detail"]
        assert ask(http, venue, bad, 422, "/v1/score/attendance")["field"] == name
