"""OAuth flows under way. The state is the only way to one; it is taken once, and only its hash is kept."""

import hashlib
import json
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text

from integrator.storage.crypto import MasterKey, decrypt, encrypt
from integrator.storage.partners import data_key

LIFETIME = timedelta(minutes=10)


def begin(connection: Connection, master: MasterKey, partner: str, facts: Mapping[str, Any], now: datetime) -> str:
    """Keep `facts` (client, settings, verifier) sealed; the state that leads back to them, which names the partner."""
    state = f"{partner}.{secrets.token_urlsafe(32)}"
    key = data_key(connection, master, partner)
    connection.execute(
        text("delete from integrator.authorization_flow where partner = :partner and expires_at <= :now"),
        {"partner": partner, "now": now},
    )
    connection.execute(
        text("""insert into integrator.authorization_flow (partner, state_hash, key_id, sealed, created_at, expires_at)
          values (:partner, :state_hash, :key_id, :sealed, :now, :expires_at)"""),
        {"partner": partner, "state_hash": _hash(state), "key_id": key.key_id, "now": now,
         "sealed": encrypt(key.raw, json.dumps(dict(facts)).encode(), _purpose(partner)), "expires_at": now + LIFETIME},
    )  # fmt: skip
    return state


def partner_of(state: str) -> str:
    """The partner a state names; whether it holds, only `take` tells."""
    return state.partition(".")[0]


def take(connection: Connection, master: MasterKey, partner: str, state: str, now: datetime) -> dict[str, Any] | None:
    """What was kept under this state, which is used up now; None when it is unknown, used or expired."""
    row = connection.execute(
        text("""delete from integrator.authorization_flow where partner = :partner and state_hash = :state_hash
        returning key_id, sealed, expires_at"""),
        {"partner": partner, "state_hash": _hash(state)},
    ).one_or_none()
    if row is None or row.expires_at <= now:
        return None
    key = data_key(connection, master, partner, row.key_id)
    facts: dict[str, Any] = json.loads(decrypt(key.raw, bytes(row.sealed), _purpose(partner)))
    return facts


def _hash(state: str) -> bytes:
    return hashlib.sha256(state.encode(errors="replace")).digest()


def _purpose(partner: str) -> str:
    return f"authorization:{partner}"
