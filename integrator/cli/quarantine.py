"""`integrator quarantine`: what could not land, and trying it again."""

import json
from pathlib import Path
from typing import Annotated

import typer

from integrator.cli.output import Json, PartnerOption, note, plain, show
from integrator.cli.session import open_session, require_partner

app = typer.Typer(help="Records that could not land.", no_args_is_help=True)

KindOption = Annotated[str | None, typer.Option("--kind", help="events, contacts or sales; all unless said.")]
PlatformOption = Annotated[str | None, typer.Option("--platform", help="One platform; all unless said.")]
FieldOption = Annotated[str | None, typer.Option("--field", help="The field at fault; all unless said.")]
IdArgument = Annotated[int, typer.Argument(min=1, help="As `integrator quarantine list` shows it.")]


@app.command("list")
def list_waiting(
    partner: PartnerOption,
    kind: KindOption = None,
    platform: PlatformOption = None,
    field: FieldOption = None,
    as_json: Json = False,
) -> None:
    """What waits in quarantine, newest first, with its reason."""
    from integrator.storage import quarantine

    services = open_session()
    require_partner(services, partner)
    only = quarantine.Filter(_single(kind), platform, field)
    with services.database.partner(partner) as connection:
        show((entry.__dict__ for entry in quarantine.waiting(connection, partner, only=only)), as_json=as_json)


@app.command("show")
def show_one(partner: PartnerOption, quarantine_id: IdArgument) -> None:
    """One record as it came, decrypted."""
    from integrator.steps.quarantine import one

    services = open_session()
    require_partner(services, partner)
    print(one(services, partner, quarantine_id).payload.decode(errors="replace"))


@app.command()
def replay(
    partner: PartnerOption,
    quarantine_id: Annotated[int | None, typer.Argument(min=1, help="One record; else --all.")] = None,
    every: Annotated[
        bool, typer.Option("--all", help="All that waits, or what --kind, --platform, --field say.")
    ] = False,
    file: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, readable=True, help="The mended record, as JSON.")
    ] = None,
    kind: KindOption = None,
    platform: PlatformOption = None,
    field: FieldOption = None,
) -> None:
    """Land records as they came, or one mended.

    What still cannot land stays, with its reason of now. Prints {"replayed","refused","errors","next"}; exit 0 if
    nothing was refused.
    """
    from integrator.steps import quarantine as step
    from integrator.storage.quarantine import Filter

    if (quarantine_id is None) != every:
        raise typer.BadParameter("say the record's id, or --all")
    if every and file is not None:
        raise typer.BadParameter("--file mends one record; say its id")
    services = open_session()
    require_partner(services, partner)
    if quarantine_id is not None:
        done = step.replay(services, partner, quarantine_id, file.read_bytes() if file else None)
    else:
        done = step.replay_waiting(services, partner, Filter(_single(kind), platform, field), most=step.NO_LIMIT)
    print(json.dumps(done.document(), ensure_ascii=False, default=plain))
    if done.refused:
        note(f"{done.refused} records still cannot land; they stay in quarantine")
        raise typer.Exit(1)


def _single(kind: str | None) -> str | None:
    from integrator.contracts.errors import invalid
    from integrator.contracts.records import KIND_OF_PLURAL

    if kind is not None and kind not in KIND_OF_PLURAL:
        raise invalid("kind", kind, KIND_OF_PLURAL)
    return None if kind is None else KIND_OF_PLURAL[kind]
