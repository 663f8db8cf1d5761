"""Training: demand forecasts at the price then taken compared on the last weeks, then coefficients from everything."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from integrator.contracts.errors import NotReady, invalid
from integrator.contracts.readiness import Readiness, Requirement
from models.base import Backtest, Choice, Context, FeatureRow, FittedModel, Score, TrainConfig, Trained
from models.messages import Catalogue, catalogue
from models.pricing import demand, folds, forecast, optimum, plot
from models.pricing.columns import COLUMNS
from models.pricing.demand import SAME_PRICE, Fit, product_key
from models.pricing.folds import CANDIDATES, METRIC, Tested
from models.pricing.forecast import CONTROLLED, RULE
from models.pricing.identify import LEAST_PRICES, refusal
from models.pricing.learned import as_state
from models.pricing.panel import Panel, panel
from models.pricing.predict import LEVEL, KeepPrice, PriceModel, chosen_text
from models.pricing.rows import feature_rows

Floats = NDArray[np.float64]

NEED_WEEKS = 8
NEED_PRODUCTS = 5
HORIZONS = (7, 14, 21, 28)
"""Days ahead that demand may be judged at; a price is recommended for a week or two."""


@dataclass(frozen=True)
class _Judged:
    """What the backtest came to."""

    alone: Mapping[str, Tested]
    tested: Mapping[str, Tested]
    """The same, with the rule in the groups where it is better."""
    scores: tuple[Score, ...]
    chosen: Score
    weeks: int
    held: tuple[str, ...]
    """Groups in which the chosen candidate keeps to the rule: their products are not priced."""

    @property
    def table(self) -> dict[str, Any]:
        """The candidates' scores over all products, as the model keeps them."""
        return {"metric": METRIC, "rule": RULE, "all": {s.candidate: float(s.metrics[METRIC]) for s in self.scores}}


def readiness(training: pl.DataFrame, context: Context) -> Readiness:
    """Weeks of sales, and products that were sold at four distinct prices."""
    found = panel(training, context.currency)
    weeks = products = 0
    if found is not None:
        weeks = found.weeks
        products = sum(_distinct(found, i) >= LEAST_PRICES for i in range(len(found.keys)))
    left = (NEED_WEEKS - weeks) * 7
    say = catalogue("pricing", context.language)
    requirements = [
        Requirement("weeks", say("readiness.weeks"), weeks, NEED_WEEKS, left if left > 0 and weeks else None),
        Requirement("products", say("readiness.products", prices=LEAST_PRICES), products, NEED_PRODUCTS),
    ]
    enough = all(requirement.met for requirement in requirements)
    return Readiness("pricing", "partner" if enough else "rule" if found is not None else "none", requirements)


def train(training: pl.DataFrame, config: TrainConfig, context: Context) -> Trained:
    """Backtest all candidates, fit the best on everything; NotReady with the counts, InvalidInput on a bad config."""
    wanted = _candidates(config)
    horizon = _horizon(config)
    ready = readiness(training, context)
    if not ready.ready:
        raise NotReady(f"pricing of {context.partner} is not ready: {ready}")
    if config.window_days is not None:
        training = training.filter(pl.col("sold_on") > pl.col("sold_on").max() - timedelta(days=config.window_days))
    found = panel(training, context.currency, config.excluded_attributes)
    if found is None or found.weeks < NEED_WEEKS:
        raise NotReady(
            f"pricing of {context.partner} is not ready: the window leaves less than {NEED_WEEKS} weeks of sales"
        )
    judged = _judge(found, wanted, horizon // 7)
    digest = _digest(training)
    say = catalogue("pricing", context.language)
    fit = folds.fits(found, [judged.chosen.candidate])[judged.chosen.candidate == CONTROLLED]
    model = _final(judged, fit, found)
    rows = feature_rows(training, context)
    return Trained(
        model=model,
        backtest=Backtest(
            gate_metric=METRIC,
            chosen=judged.chosen.candidate,
            scores=judged.scores,
            observations=int(judged.tested[RULE].counts.sum()),
            plot_png=plot.demand_png({name: tested.flat[:2] for name, tested in judged.tested.items()}),
            split=f"{digest}:last {judged.weeks} weeks, {horizon} days ahead",
            level=LEVEL,
        ),
        params={
            "candidate": judged.chosen.candidate,
            "products": len(found.keys),
            "days": found.length * found.period_days,
            "period_days": found.period_days,
            "test_weeks": judged.weeks,
            "refits": folds.REFITS,
            "horizon_days": horizon,
            "fields": [facts["name"] for facts in fit.spec["fields"]],
            "seed": context.seed,
        },
        dropped=_dropped(found, fit, config, say),
        data_hash=digest,
        sample=rows[:5],
        choices=_choices(judged, found, say),
        data=_data(found, fit),
        limits=_limits(rows, found, model, say),
    )


def _candidates(config: TrainConfig) -> tuple[str, ...]:
    wanted = config.candidates or CANDIDATES
    unknown = [name for name in wanted if name not in CANDIDATES]
    if unknown:
        raise invalid("pricing candidates", unknown, CANDIDATES)
    return tuple(name for name in CANDIDATES if name in wanted or name == RULE)


def _horizon(config: TrainConfig) -> int:
    if config.horizon_days is None:
        return HORIZONS[0]
    if config.horizon_days not in HORIZONS:
        raise invalid("pricing horizon_days", config.horizon_days, HORIZONS)
    return config.horizon_days


def _judge(found: Panel, candidates: tuple[str, ...], horizon_weeks: int) -> _Judged:
    alone = folds.run(found, candidates, horizon_weeks)
    rule = alone[RULE]
    if not rule.counts.any():
        raise NotReady("pricing is not ready: no product was on sale both in the last weeks and in those before them")
    without = {name: folds.held_groups(one, rule, found.groups) for name, one in alone.items()}
    tested = {name: folds.held(one, rule, found.groups, without[name]) for name, one in alone.items()}
    scores = tuple(folds.score(name, one, found.groups, LEVEL) for name, one in tested.items())
    chosen = min(scores, key=lambda score: score.metrics[METRIC])
    return _Judged(alone, tested, scores, chosen, folds.test_weeks(found.weeks), without[chosen.candidate])


def _final(judged: _Judged, fit: Fit, found: Panel) -> FittedModel:
    candidate = judged.chosen.candidate
    if candidate == RULE:
        return KeepPrice()
    curve = forecast.curve(found, fit, candidate)
    week_kappa = folds.kappa_of_weeks(found, demand.effects(found, curve.spec, curve.beta), curve)
    keys = [product_key(key) for key in found.keys]
    return PriceModel(
        learned=as_state(found, fit, curve, candidate, week_kappa) | {"held": list(judged.held)},
        margins=judged.tested[candidate].margins(LEVEL),
        coverage=judged.chosen.coverage,
        candidate=candidate,
        scores=judged.table | {"by_product": folds.by_product(judged.alone, keys)},
        weeks=judged.weeks,
    )


def _choices(judged: _Judged, found: Panel, say: Catalogue) -> tuple[Choice, ...]:
    own = folds.by_product(judged.alone, ["/".join(key) for key in found.keys])
    candidate, table = judged.chosen.candidate, judged.table
    held = {"/".join(key) for key, group in zip(found.keys, found.groups, strict=True) if group in judged.held}

    def why(subject: str, facts: Mapping[str, Any]) -> str:
        return say("why.held") if subject in held else chosen_text(candidate, table, facts, judged.weeks, say)

    return tuple(
        Choice(
            subject=subject, family=RULE if subject in held else candidate, scores=facts["scores"],
            why=why(subject, facts), observations=facts["observations"],
        )
        for subject, facts in own.items()
    )  # fmt: skip


def _dropped(found: Panel, fit: Fit, config: TrainConfig, say: Catalogue) -> dict[str, str]:
    codes = {**found.dropped, **fit.dropped, **dict.fromkeys(config.excluded_attributes, "excluded")}
    return {name: say(f"dropped.{code}") for name, code in sorted(codes.items())}


def _data(found: Panel, fit: Fit) -> dict[str, Any]:
    """For the model card: what it was trained on."""
    sold = found.quantity > 0
    costed = sold & np.isfinite(found.cost)
    return {
        "subjects": len(found.keys),
        "with_own_coefficients": len(fit.units),
        "rows": int(sold.sum()),
        "sale_lines": int(found.lines.sum()),
        "from": found.first_day.isoformat(),
        "to": found.last_day.isoformat(),
        "cadence": "daily" if found.period_days == 1 else "weekly",
        "share_without_cost": round(1 - float(costed.sum() / max(sold.sum(), 1)), 4),
        "periods_without_stock": int(fit.stock_outs.sum()),
        "fields": [facts["name"] for facts in fit.spec["fields"]],
        "groups": len(set(found.groups)),
    }


def _limits(rows: Sequence[FeatureRow], found: Panel, model: FittedModel, say: Catalogue) -> tuple[str, ...]:
    refused = 0
    if isinstance(model, PriceModel):
        refused = sum(refusal(row, model.facts(row)) is not None for row in rows)
    costed = np.isfinite(found.cost) * found.quantity
    share = float(costed.sum() / max(found.quantity.sum(), 1e-9))
    return (
        say("limit.bias"),
        say("limit.range", margin=say.percent(optimum.RANGE_MARGIN)),
        say("limit.products", refused=refused, products=len(rows)),
        say("limit.cost", share=say.percent(share)),
    )


def _distinct(found: Panel, i: int) -> int:
    """Prices, to a per cent, at which it sold."""
    return len(np.unique(np.round(found.log_price[i][found.quantity[i] > 0] / SAME_PRICE)))


def _digest(training: pl.DataFrame) -> str:
    frame = training.select(name for name in COLUMNS if name in training.columns)
    frame = frame.sort(*frame.columns[:4], *frame.columns[4:])
    return hashlib.sha256(frame.write_csv().encode()).hexdigest()
