"""`integrator.client`: API clients of partners. Secrets are here only as a hash.

Anyone with the service role may find a client by its id (the authorization server knows no partner yet); writing needs
the partner's own transaction.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text


@dataclass(frozen=True, kw_only=True)
class Client:
    """One API client; `secret_hash` is SHA-256 of a secret with 256 bits of entropy."""

    client_id: str
    partner: str
    secret_hash: bytes
    secret_prefix: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None


_COLUMNS = ", ".join(Client.__dataclass_fields__)


def add(connection: Connection, client: Client) -> None:
    """Store a new client."""
    connection.execute(
        text(f"""insert into integrator.client ({_COLUMNS}) values (:client_id, :partner, :secret_hash, :secret_prefix,
        :scopes, :created_at, :expires_at, :revoked_at, :last_used_at)"""),
        {**client.__dict__, "scopes": list(client.scopes)},
    )


def find(connection: Connection, client_id: str) -> Client | None:
    """A client of any partner, by its id."""
    row = connection.execute(
        text(f"select {_COLUMNS} from integrator.client where client_id = :client_id"), {"client_id": client_id}
    ).one_or_none()
    return _client(row._mapping) if row else None


def for_partner(connection: Connection, partner: str) -> list[Client]:
    """A partner's clients, oldest first, revoked ones too."""
    rows = connection.execute(
        text(f"select {_COLUMNS} from integrator.client where partner = :partner order by created_at, client_id"),
        {"partner": partner},
    )
    return [_client(row._mapping) for row in rows]


def replace_secret(connection: Connection, partner: str, client_id: str, secret_hash: bytes, prefix: str) -> bool:
    """Give a client another secret; False when the partner has no such client in force."""
    return bool(
        connection.execute(
            text("""update integrator.client set secret_hash = :hash, secret_prefix = :prefix
            where partner = :partner and client_id = :client_id and revoked_at is null"""),
            {"hash": secret_hash, "prefix": prefix, "partner": partner, "client_id": client_id},
        ).rowcount
    )


def revoke(connection: Connection, partner: str, client_id: str, now: datetime) -> bool:
    """Take a client out of force; False when the partner has none such in force."""
    return bool(
        connection.execute(
            text("""update integrator.client set revoked_at = :now
            where partner = :partner and client_id = :client_id and revoked_at is null"""),
            {"now": now, "partner": partner, "client_id": client_id},
        ).rowcount
    )


def mark_used(connection: Connection, partner: str, client_id: str, now: datetime) -> None:
    """Remember when a client last got a token."""
    connection.execute(
        text("update integrator.client set last_used_at = :now where partner = :partner and client_id = :client_id"),
        {"now": now, "partner": partner, "client_id": client_id},
    )


def is_denied(connection: Connection, partner: str, client_id: str, jti: str, since: datetime) -> bool:
    """Whether the client or this one token was revoked: the slow way, for when the cache's deny-list is away."""
    return bool(
        connection.execute(
            text("""select exists (select from integrator.client where partner = :partner and client_id = :client_id
                and revoked_at is not null)
              or exists (select from ops.event_log where partner = :partner and kind = 'token.revoked' and at >= :since
                and data ->> 'jti' = :jti)"""),
            {"partner": partner, "client_id": client_id, "jti": jti, "since": since},
        ).scalar_one()
    )


def _client(facts: object) -> Client:
    values = dict(facts)  # type: ignore[call-overload]
    return Client(**{**values, "secret_hash": bytes(values["secret_hash"]), "scopes": tuple(values["scopes"])})
