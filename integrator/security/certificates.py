"""Client certificates (RFC 8705): which client one belongs to, and the thumbprint that binds a token to it.

Whether a certificate is good was decided before, by TLS against `INTEGRATOR_TLS_CLIENT_CA` or by the proxy in front.
"""

import base64
import hashlib
import re
from datetime import datetime
from typing import Any
from urllib.parse import unquote_to_bytes

from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from integrator.contracts.errors import InvalidInput, Unauthorized
from integrator.security.clients import REFUSED, find
from integrator.storage import clients
from integrator.storage.clients import Client
from integrator.storage.crypto import same
from integrator.storage.database import Database

_FORMS = ("thumbprint", "dns", "uri", "subject")
_THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}")


def registered(named: str) -> dict[str, str]:
    """The `public` of a client from `dns:NAME`, `uri:URI`, `subject:DN` (RFC 4514), `thumbprint:…` or a PEM text."""
    if "-----BEGIN CERTIFICATE-----" in named:
        return {"certificate": f"thumbprint:{thumbprint(_from_pem(named.encode()))}"}
    form, colon, value = named.partition(":")
    if not colon or form not in _FORMS or not value.strip():
        allowed = "a PEM file, " + ", ".join(f"{name}:…" for name in _FORMS)
        raise InvalidInput(f"certificate {named[:80]!r} is not allowed; allowed: {allowed}", field="certificate")
    if form == "thumbprint" and not _THUMBPRINT.fullmatch(value):
        raise InvalidInput("a thumbprint is SHA-256 in base64url, 43 characters", field="certificate")
    if form == "subject":
        value = _distinguished(value)
    return {"certificate": f"{form}:{value.strip()}"}


def thumbprint(der: bytes) -> str:
    """`x5t#S256`: SHA-256 of the DER, base64url without padding."""
    return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).decode().rstrip("=")


def from_header(value: str) -> bytes:
    """The DER from a proxy's header: `:base64:` (RFC 9440) or PEM, percent-encoded as nginx writes it."""
    try:
        if value.startswith(":") and value.endswith(":") and len(value) > 1:
            der = base64.b64decode(value[1:-1], validate=True)
            x509.load_der_x509_certificate(der)
            return der
        return _from_pem(unquote_to_bytes(value))
    except (ValueError, InvalidInput) as error:
        raise Unauthorized("the proxy's header holds no certificate") from error


def names(der: bytes) -> set[str]:
    """Everything a client may be registered under: thumbprint, DNS names, URIs, subject."""
    certificate = x509.load_der_x509_certificate(der)
    found = {f"thumbprint:{thumbprint(der)}", f"subject:{certificate.subject.rfc4514_string()}"}
    try:
        extension: Any = certificate.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME).value
    except (x509.ExtensionNotFound, ValueError):  # none, or none that can be read
        return found
    found |= {f"dns:{name}" for name in extension.get_values_for_type(x509.DNSName)}
    return found | {f"uri:{name}" for name in extension.get_values_for_type(x509.UniformResourceIdentifier)}


def authenticate(database: Database, client_id: str, der: bytes | None, now: datetime) -> Client:
    """The client, if it is registered with this certificate; `Unauthorized` says no more than that."""
    client = find(database, client_id)
    shown = names(der) if der is not None else set()
    usable = client is not None and client.method == "tls_client_auth" and client.in_force(now)
    proofs = [str(proof["certificate"]).encode() for proof in client.proofs(now)] if client and usable else []
    if client is None or not any(same(proof, name.encode()) for proof in proofs for name in shown):
        raise Unauthorized(REFUSED)
    with database.partner(client.partner) as connection:
        clients.mark_used(connection, client.partner, [client_id], now)
    return client


def _from_pem(text: bytes) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    try:
        return x509.load_pem_x509_certificate(text).public_bytes(Encoding.DER)
    except ValueError as error:
        raise InvalidInput("this is no certificate in PEM", field="certificate") from error


def _distinguished(value: str) -> str:
    try:
        return x509.Name.from_rfc4514_string(value).rfc4514_string()
    except ValueError as error:
        raise InvalidInput(f"{value[:80]!r} is no distinguished name (RFC 4514)", field="certificate") from error
