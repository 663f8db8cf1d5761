"""`integrator keys`: the keys that sign access tokens; a partner's own secrets are `integrator clients`."""

import typer

from integrator.cli.output import Json, note, show
from integrator.cli.session import open_session

app = typer.Typer(help="The keys that sign access tokens, published as a JWKS.", no_args_is_help=True)


@app.command("list")
def list_keys(as_json: Json = False) -> None:
    """Every key that signs or still verifies, the newest first."""
    from integrator.security import keys

    services = open_session()
    show(keys.list_all(services.database, services.clock()), as_json=as_json)


@app.command()
def rotate(as_json: Json = False) -> None:
    """Sign with a new key within a minute; the old one verifies for two hours, longer than any token lives."""
    from integrator.security import keys
    from integrator.storage.logs import audit

    services = open_session()
    now = services.clock()
    kid = keys.rotate(services.database, services.database.master, now)
    with services.database.batch() as connection:  # no partner's business, so no partner's transaction
        audit(connection, "cli", None, "signing_key.rotate", kid, now, {})
    note(f"{kid} signs from now on; running services take it over within a minute")
    show([{"kid": kid}], as_json=as_json)
