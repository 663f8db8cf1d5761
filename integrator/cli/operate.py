"""`integrator demo`, `up` and `down`."""

from typing import Annotated

import typer

from integrator.cli.output import note
from integrator.settings import load_settings


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command()(demo)
    app.command()(up)
    app.command()(down)


def demo(
    rows: Annotated[int, typer.Option(min=1, help="Insights printed per partner and use case.")] = 8,
    all_platforms: Annotated[
        bool, typer.Option("--all-platforms", help="Six partners, one on each platform, instead of three.")
    ] = False,
) -> None:
    """One night over three demo partners on real data: set up, run, print, verify. Again: only what changed."""
    from integrator.cli.demo import run

    run(load_settings(), shown=rows, all_platforms=all_platforms)


def up() -> None:
    """Serve everything until Ctrl-C: Dagster's page, daemon, sensors and schedules, MLflow, realtime API, sandbox."""
    from integrator.cli.up import serve

    serve(load_settings())


def down() -> None:
    """Stop the embedded PostgreSQL and Redis of this home; data stays."""
    from integrator.embedded.session import close_storage

    stopped = close_storage(load_settings())
    note(f"stopped {' and '.join(stopped)}" if stopped else "nothing was running")
