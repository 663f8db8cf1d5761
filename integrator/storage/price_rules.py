"""`integrator.price_rule`: a partner's own bounds of prices. What they mean is `integrator.contracts.price_rules`."""

from datetime import datetime

from sqlalchemy import Connection, Row, text

from integrator.contracts.price_rules import ADDRESS, Address, PriceRule

_COLUMNS = "platform, product, tier, floor, ceiling, max_change, currency"
_AT = "partner = :partner and platform = :platform and product = :product and tier = :tier"


def list_all(connection: Connection, partner: str) -> tuple[PriceRule, ...]:
    """A partner's rules, the general ones first."""
    rows = connection.execute(
        text(f"""select {_COLUMNS} from integrator.price_rule where partner = :partner
        order by platform, product, tier"""),
        {"partner": partner},
    )
    return tuple(_rule(row) for row in rows)


def find(connection: Connection, partner: str, address: Address) -> PriceRule | None:
    """The rule for exactly this platform, product and tier, locked until the transaction ends; None where there is none."""
    row = connection.execute(
        text(f"select {_COLUMNS} from integrator.price_rule where {_AT} for update"), _at(partner, address)
    ).one_or_none()
    return None if row is None else _rule(row)


def save(connection: Connection, partner: str, rule: PriceRule, now: datetime) -> None:
    """Put a rule in the place of the one for the same platform, product and tier."""
    facts = {name: getattr(rule, name) for name in ("floor", "ceiling", "max_change", "currency")}
    connection.execute(
        text(f"""insert into integrator.price_rule (partner, {_COLUMNS}, set_at)
        values (:partner, :platform, :product, :tier, :floor, :ceiling, :max_change, :currency, :now)
        on conflict (partner, platform, product, tier) do update set floor = excluded.floor,
          ceiling = excluded.ceiling, max_change = excluded.max_change, currency = excluded.currency,
          set_at = excluded.set_at"""),
        {**_at(partner, rule.address), **facts, "now": now},
    )


def remove(connection: Connection, partner: str, address: Address) -> bool:
    """Forget a rule; False when there is none such."""
    return bool(
        connection.execute(text(f"delete from integrator.price_rule where {_AT}"), _at(partner, address)).rowcount
    )


def _at(partner: str, address: Address) -> dict[str, str]:
    platform, product, tier = (part or "" for part in address)
    return {"partner": partner, "platform": platform, "product": product, "tier": tier}


def _rule(row: Row[tuple[object, ...]]) -> PriceRule:
    facts = dict(row._mapping)
    return PriceRule(**{**facts, **{name: facts[name] or None for name in ADDRESS}})
