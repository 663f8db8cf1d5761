"""Training: demand forecasts at the price then taken compared on the last weeks, then elasticities from everything."""

import hashlib
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from integrator.contracts.errors import NotReady, invalid
from integrator.contracts.readiness import Readiness, Requirement
from models.base import Backtest, Context, FittedModel, Score, TrainConfig, Trained
from models.evaluation import conformal_margins
from models.pricing import demand, plot
from models.pricing.identify import LEAST_PRICES
from models.pricing.panel import COLUMNS, Panel, panel
from models.pricing.predict import LEVEL, KeepPrice, PriceModel
from models.pricing.rows import feature_rows

Floats = NDArray[np.float64]

RULE = "seasonal_mean"
CANDIDATES = (RULE, "pooled_loglog", "shrunk_loglog")
NEED_WEEKS = 8
NEED_PRODUCTS = 5
FOLDS = 4
FOLD_DAYS = 7
_SEGMENT_OBSERVATIONS = 100


@dataclass(frozen=True)
class Fold:
    """One test week: quantities and forecasts per active product, with the dispersion known before it."""

    products: NDArray[np.intp]
    actual: Floats
    forecast: Floats
    dispersion: Floats

    @property
    def scale(self) -> Floats:
        """Standard deviation expected of a week's quantity: overdispersed counts and a level that drifts by 30 %."""
        found: Floats = np.sqrt(self.dispersion * self.forecast + (0.3 * self.forecast) ** 2)
        return found


def readiness(training: pl.DataFrame, context: Context) -> Readiness:
    """Weeks of sales, and products that were sold at four distinct prices."""
    found = panel(training, context.currency)
    weeks = products = 0
    if found is not None:
        weeks = found.quantity.shape[1] // 7
        products = sum(_distinct(found, i) >= LEAST_PRICES for i in range(len(found.keys)))
    left = (NEED_WEEKS - weeks) * 7
    requirements = [
        Requirement("weeks", "weeks of sales", weeks, NEED_WEEKS, left if left > 0 and weeks else None),
        Requirement("products", f"products sold at {LEAST_PRICES} distinct prices", products, NEED_PRODUCTS),
    ]
    enough = all(requirement.met for requirement in requirements)
    return Readiness("pricing", "partner" if enough else "rule" if found is not None else "none", requirements)


def train(training: pl.DataFrame, config: TrainConfig, context: Context) -> Trained:
    """Backtest all candidates, fit the best on everything; NotReady with the counts, InvalidInput on a bad config."""
    candidates = _candidates(config)
    ready = readiness(training, context)
    if not ready.ready:
        raise NotReady(f"pricing of {context.partner} is not ready: {ready}")
    if config.window_days is not None:
        training = training.filter(pl.col("sold_on") > pl.col("sold_on").max() - timedelta(days=config.window_days))
    found = panel(training, context.currency)
    if found is None or found.quantity.shape[1] < 2 * FOLDS * FOLD_DAYS:
        raise NotReady(
            f"pricing of {context.partner} is not ready: the window leaves less than {2 * FOLDS} weeks of sales"
        )
    digest = _digest(training)
    folds = {name: [] for name in candidates}  # type: dict[str, list[Fold]]
    for number in range(FOLDS):
        origin = found.quantity.shape[1] - (FOLDS - number) * FOLD_DAYS
        for name, fold in _fold(found, origin, candidates).items():
            folds[name].append(fold)
    scores = tuple(_score(name, folds[name], found) for name in candidates)
    chosen = min(scores, key=lambda score: score.metrics["poisson_deviance"])
    return Trained(
        model=_final(chosen, folds[chosen.candidate], found),
        backtest=Backtest(
            gate_metric="poisson_deviance",
            chosen=chosen.candidate,
            scores=scores,
            observations=sum(len(fold.actual) for fold in folds[chosen.candidate]),
            plot_png=plot.demand_png(
                {name: (_joined(f, "actual"), _joined(f, "forecast")) for name, f in folds.items()}
            ),
            split=f"{digest}:last {FOLDS} weeks one by one",
            level=LEVEL,
        ),
        params={
            "candidate": chosen.candidate,
            "products": len(found.keys),
            "days": found.quantity.shape[1],
            "folds": FOLDS,
            "fold_days": FOLD_DAYS,
            "seed": context.seed,
        },
        dropped={name: "it was excluded by the training's settings" for name in config.excluded_attributes},
        data_hash=digest,
        sample=feature_rows(training, context)[:5],
    )


def elasticities(found: Panel, candidate: str) -> tuple[demand.Estimates, demand.Shrunk]:
    """Own estimates and what the candidate makes of them: all products alike, or each shrunk to its group."""
    estimates = demand.estimate(found)
    shrunk = demand.shrink(estimates.own, _usable_error(found, estimates.error), found.groups)
    if candidate != "pooled_loglog":
        return estimates, shrunk
    mean, sd = shrunk.overall
    everyone = np.full(len(found.keys), mean)
    return estimates, demand.Shrunk(everyone, np.full(len(found.keys), sd), {}, shrunk.overall)


def _candidates(config: TrainConfig) -> tuple[str, ...]:
    wanted = config.candidates or CANDIDATES
    unknown = [name for name in wanted if name not in CANDIDATES]
    if unknown:
        raise invalid("pricing candidates", unknown, CANDIDATES)
    return tuple(name for name in CANDIDATES if name in wanted or name == RULE)


def _fold(found: Panel, origin: int, candidates: tuple[str, ...]) -> dict[str, Fold]:
    """Everything learned from the days before `origin`; prices of the week after it count as known."""
    past = found.until(origin)
    started = np.flatnonzero(np.isfinite(past.log_price).any(axis=1))
    active = started[past.quantity[started, -demand.LEVEL_DAYS :].sum(axis=1) > 0]
    known = past.some(active)
    week = found.some(active)
    actual = week.quantity[:, origin : origin + FOLD_DAYS].sum(axis=1)
    result = {}
    for name in candidates:
        estimates, shrunk = elasticities(known, name)
        slope = np.zeros(len(active)) if name == RULE else demand.bounded(shrunk.mean)
        said = demand.expected(week, origin, FOLD_DAYS, slope, estimates.weekday, estimates.holiday).sum(axis=1)
        result[name] = Fold(active, actual, said, estimates.dispersion)
    return result


def _score(name: str, folds: list[Fold], found: Panel) -> Score:
    actual, said = _joined(folds, "actual"), _joined(folds, "forecast")
    products = _joined(folds, "products").astype(np.intp)
    groups = np.array(found.groups)[products]
    segments = {
        f"group={group}": demand.deviance(actual[groups == group], said[groups == group])
        for group in np.unique(groups)
        if group and (groups == group).sum() >= _SEGMENT_OBSERVATIONS
    }
    # Margins learned on the weeks before, measured on the last half.
    half = len(folds) // 2
    low, high = _margins(folds[:half])
    hits = [(f.actual >= f.forecast + low * f.scale) & (f.actual <= f.forecast + high * f.scale) for f in folds[half:]]
    return Score(
        candidate=name,
        is_rule=name == RULE,
        metrics={
            "poisson_deviance": demand.deviance(actual, said),
            "wape": float(np.abs(actual - said).sum() / max(actual.sum(), 1e-9)),
            "bias": float((said - actual).sum() / max(actual.sum(), 1e-9)),
        },
        coverage=float(np.concatenate(hits).mean()),
        segments=segments,
    )


def _final(chosen: Score, folds: list[Fold], found: Panel) -> FittedModel:
    if chosen.candidate == RULE:
        return KeepPrice()
    estimates, shrunk = elasticities(found, chosen.candidate)
    return PriceModel(
        elasticities=demand.as_state(found, estimates, shrunk),
        margins=_margins(folds),
        coverage=chosen.coverage,
        candidate=chosen.candidate,
    )


def _margins(folds: list[Fold]) -> tuple[float, float]:
    """Conformal margins of demand in units of its expected standard deviation."""
    scale = np.concatenate([fold.scale for fold in folds])
    return conformal_margins(_joined(folds, "actual") / scale, _joined(folds, "forecast") / scale, LEVEL)


def _joined(folds: list[Fold], name: str) -> Floats:
    return np.concatenate([getattr(fold, name) for fold in folds]).astype(np.float64)


def _usable_error(found: Panel, error: Floats) -> Floats:
    """The standard error, infinite where a product was not sold at enough prices to have an estimate of its own."""
    return np.where([_distinct(found, i) >= 2 for i in range(len(found.keys))], error, np.inf)


def _distinct(found: Panel, i: int) -> int:
    """Prices, to a per cent, at which it sold."""
    return len(np.unique(np.round(found.log_price[i][found.quantity[i] > 0] / 0.01)))


def _digest(training: pl.DataFrame) -> str:
    frame = training.select(COLUMNS).sort("platform", "product", "tier", "sold_on")
    return hashlib.sha256(frame.write_csv().encode()).hexdigest()
