"""`integrator files`: what was dropped, what became of it, and landing it now."""

from typing import Annotated, Any

import typer

from integrator.cli.output import Json, PartnerOption, note, show
from integrator.cli.session import open_session, require_partner

app = typer.Typer(help="Files that partners drop into INTEGRATOR_DROP_URL.", no_args_is_help=True)
COLUMNS = ("path", "kind", "status", "accepted", "unchanged", "quarantined", "reason", "finished_at")


@app.command("list")
def list_files(partner: PartnerOption, as_json: Json = False) -> None:
    """What waits to be landed, and what became of what was found, newest first; --json with the errors."""
    from integrator.contracts.records import PLURALS
    from integrator.steps import files
    from integrator.storage import files_ledger

    services = open_session()
    require_partner(services, partner)
    if files.open_drop(services) is None:
        note("no drop is configured; INTEGRATOR_DROP_URL names a folder or a bucket")
    rows: list[dict[str, Any]] = [
        {
            "path": one.file.path,
            "kind": PLURALS.get(one.reading.kind or ""),
            "status": "waiting",
            "reason": one.reading.problem,
        }
        for one in files.waiting(services, partner, at_once=True)
    ]
    with services.database.partner(partner) as connection:
        rows += [_row(entry) for entry in files_ledger.history(connection, partner)]
    show(rows, as_json=as_json, columns=COLUMNS)


@app.command("land")
def land_files(
    partner: PartnerOption,
    at_once: Annotated[bool, typer.Option("--at-once", help="Also files that changed a moment ago.")] = False,
    as_json: Json = False,
) -> None:
    """Land what waits, without waiting for the sensor; exit 1 if every file was broken."""
    from integrator.steps import files

    services = open_session()
    require_partner(services, partner)
    report = files.land(services, partner, at_once=at_once)
    show((_row(entry) for entry in report.entries), as_json=as_json, columns=COLUMNS)
    if report.entries and all(entry.status == "broken" for entry in report.entries):
        note("nothing landed; the report beside each file says why")
        raise typer.Exit(1)


def _row(entry: Any) -> dict[str, Any]:
    from integrator.steps.files import document

    return {**document(entry), "path": entry.path}
