"""`integrator platforms`: the platforms there are, a new one's folder, and a YAML definition tried on a live one."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from integrator.cli.output import Json, note, show

if TYPE_CHECKING:
    from integrator.platforms.declarative.client import Declared

app = typer.Typer(help="Where data can come from.", no_args_is_help=True)


@app.command("list")
def list_platforms(as_json: Json = False) -> None:
    """Every platform with its kinds of record, and what connecting one takes."""
    from integrator.platforms.registry import PLATFORMS

    show(
        (
            {
                "platform": spec.name,
                "title": spec.title,
                "kinds": " ".join(spec.kinds),
                "settings": " ".join(f"{name}*" if need else name for name, need in spec.setting_fields.items()),
                "credentials": " ".join(spec.credential_fields) or None,
            }
            for spec in PLATFORMS
        ),
        as_json=as_json,
    )


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Small letters, digits and _; it becomes the folder's name.")],
    kind: Annotated[str, typer.Option(help="The kind of record it starts with: event, contact or sale.")] = "sale",
) -> None:
    """Write the folder of a new platform, its stand-in and its tests, which fail until it is written."""
    from integrator.cli.new_platform import checkout, write

    for path in write(checkout(), name, kind):
        note(f"wrote {path}")
    note(f"next: docs/guides/add-a-platform.md; pytest tests/contract/test_{name}.py shows what is missing")


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="The YAML file.", exists=True, dir_okay=False)],
    against: Annotated[
        str | None, typer.Option(help="The base address to try it on; the file's own unless said.")
    ] = None,
    setting: Annotated[
        list[str], typer.Option(help="NAME=VALUE; NAME=@FILE takes the text of a file; repeat for each.")
    ] = [],  # noqa: B006
    credential: Annotated[
        list[str], typer.Option(help="NAME=VALUE; NAME=- reads it from standard input, out of the shell's history.")
    ] = [],  # noqa: B006
    as_json: Json = False,
) -> None:
    """Try a definition: one page of each stream, the second page and the filter; nothing is landed.

    Exit code 0 when all records would land and paging and filter hold, 1 when something does not, 75 when the platform
    cannot be asked now.
    """
    from dataclasses import asdict

    from integrator.platforms.declarative.trial import attempt

    trials = list(attempt(_declared(file, against, setting, credential)))
    show((asdict(finding) for trial in trials for finding in trial.findings), as_json=as_json)
    for trial in trials:
        note(
            f"{trial.stream}: {trial.rows} rows, {trial.records} {trial.kind} records, {trial.quarantined} quarantined;"
            f" paging: {trial.paging}; incremental: {trial.incremental}"
        )
        for problem in trial.problems:
            note(f"{trial.stream}: {problem}")
    if not all(trial.good for trial in trials):
        raise typer.Exit(1)


def _declared(file: Path, against: str | None, setting: list[str], credential: list[str]) -> "Declared":
    from datetime import UTC, datetime

    from integrator.cli.pairs import pairs
    from integrator.platforms.base import Account
    from integrator.platforms.declarative.client import declared, require
    from integrator.platforms.declarative.definition import load_definition
    from integrator.platforms.http import HttpPolicy
    from integrator.settings import load_settings

    told = load_settings()
    http = HttpPolicy(
        read_timeout=told.http_timeout_seconds,
        attempts=told.http_retries + 1,
        allow_private=told.allow_private_platforms,
    )
    definition = load_definition(file.read_bytes(), name=file.name)
    settings = pairs("setting", setting) | ({"base_url": against} if against else {})
    credentials = pairs("credential", credential)
    require(definition, settings, credentials)
    return declared(Account(settings, credentials, lambda: datetime.now(UTC), http), definition)
