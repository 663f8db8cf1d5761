"""The shipped definitions, tried as `integrator platforms check` tries them: on the sandbox and on the ticket shop."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from integrator.contracts.errors import RateLimited, Unauthorized
from integrator.contracts.validation import read_record
from integrator.platforms.base import Account
from integrator.platforms.declarative.client import declared
from integrator.platforms.declarative.definition import load_definition
from integrator.platforms.declarative.pull import PLATFORM
from integrator.platforms.declarative.trial import Trial, attempt
from integrator.platforms.http import HttpPolicy
from integrator_sandbox.demo import HUBSPOT_CLIENT, ORGANIZER, PRETIX_TOKEN, SEARCH_COLUMNS
from tests.declarative_api import START, TOKEN, Shop, show, stocked
from tests.serving import serving

if TYPE_CHECKING:
    from tests.contract.conftest import LiveSandbox

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "guides" / "examples"
PROPERTIES = ",".join(
    ("createdate", "lastmodifieddate", "email", "firstname", "lastname", "lifecyclestage", *SEARCH_COLUMNS)
)
ON_THE_SANDBOX: dict[str, tuple[str, str, dict[str, str], dict[str, str]]] = {
    "pretix-dates.yaml": ("event", "/pretix/api/v1", {"organizer": ORGANIZER}, {"key": PRETIX_TOKEN}),
    "hubspot-contacts.yaml": ("contact", "/hubspot", {"properties": PROPERTIES}, dict(HUBSPOT_CLIENT)),
}


def tried(text: str, settings: dict[str, str], credentials: dict[str, str]) -> dict[str, Trial]:
    """Each stream's trial."""
    definition = load_definition(text, name="example.yaml")
    http = HttpPolicy(attempts=2, sleep=lambda _: None, allow_private=True)
    account = declared(Account(settings, credentials, lambda: START, http), definition)
    return {trial.stream: trial for trial in attempt(account)}


@pytest.mark.parametrize("name", ON_THE_SANDBOX)
def test_the_examples_read_the_sandbox(sandbox: LiveSandbox, name: str) -> None:
    kind, path, others, credentials = ON_THE_SANDBOX[name]
    text = (EXAMPLES / name).read_text()
    settings: dict[str, Any] = {"base_url": sandbox.url + path, **others}
    (trial,) = tried(text, settings, credentials).values()
    assert trial.good, (trial.problems, [f for f in trial.findings if f.reason])
    assert "others" in trial.paging
    pages = list(PLATFORM.pull(sandbox.account({**settings, "definition": text}, credentials), kind, None))
    found = [record for page in pages for record in page.records]
    assert len(found) > 200
    assert len({record["native_id"] for record in found}) == len(found)
    for record in found:
        read_record(kind, record)
    cursors = {kind: pages[-1].cursor}
    news = PLATFORM.has_news(sandbox.account({**settings, "definition": text}, credentials), cursors)
    assert not news


def test_custom_properties_come_typed(sandbox: LiveSandbox) -> None:
    kind, path, others, credentials = ON_THE_SANDBOX["hubspot-contacts.yaml"]
    text = (EXAMPLES / "hubspot-contacts.yaml").read_text()
    settings = {"base_url": sandbox.url + path, "definition": text, **others}
    page = next(PLATFORM.pull(sandbox.account(settings, credentials), kind, None))
    attributes = page.records[0]["attributes"]
    assert isinstance(attributes["srch_adults_cnt"], int | float)
    assert isinstance(attributes["is_mobile"], bool)
    assert not {"email", "firstname", "createdate"} & set(attributes)


@pytest.fixture(scope="module")
def ticket_shop() -> Iterator[tuple[Shop, str]]:
    """The shop, served once."""
    shop = stocked()
    with serving(shop.app()) as url:
        yield shop, url


@pytest.fixture
def shop(ticket_shop: tuple[Shop, str]) -> Shop:
    """Stocked anew."""
    vars(ticket_shop[0]).update(vars(stocked()))
    return ticket_shop[0]


def box_office(url: str, *changes: tuple[str, str]) -> dict[str, Trial]:
    """The box office's trials, its file changed first."""
    text = (EXAMPLES / "boxoffice.yaml").read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return tried(text, {"base_url": f"{url}/v1", "venue": "main"}, {"token": TOKEN})


def test_a_good_file_is_told_field_by_field(shop: Shop, ticket_shop: tuple[Shop, str]) -> None:
    trials = box_office(ticket_shop[1])
    assert all(trial.good for trial in trials.values())
    shows = trials["shows"]
    assert (shows.rows, shows.records, shows.quarantined) == (50, 50, 0)
    assert shows.paging == "50 rows, then 50 others"
    assert shows.incremental == "read whole each time"
    assert "0 of them older" in trials["orders"].incremental
    found = {finding.field: finding for finding in trials["customers"].findings}
    assert (found["email"].filled, found["email"].empty) == (100, 0)
    assert found["converted_at"].filled == 66
    assert found["attributes.visits"].filled == 100


def test_what_would_be_quarantined_is_counted_with_its_reasons(shop: Shop, ticket_shop: tuple[Shop, str]) -> None:
    shop.shows[0], shop.shows[1] = {**show(0), "starts": "soon"}, {**show(1), "zone": "Berlin"}
    shop.shows[2] = {**show(2), "state": "haunted"}
    trial = box_office(ticket_shop[1])["shows"]
    assert not trial.good
    assert trial.quarantined == 3
    reasons = {finding.field: finding.reason for finding in trial.findings if finding.reason}
    assert "is no date" in str(reasons["starts_at"])
    assert "no IANA zone" in str(reasons["starts_at"])
    assert "haunted" in str(reasons["status"])
    assert not any("soon" in str(reason) for reason in reasons.values())


@pytest.mark.parametrize(
    ("stream", "change", "said"),
    [
        ("shows", ("records: $.data", "records: $.rows"), "no list at $.rows; it has an object with data, meta"),
        ("shows", ("more: $.meta.next_page", "more: $.meta.more"), "a full page of 50 rows, yet nothing says"),
        ("shows", ("path: /venues/{venue}/shows", "path: /venue/{venue}/shows"), "answered 404"),
        ("customers", ("param: updated_since", "param: since"), "are older than since asked for"),
        ("customers", ("field: $.updated_at", "field: $.modified"), "100 of 100 rows have no moment at $.modified"),
        ("orders", ("param: offset", "param: start"), "are on the first as well"),
    ],
)
def test_what_does_not_hold_is_named(
    shop: Shop, ticket_shop: tuple[Shop, str], stream: str, change: tuple[str, str], said: str
) -> None:
    trial = box_office(ticket_shop[1], change)[stream]
    assert not trial.good
    assert any(said in problem for problem in trial.problems), trial.problems


def test_a_list_that_is_not_sorted_as_claimed_is_found(shop: Shop, ticket_shop: tuple[Shop, str]) -> None:
    shop.orders.reverse()
    trial = box_office(ticket_shop[1], ("sort: updated_at, ", ""))["orders"]
    assert any("not sorted" in problem for problem in trial.problems)


def test_an_empty_list_proves_nothing(shop: Shop, ticket_shop: tuple[Shop, str]) -> None:
    shop.shows = []
    trial = box_office(ticket_shop[1])["shows"]
    assert trial.problems == ["there are no records to judge the mapping by"]


def test_what_says_nothing_about_the_file_is_raised(shop: Shop, ticket_shop: tuple[Shop, str]) -> None:
    shop.refusals = [429] * 3
    with pytest.raises(RateLimited):
        box_office(ticket_shop[1])
    shop.refusals = [401]
    with pytest.raises(Unauthorized):
        box_office(ticket_shop[1])
