"""API clients: made, listed, given another secret, revoked, and recognised by their secret.

How they prove themselves otherwise is beside this: `api_keys`, `assertions` (private_key_jwt), `certificates` (mTLS).
"""

import hashlib
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from integrator.contracts.errors import InvalidInput, NotFound, Unauthorized
from integrator.security.scopes import parse_scopes
from integrator.storage import clients, logs, partners
from integrator.storage.cache import Cache
from integrator.storage.clients import Client, Method
from integrator.storage.crypto import same
from integrator.storage.database import Database

SECRET_BYTES = 32
PREFIX = "isk_"
KEY_PREFIX = "iak_"
LONGEST_TOKEN_SECONDS = 3600
SHORTEST_OVERLAP = timedelta(hours=1)
OVERLAP = timedelta(hours=24)
LONGEST_OVERLAP = timedelta(days=30)
REFUSED = "the client is unknown, its credential is wrong, or it is no longer in force"
_HIDDEN = ("secret_hash", "previous_hash", "public", "previous_public")
# What an unknown client is compared with, so that its answer takes as long as that of a wrong secret.
_NOBODY = hashlib.sha256(b"").digest()


@dataclass(frozen=True)
class NewClient:
    """What its owner has to keep; the secret (or API key) is shown this once, and empty where there is none."""

    client_id: str
    client_secret: str
    scopes: tuple[str, ...]
    method: Method = "client_secret"

    def __repr__(self) -> str:
        return f"NewClient({self.client_id})"

    def shown(self) -> dict[str, str]:
        """What is printed once."""
        names = {"client_secret": "client_secret", "api_key": "api_key"}
        secret = {names[self.method]: self.client_secret} if self.method in names else {}
        return {"client_id": self.client_id, **secret}


def create(
    database: Database,
    partner: str,
    scopes: str | Iterable[str],
    now: datetime,
    *,
    expires_in: timedelta | None = None,
    method: Method = "client_secret",
    public: Mapping[str, Any] | None = None,
) -> NewClient:
    """A client of `partner`; `InvalidInput` names the scopes there are, `NotFound` the partners.

    `public` is what proves a client that has no secret: see `assertions.registered` and `certificates.registered`.
    """
    allowed = parse_scopes(scopes)
    client_id = f"icl_{secrets.token_hex(12)}"
    client = Client(
        client_id=client_id, partner=partner, secret_hash=None, secret_prefix=None, scopes=allowed, created_at=now,
        expires_at=now + expires_in if expires_in else None, method=method,
    )  # fmt: skip
    client, secret = _given(client, public)
    with database.partner(partner) as connection:
        partners.get(connection, partner)
        clients.add(connection, client)
        facts = {"client_id": client_id, "scopes": allowed, "method": method}
        logs.event(connection, partner, "client.created", now, facts)
    return NewClient(client_id, secret, allowed, method)


def list_all(database: Database, partner: str) -> list[dict[str, Any]]:
    """A partner's clients as rows to show: nothing of their secrets but the first letters."""
    with database.partner(partner) as connection:
        found = clients.for_partner(connection, partner)
    return [{key: value for key, value in client.__dict__.items() if key not in _HIDDEN} for client in found]


def rotate(
    database: Database,
    partner: str,
    client_id: str,
    now: datetime,
    *,
    overlap: timedelta = OVERLAP,
    public: Mapping[str, Any] | None = None,
    cache: Cache | None = None,
) -> NewClient:
    """Another secret, API key, public key or certificate; the one before is good for `overlap` too.

    `overlap` is an hour to thirty days, or zero: the old one ends at once (an API key that was just used, with the next
    request if there is a `cache`). What an earlier rotation left in force ends. Tokens already issued live on.
    `NotFound` for an unknown client, `InvalidInput` for another overlap.
    """
    if overlap and not SHORTEST_OVERLAP <= overlap <= LONGEST_OVERLAP:
        hours = f"{overlap / timedelta(hours=1):g} hours"
        raise InvalidInput(f"overlap of {hours} is not allowed; allowed: 1 hour to 30 days, or 0", field="overlap")
    with database.partner(partner) as connection:
        old = _of_partner(clients.find(connection, client_id), partner, client_id)
        fresh, secret = _given(old, public)
        clients.rotate(connection, fresh, now + overlap)
        data = {"client_id": client_id, "overlap_hours": overlap / timedelta(hours=1)}
        logs.event(connection, partner, "client.rotated", now, data)
        ended = _ended(old, overlap)
        for jti in ended:
            logs.event(connection, partner, "token.revoked", now, {"jti": jti, "client_id": client_id})
    if cache is not None:
        for jti in ended:
            cache.deny(jti, LONGEST_TOKEN_SECONDS)
    return NewClient(client_id, secret, fresh.scopes, fresh.method)


def revoke(database: Database, partner: str, client_id: str, now: datetime, *, cache: Cache | None = None) -> None:
    """No more tokens; with a `cache`, those already issued are refused from the next request on.

    Without one they end by themselves, within the minutes a token lives. Saying it again is fine, and mends what an
    absent cache did not take (`Unavailable`). `NotFound` for a client the partner never had.
    """
    with database.partner(partner) as connection:
        found = clients.find(connection, client_id)
        if found is None or found.partner != partner:
            raise NotFound(f"partner {partner!r} has no client {client_id!r}")
        if clients.revoke(connection, partner, client_id, now):
            logs.event(connection, partner, "client.revoked", now, {"client_id": client_id})
    if cache is not None:
        cache.deny(f"client:{client_id}", LONGEST_TOKEN_SECONDS)


def authenticate(database: Database, client_id: str, secret: str, now: datetime) -> Client:
    """The client, if the secret is its own and it is in force; `Unauthorized` says no more than that."""
    client = find(database, client_id)
    known = client is not None and client.method == "client_secret"
    matches = secret_matches(client if known else None, secret, now)
    if client is None or not matches or not client.in_force(now):
        raise Unauthorized(REFUSED)
    with database.partner(client.partner) as connection:
        clients.mark_used(connection, client.partner, [client_id], now)
    return client


def find(database: Database, client_id: str) -> Client | None:
    """A client of any partner."""
    if "\x00" in client_id:  # no id of ours has one, and PostgreSQL refuses to be asked
        return None
    with database.service() as connection:
        return clients.find(connection, client_id)


def secret_matches(client: Client | None, secret: str, now: datetime) -> bool:
    """Whether a secret is the client's, the one before included while it overlaps; as slow for an unknown client."""
    given = hash_of(secret)
    older = client.previous_hash if client and client.overlaps(now) else None
    current = same(given, (client.secret_hash if client else None) or _NOBODY)
    previous = same(given, older or _NOBODY)
    return client is not None and bool(secret) and (current or previous)


def hash_of(secret: str) -> bytes:
    """SHA-256 is enough for 256 random bits: there is nothing to guess that a slow hash would slow down."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def key_jti(key_hash: bytes) -> str:
    """The name of an API key in the deny-list, where tokens stand with their `jti`."""
    return f"key:{key_hash[:16].hex()}"


def _given(client: Client, public: Mapping[str, Any] | None) -> tuple[Client, str]:
    """The client with a fresh secret or the given public proof, and the secret."""
    if client.method in ("private_key_jwt", "tls_client_auth"):
        wanted = "jwks" if client.method == "private_key_jwt" else "certificate"
        if not public or wanted not in public:
            option = "--jwk FILE" if wanted == "jwks" else "--certificate"
            raise InvalidInput(f"a client of {client.method} is known by its {wanted}: give it with {option}")
        return replace(client, public=public), ""
    if public:
        raise InvalidInput(f"a client of {client.method} has a secret; it takes neither a key nor a certificate")
    secret, shown = PREFIX + secrets.token_urlsafe(SECRET_BYTES), 8
    if client.method == "api_key":
        # The client's id is in the key, so that one look at the primary key finds it.
        head = f"{KEY_PREFIX}{client.client_id.removeprefix('icl_')}_"
        secret, shown = head + secrets.token_urlsafe(SECRET_BYTES), len(head) + 4
    return replace(client, secret_hash=hash_of(secret), secret_prefix=secret[:shown]), secret


def _of_partner(client: Client | None, partner: str, client_id: str) -> Client:
    if client is None or client.partner != partner or client.revoked_at is not None:
        raise NotFound(f"partner {partner!r} has no client {client_id!r} in force")
    return client


def _ended(old: Client, overlap: timedelta) -> list[str]:
    """The API keys that this rotation ends at once: they may be verified and remembered for a minute somewhere."""
    if old.method != "api_key":
        return []
    hashes = [old.previous_hash] if overlap else [old.previous_hash, old.secret_hash]
    return [key_jti(key) for key in hashes if key]
