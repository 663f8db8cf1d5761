"""`integrator insights`, `explain` and `readiness`: what was said about whom, and why."""

import json
from typing import Annotated, Any

import typer

from integrator.cli.output import Json, PartnerOption, note, plain, show
from integrator.cli.session import open_session, partner_names, require_partner
from integrator.contracts.errors import Defect, NotFound, invalid
from integrator.contracts.insight import STATUSES, USE_CASES

app = typer.Typer(help="The exact documents, as published.", no_args_is_help=True)
PAGE = 1000


def register(root: typer.Typer) -> None:
    """Add this module's commands."""
    root.add_typer(app, name="insights")
    root.command()(explain)
    root.command()(readiness)


@app.command("list")
def list_insights(
    partner: PartnerOption,
    use_case: Annotated[str | None, typer.Option(help=f"One of {', '.join(USE_CASES)}.")] = None,
    status: Annotated[str | None, typer.Option(help=f"One of {', '.join(STATUSES)}.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many.")] = None,
    as_json: Json = False,
) -> None:
    """A partner's current insights, oldest publication first; --json prints the documents, byte for byte."""
    from integrator.storage import insights

    if use_case is not None and use_case not in USE_CASES:
        raise invalid("use case", use_case, USE_CASES)
    if status is not None and status not in STATUSES:
        raise invalid("status", status, STATUSES)
    services = open_session()
    require_partner(services, partner)
    found: list[insights.Served] = []
    after = 0
    with services.database.partner(partner) as connection:
        while limit is None or len(found) < limit:
            page = insights.page(connection, partner, use_case=use_case, after=after, limit=PAGE, status=status)
            found += page
            if len(page) < PAGE:
                break
            after = page[-1].published_seq
    documents = [insight.document for insight in found[:limit]]
    if as_json:
        for document in documents:
            print(document)
        return
    show((row(json.loads(document)) for document in documents), as_json=False)


@app.command()
def history(insight_id: Annotated[str, typer.Argument(help="ins_…")], as_json: Json = False) -> None:
    """Every version of one insight, oldest first."""
    from integrator.storage import insights

    services = open_session()
    for partner in partner_names(services):
        with services.database.partner(partner) as connection:
            versions = insights.history(connection, partner, insight_id)
        if versions and as_json:
            for version in versions:
                print(version.document)
        elif versions:
            show((row(json.loads(version.document)) for version in versions), as_json=False)
        if versions:
            return
    raise NotFound(f"no insight {insight_id!r}; `integrator insights list` shows those there are")


def row(document: dict[str, Any]) -> dict[str, Any]:
    """A document as a line of a table."""
    interval = document["interval"]
    return {
        "id": document["id"],
        "v": document["insight_version"],
        "use case": document["use_case"],
        "subject": document["subject"]["id"],
        "status": document["status"],
        "value": amount(document["value"], document["unit"]),
        "interval": span(interval, document["unit"]) if interval else None,
        "confidence": document["confidence"]["label"],
        "explanation": document["explanation"]["summary"],
        "rung": document["rung"],
        "model": f"{document['model']['name']} v{document['model']['version']}",
    }


def amount(value: float | None, unit: str) -> str | None:
    """A value with its unit, as people write it."""
    if value is None:
        return None
    return f"{value * 100:.1f} %" if unit == "probability" else f"{value:g} {unit}"


def span(interval: dict[str, float], unit: str) -> str:
    """An interval as people write it; its unit stands with the value."""
    low, high = interval["low"], interval["high"]
    return f"{low * 100:.1f}–{high * 100:.1f} %" if unit == "probability" else f"{low:g}–{high:g}"


def explain(
    insight_id: Annotated[str, typer.Argument(help="ins_…")],
    version: Annotated[int | None, typer.Option(help="The version; the newest unless said.")] = None,
    as_json: Json = False,
) -> None:
    """What a published insight was made from: its feature row, model and input position; recomputed and compared."""
    import msgspec

    from integrator.steps.explain import explain as recompute

    services = open_session()
    found = recompute(services, insight_id, version)
    facts = msgspec.to_builtins(found, enc_hook=plain) if not isinstance(found, dict) else found
    if as_json:
        print(json.dumps(facts, default=plain, ensure_ascii=False))
    else:
        document = (
            json.loads(found.document) if isinstance(found.document, str) else msgspec.to_builtins(found.document)
        )
        show([{key: value for key, value in row(document).items() if key != "id"}], as_json=False)
        print(
            json.dumps({k: v for k, v in facts.items() if k != "document"}, indent=2, default=plain, ensure_ascii=False)
        )
    if not found.identical:
        raise Defect(f"{insight_id} recomputed differs from what was published")
    note("recomputed from the stored feature row: identical")


def readiness(partner: PartnerOption, as_json: Json = False) -> None:
    """Per use case: the rung reached, what is there, what is needed, and about when; and where pooling stands."""
    from integrator.steps.readiness import readiness as report

    services = open_session()
    require_partner(services, partner)
    rows = []
    for ready in report(services, partner):
        for requirement in ready.requirements:
            rows.append(
                {
                    "use_case": ready.use_case, "rung": ready.rung, "requirement": requirement.name,
                    "have": requirement.have, "need": requirement.need, "unit": requirement.unit,
                    "met": requirement.met, "days_left": requirement.days_left,
                    "pooled": ready.pooled and ready.pooled.state, "pooled_reason": ready.pooled and ready.pooled.reason,
                }
            )  # fmt: skip
    show(rows, as_json=as_json)
