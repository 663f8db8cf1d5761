"""`integrator models`: the registry of trained versions, which one serves, how it does, and moving it by hand."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from integrator.cli.model_tables import compared, figures, moved, shown_health
from integrator.cli.output import Json, PartnerOption, note, plain, show
from integrator.cli.session import open_session, require_partner
from integrator.contracts.errors import IntegratorError, PermanentError, TransientError, invalid
from integrator.contracts.insight import USE_CASES

if TYPE_CHECKING:
    from integrator.steps.models import Move
    from integrator.steps.services import Services

app = typer.Typer(help="Trained versions, their figures, which one serves, and moving it.", no_args_is_help=True)

UseCaseOption = Annotated[str, typer.Option("--use-case", help=f"One of {', '.join(USE_CASES)}.")]
AnyUseCase = Annotated[str | None, typer.Option("--use-case", help=f"One of {', '.join(USE_CASES)}; all unless said.")]


@app.command("list")
def list_models(partner: PartnerOption, use_case: AnyUseCase = None, as_json: Json = False) -> None:
    """Every version, newest first, with the gate's verdict; the champion is the one that serves."""
    services = _open(partner, use_case)
    rows = [
        {"use_case": name, **version.__dict__}
        for name in ((use_case,) if use_case else USE_CASES)
        for version in services.tracking.versions(name, partner)
    ]
    show(rows if as_json else map(readable, rows), as_json=as_json)


@app.command()
def compare(
    partner: PartnerOption,
    use_case: UseCaseOption,
    version: Annotated[
        list[str] | None, typer.Argument(help="Versions; those that wait above the champion unless said.")
    ] = None,
    as_json: Json = False,
) -> None:
    """The champion against its challengers: figures, the gate's word now, choices, the shadow, what came true."""
    import msgspec

    from integrator.steps.model_compare import compare as against

    services = _open(partner, use_case)
    found = against(services, partner, use_case, version or ())
    if as_json:
        show((msgspec.to_builtins(one, enc_hook=plain) for one in found), as_json=True)
    else:
        compared(found)


@app.command()
def table(
    partner: PartnerOption,
    use_case: UseCaseOption,
    output: Annotated[Path, typer.Option(help="The Parquet file to write.")],
    exclude: Annotated[list[str], typer.Option(help="A custom field to leave out; repeat for each.")] = [],  # noqa: B006
    as_json: Json = False,
) -> None:
    """The labelled rows a model made elsewhere may learn from: one column per input it can ask for, as Parquet.

    `outcome` is what it has to answer; `is_test` marks the rows it will be judged on, which it must not learn from.
    """
    from integrator.steps.outside import offered
    from models.base import TrainConfig

    services = _open(partner, use_case)
    found = offered(services, partner, use_case, TrainConfig(excluded_attributes=tuple(exclude)))
    found.write_parquet(output)
    kinds = {"Float64": "number", "String": "word", "Boolean": "truth"}
    show(
        ({"column": name, "holds": kinds.get(str(kind), str(kind))} for name, kind in found.schema.items()),
        as_json=as_json,
    )
    note(f"{found.height} rows in {output}, {int(found['is_test'].sum())} of them to be judged on")


@app.command()
def promote(
    partner: PartnerOption,
    use_case: UseCaseOption,
    version: Annotated[str, typer.Argument(help="The version that is to serve; `models list` shows them.")],
    force: Annotated[
        str | None, typer.Option(help="Pass the gate by, for this reason; it is kept, and stands in the audit log.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a version champion if the gate lets it pass now; its insights are scored and published at once."""
    from integrator.steps.connections import Actor
    from integrator.steps.models import promote as through_the_gate

    services = _open(partner, use_case)
    _publish(
        services, partner, through_the_gate(services, Actor(partner, "cli"), use_case, version, force=force), as_json
    )


@app.command()
def rollback(
    partner: PartnerOption,
    use_case: UseCaseOption,
    version: Annotated[
        str | None, typer.Argument(help="A version that passed the gate; the one before the champion unless said.")
    ] = None,
    reason: Annotated[str | None, typer.Option(help="Why, for those who read the event log.")] = None,
    as_json: Json = False,
) -> None:
    """Move the champion back; the insights of the version before are scored and published at once."""
    from integrator.steps.connections import Actor
    from integrator.steps.models import rollback as back

    services = _open(partner, use_case)
    _publish(services, partner, back(services, Actor(partner, "cli"), use_case, version, reason=reason), as_json)


@app.command()
def health(partner: PartnerOption, use_case: AnyUseCase = None, as_json: Json = False) -> None:
    """How the serving model does: age, rung, promised against realized quality, inferences, and what to do."""
    import msgspec

    from integrator.steps.model_advice import advice
    from integrator.steps.model_health import health as health_of

    services = _open(partner, use_case)
    for name in (use_case,) if use_case else USE_CASES:
        found = health_of(services, partner, name)
        told = advice(found, partner, services.clock())
        if as_json:
            show([{**msgspec.to_builtins(found, enc_hook=plain), "advice": told}], as_json=True)
        else:
            shown_health(found, told)


def readable(row: dict[str, Any]) -> dict[str, Any]:
    """A version as a line of a table: figures to four digits, the gate's sentences one below the other."""
    serves = "champion" if row["champion"] else "challenger" if row["challenger"] else None
    return {
        "use case": row["use_case"],
        "version": row["version"],
        "serves": serves,
        "candidate": row["candidate"],
        "figures": "\n".join(figures(row["metrics"])),
        "the gate's verdict": "\n".join(("promoted" if row["promoted"] else "not promoted", *row["reasons"])),
        "logged at": row["logged_at"],
    }


def _open(partner: str, use_case: str | None) -> "Services":
    if use_case is not None and use_case not in USE_CASES:
        raise invalid("use case", use_case, USE_CASES)
    services = open_session()
    require_partner(services, partner)
    return services


def _publish(services: "Services", partner: str, move: "Move", as_json: bool) -> None:
    """What the champion says, published now, as the sensor does after a move on the page; said again it mends a failed run."""
    if not move.moved:
        note(f"version {move.version} serves already; its insights are scored and published again")
    _rescore(services, partner, move)
    row = {"partner": partner, **move.__dict__, "moved": move.moved}
    show([row if as_json else moved(row)], as_json=as_json)


def _rescore(services: "Services", partner: str, move: "Move") -> None:
    from integrator.cli.night import Progress, raise_failure
    from integrator_dagster.launch import instance_of, run_rescore

    facts = {"champion": move.version, "before": move.before or "none", "reasons": " ".join(move.reasons)}
    try:
        with instance_of(services.settings) as instance:
            told = facts if move.moved else None
            raise_failure(run_rescore(instance, services, partner, move.use_case, moved=told, progress=Progress()))
    except IntegratorError as error:
        kind = TransientError if isinstance(error, TransientError) else PermanentError
        raise kind(
            f"version {move.version} is champion, but its insights were not published: {error}; say the same again, or "
            "leave it to the next night"
        ) from error
