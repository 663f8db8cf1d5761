"""`private_key_jwt`: a client signs a short-lived assertion with its own key (RFC 7523, OpenID Connect Core §9).

We keep the public half only, given as a JWK or a JWK Set when the client is made. An assertion is good for five minutes
at most, for this authorization server alone, and once.
"""

import base64
import json
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from integrator.contracts.errors import InvalidInput, Unauthorized
from integrator.security.clients import REFUSED, find
from integrator.storage import clients
from integrator.storage.clients import Client
from integrator.storage.database import Database

TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ALGORITHMS = ("ES256", "RS256")
LONGEST = timedelta(minutes=5)
# How far the client's clock may be ahead of ours.
SKEW = timedelta(seconds=30)
LONGEST_ID = 256
_MOST_KEYS = 10
_LEAST_RSA_BITS = 2048


def registered(document: str | bytes) -> dict[str, Any]:
    """The `public` of a client from the text of a JWK or a JWK Set; `InvalidInput` says what is wrong with it.

    A private key is refused, so that nobody keeps one here by accident.
    """
    try:
        found = json.loads(document)
        keys = found["keys"] if isinstance(found, dict) and "keys" in found else [found]
        if not keys or len(keys) > _MOST_KEYS:
            raise InvalidInput(f"the file has {len(keys)} keys; allowed: 1 to {_MOST_KEYS}", field="jwk")
        return {"jwks": {"keys": [_public(key) for key in keys]}}
    except (JoseError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InvalidInput("this is no JWK and no JWK Set (RFC 7517)", field="jwk") from error


def authenticate(
    database: Database, assertion: str, client_id: str | None, audiences: Collection[str], now: datetime
) -> Client:
    """The client that signed the assertion, which is thereby used up; `Unauthorized` says no more than that."""
    name = subject(assertion)
    if client_id is not None and client_id != name:
        raise Unauthorized(REFUSED)
    client = find(database, name)
    usable = client is not None and client.method == "private_key_jwt" and client.in_force(now)
    proofs = client.proofs(now) if client is not None and usable else []
    # An unknown client costs a verification too: the time of the answer tells nobody which clients there are.
    sets = [proof["jwks"] for proof in proofs] or [_nobody()]
    claims = next((claims for keys in sets if (claims := _signed(assertion, keys)) is not None), None)
    if client is None or not usable or claims is None:
        raise Unauthorized(REFUSED)
    expires_at = _checked(claims, client.client_id, audiences, now)
    with database.partner(client.partner) as connection:
        jti = str(claims["jti"])
        if not clients.spend_assertion(connection, client.partner, client.client_id, jti, expires_at, now):
            raise Unauthorized("the assertion was used before; make a new one with a `jti` of its own")
        clients.mark_used(connection, client.partner, [client.client_id], now)
    return client


def _public(key: Mapping[str, Any]) -> dict[str, Any]:
    if "d" in key or "k" in key:
        raise InvalidInput("the file holds a private key; give the public half only", field="jwk")
    if key.get("kty") == "EC" and key.get("crv") == "P-256":
        return dict(ECKey.import_key(dict(key)).as_dict(private=False))
    if key.get("kty") == "RSA" and _bits(str(key["n"])) >= _LEAST_RSA_BITS:
        return dict(RSAKey.import_key(dict(key)).as_dict(private=False))
    given = f"{key.get('kty')} {key.get('crv', '')}".strip()
    raise InvalidInput(f"a key of {given!r} is not allowed; allowed: EC P-256, RSA of 2048 bits or more", field="jwk")


def _bits(modulus: str) -> int:
    return int.from_bytes(base64.urlsafe_b64decode(modulus + "=" * (-len(modulus) % 4))).bit_length()


def subject(assertion: str) -> str:
    """Who the assertion says it is from, before anything of it is believed."""
    try:
        claims = json.loads(jws.extract_compact(assertion.encode("ascii")).payload)
        if not isinstance(claims["sub"], str) or claims["iss"] != claims["sub"]:
            raise ValueError("sub")
        return claims["sub"]
    except (JoseError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise Unauthorized(
            "the assertion cannot be read, or its `iss` and `sub` are not both the client's id"
        ) from error


def _signed(assertion: str, jwks: Mapping[str, Any]) -> dict[str, Any] | None:
    """The claims, if a key of the set signed them. The algorithm must be the key's own."""
    try:
        header = jws.extract_compact(assertion.encode("ascii")).headers()
        kinds: dict[object, type[ECKey | RSAKey]] = {"ES256": ECKey, "RS256": RSAKey}
        kind, kid = kinds.get(header.get("alg")), header.get("kid")
        fitting = [
            kind.import_key(dict(key))
            for key in jwks["keys"]
            if kind is not None and key["kty"] == kind.key_type and (kid is None or key.get("kid") in (None, kid))
        ]
        for key in fitting:
            try:
                return dict(jwt.decode(assertion, key, algorithms=list(ALGORITHMS)).claims)
            except JoseError:
                continue
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    return None


def _checked(claims: Mapping[str, Any], client_id: str, audiences: Collection[str], now: datetime) -> datetime:
    audience = claims.get("aud")
    named = audience if isinstance(audience, list) else [audience]
    if not any(isinstance(name, str) and name in audiences for name in named):
        raise Unauthorized(f"the assertion is for another audience; allowed: {', '.join(audiences)}")
    expires_at, starts_at = _moment(claims, "exp"), _moment(claims, "nbf", 0)
    if not now < expires_at <= now + LONGEST + SKEW or starts_at > now + SKEW:
        raise Unauthorized("the assertion has expired, is not valid yet, or lives longer than 5 minutes")
    jti = claims.get("jti")
    if not isinstance(jti, str) or not 0 < len(jti) <= LONGEST_ID or "\x00" in jti:
        raise Unauthorized(f"the assertion needs a `jti` of 1 to {LONGEST_ID} characters")
    if claims.get("sub") != client_id:
        raise Unauthorized(REFUSED)
    return expires_at


def _moment(claims: Mapping[str, Any], name: str, default: int | None = None) -> datetime:
    try:
        return datetime.fromtimestamp(int(claims.get(name, default)), UTC)
    except (TypeError, ValueError, OverflowError) as error:
        raise Unauthorized(f"the assertion's `{name}` is no time") from error


@cache
def _nobody() -> dict[str, Any]:
    """A key that nobody holds, for the clients that are not there."""
    return {"keys": [ECKey.generate_key("P-256").as_dict(private=False)]}
