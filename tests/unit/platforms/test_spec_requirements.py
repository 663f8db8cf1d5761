"""What a person typed to connect an account, judged before anything is asked."""

import pytest

from integrator.contracts.errors import InvalidInput
from integrator.platforms.base import OAuth, PlatformSpec

OAUTH = OAuth("{base_url}/yes", "{base_url}/token", ("read",), keeps={"refresh_token": "refresh_token"})
SPEC = PlatformSpec("shop", "Shop", ("sale",), ("token",), {"base_url": True, "note": False}, OAUTH)
FINE = {"base_url": "https://shop.example/api"}


def refused(settings: dict[str, str], credentials: dict[str, str]) -> str:
    with pytest.raises(InvalidInput) as caught:
        SPEC.require(settings, credentials)
    return str(caught.value)


def test_what_is_needed_is_enough() -> None:
    SPEC.require(FINE, {"token": "t"})


def test_the_flow_may_leave_more_than_is_needed() -> None:
    SPEC.require(FINE, {"token": "t", "client_id": "a", "client_secret": "b", "refresh_token": "c"})


def test_a_missing_setting_is_called_missing() -> None:
    assert refused({}, {"token": "t"}) == "shop needs the setting base_url"


def test_a_missing_credential_is_called_missing() -> None:
    assert refused(FINE, {}) == "shop needs the credential token"


def test_a_misspelt_setting_names_those_there_are() -> None:
    assert refused({**FINE, "bas_url": "x"}, {"token": "t"}).endswith("allowed: base_url, note")


def test_a_misspelt_credential_names_those_there_are_and_not_its_value() -> None:
    said = refused(FINE, {"token": "t", "tokn": "hush"})
    assert "'tokn'" in said and "token" in said and "hush" not in said


def test_without_fixed_credentials_any_may_be_given() -> None:
    free = PlatformSpec("free", "Free", ("sale",), (), {})
    free.require({}, {"whatever": "x"})


@pytest.mark.parametrize(
    "address", ["shop.example", "ftp://shop.example", "https://", "https://shop.example?x=1", "https://shop.example#x"]
)
def test_an_address_is_one(address: str) -> None:
    assert "http(s)://host/path" in refused({"base_url": address}, {"token": "t"})


@pytest.mark.parametrize("address", ["https://me:hush@shop.example/", "https://hush@shop.example"])
def test_nothing_secret_stands_in_an_address_or_in_what_is_said_of_it(address: str) -> None:
    said = refused({"base_url": address}, {"token": "t"})
    assert "hush" not in said and "shop.example" in said
