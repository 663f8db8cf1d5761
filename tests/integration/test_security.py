"""Clients and signing keys on a real database."""

import threading
from datetime import datetime, timedelta

import pytest
from sqlalchemy import text

from integrator.contracts.errors import InvalidInput, NotFound, PermanentError, Unauthorized
from integrator.security import clients, keys
from integrator.steps.services import Services
from integrator.storage.crypto import MasterKey


def test_a_client_is_known_by_its_secret_alone(services: Services, now: datetime) -> None:
    made = clients.create(services.database, "alpha", "insights:read", now)
    assert made.client_secret not in repr(made)
    found = clients.authenticate(services.database, made.client_id, made.client_secret, now)
    assert (found.partner, found.scopes, found.secret_prefix) == ("alpha", ("insights:read",), made.client_secret[:8])
    for client_id, secret in ((made.client_id, "isk_guess"), (made.client_id, ""), ("icl_nobody", made.client_secret)):
        with pytest.raises(Unauthorized):
            clients.authenticate(services.database, client_id, secret, now)
    with services.database.service() as connection:
        rows = connection.execute(text("select cast(client as text) as line from integrator.client client")).scalars()
        assert all(made.client_secret[8:] not in line for line in rows)
    (row,) = [row for row in clients.list_all(services.database, "alpha") if row["client_id"] == made.client_id]
    assert "secret_hash" not in row and row["last_used_at"] == now


def test_rotation_expiry_and_revocation(services: Services, now: datetime) -> None:
    made = clients.create(services.database, "alpha", ["insights:read"], now, expires_in=timedelta(days=1))
    with pytest.raises(Unauthorized):
        clients.authenticate(services.database, made.client_id, made.client_secret, now + timedelta(days=1))
    fresh = clients.rotate(services.database, "alpha", made.client_id, now, overlap=timedelta(0))
    with pytest.raises(Unauthorized):
        clients.authenticate(services.database, made.client_id, made.client_secret, now)
    assert clients.authenticate(services.database, made.client_id, fresh.client_secret, now)
    clients.revoke(services.database, "alpha", made.client_id, now, cache=services.cache)
    assert services.cache.client.ttl(f"deny:client:{made.client_id}") > 3000
    with pytest.raises(Unauthorized):
        clients.authenticate(services.database, made.client_id, fresh.client_secret, now)
    clients.revoke(services.database, "alpha", made.client_id, now)
    with pytest.raises(NotFound):
        clients.rotate(services.database, "alpha", made.client_id, now)


def test_clients_of_others(services: Services, now: datetime) -> None:
    made = clients.create(services.database, "beta", "insights:read", now)
    assert made.client_id not in {row["client_id"] for row in clients.list_all(services.database, "alpha")}
    with pytest.raises(NotFound):
        clients.revoke(services.database, "alpha", made.client_id, now)
    with pytest.raises(NotFound, match="alpha, beta"):
        clients.create(services.database, "gamma", "insights:read", now)
    with pytest.raises(InvalidInput, match="insights:read"):
        clients.create(services.database, "alpha", "everything", now)


def test_one_signing_key_whoever_comes_first(services: Services, now: datetime) -> None:
    rings: list[keys.KeyRing] = []
    threads = [
        threading.Thread(target=lambda: rings.append(keys.open_keys(services.database, services.database.master, now)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({ring.signing.kid for ring in rings}) == 1
    assert all(key.keys() >= {"kid", "x", "y"} and "d" not in key for key in rings[0].jwks()["keys"])


def test_rotated_keys_overlap_and_end(services: Services, now: datetime) -> None:
    master = services.database.master
    old = keys.open_keys(services.database, master, now).signing.kid
    new = keys.rotate(services.database, master, now)
    ring = keys.open_keys(services.database, master, now + timedelta(hours=1))
    assert ring.signing.kid == new and set(ring.verifying) == {old, new}
    assert set(keys.open_keys(services.database, master, now + timedelta(hours=3)).verifying) == {new}


def test_another_master_key_opens_nothing(services: Services, now: datetime) -> None:
    with pytest.raises(PermanentError, match="cannot decrypt"):
        keys.open_keys(services.database, MasterKey(b"x" * 32), now)
