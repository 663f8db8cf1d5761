"""Salesforce alone: what the suite over all platforms cannot ask. Real HTTP against the stand-in."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
import requests

from integrator.contracts.errors import Forbidden, InvalidInput, RateLimited, Unauthorized
from integrator.contracts.records import KINDS
from integrator.platforms.base import Cursor, Page, Window, stamp
from integrator.platforms.registry import platform
from integrator_sandbox.demo import SALESFORCE_CLIENT, SEARCH_COLUMNS
from integrator_sandbox.limits import SlidingWindow
from integrator_sandbox.salesforce import Salesforce
from integrator_sandbox.salesforce_leads import UNTRACKED, ZONE

if TYPE_CHECKING:
    from tests.contract.conftest import LiveSandbox

OPPORTUNITY: dict[str, Any] = {
    "Id": "006000000000001AAA", "Name": "Ada's journey", "StageName": "Closed Won", "Amount": 120.5,
    "CloseDate": "2026-03-10", "Type": "New Business", "LeadSource": "Web", "IsClosed": True, "IsWon": True,
    "IsDeleted": False, "CreatedDate": "2026-03-01T09:00:00Z", "SystemModstamp": "2026-03-11T09:00:00Z",
}  # fmt: skip


def org(sandbox: LiveSandbox) -> Salesforce:
    found: Salesforce = sandbox.state.parts["salesforce"]
    return found


def pull(sandbox: LiveSandbox, cursor: Cursor | None = None, kind: str = "contact", **more: Any) -> list[Page]:
    settings, credentials = sandbox.connection("salesforce")
    settings, credentials = settings | more.pop("settings", {}), credentials | more.pop("credentials", {})
    account = replace(sandbox.account(settings, credentials), http=more.pop("http", sandbox.http))
    return list(platform("salesforce").pull(account, kind, cursor, **more))


def records(pages: list[Page]) -> list[dict[str, Any]]:
    return [record for page in pages for record in page.records]


def leads(sandbox: LiveSandbox, **more: Any) -> dict[str, dict[str, Any]]:
    """The newest version of every lead."""
    return {record["native_id"]: record for record in records(pull(sandbox, **more))}


def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("integrator.platforms.salesforce.client.BATCH", 200)


def hide(sandbox: LiveSandbox, **what: str) -> None:
    sandbox.state.injected("salesforce/hidden").append(what)


def check(sandbox: LiveSandbox, **more: Any) -> list[str]:
    settings, credentials = sandbox.connection("salesforce")
    return platform("salesforce").check(sandbox.account(settings | more, credentials))


def count(sandbox: LiveSandbox, kind: str, **more: Any) -> int | None:
    settings, credentials = sandbox.connection("salesforce")
    return platform("salesforce").count(sandbox.account(settings | more, credentials), kind)


def test_converted_leads_are_not_hidden(sandbox: LiveSandbox) -> None:
    found = leads(sandbox)
    converted = [one for one in found.values() if one["converted_at"]]
    lost = [one for one in found.values() if one["lost_at"]]
    waiting = [one for one in found.values() if one["stage"] == "Open - Not Contacted"]
    assert len(converted) > 10
    assert len(converted) + len(lost) + len(waiting) == len(found)
    assert count(sandbox, "contact") == len(found)
    made = org(sandbox).tables["Lead"]
    for one in converted:
        position = int(one["native_id"][3:15])
        assert one["converted_at"] == stamp(made.outcome[position])  # type: ignore[attr-defined]


def test_types_are_kept_and_only_history_is_known_before(sandbox: LiveSandbox) -> None:
    found = records(pull(sandbox))
    known = {"number": (int, float), "bool": (bool,), "date": (str,), "enumeration": (str,)}
    seen: set[str] = set()
    changed = {record["native_id"] for record in found if record["stage"] != "Open - Not Contacted"}
    for record in found:
        seen |= record["attributes"].keys()
        for name, value in record["attributes"].items():
            assert isinstance(value, known[SEARCH_COLUMNS[name.removesuffix("__c")]])
        if record["native_id"] in changed and record["stage"] == "Open - Not Contacted":
            assert UNTRACKED not in record["attributes"]
            assert "hotel_market__c" in record["attributes"]
            assert record["updated_at"] == record["created_at"]
    assert seen == {f"{name}__c" for name in SEARCH_COLUMNS}


def test_the_day_alone_is_told_where_history_is_not(sandbox: LiveSandbox) -> None:
    lead: dict[str, Any] = {
        "Id": "00Q900000000001EAA", "IsDeleted": False, "CreatedDate": "2026-03-01T12:00:00Z", "IsConverted": True,
        "ConvertedDate": "2026-03-05", "SystemModstamp": "2026-03-09T12:00:00Z", "Status": "Closed - Converted",
    }  # fmt: skip
    same_day = {**lead, "Id": "00Q900000000002EAA", "SystemModstamp": "2026-03-05T18:00:00Z"}
    sandbox.state.injected("salesforce").extend([lead, same_day])
    found = leads(sandbox)
    # The end of that day in New York, the org's zone, or the last change of that day.
    assert found[lead["Id"]]["converted_at"] == "2026-03-06T04:59:59Z"
    assert found[same_day["Id"]]["converted_at"] == "2026-03-05T18:00:00Z"


def test_an_old_leads_history_is_not_guessed(sandbox: LiveSandbox) -> None:
    lead: dict[str, Any] = {
        "Id": "00Q900000000003EAA", "IsDeleted": False, "CreatedDate": "2024-03-01T12:00:00Z", "IsConverted": False,
        "SystemModstamp": "2026-03-09T12:00:00Z", "Status": "Working - Contacted", "hotel_market__c": 7.0,
    }  # fmt: skip
    sandbox.state.injected("salesforce").append(lead)
    found = [one for one in records(pull(sandbox)) if one["native_id"] == lead["Id"]]
    assert [one["updated_at"] for one in found] == ["2026-03-09T12:00:00Z"]
    assert found[0]["attributes"] == {"hotel_market__c": 7}


def test_a_new_custom_field_flows_in_by_itself(sandbox: LiveSandbox) -> None:
    sandbox.state.injected("salesforce/fields").extend(
        [
            {"name": "Tier__c", "type": "picklist", "value": "gold"},
            {"name": "Budget__c", "type": "currency", "value": 1200.0},
            {"name": "Private_Mail__c", "type": "email", "value": "ada@example.com"},
            {"name": "Notes__c", "type": "textarea", "value": "called Ada"},
            {"name": "x FROM Lead--", "type": "string", "value": "1"},
        ]
    )
    pages = pull(sandbox)
    fields = pages[0].fields or {}
    assert (fields["Tier__c"].type, fields["Budget__c"].type) == ("string", "number")
    assert "Private_Mail__c" not in fields
    for one in {record["native_id"]: record for record in records(pages)}.values():
        assert one["attributes"]["Tier__c"] == "gold"
        assert one["attributes"]["Budget__c"] == 1200
        assert not {"Private_Mail__c", "Notes__c", "x FROM Lead--"} & one["attributes"].keys()
    chosen = leads(sandbox, settings={"fields": ["Tier__c"]})
    assert all(set(one["attributes"]) <= {"Tier__c"} for one in chosen.values())


def test_personal_fields_are_canonical_and_never_attributes(sandbox: LiveSandbox) -> None:
    sandbox.state.injected("salesforce").append(
        {"Id": "00Q900000000004EAA", "IsDeleted": False, "CreatedDate": "2026-03-01T12:00:00Z", "IsConverted": False,
         "SystemModstamp": "2026-03-01T12:00:00Z", "Status": "Open", "FirstName": "Ada", "LastName": "Lovelace",
         "Email": "ada@example.com", "Phone": "+44 20 7946 0000", "Company": "Analytical Engines",
         "Description": "likes Ada"}
    )  # fmt: skip
    one = leads(sandbox)["00Q900000000004EAA"]
    assert (one["name"], one["email"], one["phone"]) == ("Ada Lovelace", "ada@example.com", "+44 20 7946 0000")
    assert one["attributes"] == {}


def test_a_deleted_lead_ends_and_tells_nothing_personal(sandbox: LiveSandbox) -> None:
    first = pull(sandbox)
    gone = records(first)[0]["native_id"]
    sandbox.move(timedelta(hours=1))
    sandbox.state.removed("salesforce")[gone] = sandbox.clock() - timedelta(minutes=5)
    ended = [one for one in records(pull(sandbox, first[-1].cursor)) if one["native_id"] == gone]
    assert [one["deleted_at"] for one in ended] == [stamp(sandbox.clock() - timedelta(minutes=5))]
    assert not {"email", "phone", "name", "attributes"} & ended[0].keys()
    msgspec.convert(ended[0], KINDS["contact"], strict=False)
    # Whoever connects later never hears of it.
    assert gone not in leads(sandbox)
    assert count(sandbox, "contact") == len(leads(sandbox))


def test_a_cursor_that_closes_is_opened_again_where_it_was(
    sandbox: LiveSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = records(pull(sandbox))
    small(monkeypatch)
    settings, credentials = sandbox.connection("salesforce")
    pages = platform("salesforce").pull(sandbox.account(settings, credentials), "contact", None)
    found = [next(pages), next(pages)]
    org(sandbox).cursors.clear()
    found += list(pages)
    assert sorted(map(str, records(found))) == sorted(map(str, whole))


def test_a_token_that_ends_in_the_middle_is_replaced(sandbox: LiveSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    small(monkeypatch)
    settings, credentials = sandbox.connection("salesforce")
    pages = platform("salesforce").pull(sandbox.account(settings, credentials), "contact", None)
    found = [next(pages)]
    org(sandbox).expire()
    found += list(pages)
    assert sorted(map(str, records(found))) == sorted(map(str, records(pull(sandbox))))
    sandbox.fault("salesforce", 401, count=1000, path="/services/data/")
    with pytest.raises(Unauthorized):
        pull(sandbox)


def test_many_leads_of_one_instant_are_all_read(sandbox: LiveSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    small(monkeypatch)
    crowd: list[dict[str, Any]] = [
        {"Id": f"00Q8{number:011d}EAA", "IsDeleted": False, "CreatedDate": "2026-03-02T12:00:00Z", "IsConverted": False,
         "SystemModstamp": "2026-03-02T12:00:00Z", "Status": "Open"}
        for number in range(450)
    ]  # fmt: skip
    sandbox.state.injected("salesforce").extend(crowd)
    whole = pull(sandbox)
    ids = {one["Id"] for one in crowd}
    for stop in range(len(whole) - 1):
        cursor = msgspec.json.decode(msgspec.json.encode(whole[stop].cursor))
        both = records(whole[: stop + 1]) + records(pull(sandbox, cursor))
        assert sorted(one["native_id"] for one in both if one["native_id"] in ids) == sorted(ids)


def test_a_window_holds_what_changed_within_it(sandbox: LiveSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    small(monkeypatch)
    window = Window(sandbox.clock() - timedelta(days=40), sandbox.clock() - timedelta(days=5))
    pages = pull(sandbox, window=window)
    found = records(pages)
    assert pages[-1].cursor == {"done": True}
    assert len(pages) > 1
    assert found
    assert all(stamp(window.since) <= one["updated_at"] < stamp(window.until) for one in found)
    expected = {
        key for key, one in leads(sandbox).items() if stamp(window.since) <= one["updated_at"] < stamp(window.until)
    }
    assert {one["native_id"] for one in found} == expected
    rest = records(pull(sandbox, pages[0].cursor, window=window))
    assert sorted(map(str, rest)) == sorted(map(str, found[len(pages[0].records) :]))
    assert pull(sandbox, pages[-1].cursor, window=window) == []


def test_the_partners_own_programs_keep_their_share_of_the_day(sandbox: LiveSandbox) -> None:
    limited = org(sandbox)
    limited.daily = SlidingWindow(100, 86_400.0)
    for _ in range(85):
        limited.daily.take()
    with pytest.raises(RateLimited) as caught:
        for _ in range(4):
            pull(sandbox)
    assert caught.value.retry_after == 3600
    # Stopped by the share and not by the platform: ten of a hundred are left, less the one that told.
    assert 8 <= limited.daily.remaining <= 10
    assert sandbox.slept == []
    assert pull(sandbox, settings={"reserve_pct": 0})


def test_a_used_up_day_is_a_limit_and_no_permission(sandbox: LiveSandbox) -> None:
    limited = org(sandbox)
    limited.daily = SlidingWindow(1, 86_400.0)
    limited.daily.take()
    with pytest.raises(RateLimited) as caught:
        pull(sandbox)
    assert caught.value.exit_code == 75
    assert sandbox.slept == []


def test_check_names_what_is_missing(sandbox: LiveSandbox) -> None:
    assert check(sandbox) == []
    hide(sandbox, field="Lead.ConvertedDate")
    assert check(sandbox) == ["Lead.ConvertedDate: Read Access"]
    hide(sandbox, object="Opportunity")
    assert check(sandbox) == ["Lead.ConvertedDate: Read Access", "Opportunity: Read"]
    assert check(sandbox, opportunities="no") == ["Lead.ConvertedDate: Read Access"]
    hide(sandbox, object="Lead")
    assert check(sandbox) == ["Lead: Read", "Opportunity: Read"]
    with pytest.raises(Forbidden):
        pull(sandbox)
    hide(sandbox, object="*")
    assert check(sandbox) == ["API Enabled"]


def test_a_field_that_is_hidden_is_not_asked_for(sandbox: LiveSandbox) -> None:
    hide(sandbox, field="Lead.LeadSource")
    hide(sandbox, field="Lead.hotel_market__c")
    hide(sandbox, object="FieldDefinition")
    hide(sandbox, object="Organization")
    found = records(pull(sandbox))
    assert found
    assert all("hotel_market__c" not in one["attributes"] for one in found)
    # Without knowing which fields have history, none is known before its lead's last change.
    first = [one for one in found if one["updated_at"] == one["created_at"] and one["stage"] is None]
    assert first
    assert all(one["attributes"] == {} for one in first)


def test_won_opportunities_are_sales(sandbox: LiveSandbox) -> None:
    reopened = {
        **OPPORTUNITY, "Id": "006000000000002AAA", "StageName": "Negotiation/Review", "IsWon": False, "IsClosed": False,
        "OpportunityHistories": [
            {"StageName": "Closed Won", "CreatedDate": "2026-03-02T09:00:00Z"},
            {"StageName": "Negotiation/Review", "CreatedDate": "2026-03-11T09:00:00Z"},
        ],
    }  # fmt: skip
    never = {**reopened, "Id": "006000000000003AAA", "OpportunityHistories": []}
    unpriced = {**OPPORTUNITY, "Id": "006000000000004AAA", "Amount": None, "Type": None}
    sandbox.state.injected("salesforce/opportunities").extend([OPPORTUNITY, reopened, never, unpriced])
    found = {one["native_id"]: one for one in records(pull(sandbox, kind="sale"))}
    assert set(found) == {OPPORTUNITY["Id"], reopened["Id"], unpriced["Id"]}
    sale = msgspec.convert(found[OPPORTUNITY["Id"]], KINDS["sale"], strict=False)
    assert msgspec.to_builtins(sale) | {"updated_at": None} == {
        **msgspec.to_builtins(sale), "updated_at": None, "product": "New Business", "quantity": 1,
        "unit_price": "120.5", "currency": "USD", "status": "paid", "channel": "Web",
        "sold_at": "2026-03-11T03:59:59Z",
    }  # fmt: skip
    assert found[reopened["Id"]]["status"] == "cancelled"
    # One without an amount is for quarantine to tell of: a sale of unknown price is none of nothing.
    assert found[unpriced["Id"]]["product"] == "opportunity"
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(found[unpriced["Id"]], KINDS["sale"], strict=False)
    assert count(sandbox, "sale") == 2
    assert count(sandbox, "sale", opportunities=False) is None
    assert pull(sandbox, kind="sale", settings={"opportunities": "no"}) == []
    assert "Ada" not in str(found)


@pytest.mark.parametrize("bad", [{"api_version": "latest"}, {"reserve_pct": "all"}, {"reserve_pct": 101}])
def test_bad_settings_are_named(sandbox: LiveSandbox, bad: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=next(iter(bad))):
        pull(sandbox, settings=bad)


def test_more_fields_than_an_address_holds_is_said(sandbox: LiveSandbox) -> None:
    sandbox.state.injected("salesforce/fields").extend(
        {"name": f"Field_with_a_rather_long_name_{number:04d}__c", "type": "string"} for number in range(400)
    )
    with pytest.raises(InvalidInput, match="fields"):
        pull(sandbox)


def test_an_unknown_version_of_the_api_is_said(sandbox: LiveSandbox) -> None:
    with pytest.raises(Forbidden, match=r"v99\.0"):
        pull(sandbox, settings={"api_version": "99.0"})


def token(sandbox: LiveSandbox, **form: str) -> requests.Response:
    return requests.post(f"{sandbox.url}/salesforce/services/oauth2/token", data=SALESFORCE_CLIENT | form, timeout=10)


def test_a_code_with_its_verifier_becomes_a_refresh_token_that_turns(sandbox: LiveSandbox) -> None:
    oauth = platform("salesforce").spec.oauth
    assert oauth is not None
    settings, _ = sandbox.connection("salesforce")
    verifier, back = "v" * 43, "http://127.0.0.1:1/back"
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
    asked = {
        "response_type": "code", "client_id": SALESFORCE_CLIENT["client_id"], "redirect_uri": back, "state": "s1",
        "scope": " ".join(oauth.scopes), "code_challenge": challenge, "code_challenge_method": "S256",
        "consent": "yes",
    }  # fmt: skip

    def code() -> str:
        page = requests.get(oauth.authorize.format(**settings), params=asked, timeout=10, allow_redirects=False)
        answer = parse_qs(urlsplit(page.headers["Location"]).query)
        assert answer["state"] == ["s1"]
        return answer["code"][0]

    wrong = token(sandbox, grant_type="authorization_code", code=code(), redirect_uri=back, code_verifier="w" * 43)
    assert (wrong.status_code, wrong.json()["error"]) == (400, "invalid_grant")
    traded = {"grant_type": "authorization_code", "code": code(), "redirect_uri": back, "code_verifier": verifier}
    body = token(sandbox, **traded).json()
    assert token(sandbox, **traded).status_code == 400
    assert body[oauth.learns["base_url"]] == settings["base_url"]
    held = {"refresh_token": body[oauth.keeps["refresh_token"]]}
    org(sandbox).login.rotates = True
    kept: list[Any] = []
    assert pull(sandbox, credentials=held, http=replace(sandbox.http, keep=kept.append))
    assert len(kept) == 1
    with pytest.raises(Unauthorized):
        pull(sandbox, credentials=held)
    assert pull(sandbox, credentials=kept[0])


def test_an_instance_elsewhere_is_not_trusted(sandbox: LiveSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    from integrator.platforms.salesforce import client

    assert client._instance("https://a.my.salesforce.com", {"instance_url": "https://b.my.salesforce.com/"}) == (
        "https://b.my.salesforce.com"
    )
    for told in ("https://evil.example", "http://b.my.salesforce.com", "https://salesforce.com.evil.example"):
        with pytest.raises(InvalidInput, match="instance_url"):
            client._instance("https://a.my.salesforce.com", {"instance_url": told})


def ask(sandbox: LiveSandbox, soql: str, path: str = "query") -> requests.Response:
    body = token(sandbox, grant_type="client_credentials").json()
    return requests.get(
        f"{sandbox.url}/salesforce/services/data/v62.0/{path}", params={"q": soql}, timeout=10,
        headers={"Authorization": f"Bearer {body['access_token']}", "Sforce-Query-Options": "batchSize=1"},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("soql", "code"),
    [
        ("SELECT Id FROM Lead WHERE", "MALFORMED_QUERY"),
        ("DELETE FROM Lead", "MALFORMED_QUERY"),
        ("SELECT Id FROM Lead WHERE Id IN ('1')", "MALFORMED_QUERY"),
        ("SELECT Nothing__c FROM Lead", "INVALID_FIELD"),
        ("SELECT Id FROM Lead WHERE SystemModstamp > 'yesterday'", "INVALID_FIELD"),
        ("SELECT Id, (SELECT Id FROM Tasks) FROM Lead", "INVALID_FIELD"),
        ("SELECT Id FROM Invoice__c", "INVALID_TYPE"),
    ],
)
def test_the_stand_in_refuses_in_salesforces_words(sandbox: LiveSandbox, soql: str, code: str) -> None:
    refused = ask(sandbox, soql)
    assert (refused.status_code, refused.json()[0]["errorCode"]) == (400, code)


def test_the_stand_in_answers_as_documented(sandbox: LiveSandbox) -> None:
    answer = ask(sandbox, "SELECT Id, CreatedDate, ConvertedDate FROM Lead ORDER BY SystemModstamp, Id")
    body = answer.json()
    assert set(body) == {"totalSize", "done", "nextRecordsUrl", "records"}
    assert len(body["records"]) == 200
    assert body["nextRecordsUrl"].endswith("-200")
    assert answer.headers["Sforce-Limit-Info"].startswith("api-usage=")
    assert datetime.fromisoformat(body["records"][0]["CreatedDate"]).microsecond == 0
    assert body["records"][0]["CreatedDate"].endswith(".000+0000")
    refused = requests.get(f"{sandbox.url}/salesforce/services/data/v62.0/query", timeout=10)
    assert (refused.status_code, refused.json()[0]["errorCode"]) == (401, "INVALID_SESSION_ID")
    for _ in range(12):
        ask(sandbox, "SELECT Id FROM Lead")
    closed = ask(sandbox, "", f"query/{body['nextRecordsUrl'].rsplit('/', 1)[1]}")
    assert (closed.status_code, closed.json()[0]["errorCode"]) == (400, "INVALID_QUERY_LOCATOR")
    levers = f"{sandbox.url}/_sandbox/records"
    added = {"platform": "salesforce/fields", "records": [{"name": "Tier__c", "type": "picklist", "value": "gold"}]}
    assert requests.post(levers, json=added, timeout=10).status_code == 204
    assert ask(sandbox, "SELECT Tier__c FROM Lead LIMIT 1").json()["records"][0]["Tier__c"] == "gold"


def test_the_leads_are_the_data_and_other_searches_than_the_travel_partners(sandbox: LiveSandbox) -> None:
    frames = sandbox.state.frames
    agency, travel = frames["agency"], frames["travel"]
    assert agency.columns == travel.columns
    assert agency.height == 9_091
    shared = agency.join(travel, on=["date_time", "hotel_market", "hotel_cluster"], how="semi")
    assert shared.height < 10
    rows = agency.tail(900).select("date_time", "hotel_market", "is_booking").rows()
    made = org(sandbox).tables["Lead"]
    assert [made.value(position, "hotel_market__c") for position in range(900)] == [row[1] for row in rows]
    # By whole days: what would lie in the hour that a change of clocks leaves out comes an hour later.
    moved = {
        (made.value(n, "CreatedDate").astimezone(ZONE).replace(tzinfo=None) - row[0]).days for n, row in enumerate(rows)
    }
    assert len(moved) == 1
    assert moved.pop() % 7 == 0


def test_nothing_that_lies_ahead_is_told(sandbox: LiveSandbox) -> None:
    now = sandbox.clock()
    before = leads(sandbox)
    sandbox.move(timedelta(days=-5))
    earlier = leads(sandbox)
    assert set(earlier) < set(before)
    for one in earlier.values():
        for name in ("updated_at", "created_at", "converted_at", "lost_at"):
            assert one[name] is None or one[name] <= stamp(now - timedelta(days=5))
    assert count(sandbox, "contact") == len(earlier)


def test_without_salesforces_rights_the_daily_pool_is_not_touched(sandbox: LiveSandbox) -> None:
    used = org(sandbox).daily.remaining
    assert requests.get(f"{sandbox.url}/salesforce/services/data/v62.0/query", timeout=10).status_code == 401
    wrong = requests.post(
        f"{sandbox.url}/salesforce/services/oauth2/token",
        data={**SALESFORCE_CLIENT, "grant_type": "password"},
        timeout=10,
    )
    assert (wrong.status_code, wrong.json()["error"]) == (400, "unsupported_grant_type")
    assert org(sandbox).daily.remaining == used
