"""`integrator models`: the registry of trained versions."""

from typing import Annotated

import typer

from integrator.cli.output import Json, PartnerOption, show
from integrator.cli.session import open_session, require_partner
from integrator.contracts.errors import invalid
from integrator.contracts.insight import USE_CASES

app = typer.Typer(help="Trained versions, their figures and which one serves.", no_args_is_help=True)


@app.callback()
def models() -> None:
    """Keeps `list` a command of its own while it is the only one."""


@app.command("list")
def list_models(
    partner: PartnerOption,
    use_case: Annotated[str | None, typer.Option(help=f"One of {', '.join(USE_CASES)}; all unless said.")] = None,
    as_json: Json = False,
) -> None:
    """Every version, newest first, with the gate's verdict; the champion is the one that serves."""
    if use_case is not None and use_case not in USE_CASES:
        raise invalid("use case", use_case, USE_CASES)
    services = open_session()
    require_partner(services, partner)
    rows = []
    for name in (use_case,) if use_case else USE_CASES:
        rows += [version.__dict__ for version in services.tracking.versions(name, partner)]
    show(rows, as_json=as_json)
