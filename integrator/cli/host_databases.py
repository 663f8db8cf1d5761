"""`integrator host-databases`: tables of a partner's own databases that take its insights."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from integrator.cli.output import Json, PartnerOption, note, show
from integrator.cli.session import open_session, require_partner
from integrator.contracts.errors import invalid

if TYPE_CHECKING:
    from integrator.steps.connections import Actor
    from integrator.steps.services import Services

app = typer.Typer(help="A partner's own database tables that take its insights.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The host database's name; its table's unless it was given one.")]


@app.command()
def add(
    partner: PartnerOption,
    address: Annotated[
        str,
        typer.Option(help="postgresql://, mysql://, mariadb:// or sqlite:///file; - reads it from standard input."),
    ],
    table: Annotated[str, typer.Option(help="The table to write.")],
    schema: Annotated[str | None, typer.Option(help="Its schema; the login's own unless said.")] = None,
    column: Annotated[
        list[str],
        typer.Option(help="FIELD=COLUMN; repeat for each. Unless said, every field that has a column of its name."),
    ] = [],  # noqa: B006
    constant: Annotated[list[str], typer.Option(help="COLUMN=TEXT: the same in every row.")] = [],  # noqa: B006
    key: Annotated[
        list[str],
        typer.Option(help="A field of the key that finds a row again; repeat for each. insight_id unless said."),
    ] = [],  # noqa: B006
    use_case: Annotated[list[str], typer.Option(help="Only these use cases; all unless said.")] = [],  # noqa: B006
    platform: Annotated[list[str], typer.Option(help="Only subjects of these platforms; all unless said.")] = [],  # noqa: B006
    subject_kind: Annotated[list[str], typer.Option(help="Only these kinds of subject; all unless said.")] = [],  # noqa: B006
    withdrawn: Annotated[str, typer.Option(help="What becomes of withdrawn insights: mark or delete.")] = "mark",
    tls: Annotated[
        str,
        typer.Option(help="verify the server's certificate, require TLS without, or off (loopback and own networks)."),
    ] = "verify",
    name: Annotated[str | None, typer.Option(help="Its own name; the table's unless said.")] = None,
    as_json: Json = False,
) -> None:
    """Add a table, or replace its settings; it is checked first, and the address is stored encrypted."""
    from integrator.steps import host_databases as steps

    services, actor = _open(partner)
    wanted = steps.Wanted(
        name=name, address=sys.stdin.readline().strip() if address == "-" else address, tls=tls, table=table,
        schema=schema, columns=_pairs("column", column, "FIELD=COLUMN"),
        constants=_pairs("constant", constant, "COLUMN=TEXT"), key=key or steps.KEY, use_cases=use_case,
        platforms=platform, subject_kinds=subject_kind, withdrawn=withdrawn,
    )  # fmt: skip
    made = steps.save(services, actor, wanted)
    note(f"host database {made.name} is saved; see `integrator host-databases diff`, then `sync`")
    show([{"name": made.name, "address": made.shown_address, "columns": dict(made.layout.columns)}], as_json=as_json)


@app.command("list")
def list_host_databases(partner: PartnerOption, as_json: Json = False) -> None:
    """A partner's host databases and their status; never their passwords."""
    from integrator.steps import host_databases as steps

    services, _ = _open(partner)
    shown = (
        "name",
        "address",
        "table",
        "status",
        "status_reason",
        "behind",
        "rows_written",
        "last_synced_at",
        "last_error",
    )
    show(steps.listed(services, partner), as_json=as_json, columns=shown)


@app.command()
def check(partner: PartnerOption, name: Name) -> None:
    """Look whether the table is there and fits; what does not is said all at once."""
    from integrator.steps import host_databases as steps

    services, _ = _open(partner)
    steps.check(services, partner, name)
    note(f"host database {name} is reached and fits")


@app.command()
def diff(partner: PartnerOption, name: Name, as_json: Json = False) -> None:
    """What writing everything current would change, and some of it, old and new; nothing is changed."""
    from integrator.steps import host_databases as steps

    services, _ = _open(partner)
    found = steps.shown(steps.difference(services, partner, name))
    if as_json:
        show([found], as_json=True)
        return
    sample = found.pop("sample")
    show([found], as_json=False)
    rows = [
        {"key": one["key"], "column": column, **change} for one in sample for column, change in one["columns"].items()
    ]
    if rows:
        show(rows, as_json=False)


@app.command()
def sync(
    partner: PartnerOption,
    name: Annotated[str | None, typer.Argument(help="One of them; all active ones unless said.")] = None,
    whole: Annotated[bool, typer.Option("--whole", help="Everything current, and not only what is new.")] = False,
    as_json: Json = False,
) -> None:
    """Write what was published since the last time; `integrator up` does it all the time."""
    from integrator.contracts.errors import IntegratorError
    from integrator.steps import host_databases as steps
    from integrator.steps.host_sync import SyncReport
    from integrator.steps.host_sync import sync as write

    services, _ = _open(partner)
    active = [row["name"] for row in steps.listed(services, partner) if row["status"] == "active"]
    reports, failure = [], None
    for one in [name] if name is not None else active:
        try:
            reports.append(write(services, partner, one, whole=whole))
        except IntegratorError as error:
            reports.append(SyncReport(name=one, complete=False, error=str(error)))
            failure = failure or error
    show((report.__dict__ for report in reports), as_json=as_json)
    if failure is not None:
        raise failure


@app.command()
def pause(partner: PartnerOption, name: Name) -> None:
    """Write nothing there until it is resumed."""
    from integrator.steps import host_databases as steps

    services, actor = _open(partner)
    steps.pause(services, actor, name)
    note(f"host database {name} is paused")


@app.command()
def resume(partner: PartnerOption, name: Name) -> None:
    """Write there again, from where it had come to."""
    from integrator.steps import host_databases as steps

    services, actor = _open(partner)
    steps.resume(services, actor, name)
    note(f"host database {name} is active")


@app.command()
def remove(partner: PartnerOption, name: Name) -> None:
    """Forget a table and its address; what was written stays."""
    from integrator.steps import host_databases as steps

    services, actor = _open(partner)
    steps.remove(services, actor, name)
    note(f"host database {name} is removed")


def _open(partner: str) -> "tuple[Services, Actor]":
    from integrator.steps.connections import Actor

    services = open_session()
    require_partner(services, partner)
    return services, Actor(partner, "cli")


def _pairs(what: str, words: list[str], allowed: str) -> dict[str, str]:
    found = {}
    for word in words:
        left, sign, right = word.partition("=")
        if not (left and sign):
            raise invalid(what, word, allowed)
        found[left] = right
    return found
