"""`integrator.client`: API clients of partners. Secrets are here only as a hash.

Anyone with the service role may find a client by its id (the authorization server knows no partner yet); writing needs
the partner's own transaction.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, text

Method = Literal["client_secret", "api_key", "private_key_jwt", "tls_client_auth"]


@dataclass(frozen=True, kw_only=True)
class Client:
    """One API client; `secret_hash` is SHA-256 of a secret with 256 bits of entropy.

    `public` proves a client that has no secret: `{"jwks": …}` or `{"certificate": "dns:crm.acme.example"}`. What was in
    force before the last rotation stands in `previous_…` and is good until `previous_until`.
    """

    client_id: str
    partner: str
    secret_hash: bytes | None
    secret_prefix: str | None
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    method: Method = "client_secret"
    public: Mapping[str, Any] | None = None
    previous_hash: bytes | None = None
    previous_public: Mapping[str, Any] | None = None
    previous_until: datetime | None = None

    def in_force(self, now: datetime) -> bool:
        """Neither revoked nor past its end."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now)

    def overlaps(self, now: datetime) -> bool:
        """Whether what the last rotation replaced is still good."""
        return self.previous_until is not None and self.previous_until > now

    def proofs(self, now: datetime) -> list[Mapping[str, Any]]:
        """The public proofs that are good, the newest first."""
        older = self.previous_public if self.overlaps(now) else None
        return [proof for proof in (self.public, older) if proof]


_COLUMNS = ", ".join(Client.__dataclass_fields__)


def add(connection: Connection, client: Client) -> None:
    """Store a new client."""
    connection.execute(
        text("""insert into integrator.client
          (client_id, partner, secret_hash, secret_prefix, scopes, created_at, expires_at, method, public)
        values (:client_id, :partner, :secret_hash, :secret_prefix, :scopes, :created_at, :expires_at, :method,
          cast(:public as jsonb))"""),
        {**client.__dict__, "scopes": list(client.scopes), "public": _json(client.public)},
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


def rotate(connection: Connection, fresh: Client, until: datetime) -> None:
    """Put the secret or the public proof of `fresh` in the place of the old one, which is good `until` then."""
    connection.execute(
        text("""update integrator.client set previous_hash = secret_hash, previous_public = public,
          previous_until = :until, secret_hash = :secret_hash, secret_prefix = :secret_prefix,
          public = cast(:public as jsonb)
        where partner = :partner and client_id = :client_id and revoked_at is null"""),
        {**fresh.__dict__, "scopes": None, "public": _json(fresh.public), "until": until},
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


def mark_used(connection: Connection, partner: str, client_ids: Collection[str], now: datetime) -> None:
    """Remember when clients were last heard of; never moved back."""
    connection.execute(
        text("""update integrator.client set last_used_at = :now where partner = :partner
        and client_id = any(:clients) and (last_used_at is null or last_used_at < :now)"""),
        {"now": now, "partner": partner, "clients": list(client_ids)},
    )


def spend_assertion(
    connection: Connection, partner: str, client_id: str, jti: str, expires_at: datetime, now: datetime
) -> bool:
    """Use up an assertion's id; False when it was used before. Expired ones are forgotten on the way."""
    names = {"partner": partner, "client_id": client_id}
    connection.execute(
        text("""delete from integrator.client_assertion
        where partner = :partner and client_id = :client_id and expires_at < :now"""),
        {**names, "now": now},
    )
    return bool(
        connection.execute(
            text("""insert into integrator.client_assertion (partner, client_id, jti, expires_at)
            values (:partner, :client_id, :jti, :expires_at) on conflict do nothing"""),
            {**names, "jti": jti, "expires_at": expires_at},
        ).rowcount
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


def denied_among(
    connection: Connection, partner: str, held: Collection[tuple[str, str]], since: datetime
) -> set[tuple[str, str]]:
    """Of pairs of client and token of one partner, those that were revoked: `is_denied` for many at once."""
    rows = connection.execute(
        text("""select held.client_id, held.jti
        from unnest(cast(:clients as text[]), cast(:tokens as text[])) as held(client_id, jti)
        where exists (select from integrator.client c where c.partner = :partner and c.client_id = held.client_id
            and c.revoked_at is not null)
          or exists (select from ops.event_log e where e.partner = :partner and e.kind = 'token.revoked' and e.at >= :since
            and e.data ->> 'jti' = held.jti)"""),
        {
            "partner": partner, "since": since, "clients": [client for client, _ in held],
            "tokens": [token for _, token in held],
        },
    )  # fmt: skip
    return {(row.client_id, row.jti) for row in rows}


def _json(value: Mapping[str, Any] | None) -> str | None:
    return None if value is None else json.dumps(dict(value))


def _client(facts: Mapping[Any, Any]) -> Client:
    values = {str(key): value for key, value in facts.items()}
    for name in ("secret_hash", "previous_hash"):
        values[name] = None if values[name] is None else bytes(values[name])
    return Client(**{**values, "scopes": tuple(values["scopes"])})
