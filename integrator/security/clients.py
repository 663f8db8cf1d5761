"""API clients: made, listed, given another secret, revoked, and recognised by their secret."""

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from integrator.contracts.errors import NotFound, Unauthorized
from integrator.security.scopes import parse_scopes
from integrator.storage import clients, logs, partners
from integrator.storage.cache import Cache
from integrator.storage.clients import Client
from integrator.storage.crypto import same
from integrator.storage.database import Database

SECRET_BYTES = 32
PREFIX = "isk_"
LONGEST_TOKEN_SECONDS = 3600
# What an unknown client is compared with, so that its answer takes as long as that of a wrong secret.
_NOBODY = hashlib.sha256(b"").digest()


@dataclass(frozen=True)
class NewClient:
    """What its owner has to keep; the secret is shown this once."""

    client_id: str
    client_secret: str
    scopes: tuple[str, ...]

    def __repr__(self) -> str:
        return f"NewClient({self.client_id})"


def create(
    database: Database, partner: str, scopes: str | Iterable[str], now: datetime, *, expires_in: timedelta | None = None
) -> NewClient:
    """A client of `partner`; `InvalidInput` names the scopes there are, `NotFound` the partners."""
    allowed = parse_scopes(scopes)
    secret = _fresh_secret()
    client = Client(
        client_id=f"icl_{secrets.token_hex(12)}", partner=partner, secret_hash=_hash(secret),
        secret_prefix=secret[:8], scopes=allowed, created_at=now, expires_at=now + expires_in if expires_in else None,
    )  # fmt: skip
    with database.partner(partner) as connection:
        partners.get(connection, partner)
        clients.add(connection, client)
        logs.event(connection, partner, "client.created", now, {"client_id": client.client_id, "scopes": allowed})
    return NewClient(client.client_id, secret, allowed)


def list_all(database: Database, partner: str) -> list[dict[str, Any]]:
    """A partner's clients as rows to show: nothing of their secrets but the first letters."""
    with database.partner(partner) as connection:
        found = clients.for_partner(connection, partner)
    return [{key: value for key, value in client.__dict__.items() if key != "secret_hash"} for client in found]


def rotate(database: Database, partner: str, client_id: str, now: datetime) -> NewClient:
    """Another secret in the place of the old one; tokens already issued live on. `NotFound` for an unknown client."""
    secret = _fresh_secret()
    with database.partner(partner) as connection:
        if not clients.replace_secret(connection, partner, client_id, _hash(secret), secret[:8]):
            raise NotFound(f"partner {partner!r} has no client {client_id!r} in force")
        logs.event(connection, partner, "client.rotated", now, {"client_id": client_id})
        found = clients.find(connection, client_id)
    return NewClient(client_id, secret, found.scopes if found else ())


def revoke(database: Database, partner: str, client_id: str, now: datetime, *, cache: Cache | None = None) -> None:
    """No more tokens; with a `cache`, those already issued are refused from the next request on.

    Without one they end by themselves, within the minutes a token lives. `NotFound` for an unknown client.
    """
    with database.partner(partner) as connection:
        if not clients.revoke(connection, partner, client_id, now):
            raise NotFound(f"partner {partner!r} has no client {client_id!r} in force")
        logs.event(connection, partner, "client.revoked", now, {"client_id": client_id})
    if cache is not None:
        cache.deny(f"client:{client_id}", LONGEST_TOKEN_SECONDS)


def authenticate(database: Database, client_id: str, secret: str, now: datetime) -> Client:
    """The client, if the secret is its own and it is in force; `Unauthorized` says no more than that."""
    client = None
    if "\x00" not in client_id:  # no id of ours has one, and PostgreSQL refuses to be asked
        with database.service() as connection:
            client = clients.find(connection, client_id)
    matches = same(_hash(secret), client.secret_hash if client else _NOBODY)
    if client is None or not matches or client.revoked_at or (client.expires_at and client.expires_at <= now):
        raise Unauthorized("the client is unknown, its secret is wrong, or it is no longer in force")
    with database.partner(client.partner) as connection:
        clients.mark_used(connection, client.partner, client_id, now)
    return client


def _fresh_secret() -> str:
    return PREFIX + secrets.token_urlsafe(SECRET_BYTES)


def _hash(secret: str) -> bytes:
    """SHA-256 is enough for 256 random bits: there is nothing to guess that a slow hash would slow down."""
    return hashlib.sha256(secret.encode()).digest()
