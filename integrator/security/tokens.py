"""Access tokens after RFC 9068: JWTs signed with ES256, valid for minutes, verified without a database.

Whether a token was revoked is not asked here: `jti` and client stand in the deny-list, which is read with the data.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from integrator.contracts.errors import Unauthorized, invalid
from integrator.security.keys import ALGORITHM, KeyRing
from integrator.settings import Clock
from integrator.storage.clients import Client

AUDIENCE = "urn:integrator:api"
TYPE = "at+jwt"
CACHE_SECONDS = 60
_CACHED = 10_000


@dataclass(frozen=True, slots=True)
class Access:
    """What a good token says. One with a `certificate` (RFC 8705 `x5t#S256`) is good over that connection alone."""

    partner: str
    client_id: str
    scopes: frozenset[str]
    jti: str
    expires_at: datetime
    certificate: str | None = None


class Issuer:
    """Issues tokens in the name of `issuer`, and verifies them.

    `keys` is asked for the keys at most once a minute, and when a token names a key that is not known yet.
    """

    def __init__(self, issuer: str, keys: Callable[[], KeyRing], clock: Clock, minutes: int) -> None:
        """`minutes` is how long a token lives."""
        self.issuer = issuer
        self.lifetime = timedelta(minutes=minutes)
        self._load, self._clock = keys, clock
        self._ring: KeyRing | None = None
        self._loaded_at = datetime.min.replace(tzinfo=UTC)
        self._verified: dict[str, tuple[Access, datetime]] = {}

    def ring(self, *, needed: str | None = None) -> KeyRing:
        """The keys, read again after a minute, or at once for an unknown `needed` (but not within a second)."""
        age = self._clock() - self._loaded_at
        unknown = self._ring is not None and needed is not None and needed not in self._ring.verifying
        if self._ring is None or age > timedelta(seconds=CACHE_SECONDS) or (unknown and age > timedelta(seconds=1)):
            self._ring, self._loaded_at = self._load(), self._clock()
        return self._ring

    def issue(self, client: Client, scopes: tuple[str, ...], certificate: str | None = None) -> str:
        """A token for a client with these of its scopes, bound to a certificate's thumbprint if there is one.

        It ends with the client, if that is sooner.
        """
        for scope in scopes:
            if scope not in client.scopes:
                raise invalid("scope", scope, client.scopes)
        now = int(self._clock().timestamp())
        ends = now + int(self.lifetime.total_seconds())
        if client.expires_at is not None:
            ends = min(ends, int(client.expires_at.timestamp()))
        key = self.ring().signing
        claims = {
            "iss": self.issuer, "aud": AUDIENCE, "sub": client.client_id, "client_id": client.client_id,
            "partner": client.partner, "scope": " ".join(scopes), "jti": secrets.token_urlsafe(16), "iat": now,
            "exp": ends, **({"cnf": {"x5t#S256": certificate}} if certificate else {}),
        }  # fmt: skip
        return jwt.encode({"alg": ALGORITHM, "typ": TYPE, "kid": key.kid}, claims, key, algorithms=[ALGORITHM])

    def verify(self, token: str) -> Access:
        """What the token says; `Unauthorized` when it is not ours, was altered, or has expired. Cached for a minute."""
        known = self.known(token)
        if known is not None:
            return known
        now = self._clock()
        access = self._verify(token, now)
        if len(self._verified) >= _CACHED:
            self._verified.clear()
        self._verified[token] = (access, min(access.expires_at, now + timedelta(seconds=CACHE_SECONDS)))
        return access

    def known(self, token: str) -> Access | None:
        """What `verify` found out about a token within the last minute."""
        found = self._verified.get(token)
        return found[0] if found is not None and self._clock() < found[1] else None

    def _verify(self, token: str, now: datetime) -> Access:
        try:
            decoded = jwt.decode(token, self.key_of, algorithms=[ALGORITHM])
            claims = decoded.claims
            expires_at = datetime.fromtimestamp(int(claims["exp"]), UTC)
            access = Access(
                str(claims["partner"]), str(claims["client_id"]), frozenset(str(claims["scope"]).split()),
                str(claims["jti"]), expires_at, str(claims["cnf"]["x5t#S256"]) if "cnf" in claims else None,
            )  # fmt: skip
        except (JoseError, KeyError, ValueError, TypeError, OverflowError) as error:
            raise Unauthorized("the access token cannot be read or its signature is not ours") from error
        if decoded.header.get("typ") != TYPE or claims.get("iss") != self.issuer or claims.get("aud") != AUDIENCE:
            raise Unauthorized("the token was not issued for this service")
        if expires_at <= now:
            raise Unauthorized("the access token has expired")
        return access

    def key_of(self, message: object) -> ECKey:
        """The key that a token names, to verify it with; `ValueError` when there is none such."""
        headers = message.headers()  # type: ignore[attr-defined]
        kid = headers.get("kid")
        key = self.ring(needed=kid).verifying.get(kid) if isinstance(kid, str) else None
        if key is None:
            raise ValueError("unknown key")
        return key
