"""Plain API keys: `iak_<client>_<secret>`, sent as a bearer token; verified keys are remembered for a minute.

Revocation does not wait for that minute: client and key stand in the deny-list, which is read with every request.
"""

import re
from datetime import datetime, timedelta

from integrator.contracts.errors import Unauthorized
from integrator.security.clients import KEY_PREFIX, REFUSED, find, hash_of, key_jti, secret_matches
from integrator.security.tokens import CACHE_SECONDS, Access
from integrator.settings import Clock
from integrator.storage.database import Database

_KEY = re.compile(rf"{KEY_PREFIX}([0-9a-f]{{24}})_[A-Za-z0-9_-]{{43}}")
_CACHED = 10_000


def is_api_key(token: str) -> bool:
    """Whether a bearer token claims to be an API key."""
    return token.startswith(KEY_PREFIX)


class ApiKeys:
    """Keys seen lately, by their hash: the key itself is not kept."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock
        self._verified: dict[bytes, tuple[Access, datetime]] = {}

    def known(self, key: str) -> Access | None:
        """What was found out about a key within the last minute."""
        found = self._verified.get(hash_of(key))
        return found[0] if found is not None and self._clock() < found[1] else None

    def verify(self, key: str) -> Access:
        """What the key allows, read from the database; `Unauthorized` when it is not one of ours in force."""
        now = self._clock()
        shape = _KEY.fullmatch(key)
        client = find(self._database, f"icl_{shape[1]}") if shape else None
        matches = secret_matches(client if client and client.method == "api_key" else None, key, now)
        if client is None or not matches or not client.in_force(now):
            raise Unauthorized(REFUSED)
        digest = hash_of(key)
        until = now + timedelta(seconds=CACHE_SECONDS)
        ends = [client.expires_at] if digest == client.secret_hash else [client.expires_at, client.previous_until]
        until = min([until, *(end for end in ends if end is not None)])
        access = Access(client.partner, client.client_id, frozenset(client.scopes), key_jti(digest), until)
        if len(self._verified) >= _CACHED:
            self._verified.clear()
        self._verified[digest] = (access, until)
        return access
