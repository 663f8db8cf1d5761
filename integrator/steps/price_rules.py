"""A partner's own bounds of prices, managed: what the command line and the API both do. The next scoring keeps to them."""

from collections.abc import Mapping
from dataclasses import asdict
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection

from integrator.contracts.errors import NotFound, invalid
from integrator.contracts.price_rules import ADDRESS, LIMITS, Address, PriceRule, check_address
from integrator.platforms.registry import PLATFORMS
from integrator.steps.connections import Actor
from integrator.steps.push import DIRECT
from integrator.steps.services import Services
from integrator.storage import logs, partners, price_rules


def listed(services: Services, partner: str) -> list[dict[str, Any]]:
    """A partner's rules, the general ones first."""
    with services.database.partner(partner) as connection:
        return [asdict(rule) for rule in price_rules.list_all(connection, partner)]


def save(services: Services, actor: Actor, facts: Mapping[str, Any]) -> tuple[PriceRule, bool]:
    """Put a rule in the place of the one for the same platform, product and tier; as it is kept, and whether it changed.

    `facts` are the fields of a `PriceRule`; amounts without a currency are in the partner's.
    """
    with services.database.partner(actor.partner) as connection:
        return _kept(services, connection, actor, _in_own_currency(connection, actor.partner, facts))


def amend(services: Services, actor: Actor, address: Address, said: Mapping[str, Any]) -> tuple[PriceRule, bool]:
    """The same, where what is not said (None) stays as it was; `InvalidInput` where an amount would change its currency."""
    check_address(address)
    with services.database.partner(actor.partner) as connection:
        before = price_rules.find(connection, actor.partner, address)
        facts = {**dict(zip(ADDRESS, address, strict=True)), **said}
        if before is not None:
            stays = [name for name in ("floor", "ceiling") if said[name] is None and getattr(before, name) is not None]
            if stays and said["currency"] not in (None, before.currency):
                allowed = f"{before.currency}, which the {stays[0]} that stays is in; or say the {stays[0]} too"
                raise invalid("currency", said["currency"], allowed)
            kept = {name: getattr(before, name) for name in (*LIMITS, "currency")}
            facts |= {name: value for name, value in kept.items() if said[name] is None}
        return _kept(services, connection, actor, _in_own_currency(connection, actor.partner, facts))


def remove(services: Services, actor: Actor, address: Address) -> None:
    """Forget the rule for exactly this platform, product and tier; `NotFound` names those there are."""
    check_address(address)
    with services.database.partner(actor.partner) as connection:
        if not price_rules.remove(connection, actor.partner, address):
            there = "; ".join(_shown(rule.address) for rule in price_rules.list_all(connection, actor.partner))
            raise NotFound(f"there is no price rule for {_shown(address)}; there are: {there or 'none'}")
        _written_down(services, connection, actor, "removed", address, {})


def _in_own_currency(connection: Connection, partner: str, facts: Mapping[str, Any]) -> PriceRule:
    has_amount = facts["floor"] is not None or facts["ceiling"] is not None
    if facts["currency"] is None and has_amount:
        facts = {**facts, "currency": partners.get(connection, partner).currency}
    return PriceRule(**facts)


def _kept(services: Services, connection: Connection, actor: Actor, rule: PriceRule) -> tuple[PriceRule, bool]:
    known = (*(platform.name for platform in PLATFORMS), DIRECT)
    if rule.platform is not None and rule.platform not in known:
        raise invalid("platform", rule.platform, known)
    if price_rules.find(connection, actor.partner, rule.address) == rule:
        return rule, False
    price_rules.save(connection, actor.partner, rule, services.clock())
    facts = {name: getattr(rule, name) for name in (*LIMITS, "currency") if getattr(rule, name) is not None}
    _written_down(services, connection, actor, "set", rule.address, facts)
    return rule, True


def _written_down(
    services: Services, connection: Connection, actor: Actor, what: str, address: Address, facts: Mapping[str, Any]
) -> None:
    now = services.clock()
    told = {name: str(value) if isinstance(value, Decimal) else value for name, value in facts.items()}
    named = {name: part for name, part in zip(ADDRESS, address, strict=True) if part}
    logs.event(connection, actor.partner, f"price_rule.{what}", now, {**named, **told, "by": actor.name})
    logs.audit(connection, actor.name, actor.partner, f"price_rule.{what}", _shown(address), now, told)


def _shown(address: Address) -> str:
    return ", ".join(
        f"{name} {part}" for name, part in zip(ADDRESS, address, strict=True) if part
    ) or "every product"  # fmt: skip
