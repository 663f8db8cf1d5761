"""The night's dbt run: the window of changes is opened before, closed after success; one run at a time."""

from typing import TYPE_CHECKING

from integrator_dagster.dbt.build import BuildReport, Say, count_offenders, count_rows, run_dbt

if TYPE_CHECKING:
    from integrator.steps.services import Services

LOCK = 0x1D7E6A71


def build(services: "Services", run_id: str, say: Say) -> BuildReport:
    """Build everything for all partners; raises what `run_dbt` raises, and then the window stays where it was."""
    from sqlalchemy import text

    from integrator.steps import harmonize

    database = services.database
    target = services.settings.root / "dbt"
    with database.batch() as connection:
        connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        window = harmonize.open_window(database)
        say(
            f"dbt takes what changed in transactions {window.low} to {window.high}{', everything' if window.rebuild else ''}"
        )
        nodes = run_dbt(
            ["build", *harmonize.dbt_args(window)],
            harmonize.dbt_env(
                database, window, services.clock(), lead_horizon_days=services.settings.lead_horizon_days
            ),
            target,
            say,
        )
        harmonize.close_window(database, window, services.clock())
    failed = [node for node in nodes.values() if node.unique_id.startswith("test.") and node.failures]
    return BuildReport(
        nodes=nodes,
        rows=count_rows(services),
        offenders={node.unique_id: count_offenders(services, node) for node in failed},
    )
