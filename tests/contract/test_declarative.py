"""The declarative platform over real HTTP, against a shop that has every way of paging."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from integrator.contracts.errors import Forbidden, InvalidInput, RateLimited, Unauthorized, Unavailable
from integrator.contracts.validation import read_record
from integrator.platforms.base import Account, Cursor, Page, Window
from integrator.platforms.declarative.pull import PLATFORM
from integrator.platforms.http import HttpPolicy
from tests.declarative_api import START, TOKEN, Shop, at, customer, order, show, stocked
from tests.serving import serving

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "guides" / "examples"
BOX_OFFICE = (EXAMPLES / "boxoffice.yaml").read_text()
LINKED = """
platform: linked
base_url: https://api.example.com/v1
authentication: {type: bearer}
streams:
  shows:
    path: /linked
    records: $.data
    paging: PAGING
    record: {kind: event, fields: {native_id: $.id, starts_at: "date($.starts, 'UTC')", timezone: $.zone,
      status: "'scheduled'"}}
"""


@dataclass
class Served:
    """A served shop and how we speak to it."""

    shop: Shop
    url: str
    definition: str = BOX_OFFICE
    settings: dict[str, str] = field(default_factory=lambda: {"venue": "main"})
    credentials: dict[str, str] = field(default_factory=lambda: {"token": TOKEN})
    slept: list[float] = field(default_factory=list)
    kept: list[dict[str, str]] = field(default_factory=list)

    def seen(self, settings: dict[str, str] | None = None, credentials: dict[str, str] | None = None) -> Account:
        """As a pull sees it, with other settings and credentials: long after everything in the shop, without waiting."""
        base = {"definition": self.definition, "base_url": f"{self.url}/v1"}
        http = HttpPolicy(
            attempts=3, sleep=self.slept.append, allow_private=True, keep=lambda found: self.kept.append(dict(found))
        )
        return Account(
            {**base, **self.settings, **(settings or {})}, {**self.credentials, **(credentials or {})},
            lambda: START + timedelta(days=2), http,
        )  # fmt: skip

    def pull(self, kind: str, cursor: Cursor | None = None, window: Window | None = None) -> list[Page]:
        """All pages of a kind."""
        pages = PLATFORM.pull(self.seen(), kind, cursor, window)
        return [msgspec.json.decode(msgspec.json.encode(page), type=Page) for page in pages]

    def news(self, **cursors: Cursor | None) -> bool:
        """Whether there is any."""
        return PLATFORM.has_news(self.seen(), cursors)


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Shop, str]]:
    """The shop, served once; each test gets it stocked anew."""
    shop = stocked()
    with serving(shop.app()) as url:
        yield shop, url


@pytest.fixture
def account(served: tuple[Shop, str]) -> Served:
    """The shop as the demo's connection sees it."""
    shop, url = served
    vars(shop).update(vars(stocked()))
    return Served(shop, url)


def records(pages: list[Page]) -> list[dict[str, Any]]:
    """The pages' records, in order."""
    return [record for page in pages for record in page.records]


def ids(pages: list[Page]) -> list[str]:
    """Their native ids."""
    return [record["native_id"] for record in records(pages)]


@pytest.mark.parametrize(("kind", "number"), [("event", 120), ("contact", 230), ("sale", 2 * 247)])
def test_everything_comes_once_and_keeps_the_contract(account: Served, kind: str, number: int) -> None:
    found = records(account.pull(kind))
    assert len(found) == len({record["native_id"] for record in found}) == number
    for record in found:
        read_record(kind, record)
        assert record["native_id"].startswith("boxoffice:")


def test_fields_are_mapped_as_the_example_says(account: Served) -> None:
    event = records(account.pull("event"))[10]
    assert event["starts_at"] == "2026-05-11T19:30:00+02:00"
    assert event["status"] == "cancelled"
    assert event["venue"] == {"city": "Berlin", "country": "DE"}
    assert event["attributes"] == {"seated": True, "cast": 10}
    contact = records(account.pull("contact"))[1]
    assert contact["name"] == "Ada B1"
    assert contact["converted_at"] == at(-499)
    assert contact["consent"] == {"processing": "granted"}
    assert contact["attributes"] == {"visits": 1}
    sale = records(account.pull("sale"))[1]
    assert sale["native_id"] == "boxoffice:o0-1"
    assert sale["event_id"] == "boxoffice:0"
    assert sale["contact_id"] == "boxoffice:c0"
    assert (sale["product"], sale["unit_price"], sale["currency"]) == ("41", "25.00", "EUR")
    assert (sale["status"], sale["channel"]) == ("pending", "app")


def test_two_accounts_of_one_definition_keep_apart_by_prefix(account: Served) -> None:
    account.settings["prefix"] = "north"
    assert ids(account.pull("event"))[0] == "north:0"


def test_a_whole_list_tells_what_it_held_and_what_is_gone(account: Served) -> None:
    pages = account.pull("event")
    assert [page.listing is None for page in pages] == [True, True, False]
    listing = pages[-1].listing
    assert listing is not None
    assert listing.scope == "boxoffice/shows"
    assert listing.ids == set(ids(pages))
    del account.shop.shows[7]
    again = account.pull("event", pages[-1].cursor)[-1].listing
    assert again is not None
    assert listing.ids - again.ids == {"boxoffice:7"}


def test_a_list_resumed_in_the_middle_claims_nothing_about_what_is_gone(account: Served) -> None:
    pages = account.pull("event")
    rest = account.pull("event", pages[0].cursor)
    assert ids(pages[:1]) + ids(rest) == ids(pages)
    assert all(page.listing is None for page in rest)


@pytest.mark.parametrize("kind", ["contact", "sale"])
def test_a_second_pull_brings_nothing_in_one_request(account: Served, kind: str) -> None:
    cursor = account.pull(kind)[-1].cursor
    account.shop.asked.clear()
    assert records(account.pull(kind, cursor)) == []
    assert len(account.shop.asked) == 1


@pytest.mark.parametrize("kind", ["contact", "sale"])
def test_resuming_after_any_page_loses_nothing_and_repeats_nothing(account: Served, kind: str) -> None:
    pages = account.pull(kind)
    assert len(pages) >= 3
    for stop in range(len(pages)):
        rest = account.pull(kind, pages[stop].cursor)
        assert sorted(ids(pages[: stop + 1]) + ids(rest)) == sorted(ids(pages))


def test_a_change_comes_alone(account: Served) -> None:
    contacts, sales = account.pull("contact")[-1].cursor, account.pull("sale")[-1].cursor
    events = account.pull("event")[-1].cursor
    assert not account.news(event=events, contact=contacts, sale=sales)
    account.shop.orders[5] = order(5, changed=300)
    assert account.news(event=events, contact=contacts, sale=sales)
    assert ids(account.pull("sale", sales)) == ["boxoffice:o5-0", "boxoffice:o5-1"]
    account.shop.customers[9] = customer(9, changed=229)  # within the overlap
    assert ids(account.pull("contact", contacts)) == ["boxoffice:c9"]


def test_changes_while_a_sorted_list_is_read_do_not_shift_others_out(account: Served) -> None:
    pages = PLATFORM.pull(account.seen(), "sale", None)
    first = next(pages)
    for number in range(60):  # they move behind, and everything after them moves up by sixty
        account.shop.orders[number] = order(number, changed=400)
    rest = list(pages)
    seen = {record["native_id"].split("-")[0] for record in records([first, *rest])}
    assert len(seen) == 247


def test_many_changes_of_one_instant_are_all_read(account: Served) -> None:
    account.shop.orders = [order(number, changed=7) for number in range(230)]
    assert len(set(ids(account.pull("sale")))) == 460


@pytest.mark.parametrize(("kind", "number"), [("contact", 50), ("sale", 100)])
def test_a_window_is_read_alone_resumes_and_says_when_it_is_done(account: Served, kind: str, number: int) -> None:
    window = Window(START + timedelta(minutes=100), START + timedelta(minutes=150))
    pages = account.pull(kind, window=window)
    assert len(ids(pages)) == number
    assert account.pull(kind, pages[-1].cursor, window) == []
    assert pages[-1].cursor["done"] is True
    assert not any(page.cursor.get("done") for page in pages[:-1])
    for page in pages[:-1]:
        rest = account.pull(kind, page.cursor, window)
        assert rest[-1].cursor["done"] is True
        assert set(ids(rest)) <= set(ids(pages))


def test_a_kind_without_streams_is_empty(account: Served) -> None:
    account.definition = LINKED.replace("PAGING", "{type: none}")
    account.settings = {}
    assert account.pull("sale") == []
    window = Window(START, START + timedelta(days=1))
    assert account.pull("sale", window=window)[-1].cursor == {"streams": {}, "done": True}


def test_an_empty_account_is_looked_at_from_its_own_clock_on(account: Served) -> None:
    account.shop.customers = []
    cursor = account.pull("contact")[-1].cursor
    assert cursor["streams"]["customers"]["since"] is not None
    events, sales = account.pull("event")[-1].cursor, account.pull("sale")[-1].cursor
    assert not account.news(contact=cursor, event=events, sale=sales)


@pytest.mark.parametrize("paging", ["{type: next_link, next: $.next}", "{type: link_header}"])
def test_links_are_followed_on_the_same_host_only(account: Served, paging: str) -> None:
    account.definition, account.settings = LINKED.replace("PAGING", paging), {}
    del account.shop.shows[7:]
    assert len(account.pull("event")[-1].listing.ids) == 7  # type: ignore[union-attr]
    account.shop.next_base = "https://thief.example/collect"
    with pytest.raises(Forbidden, match="leads away"):
        account.pull("event")
    account.shop.next_base = "?"
    account.shop.asked.clear()
    with pytest.raises(InvalidInput, match="comes back"):
        account.shop.next_base, account.shop.asked = f"{account.url}/v1/linked?from=0&x=1#", []
        account.pull("event")


def test_paging_that_does_not_move_ends(account: Served) -> None:
    account.shop.sticks = True
    with pytest.raises(InvalidInput, match="comes back"):
        account.pull("contact")


SIGNED = {
    "{type: header, name: X-Api-Key}": ("x-api-key", "k3y", {"key": "k3y"}),
    "{type: header, name: Authorization, before: 'Token '}": ("authorization", "Token k3y", {"key": "k3y"}),
    "{type: query, name: api_key}": ("api_key", "k3y", {"key": "k3y"}),
    "{type: basic}": ("authorization", "Basic bWU6d29yZA==", {"username": "me", "password": "word"}),
}


@pytest.mark.parametrize("how", SIGNED)
def test_requests_are_signed_as_the_definition_says(account: Served, how: str) -> None:
    account.shop.header, account.shop.authorization, account.credentials = SIGNED[how]
    text = LINKED.replace("PAGING", "{type: next_link, next: $.next}").replace("{type: bearer}", how)
    account.definition, account.settings = text, {}
    pages = account.pull("event")
    assert len(ids(pages)) == 120
    assert all("k3y" not in msgspec.json.encode(page.cursor).decode() for page in pages)
    account.credentials = dict.fromkeys(account.credentials, "wrong")
    with pytest.raises(Unauthorized) as caught:
        account.pull("event")
    assert "wrong" not in str(caught.value).replace("is wrong or expired", "")


@pytest.mark.parametrize("client", ["body", "basic"])
def test_oauth_tokens_are_fetched_again_and_rotating_ones_kept(account: Served, client: str) -> None:
    account.definition = BOX_OFFICE.replace("type: bearer", f"type: refresh_token\n  client: {client}\n"
        "  token_url: /token\n  scopes: [read, list]")  # fmt: skip
    account.credentials = {"client_id": "me", "client_secret": "word", "refresh_token": "r0"}
    account.shop.rotates = True
    pages = PLATFORM.pull(account.seen(), "event", None)
    next(pages)
    account.shop.authorization = "Bearer another"
    assert len(records(list(pages))) == 70
    assert [form["refresh_token"] for form in account.shop.forms] == ["r0", "r1"]
    assert account.shop.forms[0]["scope"] == "read list"
    assert account.kept == [{"refresh_token": "r1"}, {"refresh_token": "r2"}]
    account.credentials["client_secret"] = "other"
    with pytest.raises(Unauthorized, match="not accepted"):
        account.pull("event")


def test_client_credentials_need_no_refresh_token(account: Served) -> None:
    account.definition = BOX_OFFICE.replace("type: bearer", "type: client_credentials\n  token_url: /token")
    account.credentials = {"client_id": "me", "client_secret": "word"}
    assert len(records(account.pull("event"))) == 120
    assert account.shop.forms[0]["grant_type"] == "client_credentials"


@pytest.mark.parametrize("status", [429, 500, 503])
def test_passing_failures_are_ridden_out_and_lasting_ones_transient(account: Served, status: int) -> None:
    account.shop.refusals = [status]
    assert len(ids(account.pull("event"))) == 120
    assert len(account.slept) == 1
    account.shop.refusals = [status] * 3
    with pytest.raises(RateLimited if status == 429 else Unavailable):
        account.pull("event")


def test_an_empty_quota_is_waited_for(account: Served) -> None:
    account.shop.headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "4"}
    assert len(ids(account.pull("event"))) == 120
    assert account.slept == [4.0, 4.0]


def test_what_may_not_be_read_is_named(account: Served) -> None:
    def missing() -> list[str]:
        return PLATFORM.check(account.seen())

    assert missing() == []
    account.shop.refusals = [403]
    assert missing() == ["shows"]
    account.shop.refusals = [403]
    with pytest.raises(Forbidden):
        account.pull("event")


def test_totals_are_counted_where_the_definition_has_one(account: Served) -> None:
    def count(kind: str) -> int | None:
        return PLATFORM.count(account.seen(), kind)

    assert count("event") == 120
    assert count("contact") is None
    assert count("sale") is None


def test_a_row_that_cannot_be_read_is_handed_on_for_quarantine(account: Served) -> None:
    account.shop.shows[3] = {**show(3), "starts": "soon"}
    account.shop.shows[4] = {"unexpected": True}
    account.shop.shows[5] = ["no", "object"]  # type: ignore[call-overload]
    found = records(account.pull("event"))
    assert len(found) == 120
    assert found[3]["starts_at"]["unreadable"] == "soon"
    for bad in found[3:6]:
        with pytest.raises(InvalidInput):
            read_record("event", bad)


def test_settings_are_one_segment_of_a_path_whatever_they_hold(account: Served) -> None:
    account.settings["venue"] = "a?b=c#d%2f"
    account.pull("event")
    assert account.shop.asked[0].path_params["venue"] == "a?b=c#d%2f"


@pytest.mark.parametrize(
    ("settings", "credentials", "said"),
    [
        ({"venue": ".."}, {}, "no dots"),
        ({"venue": "../customers"}, {}, "no dots"),
        ({"venue": ""}, {}, "venue"),
        ({"colour": "red"}, {}, "colour"),
        ({"base_url": ""}, {}, "base_url"),
        ({"base_url": "ftp://x"}, {}, "base_url"),
        ({"definition": ""}, {}, "definition"),
        ({}, {"token": ""}, "token"),
        ({}, {"token": "a\r\nX-Evil: 1"}, "token"),
    ],
)
def test_bad_settings_and_credentials_are_refused_before_any_request(
    account: Served, settings: dict[str, str], credentials: dict[str, str], said: str
) -> None:
    with pytest.raises(InvalidInput, match=said) as caught:
        list(PLATFORM.pull(account.seen(settings, credentials), "event", None))
    assert "Evil" not in str(caught.value)
    assert account.shop.asked == []


def test_private_addresses_are_refused_unless_allowed(account: Served) -> None:
    strict = replace(account.seen(), http=HttpPolicy(attempts=1))
    with pytest.raises(InvalidInput, match="public addresses"):
        list(PLATFORM.pull(strict, "event", None))
    assert account.shop.asked == []
