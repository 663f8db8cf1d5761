"""`integrator connections` and `integrator webhooks`: a partner's ways in, and one of its ways out."""

import sys
from typing import Annotated, Any

import typer

from integrator.cli.output import Json, PartnerOption, note, show
from integrator.cli.session import open_session, require_partner

app = typer.Typer(help="A partner's accounts on platforms.", no_args_is_help=True)
webhooks = typer.Typer(help="Where a partner's insights are delivered, signed.", no_args_is_help=True)


@app.command()
def add(
    partner: PartnerOption,
    platform: Annotated[str, typer.Option(help="A platform by name, e.g. pretix.")],
    setting: Annotated[list[str], typer.Option(help="NAME=VALUE; repeat for each.")] = [],  # noqa: B006
    credential: Annotated[
        list[str], typer.Option(help="NAME=VALUE; NAME=- reads it from standard input, out of the shell's history.")
    ] = [],  # noqa: B006
    name: Annotated[str | None, typer.Option(help="The connection's own name; the platform's unless said.")] = None,
    allow_attribute: Annotated[
        list[str], typer.Option(help="An attribute that may be used although the detector suspects it.")
    ] = [],  # noqa: B006
) -> None:
    """Connect an account, or replace its settings; the credentials are checked first and stored encrypted."""
    from integrator.platforms.registry import spec
    from integrator.steps import ingest
    from integrator.storage import connections, logs

    services = open_session()
    require_partner(services, partner)
    account = connections.PlatformConnection(
        partner=partner, connection_id=name or platform, platform=platform, settings=_pairs("setting", setting),
        credentials=_pairs("credential", credential), allowed_attributes=tuple(allow_attribute),
    )  # fmt: skip
    spec(platform).require(account.settings, account.credentials)
    missing = ingest.check(services, account)
    now = services.clock()
    with services.database.partner(partner) as connection:
        connections.save(connection, services.database.master, account, now)
        logs.audit(connection, "cli", partner, "connection.save", account.connection_id, now, {"platform": platform})
    note(
        f"connection {account.connection_id} is saved"
        + (f"; permissions missing: {', '.join(missing)}" if missing else "")
    )


@app.command("list")
def list_connections(partner: PartnerOption, as_json: Json = False) -> None:
    """A partner's connections and their status; never their credentials."""
    from integrator.steps import ingest

    services = open_session()
    require_partner(services, partner)
    shown = ("connection_id", "platform", "status", "status_reason", "last_synced_at")
    show(({key: getattr(a, key) for key in shown} for a in ingest.accounts(services, partner)), as_json=as_json)


@app.command()
def sync(partner: PartnerOption, as_json: Json = False) -> None:
    """Pull what is new from all of a partner's connections now."""
    from integrator.platforms.registry import spec
    from integrator.steps import ingest

    services = open_session()
    require_partner(services, partner)
    rows = []
    for platform in sorted({account.platform for account in ingest.accounts(services, partner)}):
        for kind in spec(platform).kinds:
            report = ingest.ingest(services, partner, platform, kind)
            landed = report.landed
            rows.append(
                {"platform": platform, "kind": kind, "pages": report.pages, "accepted": landed.accepted,
                 "unchanged": landed.unchanged, "quarantined": landed.quarantined}
            )  # fmt: skip
    show(rows, as_json=as_json)


@webhooks.command("add")
def add_webhook(
    partner: PartnerOption,
    url: Annotated[str, typer.Option(help="https address that takes Standard Webhooks.")],
    use_case: Annotated[list[str], typer.Option(help="Only these use cases; all unless said.")] = [],  # noqa: B006
    as_json: Json = False,
) -> None:
    """Add an endpoint; its signing secret is printed once."""
    from integrator.storage import webhooks as endpoints

    services = open_session()
    require_partner(services, partner)
    made = endpoints.add(
        services.database, partner, url, services.clock(), use_cases=tuple(use_case),
        allow_loopback=services.settings.allow_loopback_webhooks,
    )  # fmt: skip
    show([{"endpoint_id": made.endpoint_id, "url": made.url, "secret": made.secret}], as_json=as_json)


@webhooks.command("list")
def list_webhooks(partner: PartnerOption, as_json: Json = False) -> None:
    """A partner's endpoints, without their secrets."""
    from integrator.storage import webhooks as endpoints

    services = open_session()
    require_partner(services, partner)
    shown = ("endpoint_id", "url", "event_types", "use_cases", "status", "status_reason")
    show(({k: getattr(e, k) for k in shown} for e in endpoints.list_all(services.database, partner)), as_json=as_json)


def _pairs(what: str, words: list[str]) -> dict[str, Any]:
    from integrator.contracts.errors import invalid

    pairs = {}
    for word in words:
        key, sign, value = word.partition("=")
        if not sign or not key:
            raise invalid(what, word, "NAME=VALUE")
        pairs[key] = sys.stdin.readline().strip() if value == "-" else value
    return pairs
