"""The stand-ins themselves: real data unaltered, documented refusals, the webhook receiver, the levers."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
import requests
from standardwebhooks.webhooks import Webhook

from integrator_sandbox.demo import HUBSPOT_CLIENT, ORGANIZER, PRETIX_TOKEN, SHOPIFY_TOKEN
from integrator_sandbox.limits import SlidingWindow

if TYPE_CHECKING:
    from tests.contract.conftest import LiveSandbox

SECRET = "whsec_" + "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"
GRAPHQL = "/shopify/admin/api/2026-10/graphql.json"


def pretix(sandbox: LiveSandbox, path: str, **params: Any) -> requests.Response:
    return requests.get(
        f"{sandbox.url}/pretix/api/v1/organizers/{ORGANIZER}{path}",
        params=params, headers={"Authorization": f"Token {PRETIX_TOKEN}"}, timeout=10,
    )  # fmt: skip


def hubspot(sandbox: LiveSandbox) -> dict[str, str]:
    form = {"grant_type": "refresh_token", **HUBSPOT_CLIENT}
    answer = requests.post(f"{sandbox.url}/hubspot/oauth/v1/token", data=form, timeout=10)
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def test_car_parks_are_the_data_unaltered(sandbox: LiveSandbox) -> None:
    frame = sandbox.state.frames["car_parks"]
    assert frame["site"].n_unique() == 28
    slug = pretix(sandbox, "/events/").json()["results"][0]["slug"]
    rows = frame.filter(pl.col("site").str.to_lowercase().str.replace_all(" ", "-") == slug)
    sandbox.move(timedelta(days=40))
    found: list[dict[str, Any]] = []
    for page in (1, 2):
        found += pretix(sandbox, f"/events/{slug}/checkinlists/", page=page, page_size=50).json()["results"]
    assert [one["checkin_count"] for one in found] == rows["peak"].to_list()
    days = [datetime.fromisoformat(one["date_to"]).date() for one in found]
    shifted = {(day - then).days for day, then in zip(days, rows["day"].to_list(), strict=True)}
    assert len(shifted) == 1
    assert shifted.pop() % 7 == 0


def test_pretix_lists_as_documented(sandbox: LiveSandbox) -> None:
    body = pretix(sandbox, "/subevents/", page_size=500).json()
    assert set(body) == {"count", "next", "previous", "results"}
    assert len(body["results"]) == 50
    assert body["previous"] is None
    assert "page=2" in body["next"]
    assert pretix(sandbox, "/orders/", modified_since="2026-01-01T00:00:00Z").json()["count"] == 0
    assert pretix(sandbox, "/subevents/", page=999).status_code == 404
    assert pretix(sandbox, "/subevents/", modified_since="yesterday").status_code == 400
    assert pretix(sandbox, "/events/nowhere/quotas/").status_code == 403
    sandbox.state.pretix_limit = SlidingWindow(0, 60.0)
    sandbox.state.pretix_limit._times.append(time.monotonic())
    refused = pretix(sandbox, "/events/")
    assert refused.status_code == 429
    assert 0 < float(refused.headers["Retry-After"]) <= 60


def test_dates_follow_the_sandboxs_clock(sandbox: LiveSandbox) -> None:
    sandbox.state.fixed = datetime(2026, 3, 16, 20, 0, tzinfo=UTC)
    assert pretix(sandbox, "/events/").headers["Date"] == "Mon, 16 Mar 2026 20:00:00 GMT"


def test_searches_are_the_data_and_outcomes_wait_for_their_day(sandbox: LiveSandbox) -> None:
    frame = sandbox.state.frames["travel"]
    assert frame.height == 9_091
    assert not {"cnt", "user_id"} & set(frame.columns)
    url, headers = f"{sandbox.url}/hubspot/crm/v3/objects/contacts", hubspot(sandbox)
    params = {"limit": "50", "propertiesWithHistory": "lifecyclestage,hs_lead_status,srch_ci,hotel_market"}
    found = requests.get(url, params=params, headers=headers, timeout=10).json()["results"]
    now = sandbox.clock().isoformat()
    for contact in found:
        for entries in contact["propertiesWithHistory"].values():
            assert all(entry["timestamp"] <= now for entry in entries)
        stage = contact["properties"]["lifecyclestage"]
        assert stage == "lead" or contact["properties"]["srch_ci"] <= now[:10]
    markets = frame.tail(900).head(50)["hotel_market"].cast(pl.String).to_list()
    assert [contact["properties"]["hotel_market"] for contact in found] == markets


def test_hubspot_refuses_as_documented(sandbox: LiveSandbox) -> None:
    url, headers = f"{sandbox.url}/hubspot/crm/v3/objects/contacts", hubspot(sandbox)
    many = {"limit": "100", "propertiesWithHistory": "lifecyclestage"}
    assert requests.get(url, params=many, headers=headers, timeout=10).status_code == 400
    deep = {"filterGroups": [{"filters": []}], "after": "10000", "limit": 100}
    assert requests.post(f"{url}/search", json=deep, headers=headers, timeout=10).status_code == 400
    assert requests.post(f"{url}/search", json={"filterGroups": []}, headers=headers, timeout=10).status_code == 400
    sandbox.state.hubspot_search_limit = SlidingWindow(0, 1.0)
    sandbox.state.hubspot_search_limit._times.append(time.monotonic())
    refused = requests.post(f"{url}/search", json=deep, headers=headers, timeout=10)
    assert refused.status_code == 429
    assert refused.json()["policyName"] == "SECONDLY"
    for token in sandbox.state.hubspot_tokens:
        sandbox.state.hubspot_tokens[token] = 0.0
    expired = requests.get(url, headers=headers, timeout=10)
    assert (expired.status_code, expired.json()["category"]) == (401, "EXPIRED_AUTHENTICATION")
    bad = requests.post(f"{sandbox.url}/hubspot/oauth/v1/token", data={"grant_type": "refresh_token"}, timeout=10)
    assert bad.status_code == 400


def graphql(sandbox: LiveSandbox, query: str) -> dict[str, Any]:
    headers = {"X-Shopify-Access-Token": SHOPIFY_TOKEN}
    answer = requests.post(f"{sandbox.url}{GRAPHQL}", json={"query": query}, headers=headers, timeout=10)
    body: dict[str, Any] = answer.json()
    return body


def test_sale_lines_are_the_data_with_totals_over_quantity(sandbox: LiveSandbox) -> None:
    frame = sandbox.state.frames["grocer"].filter(pl.col("rank") <= 4)
    body = graphql(
        sandbox,
        """{ orders(first: 20) { nodes { lineItems(first: 4) { nodes {
          sku quantity discountedUnitPriceSet { shopMoney { amount } } customAttributes { value } } } } } }""",
    )
    lines = [line for order in body["data"]["orders"]["nodes"] for line in order["lineItems"]["nodes"]]
    rows = frame.head(len(lines)).to_dicts()
    for line, row in zip(lines, rows, strict=True):
        assert (line["sku"], line["quantity"]) == (row["product"], row["quantity"])
        price = float(line["discountedUnitPriceSet"]["shopMoney"]["amount"])
        assert price * row["quantity"] == pytest.approx(row["price_total"], abs=0.01)
        cost = float(line["customAttributes"][0]["value"])
        assert cost * row["quantity"] == pytest.approx(row["cost_total"], abs=0.01)


def test_two_hundred_thousand_lines_lie_in_the_past(sandbox: LiveSandbox) -> None:
    from dataclasses import replace

    from integrator_sandbox.shopify_orders import Orders
    from integrator_sandbox.state import Subset

    whole = Orders(replace(sandbox.state, subset=Subset()))
    start, end = whole.shown()
    assert 200_000 <= whole.lines_of(start, end).height < 205_000


def test_shopify_answers_as_documented(sandbox: LiveSandbox) -> None:
    cheap = graphql(sandbox, "{ orders(first: 1) { nodes { id } pageInfo { endCursor } } }")
    status = cheap["extensions"]["cost"]["throttleStatus"]
    assert status["maximumAvailable"] == 1000
    dear = graphql(sandbox, "{ orders(first: 250) { nodes { lineItems(first: 100) { nodes { id } } } } }")
    assert dear["errors"][0]["extensions"]["code"] == "MAX_COST_EXCEEDED"
    assert "errors" in graphql(sandbox, "{ orders(first: 1) { nodes { nonsense } } }")
    assert "errors" in graphql(sandbox, "{ orders(first: 0) { nodes { id } } }")
    assert "errors" in graphql(sandbox, "{")
    refused = graphql(
        sandbox, 'mutation { bulkOperationRunQuery(query: "{ currentBulkOperation { id } }") { userErrors { code } } }'
    )
    assert refused["data"]["bulkOperationRunQuery"]["userErrors"] == [{"code": "INVALID"}]


def test_webhook_receiver_verifies_with_the_official_package(sandbox: LiveSandbox) -> None:
    url = f"{sandbox.url}/_sandbox/webhooks/grocer"
    assert requests.get(url, timeout=10).status_code == 404
    assert requests.post(url, data=b"{}", timeout=10).status_code == 404
    assert requests.put(url, json={"secret": SECRET}, timeout=10).status_code == 200
    now = datetime.now(UTC)
    for number in range(3):
        body = f'{{"type": "insight.updated", "data": {{"id": "ins_{number}"}}}}'
        headers = {
            "webhook-id": f"msg_{number}",
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(SECRET).sign(f"msg_{number}", now, body),
        }
        for _ in range(2):
            assert requests.post(url, data=body, headers=headers, timeout=10).status_code == 204
        forged = requests.post(url, data=body + " ", headers=headers, timeout=10)
        assert forged.status_code == 401
    assert requests.post(url, data=b"{}", timeout=10).status_code == 401
    listed = requests.get(url, params={"limit": 2}, timeout=10).json()
    assert (listed["total"], listed["next"], len(listed["results"])) == (3, 2, 2)
    one = requests.get(url, params={"insight_id": "ins_1"}, timeout=10).json()["results"]
    assert [entry["body"] for entry in one] == ['{"type": "insight.updated", "data": {"id": "ins_1"}}']
    assert requests.put(url, json={"secret": "whsec_%%"}, timeout=10).status_code == 422


def test_levers_work_over_http(sandbox: LiveSandbox) -> None:
    control = f"{sandbox.url}/_sandbox"
    requests.post(f"{control}/faults", json={"platform": "pretix", "status": 503, "retry_after": 2}, timeout=10)
    refused = pretix(sandbox, "/events/")
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "2")
    headers = hubspot(sandbox)
    requests.post(f"{control}/expire", timeout=10)
    contacts = f"{sandbox.url}/hubspot/crm/v3/objects/contacts"
    assert requests.get(contacts, headers=headers, timeout=10).status_code == 401
    requests.post(f"{control}/records", json={"platform": "pretix", "records": [{"id": 1, "event": "x"}]}, timeout=10)
    assert sandbox.state.injected("pretix") == [{"id": 1, "event": "x"}]
    requests.post(f"{control}/clock", json={"now": "2026-03-20T00:00:00+00:00"}, timeout=10)
    assert sandbox.clock() == datetime(2026, 3, 20, tzinfo=UTC)
    requests.post(f"{control}/reset", timeout=10)
    assert sandbox.state.extra == {}


def test_it_runs_as_a_process_of_its_own(sandbox: LiveSandbox) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "integrator_sandbox", "--home", str(sandbox.state.home), "--port", str(port)]
    command += ["--now", "2026-03-18T06:00:00+00:00", "--sites", "1", "--products", "1", "--contacts", "10"]
    with subprocess.Popen(command) as process:
        try:
            for _ in range(200):
                try:
                    answer = requests.get(f"http://127.0.0.1:{port}/healthz", timeout=5)
                    break
                except requests.ConnectionError:
                    assert process.poll() is None
                    time.sleep(0.05)
            assert (answer.status_code, answer.headers["Date"]) == (204, "Wed, 18 Mar 2026 06:00:00 GMT")
            levers = requests.post(f"http://127.0.0.1:{port}/_sandbox/reset", timeout=5)
            assert levers.status_code == 404
        finally:
            process.terminate()
    assert process.returncode in (0, -15)


def test_a_moment_without_an_offset_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    from integrator_sandbox.__main__ import main

    with pytest.raises(SystemExit) as caught:
        main(["--port", "1", "--now", "2026-03-18T06:00:00"])
    assert caught.value.code == 2
    assert "needs an offset" in capsys.readouterr().err
