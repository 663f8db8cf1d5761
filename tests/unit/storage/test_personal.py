"""The detector and the split: what goes to the vault, what stays."""

from datetime import UTC, datetime
from typing import Any

import pytest

from integrator.contracts.records import Contact
from integrator.storage.personal import AttributeGuard, identity_hash, split

KEY = bytes(32)


def contact(**facts: Any) -> Contact:
    return Contact(**{"native_id": "c1", "created_at": datetime(2026, 1, 1, tzinfo=UTC), **facts})


def guarded(
    values: list[dict[str, Any]], *, allowed: tuple[str, ...] = (), decided: dict[str, str] | None = None
) -> AttributeGuard:
    guard = AttributeGuard(frozenset(allowed), decided or {})
    guard.learn(contact(attributes=value) for value in values)
    return guard


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("home_email", "none"), ("e_mail", "x"), ("Phone", 491701234567), ("last_name", "Ng"), ("date_of_birth", "1990"),
        ("street", "Elm 1"), ("billing-address", "x"), ("note", "write to jo@example.org please"), ("code", "+49 170 1234567"),
        ("ref", "030 123 4567"), ("dob", "1990-01-01"),
    ],
)  # fmt: skip
def test_suspicious_attributes_go_to_the_vault(name: str, value: Any) -> None:
    guard = guarded([{name: value}])
    assert guard.is_personal(name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("channel", "web"), ("is_mobile", True), ("adults", 2), ("srch_ci", "2014-11-27"), ("distance", 108.2),
        ("product_type", "110411"), ("site", "2"), ("barcode", "4710199010372"), ("namespace", "x"), ("filename_kind", "pdf"),
        ("when", "27.11.2014"),
    ],
)  # fmt: skip
def test_ordinary_attributes_stay(name: str, value: Any) -> None:
    assert not guarded([{name: value}]).is_personal(name, value)


def test_nearly_unique_text_is_suspicious_and_repeated_text_is_not() -> None:
    unique = guarded([{"label": f"Person {chr(65 + i % 26)}{i}"} for i in range(60)])
    assert unique.is_personal("label", "Person A0")
    assert "nearly unique" in unique.found["label"][1]
    repeated = guarded([{"label": f"Group {i % 5}"} for i in range(60)])
    assert not repeated.is_personal("label", "Group 1")
    assert repeated.found["label"][0] == "open"


def test_unique_dates_and_numbers_are_no_text() -> None:
    guard = guarded([{"day": f"2026-01-{i % 28 + 1:02d}T{i % 24:02d}:00", "n": str(i)} for i in range(60)])
    assert not guard.is_personal("day", "2026-01-01T00:00")
    assert not guard.is_personal("n", "7")


def test_free_text_is_kept_back_while_undecided() -> None:
    guard = guarded([{"remark": "called twice, prefers the early show, has a dog"}])
    assert guard.is_personal("remark", "called twice, prefers the early show, has a dog")
    assert not guard.is_personal("remark", "regular")


def test_the_field_list_allows_what_the_detector_suspects() -> None:
    guard = guarded([{"first_name": "Kim"}], allowed=("first_name",))
    assert not guard.is_personal("first_name", "Kim")


def test_an_earlier_decision_stands() -> None:
    assert guarded([{"colour": "red"}], decided={"colour": "vault"}).is_personal("colour", "red")


def test_the_split_leaves_no_personal_field_behind() -> None:
    record = contact(
        email=" Ada@Example.org", phone="+49 (0)30 1234", name="Ada L", attributes={"seat": "A", "home_phone": "1"}
    )
    parts = split(record, guarded([record.attributes]), KEY)
    assert parts.attributes == {"seat": "A"}
    assert parts.personal == {
        "email": " Ada@Example.org", "phone": "+49 (0)30 1234", "name": "Ada L", "attributes": {"home_phone": "1"},
    }  # fmt: skip
    assert parts.email_hash == identity_hash(KEY, "email", "ada@example.ORG")
    assert parts.phone_hash is not None


@pytest.mark.parametrize(("left", "right"), [("a@b.example", " A@B.example "), ("A@b.example", "a@b.EXAMPLE")])
def test_equal_addresses_have_equal_hashes(left: str, right: str) -> None:
    assert identity_hash(KEY, "email", left) == identity_hash(KEY, "email", right)


def test_hashes_depend_on_key_and_kind() -> None:
    assert identity_hash(KEY, "email", "x") != identity_hash(bytes([1] * 32), "email", "x")
    assert identity_hash(KEY, "email", "123") != identity_hash(KEY, "phone", "123")
    assert identity_hash(KEY, "phone", "  ") is None
    assert identity_hash(KEY, "email", None) is None
