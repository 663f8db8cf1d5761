"""Lead scores on two public data sets, with dates and without, beside the naive rule and scikit-learn's defaults.

The candidate taken is the one that does best on rows of its own training part that it was not fitted to, so that the
test rows choose nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.model_quality import data
from benchmarks.model_quality.section import Reached, Section
from models.base import FeatureRow, TrainConfig
from models.lead_score import attributes, calibration, candidates, plot
from models.lead_score.columns import BUILT_IN
from models.lead_score.fitting import Fitted, Labelled, fit
from models.lead_score.judging import metrics_of

Floats = NDArray[np.float64]

SEED = 20_240_229
REPEATS, FOLDS = 10, 5
TEST_SHARE = 0.2
CHOSEN, RULE = "chosen", "conversion rate"
DEFAULTS = ("LogisticRegression", "HistGradientBoostingClassifier")
TEXT = """\
`Caravan` (CoIL 2000, who buys a caravan insurance) has no dates: ten times 5-fold stratified cross-validation. `Expedia`
(which hotel search ends in a booking, 2013-2014; the fields `cnt` and `user_id` left out) is split by time: the last fifth
is the test. Both go through the code that trains a partner's model, `models.lead_score.fitting.fit`: type inference,
encoding, leak check, candidates, Venn-Abers calibration. *chosen* is the candidate with the lowest log-loss on rows of the
training part that it was not fitted to. The defaults are scikit-learn's, on the same fields as numbers (dates as days from
the search). Coverage is how often the 80 % interval of the rate held in bins of the test rows."""


def measure() -> Section:
    """Both data sets, all candidates."""
    caravan, expedia = _caravan(), _expedia()
    return Section(
        title="Lead score",
        text=TEXT,
        reached=[*_reached_without_dates(caravan), *_reached_by_time(expedia)],
        tables={
            f"Caravan, {REPEATS} times {FOLDS}-fold, mean and standard error": _caravan_table(caravan),
            "Expedia, last fifth by time": _expedia_table(expedia),
        },
        plots={"lead-score-expedia-calibration": expedia.plot},
    )


@dataclass(frozen=True)
class _ByTime:
    """`metrics` by candidate; `chosen` is one of them, `uncalibrated` its log-loss before calibration."""

    metrics: dict[str, dict[str, float]]
    chosen: str
    uncalibrated: float
    plot: bytes


def _caravan() -> dict[str, Floats]:
    """By scorer: (REPEATS, 3) means over the folds of AUC, recall in the top fifth and coverage."""
    frame = data.caravan()
    outcome = (frame["Purchase"] == "Yes").cast(pl.Float64).to_numpy()
    fields = frame.drop("Purchase")
    rows = [_row(attributes_) for attributes_ in fields.iter_rows(named=True)]
    numbers = fields.cast(pl.Float64).to_numpy()
    found: dict[str, list[list[float]]] = {}
    for repeat in range(REPEATS):
        parts: dict[str, list[list[float]]] = {}
        for train, test in StratifiedKFold(FOLDS, shuffle=True, random_state=repeat).split(numbers, outcome):
            whole = Labelled.of(rows, outcome)
            fitted = fit(whole.take(train), candidates.NAMES, TrainConfig(), SEED)
            held = whole.take(test)
            scored = {
                name: model.raw(attributes.transform(model.encoder, held.table))
                for name, model in fitted.models.items()
            }
            for name, raw in scored.items():
                covered = calibration.coverage(fitted.models[name].calibrated, raw, held.outcome, held.persons)
                parts.setdefault(name, []).append([*_ranked(held.outcome, raw), covered])
            parts.setdefault(CHOSEN, []).append(parts[_best(fitted)][-1])
            for name, said in _defaults(numbers[train], outcome[train], numbers[test]).items():
                parts.setdefault(name, []).append([*_ranked(outcome[test], said), np.nan])
        for name, values in parts.items():
            found.setdefault(name, []).append(np.mean(values, axis=0).tolist())
    return {name: np.array(values) for name, values in found.items()}


def _expedia() -> _ByTime:
    frame = data.expedia().sort("date_time")
    at = frame["date_time"]
    moments = (at if at.dtype == pl.Datetime else at.str.to_datetime()).dt.epoch("s").to_numpy()
    outcome = frame["is_booking"].cast(pl.Float64).to_numpy()
    fields = frame.drop("is_booking", "date_time", *(name for name in ("cnt", "user_id") if name in frame.columns))
    rows = [_row(own, str(when)) for own, when in zip(fields.iter_rows(named=True), at.to_list(), strict=True)]
    whole = Labelled(attributes.Table(rows), outcome, moments, np.arange(len(rows)))
    cut = int(len(rows) * (1 - TEST_SHARE))
    train, held = whole.take(np.arange(cut)), whole.take(np.arange(cut, len(rows)))
    fitted = fit(train, candidates.NAMES, TrainConfig(), SEED)
    metrics, probabilities = {}, {}
    for name, model in fitted.models.items():
        raw = model.raw(attributes.transform(model.encoder, held.table))
        probabilities[name] = calibration.apply(model.calibrated, raw)
        before = metrics_of(held.outcome, calibration.sigmoid(raw))["log_loss"]
        covered = calibration.coverage(model.calibrated, raw, held.outcome, held.persons)
        metrics[name] = {**metrics_of(held.outcome, probabilities[name]), "uncalibrated": before, "coverage": covered}
    numbers = _numbers(fields, at)
    for name, said in _defaults(numbers[:cut], train.outcome, numbers[cut:]).items():
        metrics[name] = metrics_of(held.outcome, calibration.sigmoid(said))
    metrics[RULE] = metrics_of(held.outcome, np.full(len(held.outcome), train.outcome.mean()))
    chosen = _best(fitted)
    return _ByTime(metrics, chosen, metrics[chosen]["uncalibrated"], plot.calibration_png(held.outcome, probabilities))


def _reached_without_dates(found: dict[str, Floats]) -> list[Reached]:
    reached = []
    for place, measured, aim, naive in ((0, "AUC", 0.755, 0.5), (1, "recall in the top fifth", 0.53, 0.2)):
        value = float(found[CHOSEN][:, place].mean())
        peers = {RULE: naive, **{name: float(found[name][:, place].mean()) for name in DEFAULTS}}
        what = f"{measured} (standard error {_error(found[CHOSEN][:, place]):.4f})"
        reached.append(
            Reached(data="Caravan", measure=what, value=value, aim=f"≥ {aim}", is_met=value >= aim, peers=peers)
        )
    return reached


def _reached_by_time(found: _ByTime) -> list[Reached]:
    mine = found.metrics[found.chosen]

    def peers(metric: str) -> dict[str, float]:
        return {name: found.metrics[name][metric] for name in (RULE, *DEFAULTS)}

    rule = found.metrics[RULE]["log_loss"]
    return [
        Reached(
            data="Expedia", measure="AUC", value=mine["auc"], aim="≥ 0.70", is_met=mine["auc"] >= 0.70,
            peers=peers("auc"),
        ),
        Reached(
            data="Expedia", measure="expected calibration error", value=mine["ece"], aim="≤ 0.02",
            is_met=mine["ece"] <= 0.02, peers=peers("ece"),
        ),
        Reached(
            data="Expedia", measure="log-loss", value=mine["log_loss"],
            aim=f"below the rate's {rule:.4f} and the uncalibrated {found.uncalibrated:.4f}",
            is_met=mine["log_loss"] < min(rule, found.uncalibrated), peers=peers("log_loss"),
        ),
    ]  # fmt: skip


def _caravan_table(found: dict[str, Floats]) -> str:
    lines = ["| scorer | AUC | recall in the top fifth | coverage at 80 % |", "| --- | ---: | ---: | ---: |"]
    for name in (CHOSEN, *candidates.NAMES, *DEFAULTS):
        shown = [f"{values.mean():.4f} ± {_error(values):.4f}" for values in found[name][:, :2].T]
        covered = found[name][:, 2].mean()
        lines.append(f"| {name} | {' | '.join(shown)} | {'' if np.isnan(covered) else f'{covered:.0%}'} |")
    return "\n".join(lines)


def _expedia_table(found: _ByTime) -> str:
    shown = ("auc", "log_loss", "uncalibrated", "ece", "recall_top_fifth", "coverage")
    titles = ("AUC", "log-loss", "uncalibrated", "calibration error", "recall in the top fifth", "coverage at 80 %")
    lines = [f"| scorer | {' | '.join(titles)} |", f"| --- |{' ---: |' * len(titles)}"]
    for name in (*candidates.NAMES, *DEFAULTS, RULE):
        cells = [f"{found.metrics[name][metric]:.4f}" if metric in found.metrics[name] else "" for metric in shown]
        lines.append(f"| {name}{' (chosen)' if name == found.chosen else ''} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _row(own: dict[str, object], at: str | None = None) -> FeatureRow:
    """A feature row whose attributes are all there is; `at` is its moment."""
    hour = None if at is None else int(at[11:13])
    return {**dict.fromkeys(BUILT_IN), "created_hour": hour, "as_of": at, "horizon_days": None, "attributes": own}


def _numbers(fields: pl.DataFrame, at: pl.Series) -> Floats:
    """The fields as numbers, dates as days from the search; NaN where missing."""
    today = (at if at.dtype == pl.Datetime else at.str.to_datetime()).dt.date()
    columns = []
    for name in fields.columns:
        column = fields[name]
        if column.dtype == pl.String:
            column = (column.str.to_date("%Y-%m-%d", strict=False) - today).dt.total_days()
        elif column.dtype in (pl.Date, pl.Datetime):
            column = (column.cast(pl.Date) - today).dt.total_days()
        columns.append(column.cast(pl.Float64).fill_null(float("nan")).to_numpy())
    return np.column_stack(columns)


def _defaults(train: Floats, outcome: Floats, test: Floats) -> dict[str, Floats]:
    """Log-odds of scikit-learn's two defaults."""
    logistic = make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression(max_iter=1000))
    boosting = HistGradientBoostingClassifier(random_state=0)
    return {
        name: model.fit(train, outcome).decision_function(test)
        for name, model in zip(DEFAULTS, (logistic, boosting), strict=True)
    }


def _best(fitted: Fitted) -> str:
    return min(fitted.unseen, key=lambda name: fitted.unseen[name])


def _ranked(outcome: Floats, score: Floats) -> list[float]:
    """AUC and recall in the top fifth, by any score that orders leads."""
    found = metrics_of(outcome, calibration.sigmoid(score))
    return [found["auc"], found["recall_top_fifth"]]


def _error(values: Sequence[float] | Floats) -> float:
    """Standard error over the repeats."""
    return float(np.std(values, ddof=1) / np.sqrt(len(values)))
