"""`integrator models`: the registry of trained versions."""

from typing import Annotated, Any

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
    rows = [
        {"use_case": name, **version.__dict__}
        for name in ((use_case,) if use_case else USE_CASES)
        for version in services.tracking.versions(name, partner)
    ]
    show(rows if as_json else map(readable, rows), as_json=as_json)


def readable(row: dict[str, Any]) -> dict[str, Any]:
    """A version as a line of a table: figures to four digits, the gate's sentences one below the other."""
    return {
        "use case": row["use_case"],
        "version": row["version"],
        "serves": "champion" if row["champion"] else None,
        "candidate": row["candidate"],
        "figures": "\n".join(f"{name} {value:.4g}" for name, value in row["metrics"].items()),
        "the gate's verdict": "\n".join(("promoted" if row["promoted"] else "not promoted", *row["reasons"])),
        "logged at": row["logged_at"],
    }
