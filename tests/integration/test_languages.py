"""A partner's language reaches its documents, live scores and pages; another partner's stay as they are."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from integrator.contracts.errors import InvalidInput
from integrator.security import clients
from integrator.steps.contexts import context_at
from integrator.steps.languages import require_spoken, spoken
from integrator.steps.publish import publish
from integrator.steps.score import score
from integrator.steps.services import Services
from integrator.storage import insights, partners
from integrator_realtime.app import create_app
from models import messages
from models.registry import USE_CASES
from tests.attendance_frames import arena
from tests.integration.attendance_features import MOMENT, make_relations, put_features
from tests.serving import serving


@pytest.fixture(scope="module")
def told(services: Services) -> Services:
    """Alpha and beta have the same events, which go by the rule; alpha is told in German."""
    make_relations(services)
    assert partners.set_language(services.database, "alpha", "de")
    assert not partners.set_language(services.database, "alpha", "de")
    for name in ("alpha", "beta"):
        put_features(services, 5, arena(days=40), partner=name)
        score(services, name, "attendance", run_id="s")
        publish(services, name, "attendance", run_id="s")
    return services


@pytest.fixture(scope="module")
def http(told: Services) -> Iterator[httpx.Client]:
    with serving(create_app(told)) as url, httpx.Client(base_url=url) as client:
        key = clients.create(told.database, "alpha", "insights:read", told.clock(), method="api_key").client_secret
        client.headers["Authorization"] = f"Bearer {key}"
        yield client


def summaries(services: Services, partner: str) -> dict[str, str]:
    with services.database.partner(partner) as connection:
        found = insights.current(connection, partner, "attendance")
    return {one.subject_id: json.loads(one.document)["explanation"]["summary"] for one in found}


def test_documents_are_in_the_partners_language(told: Services, http: httpx.Client) -> None:
    german, english = summaries(told, "alpha"), summaries(told, "beta")
    assert german.keys() == english.keys() and german
    assert all("rwartet werden" in text or "Keine Vorhersage" in text for text in german.values())
    assert all("xpected attendance" in text or "No forecast" in text for text in english.values())
    subject = next(name for name in german if name.startswith("hall-"))
    assert http.get(f"/v1/insights/attendance/{subject}").json()["explanation"]["summary"] == german[subject]


def test_pages_of_one_subject_and_their_tags(http: httpx.Client, told: Services) -> None:
    subject = next(name for name in summaries(told, "alpha") if name.startswith("club-"))
    page = http.get("/v1/insights", params={"subject": subject})
    assert [one["document"]["subject"]["id"] for one in page.json()["insights"]] == [subject]
    assert http.get("/v1/insights", params={"subject": "nobody"}).json()["insights"] == []
    assert http.get("/v1/insights", params={"subject": "a\x00"}).json()["field"] == "subject"
    for path in (
        "/v1/insights?limit=2",
        f"/v1/insights/attendance/{subject}/history",
        f"/v1/insights?subject={subject}",
    ):
        first = http.get(path)
        again = http.get(path, headers={"If-None-Match": first.headers["etag"]})
        assert (first.status_code, again.status_code, again.content) == (200, 304, b"")
        assert http.get(path, headers={"If-None-Match": '"other"'}).content == first.content


def test_the_context_speaks_as_the_partner_is_registered(told: Services) -> None:
    with told.database.partner("alpha") as connection:
        entry = partners.get(connection, "alpha")
    context = context_at(entry, MOMENT)
    assert (context.language, context.processing) == ("de", "granted")
    with pytest.raises(InvalidInput, match="language 'german' is not allowed"):
        partners.Partner(partner="x1", timezone="UTC", currency="EUR", region="DE", language="german")


def test_a_language_counts_once_every_use_case_speaks_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {"de", "en"} <= set(spoken())
    for number, spec in enumerate(USE_CASES):
        folder = tmp_path / spec.name / "messages"
        folder.mkdir(parents=True)
        for code in ("en", "fr") if number else ("en",):
            (folder / f"{code}.toml").write_text("", encoding="utf-8")
    monkeypatch.setattr(messages, "_FOLDER", tmp_path)
    assert spoken() == ("en",)
    with pytest.raises(InvalidInput, match="language 'fr' is not allowed; allowed: en"):
        require_spoken("fr")
