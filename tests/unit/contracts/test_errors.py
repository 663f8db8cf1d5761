"""The tree of failures: what each says to a shell and to HTTP, and that the page above the classes tells the truth."""

import re
from decimal import Decimal
from inspect import isclass

import pytest

from integrator.contracts import errors
from integrator.contracts.currencies import CURRENCIES, EXPONENTS, TWO_DIGITS, digits
from integrator.contracts.errors import (
    EXIT_PERMANENT,
    EXIT_TRANSIENT,
    EXIT_USAGE,
    IntegratorError,
    InvalidInput,
    PermanentError,
    RateLimited,
    TransientError,
    invalid,
)

TREE = [kind for kind in vars(errors).values() if isclass(kind) and issubclass(kind, IntegratorError)]
LEAVES = [kind for kind in TREE if kind not in (IntegratorError, PermanentError, TransientError)]


def test_every_failure_is_permanent_or_transient_and_never_both() -> None:
    for kind in LEAVES:
        assert issubclass(kind, PermanentError) != issubclass(kind, TransientError), kind
        assert kind.exit_code == (EXIT_TRANSIENT if issubclass(kind, TransientError) else EXIT_PERMANENT)
    assert (EXIT_PERMANENT, EXIT_USAGE, EXIT_TRANSIENT) == (1, 2, 75)


def test_slugs_are_unique_stable_words() -> None:
    slugs = [kind.slug for kind in TREE]
    assert len(slugs) == len(set(slugs))
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", slug) for slug in slugs)


def test_statuses_are_of_the_right_hundred() -> None:
    for kind in LEAVES:
        if issubclass(kind, TransientError):
            assert kind.status in (429, 503), kind
        else:
            assert 400 <= kind.status < 500 or kind is errors.Defect, kind


def test_the_tree_at_the_top_of_the_module_is_the_one_below_it() -> None:
    assert errors.__doc__ is not None
    drawn = set(re.findall(r"[├└]── (\w+)", errors.__doc__)) | {"IntegratorError"}
    assert drawn == {kind.__name__ for kind in TREE}


@pytest.mark.parametrize("kind", TREE)
def test_the_message_survives(kind: type[IntegratorError]) -> None:
    assert str(kind("what was wrong")) == "what was wrong"
    with pytest.raises(IntegratorError, match="what was wrong"):
        raise kind("what was wrong")


def test_invalid_names_the_value_and_the_choices() -> None:
    found = invalid("status", "odd", ("paid", "pending"))
    assert str(found) == "status 'odd' is not allowed; allowed: paid, pending"
    assert (found.field, found.value, found.status) == ("status", "odd", 422)
    assert str(invalid("limit", 0, "1 to 1000")) == "limit 0 is not allowed; allowed: 1 to 1000"
    assert str(invalid("scope", None, iter(["a", 1]))) == "scope None is not allowed; allowed: a, 1"


@pytest.mark.parametrize("value", ["x" * 10_000, b"\x00" * 500, list(range(5_000)), "\n" * 300])
def test_a_long_value_is_cut_and_stays_on_one_line(value: object) -> None:
    text = str(invalid("field", value, "less"))
    assert len(text) < 150 and text.count("...") == 1 and "\n" not in text


def test_a_value_of_just_the_length_is_not_cut() -> None:
    assert "..." not in str(invalid("f", "x" * 78, "less"))  # 80 with its quotes
    assert "..." in str(invalid("f", "x" * 79, "less"))


def test_how_long_to_wait_is_carried_or_unknown() -> None:
    assert RateLimited("slower").retry_after is None
    assert RateLimited("slower", retry_after=2.5).retry_after == 2.5
    assert InvalidInput("bad").field is None and InvalidInput("bad").value is None


def test_codes_are_three_capitals_and_stand_once() -> None:
    assert all(re.fullmatch("[A-Z]{3}", code) for code in CURRENCIES)
    assert len(TWO_DIGITS) == len(set(TWO_DIGITS))
    assert not set(TWO_DIGITS) & set(EXPONENTS), "a code with an exponent of its own is not one of two digits"


@pytest.mark.parametrize(
    ("code", "places"),
    [("EUR", 2), ("USD", 2), ("TWD", 2), ("JPY", 0), ("KRW", 0), ("ISK", 0), ("VND", 0), ("KWD", 3), ("BHD", 3),
     ("TND", 3), ("CLF", 4), ("UYW", 4)],
)  # fmt: skip
def test_digits_of_well_known_currencies(code: str, places: int) -> None:
    assert code in CURRENCIES and digits(code) == places


@pytest.mark.parametrize("code", ["DEM", "FRF", "BTC", "XXX", "XTS", "XAU", "eur", "", "HRK", "GGP"])
def test_what_is_not_money_in_use_is_no_currency(code: str) -> None:
    """Withdrawn, precious metals, testing, tokens: none of them is taken in a sale."""
    assert code not in CURRENCIES


def test_digits_bound_the_smallest_amount() -> None:
    for code in CURRENCIES:
        assert Decimal(1).scaleb(-digits(code)) in (Decimal("1"), Decimal("0.01"), Decimal("0.001"), Decimal("0.0001"))
