"""The part of SOQL that the Salesforce stand-in reads."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrator_sandbox.salesforce_soql import Comparison, Query, SoqlError, parse


def test_a_whole_query_is_read() -> None:
    text = (
        "SELECT Id, Plan__c, (SELECT Field, NewValue FROM Histories ORDER BY CreatedDate) FROM Lead "
        "WHERE SystemModstamp >= 2026-03-01T00:00:00Z AND IsDeleted = false AND Status != 'it\\'s' "
        "ORDER BY SystemModstamp, Id DESC LIMIT 5"
    )
    assert parse(text) == Query(
        "Lead",
        ("Id", "Plan__c"),
        False,
        {"Histories": ("Field", "NewValue")},
        (
            Comparison("SystemModstamp", ">=", datetime(2026, 3, 1, tzinfo=UTC)),
            Comparison("IsDeleted", "=", False),
            Comparison("Status", "!=", "it\\'s"),
        ),
        (("SystemModstamp", False), ("Id", True)),
        5,
    )


def test_counting_and_numbers() -> None:
    query = parse("select count() from Opportunity where Amount < -2.5")
    assert (query.count, query.fields, query.where) == (True, (), (Comparison("Amount", "<", -2.5),))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "SELECT",
        "SELECT FROM Lead",
        "SELECT Id Lead",
        "SELECT Id FROM Lead WHERE",
        "SELECT Id FROM Lead WHERE Id",
        "SELECT Id FROM Lead WHERE Id = ",
        "SELECT Id FROM Lead WHERE Id ( 'a'",
        "SELECT Id FROM Lead WHERE Id = null",
        "SELECT Id FROM Lead WHERE Id = 'a' OR Id = 'b'",
        "SELECT Id FROM Lead LIMIT x",
        "SELECT Id FROM Lead; DROP",
        "SELECT Id FROM Lead WHERE Id = 'open",
        "SELECT Id, (SELECT Id, (SELECT Id FROM A) FROM B) FROM Lead",
        "SELECT Id, (SELECT COUNT() FROM B) FROM Lead",
        "UPDATE Lead",
    ],
)
def test_anything_else_is_malformed(text: str) -> None:
    with pytest.raises(SoqlError) as caught:
        parse(text)
    assert caught.value.code == "MALFORMED_QUERY"


@given(st.text(alphabet="SELECTFROMWHEREid(),'=<> 09.:-Z", max_size=60))
def test_no_text_breaks_the_reader(text: str) -> None:
    try:
        parse(text)
    except SoqlError as error:
        assert error.code == "MALFORMED_QUERY"
