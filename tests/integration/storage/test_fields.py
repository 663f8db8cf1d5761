"""Drift of a partner's own fields: what is new, gone or of another type is told once, and chance is not told."""

from typing import Any

import pytest
from sqlalchemy import text

from integrator.platforms.base import CustomField, Page
from integrator.steps.ingest_page import FieldsMet
from integrator.storage.fields import Drift, Seen, known, remember

TEXT, NUMBER = Seen("string", None, 60), Seen("number", "Rooms", 60)


@pytest.fixture
def told(database: Any, now: Any) -> Any:
    with database.batch() as connection:
        connection.execute(text("delete from integrator.field_seen"))

    def pull(shown: dict[str, Seen], records: int = 60, *, described: bool = False) -> list[Drift]:
        with database.partner("alpha") as connection:
            return remember(connection, "alpha", "p", "contact", shown, records, described=described, now=now)

    return pull


def test_the_first_pull_differs_from_nothing(told: Any, database: Any) -> None:
    assert told({"a": TEXT, "rooms": NUMBER}) == []
    assert told({"a": TEXT, "rooms": NUMBER}) == []
    with database.partner("alpha") as connection:
        found = known(connection, "alpha", "p", "contact")
        assert known(connection, "alpha", "p", "sale") == {}
    assert (found["rooms"].label, found["rooms"].seen, found["rooms"].of) == ("Rooms", 120, 120)
    with database.partner("beta") as connection:
        assert known(connection, "alpha", "p", "contact") == {}


def test_new_vanished_and_changed_fields_are_told_once(told: Any) -> None:
    told({"a": TEXT, "b": TEXT})
    assert told({"a": NUMBER, "b": TEXT, "c": TEXT}) == [
        Drift("a", "type", "string", "number"), Drift("c", "new", now="string"),
    ]  # fmt: skip
    assert told({"a": NUMBER, "c": TEXT}) == [Drift("b", "vanished", was="string")]
    assert told({"a": NUMBER, "c": TEXT}) == []
    assert told({"a": NUMBER, "b": TEXT, "c": TEXT}) == [Drift("b", "new", now="string")], "it is back"


def test_too_few_records_or_a_rare_field_vanish_by_chance(told: Any) -> None:
    told({"usual": TEXT, "rare": Seen("string", None, 3)})
    assert told({}, 49) == []
    assert told({}, 50) == [Drift("usual", "vanished", was="string")]


def test_a_described_list_is_believed_at_once(told: Any) -> None:
    told({"a": Seen("string", None, 0), "b": TEXT}, 0, described=True)
    assert told({"b": TEXT}, 0, described=True) == [Drift("a", "vanished", was="string")]


def test_what_pages_show() -> None:
    met = FieldsMet()
    met.add(
        Page(
            "contact",
            [{"attributes": {"a": 1, "b": True, "c": "x"}}, {"attributes": {"a": 2.5}}, {"attributes": 5}],
            {},
        )
    )
    assert met.seen() == {
        "a": Seen("number", None, 2), "b": Seen("boolean", None, 1), "c": Seen("string", None, 1),
    }  # fmt: skip
    met.add(Page("contact", [{}], {}, fields={"a": CustomField("string", "An A"), "d": CustomField("number")}))
    assert met.records == 4
    assert met.seen()["a"] == Seen("string", "An A", 2) and met.seen()["d"] == Seen("number", None, 0)
