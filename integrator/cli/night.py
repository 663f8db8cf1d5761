"""`integrator run nightly` and `integrator retrain`: the same assets as on Dagster's page, with progress on stderr."""

import time
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from integrator.cli.output import Json, PartnerOption, note, show
from integrator.cli.session import open_session, require_partner
from integrator.contracts.errors import PermanentError, TransientError, invalid
from integrator.contracts.insight import USE_CASES

if TYPE_CHECKING:
    from integrator_dagster.launch import NightResult

run_app = typer.Typer(help="Run a job through Dagster.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.add_typer(run_app, name="run")
    app.command()(retrain)


@run_app.callback()
def run() -> None:
    """Keeps `nightly` a command of its own while it is the only one."""


@run_app.command()
def nightly(
    partner: Annotated[list[str], typer.Option(help="Only these partners; repeat for each.")] = [],  # noqa: B006
    as_of: Annotated[str | None, typer.Option(help="RFC 3339: run as if it were then.")] = None,
    as_json: Json = False,
) -> None:
    """The night: ingest, harmonize, features, train where no champion is, score, publish; all or some partners."""
    from integrator_dagster.launch import run_night

    services = open_session()
    for name in partner:
        require_partner(services, name)
    result = run_night(services, partners=partner or None, as_of=_moment(as_of), progress=Progress())
    finish(result, as_json=as_json)


def retrain(
    partner: PartnerOption,
    use_case: Annotated[str, typer.Option(help=f"One of {', '.join(USE_CASES)}.")],
    as_json: Json = False,
) -> None:
    """Train a challenger for one partner, show the gate's verdict; a promotion rescores and publishes."""
    from integrator_dagster.launch import run_retrain

    if use_case not in USE_CASES:
        raise invalid("use case", use_case, USE_CASES)
    services = open_session()
    require_partner(services, partner)
    result = run_retrain(services, partner=partner, use_case=use_case, progress=Progress())
    finish(result, as_json=as_json)


class Progress:
    """A line on stderr as each asset starts and ends, with the seconds since the start."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def __call__(self, text: str) -> None:
        note(f"  {time.monotonic() - self._start:5.1f} s  {text}")


def finish(result: "NightResult", *, as_json: bool) -> None:
    """Print the steps; a partner that failed makes the command fail, and says whether trying again may help."""
    show(result.steps, as_json=as_json)
    if result.success:
        return
    named = "; ".join(f"{name}: {reason}" for name, reason in result.failed_partners.items())
    text = f"the run failed for {named}" if named else f"the run failed: {result.reason}"
    raise (TransientError if result.is_transient else PermanentError)(text)


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise invalid("as-of", text, "RFC 3339, e.g. 2026-11-22T02:00:00Z") from error
    if moment.tzinfo is None:
        raise invalid("as-of", text, "RFC 3339 with an offset, e.g. 2026-11-22T02:00:00Z")
    return moment
