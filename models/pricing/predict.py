"""The fitted pricing model and the naive rule: feature rows in, recommended prices out."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from integrator.contracts.errors import Defect
from integrator.contracts.insight import Interval, Subject
from models.base import FeatureRow, FittedModel, Prediction
from models.pricing import explain, identify, optimum
from models.pricing.currency import digits
from models.pricing.demand import STEEPEST, product_key
from models.rounding import additive, rounded

Floats = NDArray[np.float64]

STATE_VERSION = 1
LEVEL = 0.8
_DRAWS = norm.ppf((np.arange(200) + 0.5) / 200)
"""Quantiles of a standard normal in place of random draws: the same interval every time."""
_TAILS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
_FLATTEST = -0.05
CERTAIN = 0.9
"""The share of plausible elasticities that have to call for the same direction."""
_HIGH, _MEDIUM = (0.95, 56, 0.25), (0.75, 28, 0.5)
"""Least agreement on the direction, least days with sales, largest sd of the elasticity relative to its size."""
_COVERAGE_OFF = 0.1
_CLOSE = 0.03
_CURVE_POINTS = 9


class KeepPrice:
    """The naive rule: keep the current price. Rung `rule`, status `fallback`."""

    def predict(self, rows: Sequence[FeatureRow]) -> list[Prediction]:
        """One prediction per row, in order."""
        return [self._one(row) for row in rows]

    def state(self) -> dict[str, Any]:
        """See `FittedModel.state`."""
        return {"state_version": STATE_VERSION, "model": "keep_price"}

    def _one(self, row: FeatureRow) -> Prediction:
        price, cost = row["current_price"], row["unit_cost"]
        week = 7 * float(np.mean(row["recent_quantity"] or [0.0]))
        details = _details(row) | {
            "expected_quantity": rounded(week, 1),
            "expected_revenue": _money(week * price, row),
            "expected_profit": None if cost is None else _money(week * (price - cost), row),
        }
        return Prediction(
            subject=_subject(row), status="fallback", rung="rule", value=price, unit=row["currency"], interval=None,
            confidence_label="low", coverage=None, observations=int(row["days"]), baseline=price, contributions=(),
            summary=f"Keep {explain.shown(price)} {row['currency']}: no model forecasts its sales better than their average yet. "
            "More weeks of sales, at several prices, would change that.",
            details=details, records=int(row["lines"]),
        )  # fmt: skip


class PriceModel:
    """Shrunk elasticities of products, groups and all, with the demand margins measured on the backtest."""

    def __init__(
        self, *, elasticities: Mapping[str, Any], margins: tuple[float, float], coverage: float | None, candidate: str
    ) -> None:
        """As `train` makes them: elasticities by `demand.as_state`, conformal margins of a week's demand."""
        self.elasticities = elasticities
        self.margins = margins
        self.coverage = coverage
        self.candidate = candidate

    def state(self) -> dict[str, Any]:
        """See `FittedModel.state`."""
        return {
            "state_version": STATE_VERSION,
            "model": "price",
            "elasticities": dict(self.elasticities),
            "margins": tuple(self.margins),
            "coverage": self.coverage,
            "candidate": self.candidate,
        }

    def predict(self, rows: Sequence[FeatureRow]) -> list[Prediction]:
        """One prediction per row, in order: `ready`, or `refused` with the reason and what would mend it."""
        return [self._one(row) for row in rows]

    def elasticity(self, row: FeatureRow) -> dict[str, Any]:
        """The product's own posterior, else its group's, else the overall one; `own` is None where there is none.

        `mean` is within `demand.STEEPEST`.
        """
        found = self.elasticities["products"].get(product_key((row["platform"], row["product"], row["tier"])))
        if found is not None:
            return dict(found) | {"mean": max(found["mean"], STEEPEST)}
        mean, sd = self.elasticities["groups"].get(row["group"], self.elasticities["overall"])
        return {"mean": max(mean, STEEPEST), "sd": sd, "own": None, "own_error": None, "dispersion": 2.0}

    def _one(self, row: FeatureRow) -> Prediction:
        elasticity = self.elasticity(row)
        reason = identify.refusal(row, elasticity)
        if reason is None:
            allowed = optimum.bounds(row)
            if not isinstance(allowed, str):
                return self._recommended(row, elasticity, allowed)
            reason = allowed
        return Prediction(
            subject=_subject(row), status="refused", rung="partner", value=None, unit=row["currency"], interval=None,
            confidence_label="low", coverage=self.coverage, observations=int(row["days"]), baseline=None,
            contributions=(),
            summary=f"{reason}.", details=_details(row), records=int(row["lines"]),
        )  # fmt: skip

    def _recommended(self, row: FeatureRow, elasticity: dict[str, Any], allowed: optimum.Bounds) -> Prediction:
        price, cost, decimals = row["current_price"], row["unit_cost"], digits(row["currency"])
        mean = elasticity["mean"]
        aim = "profit" if cost is not None else "revenue"
        best = float(optimum.unconstrained(np.array([mean]), price, cost)[0])
        way = optimum.choose(row, allowed, best, lambda p: self._week(row, elasticity, p)[aim])
        value = rounded(way.value, decimals)
        wanted = _wanted(row, elasticity)
        optima = _allowed(row, wanted, allowed)
        low, high = (rounded(float(q), decimals) for q in np.quantile(optima, _TAILS, method="nearest"))
        agreement = _agreement(row, wanted, value)
        steps = explain.waterfall(price, way, mean, allowed, profit=cost is not None)
        before, after = self._week(row, elasticity, price), self._week(row, elasticity, value)
        interval = Interval(LEVEL, min(low, value), max(high, value))
        return Prediction(
            subject=_subject(row),
            status="ready",
            rung="partner",
            value=value,
            unit=row["currency"],
            interval=interval,
            confidence_label=self._confidence(row, elasticity, agreement),
            coverage=self.coverage,
            observations=int(row["days"]),
            baseline=price,
            contributions=additive(value, price, steps, decimals=decimals),
            summary=explain.summary(
                way, row["currency"], before, after, steps, is_certain=agreement >= CERTAIN, profit=aim == "profit"
            ),
            details=_details(row)
            | self._expected(row, elasticity, allowed, value)
            | {"direction_agreement": rounded(agreement, 2)},
            records=int(row["lines"]),
        )

    def _confidence(self, row: FeatureRow, elasticity: dict[str, Any], agreement: float) -> str:
        """By the direction's certainty, the days it was sold on, how well the elasticity is known, and honest coverage."""
        covers = self.coverage is not None and abs(self.coverage - LEVEL) <= _COVERAGE_OFF
        vague = elasticity["sd"] / -elasticity["mean"]
        if covers and agreement >= _HIGH[0] and row["days"] >= _HIGH[1] and vague <= _HIGH[2]:
            return "high"
        return "medium" if agreement >= _MEDIUM[0] and row["days"] >= _MEDIUM[1] and vague <= _MEDIUM[2] else "low"

    def _expected(
        self, row: FeatureRow, elasticity: dict[str, Any], allowed: optimum.Bounds, value: float
    ) -> dict[str, Any]:
        week = self._week(row, elasticity, value)
        spread = np.sqrt(elasticity["dispersion"] * week["quantity"] + (0.3 * week["quantity"]) ** 2)
        low, high = (max(0.0, week["quantity"] + margin * spread) for margin in self.margins)
        now = self._week(row, elasticity, row["current_price"])
        points = np.linspace(allowed.floor, allowed.ceiling, _CURVE_POINTS)
        curve = [self._week(row, elasticity, _money(float(price), row)) for price in points]
        return {
            "floor": allowed.floor,
            "ceiling": allowed.ceiling,
            "expected_quantity": rounded(week["quantity"], 1),
            "expected_quantity_low": rounded(low, 1),
            "expected_quantity_high": rounded(high, 1),
            "expected_revenue": _money(week["revenue"], row),
            "expected_profit": None if row["unit_cost"] is None else _money(week["profit"], row),
            "current_revenue": _money(now["revenue"], row),
            "current_profit": None if row["unit_cost"] is None else _money(now["profit"], row),
            "elasticity": rounded(elasticity["mean"], 2),
            "elasticity_sd": rounded(elasticity["sd"], 2),
            "demand_curve": [
                {
                    "price": point["price"],
                    "quantity": rounded(point["quantity"], 1),
                    "revenue": _money(point["revenue"], row),
                    "profit": None if row["unit_cost"] is None else _money(point["profit"], row),
                }
                for point in curve
            ],
        }

    def _week(self, row: FeatureRow, elasticity: dict[str, Any], price: float) -> dict[str, float]:
        """Quantity, revenue and profit expected of a week at `price`, from the recent level and its prices."""
        current, cost, slope = row["current_price"], row["unit_cost"], elasticity["mean"]
        moved = np.exp(slope * (np.array(row["recent_log_price"]) - np.log(current)))
        level = 7 * float(np.sum(row["recent_quantity"])) / max(float(moved.sum()), 1e-9)
        sold = level * optimum.quantity(price, current, slope, cost)
        if cost is None:
            return {"price": price, "quantity": sold, "revenue": sold * price, "profit": math.nan}
        return {"price": price, "quantity": sold, "revenue": sold * price, "profit": sold * (price - cost)}


def restore(state: Mapping[str, Any]) -> FittedModel:
    """The model that gave `state`; Defect when its version or its kind is unknown."""
    if state.get("state_version") != STATE_VERSION:
        raise Defect(f"pricing state_version {state.get('state_version')!r} is not known; known: {STATE_VERSION}")
    if state["model"] == "keep_price":
        return KeepPrice()
    if state["model"] != "price":
        raise Defect(f"pricing model {state['model']!r} is not known; known: price, keep_price")
    return PriceModel(**{name: state[name] for name in ("elasticities", "margins", "coverage", "candidate")})


def _wanted(row: FeatureRow, elasticity: dict[str, Any]) -> Floats:
    """The best price for each plausible elasticity, before any bound."""
    draws = np.clip(elasticity["mean"] + elasticity["sd"] * _DRAWS, STEEPEST, _FLATTEST)
    return optimum.unconstrained(draws, row["current_price"], row["unit_cost"])


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


def _subject(row: FeatureRow) -> Subject:
    if row["tier"]:
        return Subject("tier", f"{row['product']}/{row['tier']}", row["platform"])
    return Subject("product", row["product"], row["platform"])


def _money(amount: float, row: FeatureRow) -> float:
    return rounded(amount, digits(row["currency"]))


def _details(row: FeatureRow) -> dict[str, Any]:
    """What every status shows; what needs a model is null until there is one."""
    return {
        "current_price": row["current_price"],
        "unit_cost": None if row["unit_cost"] is None else _money(row["unit_cost"], row),
        "floor": None,
        "ceiling": None,
        "expected_quantity": None,
        "expected_revenue": None,
        "expected_profit": None,
        "elasticity": None,
        "demand_curve": [],
        "disclosure": explain.DISCLOSURE,
        "expires_at": row["expires_at"],
        "price_count": row["price_count"],
        "price_spread": row["price_spread"],
        "weeks": row["weeks"],
    }
