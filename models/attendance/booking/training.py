"""What training keeps and tells of booking curves: their part of the backtest, parameters, choices and limits."""

import hashlib
from collections.abc import Sequence
from typing import Any

import polars as pl

from models.attendance.booking import gate
from models.attendance.booking.backtest import BOOKING
from models.attendance.booking.beside_series import beside
from models.attendance.booking.buckets import BUCKETS, bucket_name
from models.attendance.booking.curves import MIN_EVENTS
from models.attendance.booking.model import Learned
from models.attendance.booking.predict import why
from models.attendance.booking.served import Served, served
from models.attendance.candidates import RULE
from models.attendance.fitting import Fitted as Series
from models.base import Backtest, Choice
from models.messages import Catalogue


def joined(
    series: Backtest | None, fitted: Sequence[Series], learned: Learned | None, full: pl.DataFrame
) -> tuple[Backtest, Served | None]:
    """The gate's backtest over both families, and how booking curves serve; one of the two families is there.

    `full` is the training frame as `history.prepared` made it.
    """
    if learned is None:
        assert series is not None
        return series, None
    if series is None:
        return gate.alone(learned), served(learned, None, BOOKING)
    both, shared = beside(fitted, series.chosen, learned, full)
    table = gate.joined(series, both, learned, shared)
    return table, served(learned, shared, table.chosen)


def digest(series: str, found: Served | None) -> str:
    """SHA-256 of the training data: that of the series, and of the curves where there are any."""
    if found is None:
        return series
    return hashlib.sha256((series + found.fitted.past.digest()).encode()).hexdigest()


def params(found: Served | None) -> dict[str, Any]:
    """For the training's record."""
    if found is None:
        return {}
    fitted = found.fitted
    measured = {
        bucket_name(n): {
            "candidate": fitted.chosen[n],
            "forecasts": fitted.cases[n],
            "mase": {name: errors[n] for name, errors in fitted.errors.items()},
        }
        for n in range(len(BUCKETS))
        if fitted.cases[n]
    }
    return {"booking": {"events": len(fitted.past), "half_life_days": fitted.half_life, "days_before": measured}}


def choices(found: Served | None, say: Catalogue) -> tuple[Choice, ...]:
    """One for every stretch of days before the start that the backtest has measured."""
    if found is None:
        return ()
    fitted = found.fitted
    return tuple(
        Choice(
            subject=say("booking.stretch", stretch=bucket_name(n)),
            family=BOOKING if fitted.is_better[n] else RULE,
            scores={name: error for name, errors in fitted.errors.items() if (error := errors[n]) is not None},
            why=why(say, found, n),
            observations=fitted.cases[n],
        )
        for n in range(len(BUCKETS))
        if fitted.cases[n]
    )


def limits(found: Served | None, say: Catalogue) -> tuple[str, ...]:
    """For the model card."""
    if found is None:
        return ()
    return (say("booking.limit_events", needed=say.number(MIN_EVENTS)), say("booking.limit_sales"))
