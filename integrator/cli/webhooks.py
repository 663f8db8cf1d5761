"""`integrator webhooks`: where a partner's insights are delivered."""

from typing import Annotated

import typer

from integrator.cli.output import Json, PartnerOption, show
from integrator.cli.session import open_session, require_partner

app = typer.Typer(help="Where a partner's insights are delivered, signed.", no_args_is_help=True)


@app.command("add")
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


@app.command("list")
def list_webhooks(partner: PartnerOption, as_json: Json = False) -> None:
    """A partner's endpoints, without their secrets."""
    from integrator.storage import webhooks as endpoints

    services = open_session()
    require_partner(services, partner)
    shown = ("endpoint_id", "url", "event_types", "use_cases", "status", "status_reason")
    show(({k: getattr(e, k) for k in shown} for e in endpoints.list_all(services.database, partner)), as_json=as_json)
