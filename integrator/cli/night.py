"""`integrator run nightly` and `integrator retrain`: the same assets as on Dagster's page, with progress on stderr."""

import threading
import time
from collections import defaultdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from integrator.cli.models import readable
from integrator.cli.output import Json, PartnerOption, note, show
from integrator.cli.session import open_session, require_partner
from integrator.contracts.errors import PermanentError, TransientError, invalid
from integrator.contracts.insight import USE_CASES
from integrator.settings import load_settings

if TYPE_CHECKING:
    from integrator_dagster.launch import NightResult

run_app = typer.Typer(help="Run a job through Dagster.", no_args_is_help=True)
STEP_OF_OP = {
    "raw": "ingest", "harmonize": "harmonize and features", "model": "train", "insight": "score", "published": "publish",
}  # fmt: skip
REMIND_SECONDS = 5.0
STEPS_SHOWN = ("ingest", "harmonize and features", "train", "score", "publish")


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
    as_of: Annotated[
        str | None,
        typer.Option(help="RFC 3339: run as if it were then. Its insights replace newer ones until the next night."),
    ] = None,
    as_json: Json = False,
) -> None:
    """The night: ingest, harmonize, features, train where no champion is, score, publish; all or some partners."""
    from integrator_dagster.launch import instance_of, run_night

    moment = _moment(as_of)
    settings = load_settings()
    services = open_session(settings if moment is None else settings.model_copy(update={"now": moment}))
    for name in partner:
        require_partner(services, name)
    progress = Progress()
    with instance_of(settings) as instance:
        result = run_night(instance, services, partner or None, progress=progress)
    show(summary(result, progress), as_json=as_json)
    raise_failure(result)


def retrain(
    partner: PartnerOption,
    use_case: Annotated[str, typer.Option(help=f"One of {', '.join(USE_CASES)}.")],
    promote: Annotated[bool, typer.Option(help="Let the challenger serve if the gate lets it pass.")] = True,
    as_json: Json = False,
) -> None:
    """Train a challenger for one partner and let the gate decide; a promotion rescores and publishes."""
    from integrator_dagster.launch import instance_of, run_retrain

    if use_case not in USE_CASES:
        raise invalid("use case", use_case, USE_CASES)
    services = open_session()
    require_partner(services, partner)
    with instance_of(services.settings) as instance:
        result = run_retrain(instance, services, partner, use_case, config={"promote": promote}, progress=Progress())
    raise_failure(result)
    newest = max(services.tracking.versions(use_case, partner), key=lambda version: int(version.version))
    row = {"use_case": use_case, **newest.__dict__}
    show([row if as_json else readable(row)], as_json=as_json)


class Progress:
    """A line on stderr as each asset ends, and every few seconds while a long one runs; how long each step took."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._began: dict[str, float] = {}
        self._reminder: threading.Timer | None = None
        self.seconds: dict[str, float] = defaultdict(float)

    def __call__(self, op: str, what: str) -> None:
        now = time.monotonic()
        if self._reminder is not None:
            self._reminder.cancel()
        if what == "started":
            self._began[op] = now
            self._remind(op)
            return
        took = now - self._began.pop(op, now)
        self.seconds[STEP_OF_OP.get(op.split("__")[0], op)] += took
        self._say(op, f"{what} in {took:.1f} s")

    def _remind(self, op: str) -> None:
        self._reminder = threading.Timer(REMIND_SECONDS, self._still, [op])
        self._reminder.daemon = True
        self._reminder.start()

    def _still(self, op: str) -> None:
        began = self._began.get(op)
        if began is not None:
            self._say(op, f"running for {time.monotonic() - began:.0f} s …")
            self._remind(op)

    def _say(self, op: str, words: str) -> None:
        note(f"  {time.monotonic() - self._start:5.1f} s  {op.replace('__', '/'):<28} {words}")


def summary(result: "NightResult", progress: Progress) -> list[dict[str, Any]]:
    """Seconds, rows and outcomes of each step, from what the run recorded."""
    counted: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for entry in result.steps:
        step = "harmonize and features" if entry.step in ("harmonize", "features") else entry.step
        counted[step]["rows"] += entry.row_count
        counted[step][entry.status] += 1
    return [
        {
            "step": step, "seconds": f"{progress.seconds.get(step, 0.0):.1f}", "rows": counted[step]["rows"],
            "succeeded": counted[step]["success"], "failed": counted[step]["failed"] + counted[step]["excluded"],
        }
        for step in STEPS_SHOWN
    ]  # fmt: skip


def raise_failure(result: "NightResult") -> None:
    """A partner that failed makes the command fail; the exit code says whether trying again may help."""
    if result.success:
        return
    named = "; ".join(f"{name}: {reason}" for name, reason in result.failed_partners.items())
    text = f"the run failed for {named}" if named else f"the run failed: {result.message}"
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
