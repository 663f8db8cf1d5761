"""Keys and ciphers: what is derived from the master key, and authenticated encryption of fields.

Derivation is HKDF-SHA256 (RFC 5869); encryption is AES-256-GCM with a random 96-bit nonce and the purpose as
associated data, so that a ciphertext cannot be moved to another place.
"""

import base64
import binascii
import hashlib
import hmac
import os
import secrets
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from integrator.contracts.errors import Defect, InvalidInput, PermanentError
from integrator.settings import Settings

KEY_BYTES = 32


class MasterKey:
    """The one secret at the root. Never printed, never stored in the database."""

    def __init__(self, raw: bytes) -> None:
        if len(raw) != KEY_BYTES:
            raise InvalidInput(f"INTEGRATOR_MASTER_KEY has {len(raw)} bytes; allowed: {KEY_BYTES} in base64")
        self._raw = raw

    def __repr__(self) -> str:
        return "MasterKey(…)"

    def derive(self, purpose: str) -> bytes:
        """32 bytes for one purpose; the same purpose always gives the same bytes."""
        return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=purpose.encode()).derive(self._raw)

    def password(self, role: str) -> str:
        """The login password of a service role, so that none has to be stored."""
        return base64.urlsafe_b64encode(self.derive(f"role:{role}")).decode().rstrip("=")

    def wrap(self, secret: bytes, purpose: str) -> bytes:
        """Encrypt a small secret (a data key, a platform's credential) under the master key."""
        return encrypt(self.derive("wrap"), secret, purpose)

    def unwrap(self, wrapped: bytes, purpose: str) -> bytes:
        """What `wrap` was given; `PermanentError` when the master key is another one."""
        return decrypt(self.derive("wrap"), wrapped, purpose)


def encrypt(key: bytes, plain: bytes, purpose: str) -> bytes:
    """Nonce and ciphertext in one."""
    nonce = os.urandom(12)
    return nonce + AESGCM(key).encrypt(nonce, plain, purpose.encode())


def decrypt(key: bytes, sealed: bytes, purpose: str) -> bytes:
    """The plain bytes; `PermanentError` for a wrong key or a moved ciphertext."""
    try:
        return AESGCM(key).decrypt(sealed[:12], sealed[12:], purpose.encode())
    except InvalidTag as error:
        raise PermanentError(f"cannot decrypt {purpose}: the key is not the one it was encrypted with") from error


def keyed_hash(key: bytes, data: bytes, size: int = 16) -> bytes:
    """BLAKE2b keyed hash: equality without the content."""
    return hashlib.blake2b(data, key=key, digest_size=size).digest()


def same(left: bytes, right: bytes) -> bool:
    """Comparison in constant time."""
    return hmac.compare_digest(left, right)


def load_master_key(settings: Settings) -> MasterKey:
    """From the environment, else from `<home>/master.key`, made with mode 0600 at first use."""
    if settings.master_key is not None:
        return MasterKey(_decode(settings.master_key.get_secret_value()))
    if settings.database_url is not None:
        raise InvalidInput(
            "INTEGRATOR_MASTER_KEY is not set; with INTEGRATOR_DATABASE_URL it must be 32 bytes in base64",
            field="INTEGRATOR_MASTER_KEY",
        )
    path = settings.root / "master.key"
    if not path.exists():
        _write_once(path, base64.b64encode(secrets.token_bytes(KEY_BYTES)))
    return MasterKey(_decode(path.read_text(encoding="ascii")))


def _write_once(path: Path, data: bytes) -> None:
    """Whole or not at all: another process may read it the moment it is there, and this one may die at any."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if file.write(data) != len(data):
                raise Defect(f"{path} could not be written whole")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):  # another process made it between the look and the write: its key counts
            os.link(partial, path)
    finally:
        partial.unlink()


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInput("INTEGRATOR_MASTER_KEY is not base64; allowed: 32 bytes in base64") from error
