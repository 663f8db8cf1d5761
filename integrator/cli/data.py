"""`integrator load` and `integrator quarantine`: records from files, and what could not be read."""

import json
from pathlib import Path
from typing import Annotated

import typer

from integrator.cli.output import Json, PartnerOption, note, plain, show
from integrator.cli.session import open_session, require_partner

BATCH = 5000
SHOWN_ERRORS = 1000

quarantine_app = typer.Typer(help="Records that could not land.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command()(load)


def load(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="CSV, Parquet or NDJSON.")],
    partner: PartnerOption,
    kind: Annotated[str, typer.Option(help="events, contacts or sales.")],
    platform: Annotated[str, typer.Option(help="Where the records come from.")] = "direct",
) -> None:
    """Land canonical records from a file.

    CSV nests by dots (venue.capacity); columns that no record has become attributes. Prints what became of them, each
    rejected line with field, value and reason. Exit 0 if anything landed or was unchanged.
    """
    import msgspec

    from integrator.contracts.errors import invalid
    from integrator.contracts.records import KIND_OF_PLURAL, LandingResult
    from integrator.storage import landing
    from integrator.storage.files import batches

    if kind not in KIND_OF_PLURAL:
        raise invalid("kind", kind, KIND_OF_PLURAL)
    services = open_session()
    require_partner(services, partner)
    total = LandingResult()
    for first_line, strict, payloads in batches(file, KIND_OF_PLURAL[kind], BATCH):
        total += landing.write(
            services.database, partner, platform, KIND_OF_PLURAL[kind], payloads, now=services.clock(),
            strict=strict, first_line=first_line,
        )  # fmt: skip
    body = msgspec.to_builtins(total)
    if len(body["errors"]) > SHOWN_ERRORS:
        note(f"{len(body['errors'])} records were rejected; the first {SHOWN_ERRORS} are shown, all are in quarantine")
        body["errors"] = body["errors"][:SHOWN_ERRORS]
    print(json.dumps(body, ensure_ascii=False, default=plain))
    if not (total.accepted or total.unchanged):
        note(f"nothing landed from {file}: {total.quarantined} of {total.quarantined} records were quarantined")
        raise typer.Exit(1)


@quarantine_app.command("list")
def list_quarantine(partner: PartnerOption, as_json: Json = False) -> None:
    """What waits in quarantine, newest first, with its reason."""
    from integrator.storage import quarantine

    services = open_session()
    require_partner(services, partner)
    with services.database.partner(partner) as connection:
        show((entry.__dict__ for entry in quarantine.waiting(connection, partner)), as_json=as_json)


@quarantine_app.command("show")
def show_quarantined(partner: PartnerOption, quarantine_id: Annotated[int, typer.Argument()]) -> None:
    """One record as it came, decrypted."""
    from integrator.contracts.errors import NotFound
    from integrator.storage import quarantine

    services = open_session()
    require_partner(services, partner)
    with services.database.partner(partner) as connection:
        payload = quarantine.payload(connection, services.database.master, partner, quarantine_id)
    if payload is None:
        raise NotFound(f"partner {partner} has no record {quarantine_id} in quarantine")
    print(payload.decode(errors="replace"))
