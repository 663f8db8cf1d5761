"""Leads and their field history as versions; opportunities as sales; what a refusal and a quota mean."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from integrator.contracts.errors import Forbidden, InvalidInput, NotFound, RateLimited, Unavailable
from integrator.contracts.records import KINDS
from integrator.platforms.base import mapped, moment
from integrator.platforms.salesforce.client import judge, literal, names, pause, reserve_pct, version
from integrator.platforms.salesforce.map import Reading, attribute_types, contact_records, day_end, sale_records, typed

NEW_YORK = ZoneInfo("America/New_York")
NOW = datetime(2026, 3, 16, 12, tzinfo=UTC)
READ = Reading(
    {"Rooms__c": "double", "Vip__c": "boolean", "Plan__c": "picklist"}, frozenset({"Status", "Rooms__c"}), NEW_YORK, NOW
)


def at(day: int, hour: int = 10, second: int = 0) -> str:
    return f"2026-03-{day:02d}T{hour:02d}:00:{second:02d}.000+0000"


def change(day: int, field: str, old: Any = None, new: Any = None, second: int = 0) -> dict[str, Any]:
    return {"Field": field, "OldValue": old, "NewValue": new, "CreatedDate": at(day, second=second)}


def lead(*history: dict[str, Any], **more: Any) -> dict[str, Any]:
    below = {"totalSize": len(history), "done": True, "records": list(history)} if history else None
    return {
        "Id": "00Q1", "IsDeleted": False, "CreatedDate": at(1), "SystemModstamp": at(9), "IsConverted": False,
        "ConvertedDate": None, "Status": "Open", "FirstName": "Ada", "LastName": "", "Email": "a@b.c", "Phone": None,
        "MobilePhone": "+44 1", "LeadSource": "Web", "Country": "GB", "Rooms__c": 3.0, "Vip__c": True,
        "Plan__c": "gold", "Histories": below, **more,
    }  # fmt: skip


def test_each_version_holds_what_its_history_tells() -> None:
    found = contact_records(
        lead(
            change(1, "created"), change(5, "Rooms__c", 2.0, 3.0), change(9, "Status", "Open", "Working"),
            Status="Working",
        ),
        READ,
    )  # fmt: skip
    assert [one["updated_at"][:10] for one in found] == ["2026-03-01", "2026-03-05", "2026-03-09"]
    assert [one["attributes"] for one in found] == [
        {"Rooms__c": 2},
        {"Rooms__c": 3},
        {"Rooms__c": 3, "Vip__c": True, "Plan__c": "gold"},
    ]
    assert [one["stage"] for one in found] == ["Open", "Open", "Working"]
    assert {(one["name"], one["phone"], one["source"], one["country"]) for one in found} == {
        ("Ada", "+44 1", "Web", "GB")
    }


def test_an_unchanged_lead_tells_everything_at_once() -> None:
    found = contact_records(lead(SystemModstamp=at(1)), READ)
    assert len(found) == 1
    assert found[0]["attributes"] == {"Rooms__c": 3, "Vip__c": True, "Plan__c": "gold"}


def test_one_save_is_one_version() -> None:
    found = contact_records(
        lead(
            change(5, "Rooms__c", 2.0, 3.0), change(5, "Status", "New", "Open", second=1),
            SystemModstamp=at(5, second=1),
        ),
        READ,
    )  # fmt: skip
    assert [(one["stage"], one["attributes"].get("Rooms__c")) for one in found] == [("New", 2), ("Open", 3)]


def test_history_written_after_the_last_change_is_part_of_it() -> None:
    found = contact_records(lead(change(12, "Rooms__c", 2.0, 3.0)), READ)
    assert [one["updated_at"] for one in found] == ["2026-03-01T10:00:00Z", "2026-03-09T10:00:00Z"]


def test_conversion_is_known_from_its_own_moment() -> None:
    found = contact_records(
        lead(change(4, "Rooms__c", 2.0, 3.0), change(6, "leadConverted"), IsConverted=True, ConvertedDate="2026-03-06"),
        READ,
    )
    assert [one["converted_at"] for one in found] == [None, None, "2026-03-06T10:00:00Z"]


def test_a_converted_date_is_its_end_within_the_leads_life() -> None:
    told = lead(IsConverted=True, ConvertedDate="2026-03-06")
    assert contact_records(told, READ)[-1]["converted_at"] == "2026-03-07T04:59:59Z"
    assert contact_records({**told, "SystemModstamp": at(6, 18)}, READ)[-1]["converted_at"] == "2026-03-06T18:00:00Z"
    # A day before the lead was made: an import that kept the date of another system.
    early = {**told, "ConvertedDate": "2025-01-01"}
    assert contact_records(early, READ)[-1]["converted_at"] == "2026-03-01T10:00:00Z"
    assert contact_records({**told, "ConvertedDate": None}, READ)[-1]["converted_at"] == "2026-03-09T10:00:00Z"


def test_lost_can_be_found_again() -> None:
    lost = "Closed - Not Converted"
    found = contact_records(
        lead(
            change(3, "Status", "Open", lost), change(5, "Status", lost, "Open"), change(9, "Status", "Open", lost),
            Status=lost,
        ),
        READ,
    )  # fmt: skip
    assert [one["lost_at"] and one["lost_at"][:10] for one in found] == [None, "2026-03-03", None, "2026-03-09"]
    mine = replace(READ, lost_statuses=frozenset({"Open"}))
    assert contact_records(lead(), mine)[0]["lost_at"] == "2026-03-01T10:00:00Z"


def test_a_status_without_history_is_known_last() -> None:
    found = contact_records(lead(Status="Unqualified"), replace(READ, tracked=frozenset()))
    assert [(one["stage"], one["lost_at"]) for one in found] == [
        (None, None),
        ("Unqualified", "2026-03-09T10:00:00Z"),
    ]


def test_a_deleted_lead_is_its_end_alone() -> None:
    assert contact_records(lead(IsDeleted=True), READ) == [
        {
            "native_id": "00Q1",
            "created_at": "2026-03-01T10:00:00Z",
            "updated_at": "2026-03-09T10:00:00Z",
            "deleted_at": "2026-03-09T10:00:00Z",
        }
    ]


def test_history_older_than_is_kept_is_not_guessed() -> None:
    assert len(contact_records(lead(CreatedDate="2024-03-01T10:00:00.000+0000"), READ)) == 1


@given(
    st.lists(
        st.tuples(
            st.integers(1, 15), st.sampled_from(["Status", "Rooms__c", "Vip__c"]), st.integers(0, 9), st.integers(0, 59)
        ),
        max_size=12,
    )
)
def test_versions_grow_and_end_as_the_lead_is_now(history: list[tuple[int, str, int, int]]) -> None:
    now = lead(*(change(day, field, None, str(value), second) for day, field, value, second in history))
    found = contact_records(now, READ)
    moments = [moment(one["updated_at"]) for one in found]
    assert moments == sorted(set(moments))
    assert moments[-1] == moment(now["SystemModstamp"])
    assert found[-1]["attributes"] == {"Rooms__c": 3, "Vip__c": True, "Plan__c": "gold"}
    for one in found:
        msgspec.convert(one, KINDS["contact"])


@pytest.mark.parametrize(
    "broken", [{"CreatedDate": None}, {"SystemModstamp": "soon"}, {"Rooms__c": "many"}, {"Id": 7, "Histories": 1}]
)
def test_what_cannot_be_read_is_handed_on(broken: dict[str, Any]) -> None:
    row = {**lead(SystemModstamp=at(1)), **broken, "native_id": "00Q1"}
    found = mapped(row, lambda one: contact_records(one, READ))
    assert found == [row]


def test_only_plain_fields_become_attributes() -> None:
    described = [
        {"name": "Plan__c", "type": "picklist", "custom": True},
        {"name": "Mail__c", "type": "email", "custom": True},
        {"name": "Note__c", "type": "textarea", "custom": True},
        {"name": "Owner__c", "type": "reference", "custom": True},
        {"name": "Rating", "type": "picklist", "custom": False},
        {"name": "Company", "type": "string", "custom": False},
        {"name": "Status", "type": "picklist", "custom": False},
    ]
    assert attribute_types(described, None) == {"Plan__c": "picklist", "Rating": "picklist"}
    assert attribute_types(described, ["Company", "Status", "Mail__c"]) == {"Company": "string"}
    fields = Reading(attribute_types(described, None), frozenset(), NEW_YORK, NOW, labels={"Plan__c": "Plan"}).fields
    assert {name: (one.type, one.label) for name, one in fields.items()} == {"Plan__c": ("string", "Plan")}


def test_values_keep_their_types() -> None:
    assert [typed(value, "double") for value in (3.0, 2.5, "4", None, "")] == [3, 2.5, 4, None, None]
    assert [typed(value, "boolean") for value in (True, False, "true", "false")] == [True, False, True, False]
    assert typed("2026-03-01", "date") == "2026-03-01"
    with pytest.raises(ValueError, match="many"):
        typed("many", "currency")


def test_a_day_ends_in_the_orgs_zone_through_the_change_of_clocks() -> None:
    assert day_end("2026-03-07", NEW_YORK) == datetime(2026, 3, 8, 4, 59, 59, tzinfo=UTC)
    assert day_end("2026-03-08", NEW_YORK) == datetime(2026, 3, 9, 3, 59, 59, tzinfo=UTC)


def test_an_orgs_own_currency_comes_first() -> None:
    won = {
        "Id": "006", "IsWon": True, "IsDeleted": True, "SystemModstamp": at(9), "CloseDate": "2026-03-01", "Amount": 5,
        "Type": None, "LeadSource": None, "CurrencyIsoCode": "EUR",
    }  # fmt: skip
    read = replace(READ, currency="USD")
    (sale,) = sale_records(won, read)
    assert (sale["currency"], sale["product"], sale["deleted_at"]) == ("EUR", "opportunity", "2026-03-09T10:00:00Z")
    (sale,) = sale_records({**won, "CurrencyIsoCode": None}, read)
    assert sale["currency"] == "USD"
    assert sale_records({**won, "IsWon": False}, read) == []


def answer(status: int, body: Any, **headers: str) -> requests.Response:
    made = requests.Response()
    made.status_code = status
    made._content = body if isinstance(body, bytes) else msgspec.json.encode(body)
    made.headers.update(headers)
    return made


def test_the_code_says_what_the_status_does_not() -> None:
    def said(code: str, message: str = "") -> Any:
        return judge(answer(400, [{"errorCode": code, "message": message}]))

    day = said("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
    busy = said("REQUEST_LIMIT_EXCEEDED", "ConcurrentRequests (Concurrent API Requests) Limit exceeded.")
    assert isinstance(day, RateLimited)
    assert isinstance(busy, RateLimited)
    assert (day.retry_after, busy.retry_after) == (3600, None)
    assert isinstance(said("INVALID_TYPE"), Forbidden)
    assert isinstance(said("INVALID_FIELD"), Unavailable)
    assert isinstance(said("INVALID_QUERY_LOCATOR"), NotFound)
    assert said("MALFORMED_QUERY") is None
    login = judge(answer(400, {"error": "invalid_grant", "error_description": "login rate exceeded"}))
    assert isinstance(login, RateLimited)
    for body in (b"<html>", [], [7], "text", {"error": "invalid_grant"}):
        assert judge(answer(400, body)) is None


def test_the_reserve_is_a_share_of_the_day() -> None:
    def paused(usage: str, reserve: float = 10.0) -> float | None:
        return pause(answer(200, {}, **{"Sforce-Limit-Info": usage}), reserve)

    assert paused("api-usage=89/100") is None
    assert paused("api-usage=91/100") == 3600
    assert paused("api-usage=91/100; per-app-api-usage=1/250(appName=x)", 5) is None
    assert paused("api-usage=100/100", 0) is None
    assert paused("nothing") is None


def test_settings_are_read_strictly() -> None:
    assert version({}) == "v62.0"
    assert version({"api_version": "v64.0"}) == "v64.0"
    assert (reserve_pct({}), reserve_pct({"reserve_pct": "25"})) == (10, 25)
    for bad in ("", "62", "62.0/../../x"):
        if bad:
            with pytest.raises(InvalidInput, match="api_version"):
                version({"api_version": bad})
    for share in ("much", -1, 101, float("nan")):
        with pytest.raises(InvalidInput, match="reserve_pct"):
            reserve_pct({"reserve_pct": share})


def test_nothing_but_names_and_moments_enters_a_query() -> None:
    assert names(["Plan__c", "a b", "x'--", "1a", "Größe__c", "A" * 81, ""]) == ["Plan__c"]
    assert literal(datetime(2026, 3, 1, 12, 0, 0, 999_999, tzinfo=NEW_YORK)) == "2026-03-01T17:00:00Z"
