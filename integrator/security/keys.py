"""ES256 signing keys: made at first use, opened with the master key, published as a JWKS."""

import json
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from joserfc.jwk import ECKey

from integrator.storage import signing_keys
from integrator.storage.crypto import MasterKey
from integrator.storage.database import Database
from integrator.storage.signing_keys import StoredKey

ALGORITHM = "ES256"
# A retired key is published for as long as a token signed with it may live.
OVERLAP = timedelta(hours=2)


@dataclass(frozen=True)
class KeyRing:
    """The key to sign with, and every key that may verify, by `kid`."""

    signing: ECKey
    verifying: dict[str, ECKey]

    def jwks(self) -> dict[str, Any]:
        """The public halves, RFC 7517."""
        return {"keys": [key.as_dict(private=False) for key in self.verifying.values()]}


def open_keys(database: Database, master: MasterKey, now: datetime) -> KeyRing:
    """The keys in force; the first one is made here, by one process alone."""
    with database.service() as connection:
        stored = signing_keys.usable(connection, now - OVERLAP)
        if not any(key.retired_at is None for key in stored):
            signing_keys.lock(connection)
            stored = signing_keys.usable(connection, now - OVERLAP)
            if not any(key.retired_at is None for key in stored):
                signing_keys.add(connection, _fresh(master), now)
                stored = signing_keys.usable(connection, now - OVERLAP)
    current = next(key for key in stored if key.retired_at is None)
    return KeyRing(_open(master, current), {key.kid: _public(key) for key in stored})


def rotate(database: Database, master: MasterKey, now: datetime) -> str:
    """Sign with a new key from now on; the old ones verify for `OVERLAP`. Returns the new `kid`."""
    fresh = _fresh(master)
    with database.service() as connection:
        signing_keys.lock(connection)
        signing_keys.add(connection, fresh, now)
        signing_keys.retire_others(connection, fresh.kid, now)
    return fresh.kid


def list_all(database: Database, now: datetime) -> list[dict[str, Any]]:
    """Every key that signs or still verifies, as rows to show, the newest first; private halves are not opened."""
    with database.service() as connection:
        stored = signing_keys.usable(connection, now - OVERLAP)
    return [
        {
            "kid": key.kid, "state": "signing" if key.retired_at is None else "verifying", "created_at": key.created_at,
            "retired_at": key.retired_at, "verifies_until": key.retired_at + OVERLAP if key.retired_at else None,
        }
        for key in stored
    ]  # fmt: skip


def _fresh(master: MasterKey) -> StoredKey:
    kid = f"sk_{secrets.token_hex(8)}"
    key = ECKey.generate_key("P-256", {"kid": kid, "use": "sig", "alg": ALGORITHM})
    private = json.dumps(key.as_dict(private=True)).encode()
    return StoredKey(kid, master.wrap(private, _purpose(kid)), dict(key.as_dict(private=False)))


def _open(master: MasterKey, stored: StoredKey) -> ECKey:
    return ECKey.import_key(json.loads(master.unwrap(stored.wrapped, _purpose(stored.kid))))


def _public(stored: StoredKey) -> ECKey:
    return ECKey.import_key(dict(stored.public_jwk))


def _purpose(kid: str) -> str:
    return f"signing_key:{kid}"
