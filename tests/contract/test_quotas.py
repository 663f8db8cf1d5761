"""Quotas, rotated tokens and described fields of the first platforms, against the sandbox over real HTTP."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from integrator.contracts.errors import RateLimited
from integrator.platforms import http
from integrator.platforms.hubspot import client
from integrator.platforms.registry import platform

if TYPE_CHECKING:
    from tests.contract.conftest import LiveSandbox


def pages(sandbox: LiveSandbox, name: str, kind: str) -> list[Any]:
    settings, credentials = sandbox.connection(name)
    return list(platform(name).pull(sandbox.account(settings, credentials), kind, None))


@pytest.mark.parametrize(("name", "kind"), [("pretix", "event"), ("hubspot", "contact"), ("shopify", "sale")])
def test_the_count_is_that_of_the_records(sandbox: LiveSandbox, name: str, kind: str) -> None:
    settings, credentials = sandbox.connection(name)
    counted = platform(name).count(sandbox.account(settings, credentials), kind)
    assert counted == len({record["native_id"] for page in pages(sandbox, name, kind) for record in page.records})


def test_hubspot_describes_its_own_fields(sandbox: LiveSandbox) -> None:
    for page in pages(sandbox, "hubspot", "contact"):
        assert page.fields is not None
        assert page.fields["is_mobile"].type == "boolean" and page.fields["srch_adults_cnt"].type == "number"
        assert page.fields["channel"].type == "string" and "email" not in page.fields


def test_pretix_lists_all_dates_at_first_and_not_again_at_once(sandbox: LiveSandbox) -> None:
    settings, credentials = sandbox.connection("pretix")
    first = pages(sandbox, "pretix", "event")
    listing = first[-1].listing
    assert listing is not None
    assert listing.ids == {record["native_id"] for page in first for record in page.records}
    again = platform("pretix").pull(sandbox.account(settings, credentials), "event", first[-1].cursor)
    assert all(page.listing is None for page in again)
    resumed = platform("pretix").pull(sandbox.account(settings, credentials), "event", first[0].cursor)
    assert [page.listing for page in resumed][-1] == listing, "one that was interrupted lists apart"


def test_a_rotated_refresh_token_is_handed_on_before_it_is_needed(
    sandbox: LiveSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[dict[str, str]] = []
    sent: list[str] = []
    answers = iter([{"access_token": "one", "refresh_token": "next"}, {"access_token": "two"}])
    monkeypatch.setattr(http, "decoded", lambda *_: next(answers))
    monkeypatch.setattr(http.Session, "post", lambda *_, data, **__: sent.append(data["refresh_token"]))
    settings, credentials = sandbox.connection("hubspot")
    policy = replace(sandbox.http, keep=lambda fresh: kept.append(dict(fresh)))
    session = client.session_for(replace(sandbox.account(settings, credentials), http=policy))
    assert session._refresh is not None
    for _ in range(2):
        session._refresh(session)
    session.close()
    assert kept == [{"refresh_token": "next"}]
    assert sent == [credentials["refresh_token"], "next"]


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [({}, None), ({"X-HubSpot-RateLimit-Remaining": "5"}, None),
     ({"X-HubSpot-RateLimit-Remaining": "0", "X-HubSpot-RateLimit-Interval-Milliseconds": "2000"}, 2.0),
     ({"X-HubSpot-RateLimit-Remaining": "0", "X-HubSpot-RateLimit-Interval-Milliseconds": "soon"}, 10.0),
     ({"X-HubSpot-RateLimit-Daily-Remaining": "0"}, 3600.0)],
)  # fmt: skip
def test_hubspot_quota_headers(headers: dict[str, str], seconds: float | None) -> None:
    answer: Any = type("Answer", (), {"headers": headers})()
    assert client.pause(answer) == seconds


def test_more_patience_than_we_have_is_not_waited_for(sandbox: LiveSandbox) -> None:
    sandbox.fault("hubspot", 429, count=99, retry_after=9999)
    with pytest.raises(RateLimited):
        pages(sandbox, "hubspot", "contact")
    assert sandbox.slept == []
