"""Keys and ciphers."""

import base64
from pathlib import Path

import pytest
from pydantic import SecretStr

from integrator.contracts.errors import InvalidInput, PermanentError
from integrator.settings import Settings
from integrator.storage.crypto import MasterKey, decrypt, encrypt, keyed_hash, load_master_key, same

KEY = bytes(range(32))


def test_what_is_encrypted_is_decrypted_under_the_same_key_and_purpose_only() -> None:
    sealed = encrypt(KEY, b"secret", "vault:acme")
    assert decrypt(KEY, sealed, "vault:acme") == b"secret"
    assert b"secret" not in sealed
    with pytest.raises(PermanentError, match="cannot decrypt vault:other"):
        decrypt(KEY, sealed, "vault:other")
    with pytest.raises(PermanentError):
        decrypt(bytes(32), sealed, "vault:acme")
    with pytest.raises(PermanentError):
        decrypt(KEY, sealed[:-1] + bytes([sealed[-1] ^ 1]), "vault:acme")


def test_the_same_text_is_never_the_same_ciphertext() -> None:
    assert encrypt(KEY, b"x", "p") != encrypt(KEY, b"x", "p")


def test_derived_secrets_differ_by_purpose_and_are_stable() -> None:
    master = MasterKey(KEY)
    assert master.derive("a") == MasterKey(KEY).derive("a") != master.derive("b")
    assert master.password("x") != master.password("y")
    assert master.unwrap(master.wrap(b"k", "p"), "p") == b"k"
    assert "…" in repr(master)


def test_keyed_hashes_need_their_key() -> None:
    assert keyed_hash(KEY, b"a") == keyed_hash(KEY, b"a") != keyed_hash(bytes(32), b"a")
    assert same(keyed_hash(KEY, b"a"), keyed_hash(KEY, b"a"))


def test_a_master_key_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(InvalidInput, match="has 3 bytes"):
        MasterKey(b"abc")


def test_the_master_key_is_made_once_and_private(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    first = load_master_key(settings)
    path = tmp_path / "home" / "master.key"
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_master_key(settings).derive("x") == first.derive("x")


def test_the_environment_wins_and_is_checked(tmp_path: Path) -> None:
    given = base64.b64encode(KEY).decode()
    assert load_master_key(Settings(home=tmp_path, master_key=SecretStr(given))).derive("x") == MasterKey(KEY).derive(
        "x"
    )
    with pytest.raises(InvalidInput, match="not base64"):
        load_master_key(Settings(home=tmp_path, master_key=SecretStr("§")))
    with pytest.raises(InvalidInput, match="INTEGRATOR_MASTER_KEY is not set"):
        load_master_key(Settings(home=tmp_path, database_url=SecretStr("postgresql://a:b@c/d")))
