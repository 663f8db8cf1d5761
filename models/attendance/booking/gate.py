"""Booking curves before the promotion gate: one more score beside the series' candidates, or a backtest of their own."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from models import evaluation
from models.attendance.backtest import GATE_METRIC, picture, score
from models.attendance.booking.backtest import BOOKING, Cases
from models.attendance.booking.beside_series import Beside
from models.attendance.booking.buckets import BUCKETS, bucket_name
from models.attendance.booking.margins import LEVEL, fit_margins, inside
from models.attendance.booking.model import Learned
from models.attendance.booking.panel import CANDIDATES, RULE
from models.attendance.fitting import Fitted as Series
from models.base import Backtest, Score


def joined(table: Backtest, fitted: Sequence[Series], learned: Learned, shared: Beside) -> Backtest:
    """The series' backtest with the procedure that asks booking curves first; it is chosen if it is the best of all.

    Its coverage is that of both kinds of intervals, by how many steps each speaks for.
    """
    base = table.score(table.chosen)
    found = score(BOOKING, fitted)
    taken, steps = int(shared.is_taken.sum()), found.coverage_cases or 0
    hits = inside(learned.cases)
    if base.coverage is not None and steps and np.isfinite(hits).all():
        mixed = (base.coverage * (steps - taken) + float(hits.mean()) * taken) / steps
        found = replace(found, coverage=mixed)
    is_best = taken > 0 and found.metrics[GATE_METRIC] < base.metrics[GATE_METRIC]
    scores, chosen = (*table.scores, found), BOOKING if is_best else table.chosen
    return replace(table, scores=scores, chosen=chosen, plot_png=picture(scores, chosen, fitted))


def alone(learned: Learned) -> Backtest:
    """The booking family's own backtest, for a partner without a series that can be forecast.

    The naive rule is the mean of the last similar events, the scale of MASE its mean error before the first fold.
    """
    from models.plots import backtest_plot

    cases = learned.cases
    scores = tuple(_score(name, cases) for name in (*CANDIDATES, BOOKING))
    by_name = {one.candidate: one.metrics[GATE_METRIC] for one in scores}
    chosen = BOOKING if by_name[BOOKING] < by_name[RULE] else RULE
    days = np.unique(cases.panel.left)
    at = [cases.panel.left == day for day in days]
    split = json.dumps([learned.fitted.past.digest(), len(cases), cases.scale, np.unique(cases.panel.moment).tolist()])
    return Backtest(
        gate_metric=GATE_METRIC,
        chosen=chosen,
        scores=scores,
        observations=len(cases),
        plot_png=backtest_plot(
            by_name,
            chosen,
            np.array([cases.actual[own].mean() for own in at]),
            np.array([cases.forecast[chosen][own].mean() for own in at]),
            metric="MASE",
            unit="people, mean over events",
            axis="days before, " + ", ".join(f"{day:.0f}" for day in days),
        ),
        split=hashlib.sha256(split.encode()).hexdigest(),
        level=LEVEL,
    )


def _score(name: str, cases: Cases) -> Score:
    rows, forecast = cases.panel, cases.forecast[name]
    low, _, high = fit_margins(cases, name).bounds(rows.left, forecast, rows.sold, rows.limit)
    hits, errors, tail = inside(cases, name), cases.errors(name), (1 - LEVEL) / 2
    known = bool(np.isfinite(hits).all())
    return Score(
        candidate=name,
        is_rule=name == RULE,
        metrics={
            GATE_METRIC: float(errors.mean()),
            "smape": evaluation.smape(cases.actual, forecast),
            "mae": evaluation.mae(cases.actual, forecast),
            "pinball_p10": evaluation.pinball(cases.actual, low, tail),
            "pinball_p90": evaluation.pinball(cases.actual, high, 1 - tail),
        },
        coverage=float(hits.mean()) if known else None,
        coverage_cases=len(hits) if known else None,
        segments={
            bucket_name(number): float(errors[own].mean())
            for number in range(len(BUCKETS))
            if (own := rows.bucket == number).any()
        },
    )
