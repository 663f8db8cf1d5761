"""`integrator connections`: a partner's accounts on platforms. Credentials go in and never come out."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from integrator.cli.output import Json, PartnerOption, note, show
from integrator.cli.pairs import pairs
from integrator.cli.session import open_session, require_partner

if TYPE_CHECKING:
    from integrator.steps.connections import Actor
    from integrator.steps.services import Services

app = typer.Typer(help="A partner's accounts on platforms.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The connection's name; its platform's unless it was given one.")]
PlatformOption = Annotated[str, typer.Option(help="A platform by name, e.g. pretix.")]
SettingOption = Annotated[
    list[str],
    typer.Option(
        help='NAME=VALUE; repeat for each. A list is JSON: NAME=["a","b"]; NAME=@FILE takes the text of a file.'
    ),
]
CredentialOption = Annotated[
    list[str], typer.Option(help="NAME=VALUE; NAME=- reads it from standard input, out of the shell's history.")
]
NameOption = Annotated[str | None, typer.Option(help="The connection's own name; the platform's unless said.")]
AttributeOption = Annotated[
    list[str], typer.Option(help="An attribute that may be used although the detector suspects it.")
]


@app.command()
def add(
    partner: PartnerOption,
    platform: PlatformOption,
    setting: SettingOption = [],  # noqa: B006
    credential: CredentialOption = [],  # noqa: B006
    name: NameOption = None,
    allow_attribute: AttributeOption = [],  # noqa: B006
) -> None:
    """Connect an account, or replace its settings; the credentials are checked first and stored encrypted."""
    from integrator.steps import connections

    services, actor = _open(partner)
    account = connections.account_of(
        partner, platform, name, pairs("setting", setting), pairs("credential", credential), allow_attribute
    )
    _told(account.connection_id, connections.save(services, actor, account))


@app.command()
def authorize(
    partner: PartnerOption,
    platform: PlatformOption,
    setting: SettingOption = [],  # noqa: B006
    credential: CredentialOption = [],  # noqa: B006
    name: NameOption = None,
    allow_attribute: AttributeOption = [],  # noqa: B006
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Loopback port the answer comes to; any free one unless said.")
    ] = 0,
) -> None:
    """Connect an account by asking its administrator: prints an address, and waits for the answer on loopback.

    The app at the platform must allow the redirect http://127.0.0.1:PORT/callback.
    """
    from integrator.cli.callback import Callback
    from integrator.steps import authorize as flow

    services, actor = _open(partner)
    asked = flow.Asked(platform, name, pairs("setting", setting), pairs("credential", credential), allow_attribute)
    with Callback(port) as callback:
        address = flow.start(services, actor, asked, callback.redirect_uri)
        note("open this address as an administrator of the account, within ten minutes:")
        print(address, flush=True)
        answer = callback.wait()
    connected = flow.finish(services, answer.get("state", ""), answer.get("code"), answer.get("error"))
    _told(connected.connection_id, connected.missing)


@app.command("list")
def list_connections(partner: PartnerOption, as_json: Json = False) -> None:
    """A partner's connections and their status; never their credentials."""
    from integrator.steps import connections

    services, _ = _open(partner)
    show(connections.listed(services, partner), as_json=as_json)


@app.command()
def check(partner: PartnerOption, name: Name, as_json: Json = False) -> None:
    """Ask the platform whether the credentials are good; exits with 1 and names the permissions that are missing.

    Says too which custom fields were new, vanished or changed their type of late.
    """
    from integrator.steps import connections

    services, _ = _open(partner)
    missing = connections.check(services, partner, name)
    for one in connections.detail(services, partner, name)["drift"]:
        types = " to ".join(word for word in (one["was"], one["now"]) if word)
        note(f"{one['at']:%Y-%m-%d}: custom field {one['attribute']} of {one['kind']}: {one['change']} ({types})")
    if missing:
        show(({"missing": permission} for permission in missing), as_json=as_json)
        note(f"connection {name} lacks permissions: {', '.join(missing)}")
        raise typer.Exit(1)
    note(f"connection {name} has all it needs")


@app.command()
def sync(
    partner: PartnerOption,
    name: Annotated[str | None, typer.Argument(help="One connection; all unless said.")] = None,
    as_json: Json = False,
) -> None:
    """Pull what is new now, then go on with backfills."""
    from integrator.steps import connections

    services, actor = _open(partner)
    rows = connections.sync(services, actor, name)
    show(({k: v for k, v in row.items() if k != "exit_code"} for row in rows), as_json=as_json)
    failed = [row["exit_code"] for row in rows if row["exit_code"]]
    if failed:
        raise typer.Exit(min(failed))


@app.command()
def backfill(
    partner: PartnerOption,
    name: Name,
    since: Annotated[datetime, typer.Option(help="From when on, UTC unless an offset is given.")],
    until: Annotated[datetime | None, typer.Option(help="Up to when; now unless said.")] = None,
    kind: Annotated[str | None, typer.Option(help="event, contact or sale; all of the platform's unless said.")] = None,
    as_json: Json = False,
) -> None:
    """Have a stretch of the past pulled again: some pages after every pull, until it is done."""
    from integrator.contracts.records import KIND_OF_PLURAL
    from integrator.steps import connections

    services, actor = _open(partner)
    one = KIND_OF_PLURAL.get(kind, kind) if kind is not None else None
    rows = connections.backfill(services, actor, name, _aware(since), None if until is None else _aware(until), one)
    show(rows, as_json=as_json)


@app.command()
def pause(partner: PartnerOption, name: Name) -> None:
    """Leave an account alone until it is resumed."""
    from integrator.steps import connections

    services, actor = _open(partner)
    connections.pause(services, actor, name)
    note(f"connection {name} is paused")


@app.command()
def resume(partner: PartnerOption, name: Name) -> None:
    """Pull an account again, from where it had come to."""
    from integrator.steps import connections

    services, actor = _open(partner)
    connections.resume(services, actor, name)
    note(f"connection {name} is active")


@app.command()
def remove(partner: PartnerOption, name: Name) -> None:
    """Forget an account and its credentials; what it brought stays."""
    from integrator.steps import connections

    services, actor = _open(partner)
    connections.remove(services, actor, name)
    note(f"connection {name} is removed")


@app.command()
def reconcile(partner: PartnerOption, name: Name, as_json: Json = False) -> None:
    """Count what the platform has and what is here, and say why they differ."""
    from dataclasses import asdict

    from integrator.steps import connections

    services, _ = _open(partner)
    show((asdict(row) for row in connections.reconcile(services, partner, name)), as_json=as_json)


@app.command()
def rotate(partner: PartnerOption) -> None:
    """Seal all of a partner's credentials with a fresh data key."""
    from integrator.steps import connections

    services, actor = _open(partner)
    sealed = connections.rotate(services, actor)
    note(f"{len(sealed)} connections are sealed with a fresh key")


def _open(partner: str) -> "tuple[Services, Actor]":
    from integrator.steps.connections import Actor

    services = open_session()
    require_partner(services, partner)
    return services, Actor(partner, "cli")


def _told(name: str, missing: list[str]) -> None:
    note(f"connection {name} is saved" + (f"; permissions missing: {', '.join(missing)}" if missing else ""))


def _aware(moment: datetime) -> datetime:
    from datetime import UTC

    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
