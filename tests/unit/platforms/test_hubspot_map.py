"""Property history as versions: what was known when."""

from typing import Any

import pytest

from integrator.platforms.base import mapped
from integrator.platforms.hubspot.map import Reading, contact_records, reading, typed

READ = Reading({"rooms": "number", "mobile": "bool", "note": "string"}, frozenset({"customer"}), frozenset({"LOST"}))


def at(day: int, value: str | None) -> dict[str, Any]:
    return {"value": value, "timestamp": f"2026-03-{day:02d}T10:00:00.000Z", "sourceType": "API"}


def contact(**history: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": "7",
        "properties": {"createdate": "2026-03-01T10:00:00.000Z", "firstname": "Ada", "lastname": "", "email": "a@b.c"},
        "propertiesWithHistory": history,
    }


def test_each_version_holds_what_was_known_then() -> None:
    found = contact_records(
        contact(
            lifecyclestage=[at(9, "customer"), at(1, "lead")],
            rooms=[at(5, "3"), at(1, "2")],
            mobile=[at(1, "true")],
            note=[at(9, "")],
        ),
        READ,
    )
    assert [r["updated_at"][:10] for r in found] == ["2026-03-01", "2026-03-05", "2026-03-09"]
    assert [r["stage"] for r in found] == ["lead", "lead", "customer"]
    assert [r["converted_at"] for r in found] == [None, None, "2026-03-09T10:00:00Z"]
    assert [r["attributes"] for r in found] == [
        {"rooms": 2, "mobile": True},
        {"rooms": 3, "mobile": True},
        {"rooms": 3, "mobile": True},
    ]
    assert {r["native_id"] for r in found} == {"7"}
    assert found[0]["name"] == "Ada"


def test_a_property_of_later_is_unknown_at_creation() -> None:
    found = contact_records(contact(lifecyclestage=[at(1, "lead")], rooms=[at(20, "4")]), READ)
    assert found[0]["attributes"] == {}
    assert found[1]["attributes"] == {"rooms": 4}


def test_lost_can_be_found_again() -> None:
    found = contact_records(contact(hs_lead_status=[at(8, "LOST"), at(6, "NEW"), at(4, "LOST"), at(1, "NEW")]), READ)
    assert [r["lost_at"] and r["lost_at"][:10] for r in found] == [None, "2026-03-04", None, "2026-03-08"]


def test_conversion_stays_at_its_first_time() -> None:
    found = contact_records(contact(lifecyclestage=[at(8, "customer"), at(6, "lead"), at(4, "customer")]), READ)
    assert [r["converted_at"] and r["converted_at"][:10] for r in found] == [
        None, "2026-03-04", "2026-03-04", "2026-03-04",
    ]  # fmt: skip


def test_writes_of_one_save_are_one_version() -> None:
    near = {"value": "2", "timestamp": "2026-03-01T10:00:00.400Z"}
    early = {"value": "lead", "timestamp": "2026-02-27T10:00:00Z"}
    found = contact_records(contact(rooms=[near], lifecyclestage=[early]), READ)
    assert len(found) == 1
    assert (found[0]["stage"], found[0]["attributes"]) == ("lead", {"rooms": 2})


def test_archived_contact_ends_with_its_deletion() -> None:
    gone = contact(lifecyclestage=[at(1, "lead")]) | {"archived": True, "archivedAt": "2026-03-12T00:00:00Z"}
    assert contact_records(gone, READ)[-1]["deleted_at"] == "2026-03-12T00:00:00Z"


def test_unreadable_values_hand_the_contact_on_as_it_is() -> None:
    broken = contact(rooms=[at(1, "many")])
    assert mapped(broken, lambda c: contact_records(c, READ)) == [{**broken, "native_id": "7"}]
    assert mapped("nonsense", lambda c: contact_records(c, READ)) == [{"native_id": None, "unreadable": "nonsense"}]


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        ("3", "number", 3), ("3.5", "number", 3.5), ("", "number", None), (None, "string", None),
        ("false", "bool", False), ("2026-03-01", "date", "2026-03-01"), ("x", "enumeration", "x"),
    ],
)  # fmt: skip
def test_values_take_their_declared_type(value: str | None, kind: str, expected: object) -> None:
    assert typed(value, kind) == expected
    assert type(typed(value, kind)) is type(expected)


def test_custom_properties_are_found_or_named() -> None:
    definitions = [
        {"name": "email", "type": "string", "hubspotDefined": True},
        {"name": "rooms", "type": "number"},
        {"name": "note", "type": "string", "hubspotDefined": False},
        {"name": "hubspotscore", "type": "number", "hubspotDefined": True},
    ]
    assert set(reading(definitions, {}).types) == {"rooms", "note"}
    named = reading(definitions, {"properties": ["hubspotscore", "email"], "converted_stages": ["won"]})
    assert named.types == {"hubspotscore": "number"}
    assert named.converted_stages == {"won"}
    assert named.lost_statuses == {"UNQUALIFIED"}
