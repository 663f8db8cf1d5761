"""Prices asked about just now: "what if the price were 25", or with another cost or seats. One product's row, no frame."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import polars as pl

from integrator.contracts.currencies import digits
from integrator.contracts.errors import InvalidInput, invalid
from integrator.contracts.insight import Contribution, Subject
from models.base import Context, FeatureRow, FittedModel, Prediction
from models.messages import Catalogue, catalogue
from models.pricing import explain
from models.pricing.pooled_model import PooledPrices
from models.pricing.predict import PriceModel
from models.rounding import rounded

ASKED = "asked_price"
"""Key of a row that asks what its product would bring at a price."""
LARGEST = 1e9
_NUMBERS = ("price", "unit_cost")
_FIGURES = ("quantity", "revenue", "profit")


class LivePrices:
    """See `models.base.LiveUseCase`."""

    @property
    def fields(self) -> Mapping[str, str]:
        """A price to ask about, another cost."""
        return {"price": "a finite number above zero", "unit_cost": "a finite number from zero, or null for unknown"}

    def read(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Amounts as numbers, which may come as strings."""
        for name in payload:
            if name not in self.fields:
                raise InvalidInput(f"{name!r} is not a field; allowed: {', '.join(self.fields)}", field=name)
        facts = {name: self._amount(name, payload[name]) for name in _NUMBERS if name in payload}
        if "price" in facts and not facts["price"]:
            raise invalid("price", payload["price"], self.fields["price"])
        return facts

    def _amount(self, name: str, value: Any) -> float | None:
        if value is None and name == "unit_cost":
            return None
        try:
            amount = math.nan if isinstance(value, bool) or not isinstance(value, int | float | str) else float(value)
        except (ValueError, OverflowError):
            amount = math.nan
        if not 0 <= amount <= LARGEST:
            raise invalid(name, value, f"{self.fields[name]}, up to {LARGEST:.0e}")
        return amount

    def blank(self, context: Context, horizon_days: int | None) -> pl.DataFrame | None:
        """None: a product that never sold has no demand to ask about."""
        return None

    def needs_frame(self, facts: Mapping[str, Any]) -> bool:
        """Never: what was sold is not assumed to be other than it was."""
        return False

    def reframed(
        self, live: pl.DataFrame, subject: Subject, facts: Mapping[str, Any], context: Context
    ) -> pl.DataFrame:
        """As it is."""
        return live

    def laid_over(
        self, row: FeatureRow, facts: Mapping[str, Any], context: Context, stranger: Subject | None = None
    ) -> FeatureRow:
        """The row with the price asked about, to the currency's precision, and the cost."""
        laid = {**row, "unit_cost": facts["unit_cost"]} if "unit_cost" in facts else dict(row)
        if "price" in facts:
            laid[ASKED] = rounded(facts["price"], digits(row["currency"]))
            if not laid[ASKED]:
                raise invalid("price", facts["price"], f"at least a unit of the last digit of {row['currency']}")
        return laid

    def unused(self, model: FittedModel, row: FeatureRow, facts: Mapping[str, Any]) -> dict[str, str]:
        """The naive rule forecasts one week, whatever the price."""
        is_model = isinstance(model, PriceModel | PooledPrices)
        return {} if is_model or "price" not in facts else {"price": "no model tells what a price brings"}

    def asking(self, model: FittedModel) -> FittedModel:
        """Answers what a price would bring, beside the price recommended."""
        return _Asking(model)


class _Asking:
    """A model that tells, for a row with `ASKED`, what that price brings."""

    def __init__(self, model: FittedModel) -> None:
        self._model = model

    def predict(self, rows: Sequence[FeatureRow]) -> list[Prediction]:
        """One prediction a row, in order."""
        return [_answered(self._model, row) for row in rows]

    def state(self) -> dict[str, Any]:
        """The model's."""
        return self._model.state()


def _answered(model: FittedModel, row: FeatureRow) -> Prediction:
    plain = {name: value for name, value in row.items() if name != ASKED}
    (standing,) = model.predict([plain])
    if ASKED not in row or not isinstance(model, PriceModel | PooledPrices):
        return standing
    found = model.what_if(plain, row[ASKED])
    if not found["is_identified"]:
        return replace(
            standing, status="refused", value=None, interval=None, baseline=None, contributions=(), summary=found["reason"]
        )  # fmt: skip
    return _priced(row, standing, found, model.what_if(plain, row["current_price"]))


def _priced(row: FeatureRow, standing: Prediction, found: Mapping[str, Any], current: Mapping[str, Any]) -> Prediction:
    """At the price asked about, against the recommended one, or the current one where none is recommended."""
    say = catalogue("pricing", row["language"])
    price, decimals = row[ASKED], digits(row["currency"])
    is_recommended = standing.status == "ready"
    usual = standing.value if is_recommended and standing.value is not None else row["current_price"]
    beside = standing.details if is_recommended else {f"expected_{name}": current[name] for name in _FIGURES}
    gap = {
        f"{name}_difference": rounded(found[name] - beside[f"expected_{name}"], 1 if name == "quantity" else decimals)
        for name in _FIGURES if found[name] is not None and beside.get(f"expected_{name}") is not None
    }  # fmt: skip
    effect = rounded(price - usual, decimals)
    parts = (Contribution("asked_price", say("what_if.factor"), effect, True),) if effect else ()
    expected = {f"expected_{name}": value for name, value in found.items() if name.startswith(_FIGURES)}
    what_if = {"compared_with": "recommended" if is_recommended else "current", "price": usual, **gap}
    in_range = bool(found["is_in_range"])
    return replace(
        standing, status="ready", value=price, interval=None, baseline=usual, contributions=parts,
        confidence_label=standing.confidence_label if in_range and is_recommended else "low",
        summary=_summary(say, row, found, usual, gap, is_recommended=is_recommended),
        details={**standing.details, **expected, "what_if": {**what_if, "is_in_range": in_range}},
    )  # fmt: skip


def _summary(
    say: Catalogue, row: FeatureRow, found: Mapping[str, Any], usual: float, gap: Mapping[str, float],
    *, is_recommended: bool,
) -> str:  # fmt: skip
    aim = "revenue" if found["profit"] is None else "profit"
    currency = row["currency"]
    compared = say(
        "what_if.beside", gap=say.number(gap[f"{aim}_difference"], digits(currency), signed=True), currency=currency,
        which=say("what_if.recommended" if is_recommended else "what_if.current"), usual=explain.shown(usual, say),
    )  # fmt: skip
    told = say(
        "what_if.expected", price=explain.shown(row[ASKED], say), currency=currency,
        quantity=say.number(found["quantity"], 1), low=say.number(found["quantity_low"], 1),
        high=say.number(found["quantity_high"], 1), aim=say(f"aim.{aim}"),
        earned=say.number(found[aim], digits(currency)), compared=compared,
    )  # fmt: skip
    outside = "" if found["is_in_range"] else f" {say('what_if.outside')}"
    return told + outside + explain.reminder(row, row[ASKED], say)


LIVE = LivePrices()
