"""One suite over every platform of the registry, against the sandbox over real HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from integrator.contracts.errors import (
    Forbidden,
    InvalidInput,
    RateLimited,
    TransientError,
    Unauthorized,
    Unavailable,
)
from integrator.contracts.records import KINDS
from integrator.platforms.base import Cursor, Page
from integrator.platforms.registry import PLATFORMS, platform
from integrator_sandbox.demo import demo_connections, further_connections

if TYPE_CHECKING:
    from tests.contract.conftest import LiveSandbox

# Those the sandbox has a stand-in for; any other has a suite of its own beside this one.
NAMES = [str(one["platform"]) for one in (*demo_connections(""), *further_connections(""))]
MAIN_KIND = {
    "pretix": "event", "hubspot": "contact", "shopify": "sale", "eventbrite": "event", "stripe": "sale",
    "salesforce": "contact",
}  # fmt: skip
FORGETFUL = {"salesforce"}  # once a lead has changed, nothing tells the former value of a field without history
every_platform = pytest.mark.parametrize("name", NAMES)


def pull(sandbox: LiveSandbox, name: str, cursor: Cursor | None = None, **credentials: str) -> list[Page]:
    """All pages of a platform's main kind."""
    settings, good = sandbox.connection(name)
    pages = platform(name).pull(sandbox.account(settings, good | credentials), MAIN_KIND[name], cursor)
    return list(pages)


def records(pages: list[Page]) -> list[dict[str, Any]]:
    """The pages' records, in order."""
    return [record for page in pages for record in page.records]


def news(sandbox: LiveSandbox, name: str, cursors: Mapping[str, Cursor | None]) -> bool:
    """Whether the platform has any."""
    settings, credentials = sandbox.connection(name)
    return platform(name).has_news(sandbox.account(settings, credentials), cursors)


def versions(found: list[dict[str, Any]]) -> set[str]:
    """Records as comparable text: which versions of which objects came."""
    return {msgspec.json.encode(record, order="sorted").decode() for record in found}


def keys(found: list[dict[str, Any]]) -> set[tuple[str, str]]:
    """Which versions there are, whatever they hold."""
    return {(record["native_id"], record["updated_at"]) for record in found}


def newest(found: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The latest version of every object."""
    return {record["native_id"]: record for record in sorted(found, key=lambda record: str(record["updated_at"]))}


def wrong(name: str) -> dict[str, str]:
    """Credentials of the right shape that open nothing."""
    return {field: "x" * 64 for field in platform(name).spec.credential_fields}


def test_every_platform_of_the_registry_has_a_suite() -> None:
    for spec in PLATFORMS:
        assert spec.name in NAMES or (Path(__file__).parent / f"test_{spec.name}.py").exists(), spec.name


@every_platform
def test_records_keep_the_contract(sandbox: LiveSandbox, name: str) -> None:
    found = records(pull(sandbox, name))
    assert len(found) > 200
    for record in found:
        read = msgspec.convert(record, KINDS[MAIN_KIND[name]], strict=False)
        assert read.updated_at is not None
        assert read.updated_at <= sandbox.clock()
    text = msgspec.json.encode(found)
    assert msgspec.json.decode(text) == found


@every_platform
def test_other_kinds_come_too(sandbox: LiveSandbox, name: str) -> None:
    settings, credentials = sandbox.connection(name)
    for kind in platform(name).spec.kinds:
        pages = platform(name).pull(sandbox.account(settings, credentials), kind, None)
        assert all(page.kind == kind for page in pages)


@every_platform
def test_versions_of_one_record_grow(sandbox: LiveSandbox, name: str) -> None:
    newest: dict[str, str] = {}
    for record in records(pull(sandbox, name)):
        before = newest.get(record["native_id"])
        assert before is None or before < record["updated_at"]
        newest[record["native_id"]] = record["updated_at"]


@every_platform
def test_second_pull_is_short_and_brings_nothing(sandbox: LiveSandbox, name: str) -> None:
    first = pull(sandbox, name)
    cursor = first[-1].cursor
    sandbox.state.requests.clear()
    assert not news(sandbox, name, {MAIN_KIND[name]: cursor})
    again = records(pull(sandbox, name, cursor))
    # The overlap may bring some again, and nothing that landing does not know.
    assert versions(again) <= versions(records(first))
    assert len(again) < len(records(first)) / 50
    assert sandbox.state.requests[name] < 12


@every_platform
def test_resuming_after_any_page_loses_nothing(
    sandbox: LiveSandbox, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("integrator.platforms.shopify.pull.RECORDS_A_PAGE", 300)
    monkeypatch.setattr("integrator.platforms.hubspot.pull.LISTS_A_PAGE", 3)
    monkeypatch.setattr("integrator.platforms.salesforce.client.BATCH", 200)
    whole = pull(sandbox, name)
    everything = versions(records(whole))
    assert len(whole) > 2
    for stop in {0, len(whole) // 2, len(whole) - 2}:
        first = whole[: stop + 1]
        cursor = msgspec.json.decode(msgspec.json.encode(first[-1].cursor))
        rest = pull(sandbox, name, cursor)
        assert versions(records(first)) | versions(records(rest)) == everything
        twice = len(records(first)) + len(records(rest)) - len(everything)
        assert twice == 0


@every_platform
def test_news_is_found_when_time_moves_on(sandbox: LiveSandbox, name: str) -> None:
    before = pull(sandbox, name)
    cursor = before[-1].cursor
    sandbox.move(timedelta(days=2))
    assert news(sandbox, name, {MAIN_KIND[name]: cursor})
    fresh = records(pull(sandbox, name, cursor))
    everything = records(pull(sandbox, name))
    assert fresh
    if name in FORGETFUL:
        assert keys(everything) == keys(records(before)) | keys(fresh)
        assert newest(everything) == newest(records(before) + fresh)
    else:
        assert versions(everything) == versions(records(before)) | versions(fresh)
        newer = versions(everything) - versions(records(before))
        assert newer <= versions(fresh)
    assert len(fresh) < len(everything) / 4


@every_platform
def test_nothing_of_the_future_is_told(sandbox: LiveSandbox, name: str) -> None:
    for record in records(pull(sandbox, name)):
        for field in ("created_at", "converted_at", "lost_at", "sold_at"):
            assert record.get(field) is None or msgspec.convert(record, KINDS[MAIN_KIND[name]], strict=False)
        if name == "pretix" and record["ends_at"] > sandbox.clock().isoformat():
            assert record["attendance"] is None


@every_platform
def test_wrong_credential_is_permanent(sandbox: LiveSandbox, name: str) -> None:
    with pytest.raises(Unauthorized) as caught:
        pull(sandbox, name, None, **wrong(name))
    assert caught.value.exit_code == 1
    assert "x" * 64 not in str(caught.value)
    assert sandbox.slept == []


@every_platform
def test_missing_permission_is_permanent_and_named(sandbox: LiveSandbox, name: str) -> None:
    settings, credentials = sandbox.connection(name)
    assert platform(name).check(sandbox.account(settings, credentials)) == []
    path = {"hubspot": "/crm/", "salesforce": "/services/data/"}.get(name, "")
    sandbox.fault(name, 403, path=path)
    assert len(platform(name).check(sandbox.account(settings, credentials))) == 1
    sandbox.fault(name, 403, path=path)
    with pytest.raises(Forbidden):
        pull(sandbox, name)


@every_platform
@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_passing_failure_is_ridden_out(sandbox: LiveSandbox, name: str, status: int) -> None:
    sandbox.fault(name, status, count=2)
    assert records(pull(sandbox, name))
    assert len(sandbox.slept) >= 2
    assert all(0 < wait < 10 for wait in sandbox.slept)


@every_platform
def test_retry_after_is_obeyed(sandbox: LiveSandbox, name: str) -> None:
    sandbox.fault(name, 429, retry_after=7)
    assert records(pull(sandbox, name))
    assert 7.0 in sandbox.slept


@every_platform
@pytest.mark.parametrize(("status", "error"), [(429, RateLimited), (500, Unavailable)])
def test_lasting_failure_is_transient_within_bounds(
    sandbox: LiveSandbox, name: str, status: int, error: type[TransientError]
) -> None:
    sandbox.fault(name, status, count=1000)
    with pytest.raises(error) as caught:
        pull(sandbox, name)
    assert caught.value.exit_code == 75
    assert sandbox.state.requests[name] == sandbox.http.attempts
    assert len(sandbox.slept) == sandbox.http.attempts - 1


@every_platform
def test_a_platform_that_is_not_there_is_transient(sandbox: LiveSandbox, name: str) -> None:
    settings, credentials = sandbox.connection(name)
    away = {**settings, "base_url": "http://127.0.0.1:9"}
    pages = platform(name).pull(sandbox.account(away, credentials), MAIN_KIND[name], None)
    with pytest.raises(Unavailable):
        list(pages)


@every_platform
def test_bad_settings_name_the_value_and_what_is_allowed(sandbox: LiveSandbox, name: str) -> None:
    settings, credentials = sandbox.connection(name)
    run = platform(name).pull
    for broken, secrets, kind, said in (
        ({**settings, "base_url": ""}, credentials, MAIN_KIND[name], "base_url"),
        ({**settings, "colour": "red"}, credentials, MAIN_KIND[name], "colour"),
        (settings, {}, MAIN_KIND[name], platform(name).spec.credential_fields[0]),
        (settings, credentials, "invoice", "invoice"),
    ):
        with pytest.raises(InvalidInput, match=said):
            list(run(sandbox.account(broken, secrets), kind, None))
    assert name not in sandbox.state.requests


MALFORMED: dict[str, list[dict[str, Any]]] = {
    "pretix": [
        {"id": 1, "event": "bhmbccmkt01", "name": {"en": "no dates"}},
        {"id": 2, "event": "bhmbccmkt01", "name": None, "date_from": "yesterday", "date_to": None},
    ],
    "hubspot": [
        {"id": "1", "properties": {"createdate": None}},
        {"id": "2", "properties": None},
    ],
    "shopify": [
        {"id": "gid://shopify/Order/1", "lineItems": [{"id": "gid://shopify/LineItem/1", "quantity": "many"}]},
        {"unexpected": True},
    ],
    "eventbrite": [
        {"id": "1", "name": {"text": "no dates"}, "status": "live", "changed": "2026-03-01T00:00:00Z"},
        {"id": "2", "status": "live", "start": None, "end": {"utc": "yesterday"}, "changed": None},
    ],
    "salesforce": [
        {"Id": "00Q1", "CreatedDate": None, "IsConverted": False},
        {"Id": None, "Email": 7, "unexpected": True},
    ],
    "stripe": [
        {"id": "ch_1", "created": 1, "amount": "much"},
        {"unexpected": True},
    ],
}


@every_platform
def test_malformed_records_are_handed_on_and_spoil_nothing(sandbox: LiveSandbox, name: str) -> None:
    good = versions(records(pull(sandbox, name)))
    sandbox.state.injected(name).extend(MALFORMED[name])
    found = records(pull(sandbox, name))
    assert good <= versions(found)
    bad = [record for record in found if msgspec.json.encode(record, order="sorted").decode() not in good]
    assert len(bad) == 2
    for record in bad:
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(record, KINDS[MAIN_KIND[name]], strict=False)


def test_an_expired_token_is_refreshed_once_and_then_permanent(sandbox: LiveSandbox) -> None:
    settings, credentials = sandbox.connection("hubspot")
    pages = platform("hubspot").pull(sandbox.account(settings, credentials), "contact", None)
    first = next(pages)
    for token in sandbox.state.hubspot_tokens:
        sandbox.state.hubspot_tokens[token] = 0.0
    rest = list(pages)
    assert len(records([first, *rest])) == len(records(pull(sandbox, "hubspot")))
    sandbox.fault("hubspot", 401, count=1000, path="/crm/")
    with pytest.raises(Unauthorized):
        pull(sandbox, "hubspot")


def test_hubspot_limits_are_ridden_out_over_real_time(sandbox: LiveSandbox) -> None:
    from integrator.platforms.http import HttpPolicy
    from integrator_sandbox.limits import SlidingWindow

    sandbox.state.hubspot_limit = SlidingWindow(4, 0.5)
    settings, credentials = sandbox.connection("hubspot")
    account = replace(sandbox.account(settings, credentials), http=HttpPolicy(backoff=0.2, allow_private=True))
    pages = platform("hubspot").pull(account, "contact", None)
    assert len({record["native_id"] for record in records(list(pages))}) > 400


def test_hubspot_conversion_is_known_only_from_its_own_time(sandbox: LiveSandbox) -> None:
    found = records(pull(sandbox, "hubspot"))
    converted = [record for record in found if record["converted_at"]]
    lost = [record for record in found if record["lost_at"]]
    assert converted
    assert lost
    assert all(record["updated_at"] >= (record["converted_at"] or record["lost_at"]) for record in converted + lost)
    assert all(record["stage"] == ("customer" if record["converted_at"] else "lead") for record in found)
    assert all(isinstance(record["attributes"]["is_mobile"], bool) for record in found)


def test_hubspot_search_moves_its_window(sandbox: LiveSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("integrator.platforms.hubspot.pull.SEARCH_WINDOW", 120)
    monkeypatch.setattr("integrator.platforms.hubspot.pull.SEARCH_LIMIT", 40)
    monkeypatch.setattr("integrator_sandbox.hubspot.SEARCH_WINDOW", 120)
    whole = records(pull(sandbox, "hubspot"))
    since = {"since": "2020-01-01T00:00:00Z"}
    assert versions(records(pull(sandbox, "hubspot", since))) == versions(whole)


def test_hubspot_crowd_of_one_instant_falls_back_to_the_list(
    sandbox: LiveSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    from integrator_sandbox.hubspot import Contacts

    whole = records(pull(sandbox, "hubspot"))
    monkeypatch.setattr("integrator.platforms.hubspot.pull.SEARCH_WINDOW", 120)
    monkeypatch.setattr(Contacts, "modified", lambda self, position, now: self.created[0])
    found = records(pull(sandbox, "hubspot", {"since": "2020-01-01T00:00:00Z"}))
    assert {record["native_id"] for record in found} == {record["native_id"] for record in whole}


def test_shopify_pages_and_bulk_tell_the_same(sandbox: LiveSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("integrator.platforms.shopify.pull.LINES_A_PAGE", 1)
    bulk = records(pull(sandbox, "shopify"))
    since = (sandbox.clock() - timedelta(days=3)).isoformat()
    paged = records(pull(sandbox, "shopify", {"since": since}))
    recent = [record for record in bulk if record["updated_at"] >= since]
    assert versions(paged) == versions(recent)
    assert len(paged) > 20


def test_shopify_throttling_waits_for_points(sandbox: LiveSandbox) -> None:
    from integrator_sandbox.limits import Bucket

    since = {"since": (sandbox.clock() - timedelta(days=3)).isoformat()}
    calm = records(pull(sandbox, "shopify", since))
    sandbox.slept.clear()
    # Time passes only while the client waits: it must wait just long enough for the points it lacks.
    sandbox.state.shopify_bucket = Bucket(1000.0, 1000.0, lambda: sum(sandbox.slept))
    assert versions(records(pull(sandbox, "shopify", since))) == versions(calm)
    assert sandbox.slept
    assert sum(sandbox.slept) < 5
    sandbox.state.shopify_bucket = Bucket(1000.0, 0.001, lambda: 0.0)
    sandbox.state.shopify_bucket.take(500)
    with pytest.raises(RateLimited):
        pull(sandbox, "shopify", since)


def test_shopify_expensive_page_is_made_smaller(sandbox: LiveSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("integrator.platforms.shopify.pull.ORDERS_A_PAGE", 100)
    since = {"since": (sandbox.clock() - timedelta(days=2)).isoformat()}
    assert records(pull(sandbox, "shopify", since))


def test_shopify_expired_bulk_file_is_ordered_again(sandbox: LiveSandbox) -> None:
    whole = versions(records(pull(sandbox, "shopify")))
    stale = {"since": "2026-01-01T00:00:00Z", "bulk": "gid://shopify/BulkOperation/1", "offset": 5000}
    assert versions(records(pull(sandbox, "shopify", stale))) == whole


def test_shopify_unknown_status_is_handed_on_unchanged(sandbox: LiveSandbox) -> None:
    money = {"shopMoney": {"amount": "10.0", "currencyCode": "TWD"}}
    line = {
        "id": "gid://shopify/LineItem/7", "sku": "A", "quantity": 2, "currentQuantity": 1, "variantTitle": "Large",
        "product": None, "originalUnitPriceSet": money, "discountedUnitPriceSet": money, "customAttributes": [],
    }  # fmt: skip
    order = {
        "id": "gid://shopify/Order/7", "createdAt": "2026-03-16T04:00:00Z", "processedAt": "2026-03-16T04:00:00Z",
        "updatedAt": "2026-03-16T05:00:00Z", "cancelledAt": None, "test": False, "sourceName": "web",
        "displayFinancialStatus": "SOMETHING_NEW", "customer": None, "lineItems": [line],
    }  # fmt: skip
    sandbox.state.injected("shopify").append(order)
    added = [record for record in records(pull(sandbox, "shopify")) if record["native_id"] == "7"]
    assert [record["status"] for record in added] == ["SOMETHING_NEW"]
    assert added[0]["refunded_quantity"] == 1
    assert added[0]["tier"] == "Large"


def test_pretix_rereads_dates_of_late_scanners(sandbox: LiveSandbox) -> None:
    cursor = pull(sandbox, "pretix")[-1].cursor
    sandbox.move(timedelta(hours=7))
    assert sandbox.clock().hour == 3
    late = records(pull(sandbox, "pretix", cursor))
    assert late
    assert all(record["status"] == "completed" for record in late)
    assert not news(sandbox, "pretix", {"event": cursor})


def test_registry_stays_light() -> None:
    import subprocess
    import sys

    code = (
        "import sys, integrator.platforms.registry; print(sorted({'requests', 'msgspec', 'polars'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_shopify_bulk_address_that_closed_is_ordered_again(
    sandbox: LiveSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("integrator.platforms.shopify.pull.RECORDS_A_PAGE", 300)
    whole = pull(sandbox, "shopify")
    sandbox.fault("shopify", 403, path="/bulk/")
    assert versions(records(pull(sandbox, "shopify", whole[0].cursor))) == versions(records(whole))
