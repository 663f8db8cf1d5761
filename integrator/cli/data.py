"""`integrator load`: records from files."""

import json
from pathlib import Path
from typing import Annotated

import typer

from integrator.cli.output import PartnerOption, note, plain
from integrator.cli.session import open_session, require_partner

BATCH = 5000
SHOWN_ERRORS = 1000


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
