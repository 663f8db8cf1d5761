"""The commands' tree and the one place where failures become exit codes."""

import sys
import warnings

import typer
from typer.exceptions import TyperException

from integrator.cli import (
    backtest,
    clients,
    connections,
    data,
    files,
    host_databases,
    insights,
    keys,
    models,
    night,
    operate,
    partners,
    platforms,
    price_rules,
    quality,
    quarantine,
    stream,
    webhooks,
    widgets,
    write_back,
)
from integrator.cli.output import note
from integrator.cli.session import close_sessions
from integrator.contracts.errors import EXIT_PERMANENT, EXIT_USAGE, IntegratorError

app = typer.Typer(
    name="integrator",
    help="Forecasts, prices and lead scores for the platforms people already use.\n\n"
    "Start with `integrator demo`; then `integrator up` serves every page. Data goes to stdout, words to stderr. "
    "Exit codes: 0 fine, 1 permanent failure, 2 wrong usage, 75 transient failure (try again later).",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
operate.register(app)
night.register(app)
data.register(app)
insights.register(app)
backtest.register(app)
quality.register(app)
stream.register(app)
app.add_typer(partners.app, name="partners")
app.add_typer(clients.app, name="clients")
app.add_typer(keys.app, name="keys")
app.add_typer(connections.app, name="connections")
app.add_typer(platforms.app, name="platforms")
app.add_typer(webhooks.app, name="webhooks")
app.add_typer(widgets.app, name="widgets")
app.add_typer(host_databases.app, name="host-databases")
app.add_typer(write_back.app, name="write-back")
app.add_typer(models.app, name="models")
app.add_typer(price_rules.app, name="price-rules")
app.add_typer(quarantine.app, name="quarantine")
app.add_typer(files.app, name="files")


def run() -> None:
    """Entry of the console script."""
    warnings.simplefilter("ignore")  # libraries' words to their developers are no words to our users
    try:
        sys.exit(app(standalone_mode=False) or 0)
    except TyperException as error:
        from integrator.cli.failures import explain_usage

        note(explain_usage(error))
        sys.exit(EXIT_USAGE)
    except IntegratorError as error:
        note(f"integrator: {error}")
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        note("integrator: stopped")
        sys.exit(130)
    except Exception as error:
        from integrator.cli.failures import explain_unexpected

        note(f"integrator: {explain_unexpected(error)}")
        sys.exit(EXIT_PERMANENT)
    finally:
        close_sessions()


if __name__ == "__main__":
    run()
