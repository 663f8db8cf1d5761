"""Widget tokens: what they carry, how long they live, and that they and access tokens are never taken for each other."""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from integrator.contracts.errors import InvalidInput, Unauthorized
from integrator.security.keys import KeyRing
from integrator.security.tokens import Issuer
from integrator.security.widget_tokens import AUDIENCE, TYPE, Wanted, Widget, WidgetTokens, is_widget_token
from integrator.storage.clients import Client

NOW = datetime(2026, 3, 16, 12, tzinfo=UTC)
ORIGIN = "https://app.acme.example"
KEY = ECKey.generate_key("P-256", {"kid": "k1"})
OTHER = ECKey.generate_key("P-256", {"kid": "k1"})
WANTED = Wanted(("attendance",), ("gala", "a/b"), ORIGIN)


def client(**changes: Any) -> Client:
    facts: dict[str, Any] = {
        "client_id": "icl_1", "partner": "alpha", "secret_hash": b"", "secret_prefix": "", "scopes": ("insights:read",),
        "created_at": NOW, **changes,
    }  # fmt: skip
    return Client(**facts)


class Moment:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


def issuer(clock: Callable[[], datetime], name: str = "https://api.example", key: ECKey = KEY) -> Issuer:
    return Issuer(name, lambda: KeyRing(key, {"k1": key}), clock, 10)


def tokens(clock: Callable[[], datetime] = lambda: NOW) -> WidgetTokens:
    return WidgetTokens(issuer(clock), clock)


def opened(token: str, place: int) -> dict[str, Any]:
    part = token.split(".")[place]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


def test_it_says_partner_use_cases_subjects_and_origin() -> None:
    token, seconds = tokens().issue(client(), WANTED)
    assert opened(token, 0) == {"alg": "ES256", "typ": TYPE, "kid": "k1"} and seconds == 300
    claims = opened(token, 1)
    assert claims.pop("jti") and claims == {
        "iss": "https://api.example", "aud": AUDIENCE, "sub": "icl_1", "client_id": "icl_1", "partner": "alpha",
        "use_cases": ["attendance"], "subjects": ["gala", "a/b"], "origin": ORIGIN, "iat": int(NOW.timestamp()),
        "exp": int(NOW.timestamp()) + 300,
    }  # fmt: skip
    widget = tokens().verify(token)
    assert (widget.access.partner, widget.access.client_id, widget.access.scopes) == ("alpha", "icl_1", frozenset())
    assert widget.covers("attendance", "gala") and widget.covers("attendance", "a/b")
    assert not widget.covers("attendance", "a") and not widget.covers("pricing", "gala")


def test_all_subjects_and_a_subject_that_is_called_all() -> None:
    every = tokens().verify(tokens().issue(client(), Wanted(("pricing",), None, ORIGIN))[0])
    assert every.subjects is None and every.covers("pricing", "anything") and not every.covers("attendance", "anything")
    one = tokens().verify(tokens().issue(client(), Wanted(("pricing",), ("all",), ORIGIN))[0])
    assert one.covers("pricing", "all") and not one.covers("pricing", "anything")


def test_five_minutes_and_no_longer_than_its_client() -> None:
    clock = Moment()
    made = tokens(clock)
    token, _ = made.issue(client(), WANTED)
    short, seconds = made.issue(client(expires_at=NOW + timedelta(seconds=40)), WANTED)
    assert seconds == 40 and made.verify(short)
    clock.now = NOW + timedelta(seconds=40)
    assert made.verify(token)
    with pytest.raises(Unauthorized, match="expired"):
        made.verify(short)
    clock.now = NOW + timedelta(minutes=5)
    with pytest.raises(Unauthorized, match="expired"):
        made.verify(token)


def test_neither_is_taken_for_the_other() -> None:
    shared = issuer(lambda: NOW)
    made = WidgetTokens(shared, lambda: NOW)
    widget, access = made.issue(client(), WANTED)[0], shared.issue(client(), ("insights:read",))
    assert is_widget_token(widget) and not is_widget_token(access)
    with pytest.raises(Unauthorized):
        shared.verify(widget)
    with pytest.raises(Unauthorized):
        made.verify(access)


def forged(key: ECKey = KEY, head: dict[str, Any] | None = None, **changes: Any) -> str:
    claims: dict[str, Any] = {**opened(tokens().issue(client(), WANTED)[0], 1), **changes}
    claims = {name: value for name, value in claims.items() if value is not ...}
    return jwt.encode({"alg": "ES256", "typ": TYPE, "kid": "k1", **(head or {})}, claims, key, algorithms=["ES256"])


@pytest.mark.parametrize(
    "token",
    [
        "", ".", "a.b.c", "é.é.é", forged(OTHER), forged(head={"typ": "at+jwt"}), forged(head={"kid": "k2"}),
        forged(iss="https://other.example"), forged(aud="urn:integrator:api"), forged(exp=int(NOW.timestamp())),
        forged(exp="soon"), forged(exp=10**30), forged(subjects=...), forged(subjects="gala"), forged(use_cases="attendance"),
        forged(use_cases=...), forged(partner=...), forged(subjects=7), forged(subjects={"gala": 1}),
        forged()[:-4] + "AAAA",
    ],
)  # fmt: skip
def test_forged_and_mangled_tokens(token: str) -> None:
    with pytest.raises(Unauthorized):
        tokens().verify(token)


def test_what_is_not_a_widget_token_is_told_without_a_trace() -> None:
    for text in ("", "iak_x", "a.b.c", "e30.x.y", "WyJ0eXAiXQ.x.y", "é", "[" * 5000):
        assert not is_widget_token(text)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"use_cases": ()}, "one or more"), ({"use_cases": ("weather",)}, "attendance"), ({"subjects": ()}, "0 subjects"),
        ({"subjects": tuple(map(str, range(101)))}, "101 subjects"), ({"lifetime": timedelta(seconds=301)}, "30 to 300"),
        ({"lifetime": timedelta(seconds=29)}, "30 to 300"),
    ],
)  # fmt: skip
def test_what_may_not_be_asked(changes: dict[str, Any], said: str) -> None:
    facts: dict[str, Any] = {"use_cases": ("attendance",), "subjects": None, "origin": ORIGIN, **changes}
    with pytest.raises(InvalidInput, match=said):
        Wanted(**facts)


def test_a_token_fits_into_a_header_line() -> None:
    hundred = tuple(f"{place:0>32}" for place in range(100))
    assert tokens().verify(tokens().issue(client(), Wanted(("attendance",), hundred, ORIGIN))[0]).subjects == set(
        hundred
    )
    with pytest.raises(InvalidInput, match="name fewer subjects"):
        tokens().issue(client(), Wanted(("attendance",), tuple(f"{place:0>100}" for place in range(100)), ORIGIN))


def test_a_verified_token_is_remembered_until_it_ends() -> None:
    clock = Moment()
    made = tokens(clock)
    token, _ = made.issue(client(), Wanted(("attendance",), None, ORIGIN, timedelta(seconds=30)))
    first: Widget = made.verify(token)
    assert made.verify(token) is first
    clock.now = NOW + timedelta(seconds=31)
    with pytest.raises(Unauthorized):
        made.verify(token)
