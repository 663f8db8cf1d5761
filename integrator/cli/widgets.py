"""`integrator widgets`: which pages may show a partner's insights."""

from typing import Annotated, Any

import typer

from integrator.cli.output import Json, PartnerOption, note, show
from integrator.cli.session import open_session, require_partner

app = typer.Typer(help="What shows a partner's insights in the host's own pages.", no_args_is_help=True)
origins_app = typer.Typer(
    help="Origins of pages that may show them: widget tokens and CORS know no others.", no_args_is_help=True
)
app.add_typer(origins_app, name="origins")
OriginArgument = Annotated[
    str, typer.Argument(metavar="ORIGIN", help="As browsers send it: https://host, or https://host:port.")
]


@origins_app.command()
def add(origin: OriginArgument, partner: PartnerOption) -> None:
    """Register the origin of a page."""
    from integrator.security import origins

    services = open_session()
    require_partner(services, partner)
    added = origins.add(services.database, partner, origin, services.clock())
    if added:
        _audit(services, partner, "widget_origin.add", origin)
    note(f"{origin} is registered" if added else f"{origin} was registered before")


@origins_app.command("list")
def list_origins(partner: PartnerOption, as_json: Json = False) -> None:
    """A partner's origins."""
    from integrator.security import origins

    services = open_session()
    require_partner(services, partner)
    show(origins.list_all(services.database, partner), as_json=as_json)


@origins_app.command()
def remove(origin: OriginArgument, partner: PartnerOption) -> None:
    """Forget an origin: its pages are refused within seconds, whatever tokens they hold."""
    from integrator.security import origins

    services = open_session()
    require_partner(services, partner)
    origins.remove(services.database, partner, origin, services.clock())
    _audit(services, partner, "widget_origin.remove", origin)
    note(f"{origin} is no longer registered")


def _audit(services: Any, partner: str, action: str, origin: str) -> None:
    from integrator.storage.logs import audit

    with services.database.partner(partner) as connection:
        audit(connection, "cli", partner, action, origin, services.clock(), {})
