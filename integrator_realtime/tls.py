"""TLS of the service itself, and where a request's client certificate comes from: the connection or a trusted proxy.

A client certificate is optional: whoever has none speaks OAuth with a secret or a key. One that is shown and not signed
by `INTEGRATOR_TLS_CLIENT_CA` ends the handshake.
"""

import ssl
from ipaddress import ip_address, ip_network
from typing import Any, cast

from starlette.requests import HTTPConnection

from integrator.contracts.errors import InvalidInput, Unauthorized, invalid
from integrator.security.certificates import from_header
from integrator.settings import Settings
from integrator_realtime.protocol import Protocol

SCOPE_KEY = "client_certificate"


class CertificateProtocol(Protocol):
    """The service's own, which also passes the peer's certificate (DER) to the application."""

    _certificate: bytes | None = None

    def connection_made(self, transport: Any) -> None:
        """Read it once a connection: it cannot change on the way (no renegotiation since TLS 1.3, refused before)."""
        super().connection_made(transport)
        connection = transport.get_extra_info("ssl_object")
        self._certificate = connection.getpeercert(True) if connection is not None else None

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        cast(dict[str, Any], self.scope)[SCOPE_KEY] = self._certificate


def server_options(settings: Settings) -> dict[str, Any]:
    """What uvicorn is told: nothing of TLS unless a certificate is set; `InvalidInput` for half a setting."""
    Certificates(settings)  # a network that is none is said before anything is opened
    if settings.tls_cert is None:
        if settings.tls_key is not None or settings.tls_client_ca is not None:
            raise InvalidInput("INTEGRATOR_TLS_KEY and INTEGRATOR_TLS_CLIENT_CA need INTEGRATOR_TLS_CERT beside them")
        return {"http": Protocol}
    for name in ("tls_cert", "tls_key", "tls_client_ca"):
        path = getattr(settings, name)
        if path is not None and not path.is_file():
            raise invalid(f"INTEGRATOR_{name.upper()}", str(path), "a file in PEM")
    _load(settings)
    options: dict[str, Any] = {"ssl_certfile": str(settings.tls_cert), "http": CertificateProtocol}
    if settings.tls_key is not None:
        options["ssl_keyfile"] = str(settings.tls_key)
    if settings.tls_client_ca is not None:
        options |= {"ssl_ca_certs": str(settings.tls_client_ca), "ssl_cert_reqs": ssl.CERT_OPTIONAL}
    return options


def _load(settings: Settings) -> None:
    """Try the files, before anything is opened: the server would end with a trace."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(str(settings.tls_cert), settings.tls_key)
    except OSError as error:
        raise invalid("INTEGRATOR_TLS_CERT", str(settings.tls_cert), "a certificate and its key in PEM") from error
    try:
        context.load_verify_locations(settings.tls_client_ca) if settings.tls_client_ca is not None else None
    except OSError as error:
        raise invalid("INTEGRATOR_TLS_CLIENT_CA", str(settings.tls_client_ca), "certificates in PEM") from error


class Certificates:
    """Whose certificate a request comes with."""

    def __init__(self, settings: Settings) -> None:
        """`InvalidInput` for a network that is none."""
        self._header = settings.client_certificate_header
        try:
            self._proxies = [ip_network(name.strip()) for name in settings.trusted_proxies.split(",") if name.strip()]
        except ValueError as error:
            allowed = "networks with commas between, e.g. 10.0.0.0/8"
            raise invalid("INTEGRATOR_TRUSTED_PROXIES", settings.trusted_proxies, allowed) from error
        self.possible = bool(self._proxies) or settings.tls_client_ca is not None

    def of(self, request: HTTPConnection) -> bytes | None:
        """The DER. From a trusted proxy its header alone counts, from anyone else the connection alone.

        `Unauthorized` for a header that stands there twice: one of them would be the caller's own.
        """
        if not self._from_proxy(request):
            found: bytes | None = request.scope.get(SCOPE_KEY)
            return found
        values = request.headers.getlist(self._header)
        if len(values) > 1:
            raise Unauthorized(f"the header {self._header} came more than once")
        return from_header(values[0]) if values and values[0] else None

    def _from_proxy(self, request: HTTPConnection) -> bool:
        if not self._proxies or request.client is None:
            return False
        try:
            address = ip_address(request.client.host)
        except ValueError:
            return False
        return any(address in network for network in self._proxies)
