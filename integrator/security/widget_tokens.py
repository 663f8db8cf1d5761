"""Widget tokens: what a host's backend hands to a page, so that the page may read a few insights for a few minutes.

JWTs signed with the keys of the access tokens, but of another type and for another audience: `tokens.Issuer` refuses
them, and so does every route that does not ask for them. Whether the client that asked for one was revoked stands in the
deny-list, as for access tokens.
"""

import base64
import json
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError

from integrator.contracts.errors import InvalidInput, Unauthorized, invalid
from integrator.contracts.insight import USE_CASES
from integrator.security.keys import ALGORITHM
from integrator.security.tokens import CACHE_SECONDS, Access, Issuer
from integrator.settings import Clock
from integrator.storage.clients import Client

AUDIENCE = "urn:integrator:widget"
TYPE = "widget+jwt"
LONGEST = timedelta(minutes=5)
SHORTEST = timedelta(seconds=30)
MOST_SUBJECTS = 100
# Servers and proxies take header lines of 8 kB.
LONGEST_TOKEN = 7_500
_CACHED = 10_000


@dataclass(frozen=True, slots=True)
class Widget:
    """What a page may see: these use cases of these subjects (None: all), from this origin alone.

    `access` names the partner and the client that asked for the token; it has no scope.
    """

    access: Access
    use_cases: frozenset[str]
    subjects: frozenset[str] | None
    origin: str

    def covers(self, use_case: str, subject_id: str) -> bool:
        """Whether it may see this subject."""
        return use_case in self.use_cases and (self.subjects is None or subject_id in self.subjects)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a token is asked for; `InvalidInput` says what of it is not allowed."""

    use_cases: tuple[str, ...]
    subjects: tuple[str, ...] | None
    origin: str
    lifetime: timedelta = LONGEST

    def __post_init__(self) -> None:
        if not self.use_cases:
            raise invalid("use_cases", [], f"one or more of {', '.join(USE_CASES)}")
        for use_case in self.use_cases:
            if use_case not in USE_CASES:
                raise invalid("use_cases", use_case, USE_CASES)
        if self.subjects is not None and not 1 <= len(self.subjects) <= MOST_SUBJECTS:
            allowed = f'1 to {MOST_SUBJECTS} ids, or "all"'
            raise InvalidInput(f"{len(self.subjects)} subjects are not allowed; allowed: {allowed}", field="subjects")
        if not SHORTEST <= self.lifetime <= LONGEST:
            allowed = f"{SHORTEST.total_seconds():g} to {LONGEST.total_seconds():g} seconds"
            raise invalid("expires_in", self.lifetime.total_seconds(), allowed)


class WidgetTokens:
    """Issues widget tokens with the keys of `issuer`, and verifies them."""

    def __init__(self, issuer: Issuer, clock: Clock) -> None:
        self._issuer, self._clock = issuer, clock
        self._verified: dict[str, tuple[Widget, datetime]] = {}

    def issue(self, client: Client, wanted: Wanted) -> tuple[str, int]:
        """A token in the client's name, and for how many seconds it is good: no longer than its client."""
        now = int(self._clock().timestamp())
        ends = now + int(wanted.lifetime.total_seconds())
        if client.expires_at is not None:
            ends = min(ends, int(client.expires_at.timestamp()))
        key = self._issuer.ring().signing
        claims = {
            "iss": self._issuer.issuer, "aud": AUDIENCE, "sub": client.client_id, "client_id": client.client_id,
            "partner": client.partner, "use_cases": list(wanted.use_cases),
            "subjects": "all" if wanted.subjects is None else list(wanted.subjects), "origin": wanted.origin,
            "jti": secrets.token_urlsafe(16), "iat": now, "exp": ends,
        }  # fmt: skip
        token = jwt.encode({"alg": ALGORITHM, "typ": TYPE, "kid": key.kid}, claims, key, algorithms=[ALGORITHM])
        if len(token) > LONGEST_TOKEN:
            said = f"the token would have {len(token)} characters; allowed: {LONGEST_TOKEN}: name fewer subjects"
            raise InvalidInput(said, field="subjects")
        return token, ends - now

    def verify(self, token: str) -> Widget:
        """What the token says; `Unauthorized` when it is not ours, was altered, or has expired. Cached for a minute."""
        now = self._clock()
        cached = self._verified.get(token)
        if cached is not None and now < cached[1]:
            return cached[0]
        widget = self._verify(token, now)
        if len(self._verified) >= _CACHED:
            self._verified.clear()
        self._verified[token] = (widget, min(widget.access.expires_at, now + timedelta(seconds=CACHE_SECONDS)))
        return widget

    def _verify(self, token: str, now: datetime) -> Widget:
        try:
            decoded = jwt.decode(token, self._issuer.key_of, algorithms=[ALGORITHM])
            widget = _read(decoded.claims)
        except (JoseError, KeyError, ValueError, TypeError, OverflowError) as error:
            raise Unauthorized("the widget token cannot be read or its signature is not ours") from error
        claims = decoded.claims
        if decoded.header.get("typ") != TYPE or claims.get("iss") != self._issuer.issuer or claims["aud"] != AUDIENCE:
            raise Unauthorized("the token was not issued for widgets of this service")
        if widget.access.expires_at <= now:
            raise Unauthorized("the widget token has expired")
        return widget


def is_widget_token(token: str) -> bool:
    """Whether a bearer token says it is one, before anything of it is believed."""
    return _is_widget_header(token.partition(".")[0])


@lru_cache(maxsize=64)
def _is_widget_header(part: str) -> bool:
    """Of one header, which all tokens of a signing key share."""
    try:
        header = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, RecursionError):
        return False
    return isinstance(header, dict) and header.get("typ") == TYPE


def _read(claims: dict[str, Any]) -> Widget:
    subjects = claims["subjects"]
    access = Access(
        str(claims["partner"]), str(claims["client_id"]), frozenset(), str(claims["jti"]),
        datetime.fromtimestamp(int(claims["exp"]), UTC),
    )  # fmt: skip
    return Widget(
        access, _texts(claims["use_cases"]), None if subjects == "all" else _texts(subjects), str(claims["origin"])
    )


def _texts(claim: Collection[object]) -> frozenset[str]:
    if not isinstance(claim, list):
        raise TypeError("a list of texts")
    return frozenset(str(text) for text in claim)
