"""What an attacker does to a token: other algorithms, other keys, other parts, other times. Each is refused alike."""

import base64
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from integrator.contracts.errors import Unauthorized
from integrator.security.keys import KeyRing
from integrator.security.tokens import AUDIENCE, CACHE_SECONDS, Issuer
from integrator.storage.clients import Client

START = datetime(2026, 3, 16, 12, tzinfo=UTC)
NAME = "https://a.example"
CLIENT = Client(
    client_id="icl_1", partner="alpha", secret_hash=b"", secret_prefix="isk_abcd",
    scopes=("insights:read", "quality:read"), created_at=START,
)  # fmt: skip
GOOD_HEAD = {"alg": "ES256", "typ": "at+jwt", "kid": "k1"}
GOOD_CLAIMS = {
    "iss": NAME, "aud": AUDIENCE, "partner": "alpha", "client_id": "icl_1", "scope": "insights:read", "jti": "j",
    "exp": int(START.timestamp()) + 60,
}  # fmt: skip


class Desk:
    """An issuer with one key and a clock that can be moved."""

    def __init__(self) -> None:
        self.now = START
        self.key = ECKey.generate_key("P-256", {"kid": "k1", "use": "sig", "alg": "ES256"})
        public = ECKey.import_key(dict(self.key.as_dict(private=False)))
        self.issuer = Issuer(NAME, lambda: KeyRing(self.key, {"k1": public}), lambda: self.now, 10)

    def sign(self, head: dict[str, Any] | None = None, claims: dict[str, Any] | None = None) -> str:
        return jwt.encode(head or GOOD_HEAD, claims or GOOD_CLAIMS, self.key, algorithms=["ES256"])


def encoded(part: object) -> str:
    data = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def refused(desk: Desk, token: str) -> str:
    with pytest.raises(Unauthorized) as error:
        desk.issuer.verify(token)
    return str(error.value)


def test_the_good_one_is_good() -> None:
    desk = Desk()
    assert desk.issuer.verify(desk.sign()).partner == "alpha"


def test_the_public_key_is_no_shared_secret() -> None:
    """The classic confusion: the published key, used as the secret of an HMAC."""
    desk = Desk()
    public = desk.key.as_dict(private=False)
    published = (desk.key.as_pem(private=False), json.dumps(dict(public)).encode(), decoded(str(public["x"])))
    for secret in published:
        for algorithm in ("sha256", "sha384", "sha512"):
            # By hand: the library refuses to make what it refuses to take.
            body = f"{encoded({**GOOD_HEAD, 'alg': f'HS{algorithm[3:]}'})}.{encoded(GOOD_CLAIMS)}"
            refused(desk, f"{body}.{encoded(hmac.digest(secret, body.encode(), algorithm))}")


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", "", "ES256 ", "es256", None, 0, ["ES256"], {}])
def test_no_signature_is_no_signature(algorithm: Any) -> None:
    desk = Desk()
    head = {**GOOD_HEAD, "alg": algorithm}
    body = f"{encoded(head)}.{encoded(GOOD_CLAIMS)}"
    signature = desk.sign().split(".")[2]
    for last in ("", signature, "AA"):
        refused(desk, f"{body}.{last}")


def test_a_key_that_comes_with_the_token_is_not_believed() -> None:
    desk = Desk()
    mine = ECKey.generate_key("P-256", {"kid": "mine"})
    for more in (
        {"jwk": mine.as_dict(private=False)}, {"jku": "https://evil.example/keys"}, {"x5u": "https://evil.example/x"},
        {"x5c": ["MIIB"]}, {"kid": "../../dev/null"}, {"kid": "k1' or '1'='1"}, {"kid": ["k1"]}, {"kid": None}, {"kid": 1},
    ):  # fmt: skip
        body = f"{encoded({**GOOD_HEAD, **more})}.{encoded(GOOD_CLAIMS)}"
        refused(desk, f"{body}.{desk.sign().split('.')[2]}")
    forged = jwt.encode(GOOD_HEAD, GOOD_CLAIMS, mine, algorithms=["ES256"])
    refused(desk, forged)


def test_other_curves_under_the_right_name() -> None:
    desk = Desk()
    for curve, algorithm in (("P-384", "ES384"), ("P-521", "ES512")):
        other = ECKey.generate_key(curve, {"kid": "k1"})
        refused(desk, jwt.encode({**GOOD_HEAD, "alg": algorithm}, GOOD_CLAIMS, other, algorithms=[algorithm]))


@pytest.mark.parametrize("part", [0, 1, 2])
def test_one_letter_changed_anywhere(part: int) -> None:
    desk = Desk()
    parts = desk.sign().split(".")
    data = bytearray(decoded(parts[part]))
    for position in range(0, len(data), max(1, len(data) // 16)):
        changed = bytearray(data)
        changed[position] ^= 1
        altered = [*parts]
        altered[part] = encoded(bytes(changed))
        refused(desk, ".".join(altered))


def test_parts_of_two_good_tokens_make_no_third() -> None:
    desk = Desk()
    first, second = desk.sign(), desk.sign(claims={**GOOD_CLAIMS, "partner": "beta"})
    head, _, signature = first.split(".")
    refused(desk, ".".join((head, second.split(".")[1], signature)))


@pytest.mark.parametrize(
    "token",
    ["", ".", "..", "...", "a", "a.b", "a.b.c", "a.b.c.d.e", " ", "\n", "é.é.é", "\udcff.x.y", "\x00", "eyJ" * 9000,
     "W10.e30.AA", "Im5vIg.e30.AA", "bnVsbA.e30.AA", "MQ.MQ.MQ"],
)  # fmt: skip
def test_rubbish_is_refused_in_words(token: str) -> None:
    assert "cannot be read" in refused(Desk(), token)


@pytest.mark.parametrize("payload", [[], "text", 1, None, {}, {"exp": 1}])
def test_signed_rubbish_is_refused_too(payload: Any) -> None:
    """Only the holder of the key could make it; a bug of ours must still end as 401."""
    from joserfc import jws

    desk = Desk()
    signed = jws.serialize_compact(GOOD_HEAD, json.dumps(payload), desk.key, algorithms=["ES256"])
    refused(desk, signed)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"aud": "urn:integrator:other"}, "not issued for this service"), ({"aud": None}, "not issued"),
        ({"aud": [AUDIENCE]}, "not issued"), ({"iss": NAME + "/"}, "not issued"), ({"iss": NAME.upper()}, "not issued"),
        ({"exp": int(START.timestamp())}, "expired"), ({"exp": int(START.timestamp()) - 1}, "expired"),
        ({"exp": 0}, "expired"), ({"exp": None}, "cannot be read"), ({"exp": "soon"}, "cannot be read"),
        ({"exp": -(10**12)}, ""), ({"exp": 10**30}, "cannot be read"),
    ],
)  # fmt: skip
def test_other_audiences_issuers_and_times(changes: dict[str, Any], reason: str) -> None:
    desk = Desk()
    assert reason in refused(desk, desk.sign(claims={**GOOD_CLAIMS, **changes}))


@pytest.mark.parametrize("kind", ["JWT", "at+JWT", "application/at+jwt", None, ""])
def test_an_id_token_is_no_access_token(kind: Any) -> None:
    desk = Desk()
    head = {key: value for key, value in {**GOOD_HEAD, "typ": kind}.items() if value is not None}
    assert "not issued for this service" in refused(desk, desk.sign(head))


def test_what_is_cached_ends_with_the_token_and_what_is_refused_is_never_cached() -> None:
    desk = Desk()
    token = desk.sign()
    tampered = token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBB")
    for _ in range(3):
        desk.issuer.verify(token)
        refused(desk, tampered)
    desk.now = START + timedelta(seconds=CACHE_SECONDS)
    assert "expired" in refused(desk, token)


def test_a_flood_of_tokens_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("integrator.security.tokens._CACHED", 10)
    desk = Desk()
    for _ in range(35):
        desk.issuer.verify(desk.issuer.issue(CLIENT, ("insights:read",)))
        assert len(desk.issuer._verified) <= 10


def test_the_reason_never_repeats_the_token() -> None:
    desk = Desk()
    token = desk.sign(claims={**GOOD_CLAIMS, "aud": "other"})
    assert token.split(".")[1] not in refused(desk, token)
