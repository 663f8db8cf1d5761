"""Whether what is served turned out as promised: answered predictions in, one verdict a check out. Pure.

Every check has a number of outcomes it needs; below it the verdict is open (`passed` None) and says what is there. A check
fails only where both the size of what is wrong and the number of outcomes speak for it: chance alone retrains nobody.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from models.evaluation import EPSILON, calibration_error
from models.gate import COVERAGE_TOLERANCE
from models.realized import CHAMPION, CHANCE, SUBJECT, bin_coverage, spiegelhalter

WINDOW = timedelta(days=90)
ACCURACY, COVERAGE, CALIBRATION, DRIFT = "accuracy", "coverage", "calibration", "drift"
CHECKS = (ACCURACY, COVERAGE, CALIBRATION, DRIFT)
NEEDED: Mapping[str, int] = {ACCURACY: 30, COVERAGE: 50, CALIBRATION: 50}
RATES_NEEDED = 200
"""Outcomes a rate needs to be judged: conversions are few."""
EVENTS_NEEDED = 10
"""Of them on each side."""
LEAST_DAYS = 4
"""Moments apart that errors have to come from: those of one day share its weather."""
CALIBRATION_OFF = 0.05
SURE = 2.576
"""Standard errors beyond which one in a hundred lies by chance, both sides together."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One verdict: `observed` in words with its numbers, `n` of `needed` outcomes were there."""

    name: str
    passed: bool | None
    observed: str
    n: int
    needed: int


def judge(answers: pl.DataFrame, now: datetime, serving: tuple[str, str], *, is_rate: bool) -> list[Check]:
    """Accuracy, coverage and calibration of what serves (model name and version), from `metrics.realized` of a use case.

    Each by the outcomes that version has answered; where those are too few, by all that was served in the window.
    """
    served = answers.filter(
        (pl.col("role") == CHAMPION) & (pl.col("due_at") <= now) & (pl.col("due_at") > now - WINDOW)
    )
    own = served.filter((pl.col("model_name") == serving[0]) & (pl.col("model_version") == serving[1]))
    found = []
    for name, check in ((ACCURACY, _accuracy), (COVERAGE, _coverage), (CALIBRATION, _calibration)):
        needed = RATES_NEEDED if is_rate else NEEDED[name]
        verdict = check(own, f"version {serving[1]}", needed, is_rate=is_rate)
        if verdict.passed is None:
            verdict = check(served, "what was served", needed, is_rate=is_rate)
        found.append(verdict)
    return found


def _open(name: str, n: int, needed: int, lacks: str = "outcomes") -> Check:
    return Check(name=name, passed=None, observed=f"not judged: {n} of {needed} {lacks}", n=n, needed=needed)


def _outcomes(rows: pl.DataFrame) -> int:
    return int(rows.select(SUBJECT).n_unique()) if rows.height else 0


def _accuracy(rows: pl.DataFrame, whose: str, needed: int, *, is_rate: bool) -> Check:
    """Paired with the naive rule on the same outcomes; errors of one moment are one case, for they come together.

    Fails when the loss is larger than the naive rule's by more than a one-sided t-test at 5 % lays to chance.
    """
    rows = rows.filter(pl.col("naive").is_not_null())
    n, days = _outcomes(rows), rows["due_at"].dt.date().n_unique()
    if n < needed or (is_rate and not _both_sides(rows)):
        return _open(ACCURACY, n, needed)
    if days < LEAST_DAYS:
        return _open(ACCURACY, days, LEAST_DAYS, "days with outcomes")
    losses = rows.select("due_at", mine=_loss("predicted", is_rate=is_rate), naive=_loss("naive", is_rate=is_rate))
    daily = losses.group_by(pl.col("due_at").dt.date()).agg(more=(pl.col("mine") - pl.col("naive")).mean())
    more, spread = _mean(daily["more"]), _spread(daily["more"])
    mine, naive = _mean(losses["mine"]), _mean(losses["naive"])
    worse = mine > naive and more > _t(days - 1) * spread / math.sqrt(days)
    loss = "log-loss" if is_rate else "absolute error"
    return Check(
        name=ACCURACY, passed=not worse, n=n, needed=needed,
        observed=f"{loss} of {whose} {mine:.4g} against the naive rule's {naive:.4g} on {n} outcomes of {days} days",
    )  # fmt: skip


def _loss(column: str, *, is_rate: bool) -> pl.Expr:
    value, actual = pl.col(column), pl.col("actual")
    if not is_rate:
        return (value - actual).abs()
    rate = value.clip(EPSILON, 1 - EPSILON)
    return -(actual * rate.log() + (1 - actual) * (1 - rate).log())


def _coverage(rows: pl.DataFrame, whose: str, needed: int, *, is_rate: bool) -> Check:
    """As the gate judges a backtest's; each outcome counts once, however many predictions it answered."""
    if is_rate:
        return _bins_covered(rows, whose, needed)
    rows = rows.filter(pl.col("is_inside").is_not_null())
    n = _outcomes(rows)
    if n < needed:
        return _open(COVERAGE, n, needed, "outcomes with an interval")
    each = rows.group_by(SUBJECT).agg(pl.col("is_inside").mean(), pl.col("level").mean())
    covered, level = _mean(each["is_inside"]), _mean(each["level"])
    slack = COVERAGE_TOLERANCE + CHANCE * math.sqrt(level * (1 - level) / n)
    return Check(
        name=COVERAGE, passed=abs(covered - level) <= slack + 1e-9, n=n, needed=needed,
        observed=f"{covered:.1%} of {n} outcomes inside the intervals of {whose} that promise {level:.0%} "
        f"({level - slack:.0%} to {min(1.0, level + slack):.0%} allowed)",
    )  # fmt: skip


def _bins_covered(rows: pl.DataFrame, whose: str, needed: int) -> Check:
    n = _outcomes(rows)
    covered = bin_coverage(rows) if n >= needed and _both_sides(rows) else []
    if not covered:
        return _open(COVERAGE, n, needed)
    level = _mean(rows["level"].drop_nulls())
    share, slack = (
        sum(covered) / len(covered),
        COVERAGE_TOLERANCE + CHANCE * math.sqrt(level * (1 - level) / len(covered)),
    )
    return Check(
        name=COVERAGE, passed=share >= level - slack - 1e-9, n=n, needed=needed,
        observed=f"{sum(covered)} of {len(covered)} bins have their rate inside the intervals of {whose} that promise "
        f"{level:.0%} (from {max(0.0, level - slack):.0%} allowed)",
    )  # fmt: skip


def _calibration(rows: pl.DataFrame, whose: str, needed: int, *, is_rate: bool) -> Check:
    return _rate_calibration(rows, whose, needed) if is_rate else _tails(rows, whose, needed)


def _rate_calibration(rows: pl.DataFrame, whose: str, needed: int) -> Check:
    n = _outcomes(rows)
    if n < needed or not _both_sides(rows):
        return _open(CALIBRATION, n, needed)
    outcome, rate = rows["actual"].to_numpy(), rows["predicted"].to_numpy()
    off, z = calibration_error(outcome, rate), spiegelhalter(outcome, rate)
    return Check(
        name=CALIBRATION, passed=not (off > CALIBRATION_OFF and abs(z) > SURE), n=n, needed=needed,
        observed=f"{_mean(rows['predicted']):.2%} predicted by {whose}, {_mean(rows['actual']):.2%} came; calibration "
        f"error {off:.3f}, Spiegelhalter's z {z:.1f} on {n} outcomes",
    )  # fmt: skip


def _tails(rows: pl.DataFrame, whose: str, needed: int) -> Check:
    """Of a number: neither end of the interval is missed more often than it may be, chance allowed for."""
    rows = rows.filter(pl.col("is_inside").is_not_null())
    n = _outcomes(rows)
    if n < needed:
        return _open(CALIBRATION, n, needed, "outcomes with an interval")
    each = rows.group_by(SUBJECT).agg(
        below=(pl.col("actual") < pl.col("low")).mean(), above=(pl.col("actual") > pl.col("high")).mean(),
        level=pl.col("level").mean(),
    )  # fmt: skip
    below, above, tail = _mean(each["below"]), _mean(each["above"]), (1 - _mean(each["level"])) / 2
    allowed = tail + COVERAGE_TOLERANCE / 2 + SURE * math.sqrt(tail * (1 - tail) / n)
    return Check(
        name=CALIBRATION, passed=max(below, above) <= allowed + 1e-9, n=n, needed=needed,
        observed=f"{below:.1%} of {n} outcomes below and {above:.1%} above the intervals of {whose} "
        f"({tail:.0%} promised on either side, up to {allowed:.0%} allowed)",
    )  # fmt: skip


def _both_sides(rows: pl.DataFrame) -> bool:
    came = int((rows["actual"] == 1).sum())
    return min(came, rows.height - came) >= EVENTS_NEEDED


def _mean(values: pl.Series) -> float:
    found = values.mean()
    return float(found) if isinstance(found, int | float) else math.nan


def _spread(values: pl.Series) -> float:
    found = values.std()
    return float(found) if isinstance(found, int | float) else math.inf


def _t(freedom: int) -> float:
    from scipy.stats import t

    return float(t.ppf(0.95, freedom))
