"""The fitted pricing model and the naive rule: feature rows in, recommended prices out, and what a price would bring."""

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from integrator.contracts.currencies import digits
from integrator.contracts.errors import Defect, invalid
from integrator.contracts.insight import Contribution, Interval, Subject
from models.alternatives import alternatives
from models.base import FeatureRow, FittedModel, Prediction
from models.messages import Catalogue, catalogue
from models.pricing import explain, identify, optimum
from models.pricing.curve import Curve, Facts
from models.pricing.demand import STEEPEST, bounded, product_key
from models.pricing.own import KEY, Own, own_of
from models.pricing.rows import subject_of
from models.rounding import additive, rounded

Floats = NDArray[np.float64]

STATE_VERSION = 2
LEVEL = 0.8
_DRAWS = np.array([NormalDist().inv_cdf((n + 0.5) / 200) for n in range(200)])
"""Quantiles of a standard normal in place of random draws: the same interval every time."""
_TAILS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
CERTAIN = 0.9
"""The share of plausible elasticities that have to call for the same direction."""
_HIGH, _MEDIUM = (0.95, 56, 0.25), (0.75, 28, 0.5)
"""Least agreement on the direction, least days with sales, largest sd of the elasticity relative to its size."""
_COVERAGE_OFF = 0.1
_CLOSE = 0.03
_CURVE_POINTS = 9
_ARGUMENTS = ("learned", "margins", "coverage", "candidate", "scores", "weeks")


class KeepPrice:
    """The naive rule: keep the current price; one beyond the partner's own bounds is led there. Rung `rule`."""

    def predict(self, rows: Sequence[FeatureRow]) -> list[Prediction]:
        """One prediction per row, in order."""
        return [self._one(row) for row in rows]

    def state(self) -> dict[str, Any]:
        """See `FittedModel.state`."""
        return {"state_version": STATE_VERSION, "model": "keep_price"}

    def _one(self, row: FeatureRow) -> Prediction:
        say = catalogue("pricing", row["language"])
        if identify.has_ended(row):
            return self._refused(row, say, say("refused.ended", last_day=row["last_day"]))
        allowed = optimum.own_only(row)
        refused = optimum.contradiction(own_of(row)) or optimum.stuck(allowed)
        if refused is not None:
            return self._refused(row, say, identify.told(refused, row, None, say))
        if not allowed.allows(row["current_price"]):
            return self._led(row, allowed, say)
        price, cost = row["current_price"], row["unit_cost"]
        week = 7 / row["period_days"] * float(np.mean(row["recent"]["quantity"] or [0.0]))
        details = {
            "expected_quantity": rounded(week, 1),
            "expected_revenue": _money(week * price, row),
            "expected_profit": None if cost is None else _money(week * (price - cost), row),
        }
        summary = say("summary.rule", current=explain.shown(price, say), currency=row["currency"])
        return self._said(row, price, (), summary, _own_details(row, allowed) | details, say)

    def _led(self, row: FeatureRow, allowed: optimum.Bounds, say: Catalogue) -> Prediction:
        """Into the partner's own bounds, as far as its largest change reaches; nothing is said of what that brings."""
        price, decimals = row["current_price"], digits(row["currency"])
        way = optimum.choose(row, allowed, price, price, lambda other: -abs(other - price))
        value = rounded(way.value, decimals)
        steps = explain.waterfall(price, way, 0.0, allowed, "revenue", say)
        bound = explain.binding(steps)
        parts = additive(value, price, steps, decimals=decimals, keep=len(steps), other_label=say("factor.other"))
        summary = explain.rule_moves(way, row, bound, allowed, say)
        return self._said(row, value, parts, summary, _own_details(row, allowed) | {"binding": bound}, say)

    def _said(
        self, row: FeatureRow, value: float, parts: tuple[Contribution, ...], summary: str, details: Mapping[str, Any],
        say: Catalogue,
    ) -> Prediction:  # fmt: skip
        return Prediction(
            subject=_subject(row), status="fallback", rung="rule", value=value, unit=row["currency"], interval=None,
            confidence_label="low", coverage=None, observations=int(row["days"]), baseline=row["current_price"],
            contributions=parts, summary=summary, details={**_details(row, say), "family": "seasonal_mean", **details},
            records=int(row["lines"]),
        )  # fmt: skip

    def _refused(self, row: FeatureRow, say: Catalogue, summary: str) -> Prediction:
        return Prediction(
            subject=_subject(row), status="refused", rung="rule", value=None, unit=row["currency"], interval=None,
            confidence_label="low", coverage=None, observations=int(row["days"]), baseline=None, contributions=(),
            summary=summary, details=_details(row, say) | {"family": "seasonal_mean"}, records=int(row["lines"]),
        )  # fmt: skip


class PriceModel:
    """Pooled coefficients of products, groups and all, with the demand margins measured on the backtest."""

    def __init__(
        self, *, learned: Mapping[str, Any], margins: tuple[float, float], coverage: float | None, candidate: str,
        scores: Mapping[str, Any], weeks: int,
    ) -> None:  # fmt: skip
        """As `train` makes them: `learned` by `models.pricing.learned.as_state`, conformal margins of a week's demand,
        `scores` of the candidates over all (`all`) and by product (`by_product`) on the backtest's last `weeks`."""
        self.learned, self.margins, self.coverage = learned, margins, coverage
        self.candidate, self.scores, self.weeks = candidate, scores, weeks

    def state(self) -> dict[str, Any]:
        """See `FittedModel.state`."""
        found = {name: getattr(self, name) for name in _ARGUMENTS}
        return {"state_version": STATE_VERSION, "model": "price", **found}

    def predict(self, rows: Sequence[FeatureRow]) -> list[Prediction]:
        """One prediction per row, in order: `ready`, or `refused` with the reason and what would mend it."""
        return [self._one(row) for row in rows]

    def what_if(self, row: FeatureRow, price: float) -> dict[str, Any]:
        """A week at a hypothetical price: the numbers of `details.demand_curve`, `is_identified` and the refusal's text.

        A product that is refused gets no numbers. InvalidInput for a price that is not finite and above zero.
        """
        if not (isinstance(price, int | float) and math.isfinite(price) and price > 0):
            raise invalid("price", price, "a finite number above zero")
        facts = self.facts(row)
        refused = identify.refusal(row, facts)
        if refused is not None:
            text = identify.told(refused, row, facts, catalogue("pricing", row["language"]))
            return {"price": price, "currency": row["currency"], "is_identified": False, "reason": text}
        point = Curve(row, facts, self.learned["spec"], self.margins).at(float(price))
        found = point.shown(row["currency"])
        in_range = _in_range(row, price)
        return {**found, "currency": row["currency"], "is_identified": True, "reason": None, "is_in_range": in_range}

    def facts(self, row: FeatureRow) -> Facts:
        """The product's own posterior, else its product's over all tiers, its group's, or that of all products."""
        usual = self.learned["usual"]
        is_held = row["group"] in self.learned.get("held", ())
        product = self.learned["products"].get(product_key((row["platform"], row["product"])))
        several = None if product is None or product["tiers"] < 2 else (product["own"], product["own_error"])
        unit = self.learned["units"].get(product_key((row["platform"], row["product"], row["tier"])))
        if unit is not None:
            return Facts(
                beta=_beta(unit), sd=unit["sd"], kappa=unit["kappa"], week_kappa=unit["week_kappa"], own=unit["own"],
                own_error=unit["own_error"], product=several, promotion_share=unit["promotion_share"],
                level="tier" if several else "product", is_held=is_held,
            )  # fmt: skip
        group = self.learned["groups"].get(row["group"])
        parent, level = self.learned["overall"], "overall"
        if product is not None:
            parent, level = product, "product"
        elif group is not None:
            parent, level = group, "group"
        return Facts(
            beta=_beta(parent), sd=parent["sd"], kappa=usual["kappa"], week_kappa=usual["week_kappa"], product=several,
            level=level, is_held=is_held,
        )  # fmt: skip

    def _one(self, row: FeatureRow) -> Prediction:
        say = catalogue("pricing", row["language"])
        facts = self.facts(row)
        refused = identify.refusal(row, facts)
        details = _details(row, say) | self._choice(row, say)
        if refused is None:
            allowed = optimum.bounds(row)
            if not isinstance(allowed, optimum.Refusal):
                details["identification"] = identify.evidence(row, facts, None)
                return self._recommended(row, facts, allowed, details, say)
            refused = allowed
        details["identification"] = identify.evidence(row, facts, refused)
        return Prediction(
            subject=_subject(row), status="refused", rung="partner", value=None, unit=row["currency"], interval=None,
            confidence_label="low", coverage=self.coverage, observations=int(row["days"]), baseline=None,
            contributions=(), summary=identify.told(refused, row, facts, say) + explain.reminder(row, row["current_price"], say),
            details=details, records=int(row["lines"]),
        )  # fmt: skip

    def _recommended(
        self, row: FeatureRow, facts: Facts, allowed: optimum.Bounds, details: dict[str, Any], say: Catalogue
    ) -> Prediction:
        price, decimals = row["current_price"], digits(row["currency"])
        curve = Curve(row, facts, self.learned["spec"], self.margins)
        aim = "revenue" if row["unit_cost"] is None else "profit"
        best, seated = curve.best(facts.elasticity)
        way = optimum.choose(row, allowed, best, seated, curve.earned)
        value = rounded(way.value, decimals)
        wanted = curve.draws(_DRAWS, STEEPEST)
        low, high = (float(q) for q in np.quantile(_allowed(row, wanted, allowed), _TAILS, method="nearest"))
        agreement = _agreement(row, wanted, value)
        # Where the partner's own bounds call for a change, no forecast is needed to tell its direction.
        is_certain = agreement >= CERTAIN or own_of(row).beyond(price) is not None
        steps = explain.waterfall(price, way, facts.elasticity, allowed, aim, say)
        before, after = curve.at(price), curve.at(value)
        bound = explain.binding(steps)
        return Prediction(
            subject=_subject(row),
            status="ready",
            rung="partner",
            value=value,
            unit=row["currency"],
            interval=Interval(LEVEL, min(rounded(low, decimals), value), max(rounded(high, decimals), value)),
            confidence_label=self._confidence(row, facts, agreement),
            coverage=self.coverage,
            observations=int(row["days"]),
            baseline=price,
            contributions=additive(
                value, price, steps, decimals=decimals, keep=len(steps), other_label=say("factor.other")
            ),
            summary=explain.summary(
                way, row["currency"], before, after, bound, allowed, aim, say, is_certain=is_certain
            )
            + explain.reminder(row, price, say),
            details=details
            | _expected(row, curve, allowed, value)
            | {"direction_agreement": rounded(agreement, 2), "binding": bound, "aim": aim},
            records=int(row["lines"]),
        )

    def _confidence(self, row: FeatureRow, facts: Facts, agreement: float) -> str:
        """By the direction's certainty, the days it was sold on, how well the elasticity is known, and honest coverage."""
        covers = self.coverage is not None and abs(self.coverage - LEVEL) <= _COVERAGE_OFF
        vague = facts.sd / -facts.elasticity
        if covers and agreement >= _HIGH[0] and row["days"] >= _HIGH[1] and vague <= _HIGH[2]:
            return "high"
        return "medium" if agreement >= _MEDIUM[0] and row["days"] >= _MEDIUM[1] and vague <= _MEDIUM[2] else "low"

    def _choice(self, row: FeatureRow, say: Catalogue) -> dict[str, Any]:
        """Family and alternatives with their scores over all products, and why: by this one's own where it was tested."""
        key = product_key((row["platform"], row["product"], row["tier"]))
        own = self.scores["by_product"].get(key)
        return {
            "family": self.candidate,
            "alternatives": alternatives(self.scores["metric"], self.scores["all"]),
            "why": chosen_text(self.candidate, self.scores, own, self.weeks, say),
        }  # fmt: skip


def chosen_text(
    candidate: str, scores: Mapping[str, Any], own: Mapping[str, Any] | None, weeks: int, say: Catalogue
) -> str:
    """Why a candidate is used for a product, in a sentence."""
    rule = scores["rule"]
    words = {
        "family": candidate, "rule": rule, "metric": scores["metric"], "weeks": weeks,
        "score": say.number(scores["all"][candidate], 2), "rule_score": say.number(scores["all"][rule], 2),
    }  # fmt: skip
    if candidate == rule:
        return say("why.rule", **words)
    if own is None:
        return say("why.chosen", **words)
    return say(
        "why.product", own_score=say.number(own["scores"][candidate], 2), observations=own["observations"],
        own_rule_score=say.number(own["scores"][rule], 2), **words,
    )  # fmt: skip


def restore(state: Mapping[str, Any]) -> FittedModel:
    """The model that gave `state`; Defect when its version or its kind is unknown."""
    if state.get("state_version") != STATE_VERSION:
        raise Defect(f"pricing state_version {state.get('state_version')!r} is not known; known: {STATE_VERSION}")
    if state["model"] == "keep_price":
        return KeepPrice()
    if state["model"] != "price":
        raise Defect(f"pricing model {state['model']!r} is not known; known: price, keep_price")
    return PriceModel(**{name: state[name] for name in _ARGUMENTS})


def _beta(learned: Mapping[str, Any]) -> Floats:
    found = np.array(learned["beta"], dtype=np.float64)
    # Strictly below zero where it is priced at all; a refusal sees the bound too.
    found[0] = bounded(found[:1])[0]
    return found


def _expected(row: FeatureRow, curve: Curve, allowed: optimum.Bounds, value: float) -> dict[str, Any]:
    week, now = curve.at(value).shown(row["currency"]), curve.at(row["current_price"]).shown(row["currency"])
    points = np.linspace(allowed.floor, allowed.ceiling, _CURVE_POINTS)
    names = [f"{what}{end}" for what in ("quantity", "revenue", "profit") for end in ("", "_low", "_high")]
    event = row["event"]
    return {
        "floor": allowed.floor,
        "ceiling": allowed.ceiling,
        **_change_details(allowed),
        **{f"expected_{name}": week[name] for name in names},
        "current_revenue": now["revenue"],
        "current_profit": now["profit"],
        "elasticity": rounded(curve.facts.elasticity, 2),
        "elasticity_sd": rounded(curve.facts.sd, 2),
        "demand_curve": [curve.at(_money(float(price), row)).shown(row["currency"]) for price in points],
        "seats_left": None if event is None else event["left"],
        "days_to_go": None if event is None else event["days_to_go"],
    }


def _change_details(allowed: optimum.Bounds) -> dict[str, Any]:
    """The largest change at once, and where each bound is from: `observed`, `cost`, `partner` or `default`."""
    origins = {"floor": allowed.floor_from, "ceiling": allowed.ceiling_from, "max_change": allowed.change_from}
    return {"max_change": allowed.max_change, "bounds_from": origins}


def _own_details(row: FeatureRow, allowed: optimum.Bounds) -> dict[str, Any]:
    """The partner's own bounds where no others are known, for prices that nothing was learned about."""
    own = own_of(row)
    if own == Own():
        return {}
    found = _change_details(allowed)
    origins = {name: origin for name, origin in found["bounds_from"].items() if getattr(own, name) is not None}
    return {"floor": own.floor, "ceiling": own.ceiling, **found, "bounds_from": origins}


def _allowed(row: FeatureRow, wanted: Floats, allowed: optimum.Bounds) -> Floats:
    """The same inside the bounds and on the partner's steps."""
    inside = [allowed.change(allowed.step(float(price))) for price in wanted]
    return np.array([_nearest(price, allowed.payable(price, row["price_step"]) or (price,)) for price in inside])


def _nearest(price: float, choices: Sequence[float]) -> float:
    return min(choices, key=lambda choice: abs(choice - price))


def _agreement(row: FeatureRow, wanted: Floats, value: float) -> float:
    """Share of plausible best prices on the recommended side of the current one; for a kept price, those close to it."""
    price = row["current_price"]
    if value == price:
        return float((np.abs(wanted - price) <= max(_CLOSE * price, row["price_step"] / 2)).mean())
    return float(((wanted - price) * (value - price) > 0).mean())


def _in_range(row: FeatureRow, price: float) -> bool:
    """Whether a price lies within what was paid before, and a margin."""
    margin = optimum.RANGE_MARGIN
    return bool(row["lowest_price"] * (1 - margin) <= price <= row["highest_price"] * (1 + margin))


def _subject(row: FeatureRow) -> Subject:
    return subject_of(row["platform"], row["product"], row["tier"])


def _money(amount: float, row: FeatureRow) -> float:
    return rounded(amount, digits(row["currency"]))


def _details(row: FeatureRow, say: Catalogue) -> dict[str, Any]:
    """What every status shows; what needs a model is null until there is one."""
    return {
        "current_price": row["current_price"],
        "unit_cost": None if row["unit_cost"] is None else _money(row["unit_cost"], row),
        "floor": None,
        "ceiling": None,
        "max_change": None,
        "bounds_from": None,
        "own_bounds": row.get(KEY),
        "expected_quantity": None,
        "expected_revenue": None,
        "expected_profit": None,
        "elasticity": None,
        "demand_curve": [],
        "disclosure": say("disclosure.text"),
        "expires_at": row["expires_at"],
        "price_count": row["price_count"],
        "price_spread": row["price_spread"],
        "weeks": row["weeks"],
        "family": None,
        "alternatives": [],
        "why": None,
        "identification": None,
    }
