"""Signing secrets of webhook endpoints, wrapped by the master key: made, read, and changed with an overlap."""

import secrets
from base64 import b64encode
from datetime import datetime, timedelta

from sqlalchemy import Connection, text

from integrator.contracts.errors import Conflict, NotFound
from integrator.storage.crypto import MasterKey
from integrator.storage.database import Database

SECRET_BYTES = 32
OVERLAP = timedelta(hours=24)
# Every secret in force is a signature on every message, and a header has its limits.
MOST_FORMER = 4


def new_id() -> str:
    """An endpoint's id."""
    return f"we_{secrets.token_hex(10)}"


def new_secret() -> str:
    """A secret as Standard Webhooks writes it."""
    return "whsec_" + b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def seal(master: MasterKey, partner: str, endpoint_id: str, secret: str) -> bytes:
    """The secret as it is stored: it opens for this endpoint alone."""
    return master.wrap(secret.encode(), _purpose(partner, endpoint_id))


def secret(database: Database, partner: str, endpoint_id: str) -> str:
    """An endpoint's current secret; `NotFound` when the partner has none such."""
    with database.partner(partner) as connection:
        return in_force(connection, database.master, partner, endpoint_id, None)[0]


def in_force(
    connection: Connection, master: MasterKey, partner: str, endpoint_id: str, now: datetime | None
) -> tuple[str, ...]:
    """The current secret first, then the former ones that still sign at `now` (None: none of them), newest first."""
    row = _row(connection, partner, endpoint_id)
    sealed = [row[0]]
    if now is not None:
        sealed += [old for old, until in zip(row[1], row[2], strict=True) if until > now]
    return tuple(master.unwrap(bytes(one), _purpose(partner, endpoint_id)).decode() for one in sealed)


def rotate(connection: Connection, master: MasterKey, partner: str, endpoint_id: str, now: datetime) -> str:
    """Another secret; the one before signs beside it for 24 hours.

    `Conflict` when so many are in force that one more would put out a secret somebody still relies on.
    """
    current, former, until = _row(connection, partner, endpoint_id, lock=True)
    kept = [(old, end) for old, end in zip(former, until, strict=True) if end > now]
    if len(kept) >= MOST_FORMER:
        free = min(end for _, end in kept)
        raise Conflict(f"{len(kept)} former secrets of {endpoint_id} are still in force; rotate again from {free}")
    made = new_secret()
    kept.insert(0, (current, now + OVERLAP))
    connection.execute(
        text("""update integrator.webhook_endpoint
          set secret = :secret, former_secrets = :former, former_until = :until
        where partner = :partner and endpoint_id = :endpoint_id"""),
        {
            "partner": partner, "endpoint_id": endpoint_id, "secret": seal(master, partner, endpoint_id, made),
            "former": [bytes(old) for old, _ in kept], "until": [end for _, end in kept],
        },
    )  # fmt: skip
    return made


def _row(
    connection: Connection, partner: str, endpoint_id: str, *, lock: bool = False
) -> tuple[bytes, list[bytes], list[datetime]]:
    row = connection.execute(
        text(f"""select secret, former_secrets, former_until from integrator.webhook_endpoint
        where partner = :partner and endpoint_id = :endpoint_id{" for update" if lock else ""}"""),
        {"partner": partner, "endpoint_id": endpoint_id},
    ).one_or_none()
    if row is None:
        raise NotFound(f"partner {partner!r} has no webhook endpoint {endpoint_id!r}")
    return row.secret, row.former_secrets, row.former_until


def _purpose(partner: str, endpoint_id: str) -> str:
    return f"webhook:{partner}:{endpoint_id}"
