"""`integrator price-rules`: what a partner allows its prices to be."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from integrator.cli.output import Json, PartnerOption, note, show
from integrator.cli.session import open_session, require_partner

if TYPE_CHECKING:
    from integrator.steps.connections import Actor
    from integrator.steps.services import Services

app = typer.Typer(
    help="A partner's own floor, ceiling and largest change of price; the next scoring keeps to them.",
    no_args_is_help=True,
)
Platform = Annotated[str | None, typer.Option(help="Only for products of this platform; every one unless said.")]
Product = Annotated[str | None, typer.Option(help="Only for this product; every one unless said.")]
Tier = Annotated[str | None, typer.Option(help="Only for this tier of the product; every one unless said.")]
COLUMNS = ("platform", "product", "tier", "floor", "ceiling", "max_change", "currency")


@app.command("set")
def set_rule(
    partner: PartnerOption,
    platform: Platform = None,
    product: Product = None,
    tier: Tier = None,
    floor: Annotated[str | None, typer.Option(help="No price below this amount.")] = None,
    ceiling: Annotated[str | None, typer.Option(help="No price above this amount.")] = None,
    max_change: Annotated[
        str | None, typer.Option(help="Largest change at once as a share of the current price; 0.05 is 5 %.")
    ] = None,
    currency: Annotated[str | None, typer.Option(help="Of floor and ceiling; the partner's unless said.")] = None,
    as_json: Json = False,
) -> None:
    """Set bounds; what is not said stays as it was. The most specific rule counts, for each bound apart."""
    from integrator.contracts.price_rules import decimal_of
    from integrator.steps import price_rules as steps

    services, actor = _open(partner)
    given = {"floor": floor, "ceiling": ceiling, "max_change": max_change}
    said: dict[str, Any] = {name: None if text is None else decimal_of(name, text) for name, text in given.items()}
    rule, changed = steps.amend(services, actor, (platform, product, tier), {**said, "currency": currency})
    note("the price rule is set; the next scoring keeps to it" if changed else "the price rule is so already")
    show([{name: getattr(rule, name) for name in COLUMNS}], as_json=as_json)


@app.command("list")
def list_rules(partner: PartnerOption, as_json: Json = False) -> None:
    """A partner's price rules; no platform, product or tier means every one."""
    from integrator.steps import price_rules as steps

    services, actor = _open(partner)
    show(steps.listed(services, actor.partner), as_json=as_json, columns=COLUMNS)


@app.command()
def remove(partner: PartnerOption, platform: Platform = None, product: Product = None, tier: Tier = None) -> None:
    """Forget the rule for exactly this platform, product and tier; without them, the one for every product."""
    from integrator.steps import price_rules as steps

    services, actor = _open(partner)
    steps.remove(services, actor, (platform, product, tier))
    note("the price rule is removed; the next scoring goes without it")


def _open(partner: str) -> "tuple[Services, Actor]":
    from integrator.steps.connections import Actor

    services = open_session()
    require_partner(services, partner)
    return services, Actor(partner, "cli")
