"""`integrator write-back`: scores, prices and attendance inside the platforms' own screens; a dry run first."""

from typing import TYPE_CHECKING, Annotated

import typer

from integrator.cli.output import Json, PartnerOption, note, show
from integrator.cli.session import open_session, require_partner

if TYPE_CHECKING:
    from integrator.steps.connections import Actor
    from integrator.steps.services import Services

app = typer.Typer(help="Insights written back into a platform's own records.", no_args_is_help=True)

ConnectionOption = Annotated[str, typer.Option("--connection", help="The connection's name.")]


@app.command()
def plan(
    partner: PartnerOption,
    connection: ConnectionOption,
    withdrawn: Annotated[
        str | None, typer.Option(help="What becomes of withdrawn insights: clear (unless said) or mark.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what would be written and write nothing: how many records, some old and new values, what is missing."""
    from integrator.steps import write_back

    services, actor = _open(partner)
    made = write_back.plan(services, actor, connection, withdrawn=withdrawn)
    if as_json:
        show([made.__dict__], as_json=True)
        return
    note(f"{made.due} records of {made.platform} would be written")
    for one in made.lacking:
        note(f"missing: {one}")
    rows = [
        {"record": one["native_id"], "field": name, **change}
        for one in made.sample
        for name, change in one["fields"].items()
    ]
    show(rows, as_json=False)


@app.command()
def enable(partner: PartnerOption, connection: ConnectionOption) -> None:
    """Switch it on after a dry run; the platform's fields are made where it lets us."""
    from integrator.steps import write_back

    services, actor = _open(partner)
    write_back.enable(services, actor, connection)
    note(f"write-back of {connection} is on")


@app.command()
def disable(partner: PartnerOption, connection: ConnectionOption) -> None:
    """Switch it off; what was written stays."""
    from integrator.steps import write_back

    services, actor = _open(partner)
    write_back.disable(services, actor, connection)
    note(f"write-back of {connection} is off")


@app.command()
def run(partner: PartnerOption, connection: ConnectionOption, as_json: Json = False) -> None:
    """Write everything due now; `integrator up` does it all the time."""
    from integrator.steps import write_back_run

    services, _ = _open(partner)
    show([write_back_run.run(services, partner, connection).__dict__], as_json=as_json)


@app.command()
def status(partner: PartnerOption, connection: ConnectionOption, as_json: Json = False) -> None:
    """Whether it is on, what was written, what is due, and which records the platform does not take."""
    from integrator.steps import write_back

    services, _ = _open(partner)
    found = write_back.status(services, partner, connection)
    if as_json:
        show([found], as_json=True)
        return
    refusals = found.pop("refusals")
    show([found], as_json=False)
    for one in refusals:
        note(f"not taken: {one['native_id']} (version {one['insight_version']}): {one['reason']}")


def _open(partner: str) -> "tuple[Services, Actor]":
    from integrator.steps.connections import Actor

    services = open_session()
    require_partner(services, partner)
    return services, Actor(partner, "cli")
