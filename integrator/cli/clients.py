"""`integrator clients`: who speaks for a partner, with which scopes, and how it proves itself."""

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from integrator.cli.output import Json, PartnerOption, note, show
from integrator.cli.session import open_session, require_partner

if TYPE_CHECKING:
    from integrator.storage.clients import Method

app = typer.Typer(help="API clients of a partner: OAuth 2.0 clients and plain API keys.", no_args_is_help=True)
ClientArgument = Annotated[str, typer.Argument(metavar="CLIENT_ID", help="As `clients list` shows it.")]
JwkOption = Annotated[
    Path | None, typer.Option("--jwk", help="Public JWK or JWK Set: the client signs assertions (private_key_jwt).")
]
CertificateOption = Annotated[
    str | None,
    typer.Option(help="PEM file, dns:NAME, uri:URI, subject:DN or thumbprint:…: its TLS certificate (mTLS)."),
]


@app.command()
def create(
    partner: PartnerOption,
    scopes: Annotated[str, typer.Option(help='Separated by spaces, e.g. "insights:read events:write".')],
    api_key: Annotated[bool, typer.Option("--api-key", help="A plain API key instead of OAuth.")] = False,
    jwk: JwkOption = None,
    certificate: CertificateOption = None,
    expires_in: Annotated[str | None, typer.Option(help="When it ends by itself, e.g. 90d or 12h.")] = None,
    as_json: Json = False,
) -> None:
    """Make a client; its secret or API key is printed once."""
    from integrator.contracts.errors import InvalidInput
    from integrator.security import clients

    if sum([api_key, jwk is not None, certificate is not None]) > 1:
        raise InvalidInput("a client proves itself in one way: say --api-key, --jwk or --certificate")
    method: Method = "api_key" if api_key else "client_secret"
    public = _public(jwk, certificate)
    if public:
        method = "private_key_jwt" if jwk else "tls_client_auth"
    services = open_session()
    require_partner(services, partner)
    now = services.clock()
    lifetime = span(expires_in) if expires_in else None
    if lifetime == timedelta(0):
        raise InvalidInput("--expires-in 0 would make a client that has ended already")
    made = clients.create(
        services.database, partner, scopes.split(), now, expires_in=lifetime, method=method, public=public
    )
    _audit(services, partner, "client.create", made.client_id, {"scopes": list(made.scopes), "method": method})
    show([made.shown()], as_json=as_json)


@app.command("list")
def list_clients(partner: PartnerOption, as_json: Json = False) -> None:
    """A partner's clients, without their secrets; `previous_until`: how long the credential before is good too."""
    from integrator.security.clients import list_all

    services = open_session()
    require_partner(services, partner)
    columns = (
        "client_id", "method", "secret_prefix", "scopes", "expires_at", "previous_until", "revoked_at", "last_used_at"
    )  # fmt: skip
    show(list_all(services.database, partner), as_json=as_json, columns=columns)


@app.command()
def rotate(
    partner: PartnerOption,
    client_id: ClientArgument,
    overlap: Annotated[
        str, typer.Option(help="How long the old one is good too: 1h to 30d; 0 ends it at once.")
    ] = "24h",
    jwk: JwkOption = None,
    certificate: CertificateOption = None,
    as_json: Json = False,
) -> None:
    """A new secret, API key, public key or certificate for a client; the old one is good for a while."""
    from integrator.security import clients

    services = open_session()
    require_partner(services, partner)
    public = _public(jwk, certificate)
    kept = span(overlap)
    made = clients.rotate(
        services.database, partner, client_id, services.clock(), overlap=kept, public=public, cache=services.cache
    )
    _audit(services, partner, "client.rotate", client_id, {"overlap": overlap})
    show([made.shown()], as_json=as_json)


@app.command()
def revoke(partner: PartnerOption, client_id: ClientArgument) -> None:
    """End a client; its tokens and API keys end with it, within a second."""
    from integrator.security import clients

    services = open_session()
    require_partner(services, partner)
    clients.revoke(services.database, partner, client_id, services.clock(), cache=services.cache)
    _audit(services, partner, "client.revoke", client_id, {})
    note(f"client {client_id} is revoked")


def span(text: str) -> timedelta:
    """A time from `90d`, `12h`, `30m` or `0`; `InvalidInput` for anything else."""
    from integrator.contracts.errors import invalid

    units = {"d": "days", "h": "hours", "m": "minutes"}
    number, unit = text[:-1], text[-1:]
    if text == "0":
        return timedelta(0)
    if unit not in units or not (number.isascii() and number.isdecimal()) or len(number) > 5:
        raise invalid("time", text, "a number with m, h or d, e.g. 24h or 30d, or 0")
    return timedelta(**{units[unit]: int(number)})


def _public(jwk: Path | None, certificate: str | None) -> dict[str, Any] | None:
    from integrator.security import assertions, certificates

    if jwk is not None:
        return assertions.registered(_read(jwk))
    if certificate is None:
        return None
    path = Path(certificate)
    return certificates.registered(_read(path) if path.suffix in (".pem", ".crt", ".cer") else certificate)


def _read(path: Path) -> str:
    from integrator.contracts.errors import InvalidInput

    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror or type(error).__name__}") from error
    except ValueError as error:
        raise InvalidInput(f"{path} cannot be read: it is no text") from error


def _audit(services: Any, partner: str, action: str, subject: str, data: dict[str, Any]) -> None:
    from integrator.storage.logs import audit

    with services.database.partner(partner) as connection:
        audit(connection, "cli", partner, action, subject, services.clock(), data)
