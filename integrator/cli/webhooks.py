"""`integrator webhooks`: where a partner's insights are delivered."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from integrator.cli.output import Json, PartnerOption, note, show
from integrator.cli.session import open_session, require_partner
from integrator.contracts.errors import EXIT_PERMANENT, EXIT_TRANSIENT, InvalidInput

if TYPE_CHECKING:
    from integrator.steps.connections import Actor
    from integrator.steps.services import Services

app = typer.Typer(help="Where a partner's insights are delivered, signed.", no_args_is_help=True)

EndpointId = Annotated[str, typer.Argument(help="The endpoint's id, as `list` shows it.")]
SHOWN = ("endpoint_id", "url", "event_types", "use_cases", "status", "status_reason", "failing_since", "held_until")
TOO_MANY = 429


@app.command("add")
def add_webhook(
    partner: PartnerOption,
    url: Annotated[str, typer.Option(help="https address that takes Standard Webhooks.")],
    event_type: Annotated[
        list[str], typer.Option(help="Only these types; insight.updated and insight.withdrawn unless said.")
    ] = [],  # noqa: B006
    use_case: Annotated[list[str], typer.Option(help="Only these use cases; all unless said.")] = [],  # noqa: B006
    status: Annotated[list[str], typer.Option(help="Only updates of these statuses; all unless said.")] = [],  # noqa: B006
    subject_kind: Annotated[list[str], typer.Option(help="Only these kinds of subject; all unless said.")] = [],  # noqa: B006
    subject_prefix: Annotated[str | None, typer.Option(help="Only subjects whose id begins so.")] = None,
    minimum_change: Annotated[
        float | None, typer.Option(help="Only values that differ by this share from the last one sent: 0.05 is 5 %.")
    ] = None,
    max_per_second: Annotated[float | None, typer.Option(help="Messages a second at most.")] = None,
    max_in_flight: Annotated[int, typer.Option(help="Requests at once at most, 1 to 16.")] = 4,
    as_json: Json = False,
) -> None:
    """Add an endpoint; its signing secret is printed once. The same once more changes nothing."""
    from integrator.steps import webhooks
    from integrator.storage.webhook_rules import DEFAULT_EVENT_TYPES, Wanted

    services, actor = _open(partner)
    wanted = Wanted(
        event_types=tuple(event_type) or DEFAULT_EVENT_TYPES, use_cases=tuple(use_case), statuses=tuple(status),
        subject_kinds=tuple(subject_kind), subject_prefix=subject_prefix, minimum_change=minimum_change,
        max_per_second=max_per_second, max_in_flight=max_in_flight,
    )  # fmt: skip
    made = webhooks.shown(webhooks.add(services, actor, url, wanted))
    if "secret" not in made:
        note(f"{made['endpoint_id']} was there already; its secret is not shown again, `rotate` makes another")
    show([{name: made[name] for name in ("endpoint_id", "url", "secret") if name in made}], as_json=as_json)


@app.command("list")
def list_webhooks(partner: PartnerOption, as_json: Json = False) -> None:
    """A partner's endpoints, without their secrets."""
    from integrator.steps import webhooks

    services, _ = _open(partner)
    found = webhooks.listed(services, partner)
    show(found if as_json else ({k: row[k] for k in SHOWN} for row in found), as_json=as_json)


@app.command("show")
def show_webhook(partner: PartnerOption, endpoint_id: EndpointId, as_json: Json = False) -> None:
    """One endpoint: what it wants, how it is doing, and how many messages wait, arrived, failed or were superseded."""
    from integrator.steps import webhooks

    services, _ = _open(partner)
    found = webhooks.detail(services, partner, endpoint_id)
    if as_json:
        show([found], as_json=True)
    else:
        show(({"what": name, "is": value} for name, value in found.items()), as_json=False)


@app.command("test")
def test_webhook(partner: PartnerOption, endpoint_id: EndpointId, as_json: Json = False) -> None:
    """Send a webhook.test there now, once; exit 1 when it was refused, 75 when it may work later."""
    from integrator.steps import webhooks

    services, actor = _open(partner)
    done = webhooks.test(services, actor, endpoint_id)
    show([asdict(done)], as_json=as_json)
    if not done.delivered:
        later = done.status_code is None or done.status_code == TOO_MANY or done.status_code >= 500
        raise typer.Exit(EXIT_TRANSIENT if later else EXIT_PERMANENT)


@app.command("rotate")
def rotate_webhook(partner: PartnerOption, endpoint_id: EndpointId, as_json: Json = False) -> None:
    """Make another signing secret, printed once; the one before signs beside it for 24 hours."""
    from integrator.steps import webhooks

    services, actor = _open(partner)
    secret, until = webhooks.rotate(services, actor, endpoint_id)
    show([{"endpoint_id": endpoint_id, "secret": secret, "former_until": until}], as_json=as_json)


@app.command("replay")
def replay_webhooks(
    partner: PartnerOption,
    endpoint_id: EndpointId,
    message: Annotated[str | None, typer.Option(help="One message, by its webhook-id.")] = None,
    since: Annotated[
        str | None, typer.Option(help="All made from then on, RFC 3339; UTC unless an offset is given.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="And before then; until now unless said.")] = None,
    event_type: Annotated[list[str], typer.Option(help="Only these types; all unless said.")] = [],  # noqa: B006
    failed: Annotated[bool, typer.Option("--failed", help="Only what was given up.")] = False,
    as_json: Json = False,
) -> None:
    """Send one message again, or all of a stretch of time, under their ids; the service sends them at once."""
    from integrator.steps import webhooks

    services, actor = _open(partner)
    if (message is None) == (since is None):
        raise InvalidInput("replay needs either --message or --since", field="since")
    if message is not None:
        count = webhooks.replay_one(services, actor, endpoint_id, message)
    else:
        assert since is not None
        end = None if until is None else _moment("until", until)
        count = webhooks.replay(
            services, actor, endpoint_id, _moment("since", since), end, tuple(event_type), only_failed=failed
        )
    show([{"endpoint_id": endpoint_id, "messages": count}], as_json=as_json)


@app.command("attempts")
def list_attempts(
    partner: PartnerOption,
    endpoint_id: EndpointId,
    message: Annotated[str | None, typer.Option(help="Of one message, by its webhook-id.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")] = 50,
    before: Annotated[int | None, typer.Option(help="Only those before this attempt_id.")] = None,
    as_json: Json = False,
) -> None:
    """What was sent there, and what it answered."""
    from integrator.steps import webhooks

    services, _ = _open(partner)
    found = webhooks.attempts(services, partner, endpoint_id, limit=limit, before=before, message_id=message)
    show((asdict(one) for one in found), as_json=as_json)


@app.command("enable")
def enable_webhook(partner: PartnerOption, endpoint_id: EndpointId) -> None:
    """Send there again, from now on; `replay --failed` brings what was given up."""
    from integrator.steps import webhooks

    services, actor = _open(partner)
    webhooks.enable(services, actor, endpoint_id)
    note(f"{endpoint_id} is active")


@app.command("disable")
def disable_webhook(partner: PartnerOption, endpoint_id: EndpointId) -> None:
    """Send nothing there until it is enabled again."""
    from integrator.steps import webhooks

    services, actor = _open(partner)
    webhooks.disable(services, actor, endpoint_id)
    note(f"{endpoint_id} is disabled")


@app.command("remove")
def remove_webhook(partner: PartnerOption, endpoint_id: EndpointId) -> None:
    """Forget an endpoint, what waits for it and its log."""
    from integrator.steps import webhooks

    services, actor = _open(partner)
    webhooks.remove(services, actor, endpoint_id)
    note(f"{endpoint_id} is removed")


def _open(partner: str) -> "tuple[Services, Actor]":
    from integrator.steps.connections import Actor

    services = open_session()
    require_partner(services, partner)
    return services, Actor(partner, "cli")


def _moment(name: str, given: str) -> datetime:
    try:
        moment = datetime.fromisoformat(given)
    except ValueError as error:
        raise InvalidInput(
            f"{name} {given!r} is not allowed; allowed: RFC 3339, such as 2026-11-21T00:00:00Z"
        ) from error
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
