"""`ops.idempotency`: what was answered to a push, committed with what it acknowledges.

Two pushes with one key at once meet in the primary key: the second waits there until the first commits, lands nothing
and gives back the first one's answer; if the first fails, the second is the one that counts.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, text

from integrator.storage.crypto import MasterKey, decrypt, encrypt, keyed_hash
from integrator.storage.partners import DataKey, data_key

KEPT = timedelta(hours=12)
SWEPT_AT_ONCE = 100


@dataclass(frozen=True)
class Call:
    """What was asked, by whom, under which key; `digest` stands for the content."""

    partner: str
    client_id: str
    route: str
    key: str
    digest: bytes

    def scope(self) -> dict[str, str]:
        """The primary key."""
        return {"partner": self.partner, "client_id": self.client_id, "route": self.route, "key": self.key}


@dataclass(frozen=True)
class Answer:
    """What was answered then; `digest` tells whether it was to the same content."""

    status: int
    body: bytes
    digest: bytes


def digest(master: MasterKey, partner: str, *parts: bytes) -> bytes:
    """A keyed hash of a request's content: a plain one would tell what a small record with a person in it says."""
    framed = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    return keyed_hash(master.derive(f"idempotency:{partner}"), framed, size=32)


def find(connection: Connection, master: MasterKey, call: Call, now: datetime) -> Answer | None:
    """The answer kept under this key, if it is still in force."""
    row = connection.execute(
        text("""select status, key_id, response, request_hash from ops.idempotency
          where partner = :partner and client_id = :client_id and route = :route and key = :key and expires_at > :now"""),
        {**call.scope(), "now": now},
    ).one_or_none()
    if row is None:
        return None
    key = data_key(connection, master, call.partner, row.key_id)
    body = decrypt(key.raw, bytes(row.response), _purpose(call.partner))
    return Answer(row.status, body, bytes(row.request_hash))


def keep(connection: Connection, master: MasterKey, call: Call, status: int, body: bytes, now: datetime) -> bool:
    """Keep an answer in the transaction of what it acknowledges; False when another call under the key was first."""
    return keep_under(connection, data_key(connection, master, call.partner), call, status, body, now)


def keep_under(connection: Connection, key: DataKey, call: Call, status: int, body: bytes, now: datetime) -> bool:
    """`keep`, for who has read the partner's data key already."""
    kept = connection.execute(
        text("""insert into ops.idempotency as there
            (partner, client_id, route, key, request_hash, status, key_id, response, answered_at, expires_at)
          values (:partner, :client_id, :route, :key, :hash, :status, :key_id, :response, :now, :expires_at)
          on conflict (partner, client_id, route, key) do update set request_hash = excluded.request_hash,
            status = excluded.status, key_id = excluded.key_id, response = excluded.response,
            answered_at = excluded.answered_at, expires_at = excluded.expires_at
          where there.expires_at <= :now"""),
        {
            **call.scope(), "hash": call.digest, "status": status, "key_id": key.key_id, "now": now,
            "response": encrypt(key.raw, body, _purpose(call.partner)), "expires_at": now + KEPT,
        },
    ).rowcount  # fmt: skip
    return bool(kept)


def sweep(connection: Connection, partner: str, now: datetime) -> int:
    """Forget some of what has expired; rows that another transaction is at are left to it."""
    return connection.execute(
        text("""delete from ops.idempotency where partner = :partner and (client_id, route, key) in (
            select client_id, route, key from ops.idempotency where partner = :partner and expires_at <= :now
            limit :most for update skip locked)"""),
        {"partner": partner, "now": now, "most": SWEPT_AT_ONCE},
    ).rowcount


def _purpose(partner: str) -> str:
    return f"idempotency:{partner}"
