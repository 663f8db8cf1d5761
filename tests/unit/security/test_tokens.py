"""Tokens and scopes, without a database."""

from datetime import UTC, datetime, timedelta

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey

from integrator.contracts.errors import InvalidInput, Unauthorized
from integrator.security.keys import KeyRing
from integrator.security.scopes import SCOPES, parse_scopes
from integrator.security.tokens import AUDIENCE, Issuer
from integrator.storage.clients import Client

START = datetime(2026, 3, 16, 12, tzinfo=UTC)
CLIENT = Client(
    client_id="icl_1", partner="alpha", secret_hash=b"", secret_prefix="isk_abcd",
    scopes=("insights:read", "quality:read"), created_at=START,
)  # fmt: skip


class Desk:
    """An issuer with a clock that can be moved and keys that can be changed."""

    def __init__(self, name: str = "https://a.example") -> None:
        self.now = START
        self.loads = 0
        self.keys = {"k1": self.key("k1")}
        self.issuer = Issuer(name, self.ring, lambda: self.now, 10)

    @staticmethod
    def key(kid: str) -> ECKey:
        return ECKey.generate_key("P-256", {"kid": kid, "use": "sig", "alg": "ES256"})

    def ring(self) -> KeyRing:
        self.loads += 1
        return KeyRing(list(self.keys.values())[-1], dict(self.keys))


def test_what_a_token_says() -> None:
    desk = Desk()
    access = desk.issuer.verify(desk.issuer.issue(CLIENT, ("insights:read",)))
    assert (access.partner, access.client_id, access.scopes) == ("alpha", "icl_1", frozenset({"insights:read"}))
    assert access.expires_at == START + timedelta(minutes=10)
    jtis = {desk.issuer.verify(desk.issuer.issue(CLIENT, ())).jti for _ in range(50)}
    assert len(jtis) == 50


def test_it_expires_also_out_of_the_cache() -> None:
    desk = Desk()
    token = desk.issuer.issue(CLIENT, ())
    desk.now = START + timedelta(minutes=9, seconds=59)
    assert desk.issuer.verify(token)
    desk.now = START + timedelta(minutes=10)
    with pytest.raises(Unauthorized, match="expired"):
        desk.issuer.verify(token)


def test_another_issuers_audience_key_or_kind_of_token() -> None:
    desk, other = Desk(), Desk("https://b.example")
    other.keys = desk.keys
    with pytest.raises(Unauthorized, match="not issued for this service"):
        desk.issuer.verify(other.issuer.issue(CLIENT, ()))
    with pytest.raises(Unauthorized, match="signature"):
        desk.issuer.verify(Desk().issuer.issue(CLIENT, ()))
    claims = {
        "iss": "https://a.example", "aud": AUDIENCE, "partner": "alpha", "client_id": "c", "scope": "", "jti": "j",
        "exp": int(START.timestamp()) + 60,
    }  # fmt: skip
    key = desk.keys["k1"]
    good = {"alg": "ES256", "typ": "at+jwt", "kid": "k1"}
    assert desk.issuer.verify(jwt.encode(good, claims, key, algorithms=["ES256"]))
    for header, changed in (
        ({**good, "typ": "JWT"}, claims), (good, {**claims, "aud": "other"}), (good, {**claims, "iss": "x"}),
        (good, {k: v for k, v in claims.items() if k != "partner"}), ({**good, "kid": "k9"}, claims),
        (good, {**claims, "exp": "never"}), ({"alg": "ES256", "typ": "at+jwt"}, claims),
    ):  # fmt: skip
        with pytest.raises(Unauthorized):
            desk.issuer.verify(jwt.encode(header, changed, key, algorithms=["ES256"]))


def test_no_other_algorithm_is_taken() -> None:
    desk = Desk()
    secret = OctKey.import_key(b"k" * 32)
    token = jwt.encode(
        {"alg": "HS256", "typ": "at+jwt", "kid": "k1"}, {"partner": "alpha"}, secret, algorithms=["HS256"]
    )
    for text in (token, "eyJhbGciOiJub25lIn0.e30.", "", "a.b", "a.b.c"):
        with pytest.raises(Unauthorized):
            desk.issuer.verify(text)


def test_a_rotated_key_is_found_and_a_strange_one_does_not_storm_the_database() -> None:
    desk = Desk()
    old = desk.issuer.issue(CLIENT, ())
    desk.keys["k2"] = desk.key("k2")
    desk.now = START + timedelta(seconds=2)
    other = Desk()
    other.keys = {"k2": desk.keys["k2"]}
    other.issuer.issuer = desk.issuer.issuer
    assert desk.issuer.verify(other.issuer.issue(CLIENT, ())) and desk.issuer.verify(old)
    loads = desk.loads
    strange = Desk()
    strange.keys = {"k7": strange.key("k7")}
    for _ in range(20):
        with pytest.raises(Unauthorized):
            desk.issuer.verify(strange.issuer.issue(CLIENT, ()))
    assert desk.loads - loads <= 1


def test_scopes() -> None:
    assert parse_scopes("quality:read insights:read") == ("insights:read", "quality:read")
    assert parse_scopes(["insights:read"]) == ("insights:read",)
    with pytest.raises(InvalidInput, match=r"'insights:write' is not allowed; allowed: events:write.*privacy:erase"):
        parse_scopes("insights:read insights:write")
    with pytest.raises(InvalidInput):
        parse_scopes("")
    assert len(SCOPES) == len(set(SCOPES)) == 13


def test_a_scope_the_client_lacks_is_not_issued() -> None:
    with pytest.raises(InvalidInput, match="privacy:erase"):
        Desk().issuer.issue(CLIENT, ("privacy:erase",))
