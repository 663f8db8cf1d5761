"""`integrator quality`: how good a partner's data is, and how to mend what is not."""

from typing import Annotated

import typer

from integrator.cli.output import Json, PartnerOption, note, show
from integrator.cli.session import open_session, require_partner
from integrator.contracts.errors import invalid
from integrator.contracts.records import KIND_OF_PLURAL

COLUMNS = ("kind", "platform", "expectation", "severity", "passed", "count", "ids", "observed", "mend")


def register(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command()(quality)


def quality(
    partner: PartnerOption,
    kind: Annotated[str | None, typer.Option(help="events, contacts or sales.")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also what is as expected or cannot be judged yet.")
    ] = False,
    as_json: Json = False,
) -> None:
    """What the last night found about a partner's data: what is not as expected, whose ids, and how to mend it."""
    from integrator.storage import quality_results

    if kind is not None and kind not in KIND_OF_PLURAL:
        raise invalid("kind", kind, KIND_OF_PLURAL)
    services = open_session()
    require_partner(services, partner)
    with services.database.partner(partner) as connection:
        found = quality_results.newest(connection, partner, KIND_OF_PLURAL[kind] if kind else None)
    failed = [one for one in found if one["passed"] is False]
    if found:
        unjudged = sum(one["passed"] is None for one in found)
        note(f"{len(found)} expectations: {len(failed)} not met, {unjudged} with too little history to judge by")
    show(found if everything else failed, as_json=as_json, columns=COLUMNS)
