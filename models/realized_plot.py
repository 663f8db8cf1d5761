"""The picture of how predictions turned out: predicted against actual, reliability, coverage over time. PNG bytes out."""

import io
from datetime import datetime
from typing import Any

import polars as pl

from models.realized import CHAMPION, reliability

LEAST = 5
"""Answers without which there is nothing to see."""
MOST_DOTS = 2_000
DARK, LIGHT = "#1f3a5f", "#b8c4d6"


def realized_plot(answers: pl.DataFrame, now: datetime, *, is_rate: bool, unit: str) -> bytes | None:
    """From `metrics.realized` of one use case: what was served and is due; None while there is too little to show."""
    rows = answers.filter((pl.col("role") == CHAMPION) & (pl.col("due_at") <= now)).sort("due_at")
    if rows.height < LEAST:
        return None
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.2))
    FigureCanvasAgg(figure)
    left, middle, right = figure.subplots(1, 3)
    _dots(left, rows, is_rate=is_rate, unit=unit)
    _reliability(middle, rows, is_rate=is_rate)
    _coverage(right, rows)
    figure.subplots_adjust(left=0.06, right=0.98, bottom=0.17, top=0.9, wspace=0.28)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=80, metadata={"Software": None})
    return buffer.getvalue()


def _dots(axes: Any, rows: pl.DataFrame, *, is_rate: bool, unit: str) -> None:
    """Actual against predicted; of a rate the two classes' predictions, side by side."""
    rows = rows.tail(MOST_DOTS)
    if is_rate:
        axes.hist(
            [rows.filter(pl.col("actual") == side)["predicted"].to_list() for side in (0, 1)], bins=20,
            color=[LIGHT, DARK], label=["did not", "did"],
        )  # fmt: skip
        axes.set_xlabel("predicted")
        axes.legend(frameon=False)
    else:
        axes.scatter(rows["predicted"].to_list(), rows["actual"].to_list(), s=9, color=DARK, alpha=0.5)
        _diagonal(axes, rows["predicted"].to_list() + rows["actual"].to_list())
        axes.set_xlabel("predicted")
        axes.set_ylabel("actual")
    axes.set_title(f"{rows.height} predictions, {unit}")


def _reliability(axes: Any, rows: pl.DataFrame, *, is_rate: bool) -> None:
    bins = reliability(rows["actual"].to_numpy(), rows["predicted"].to_numpy())
    predicted, actual = [one["predicted"] for one in bins], [one["actual"] for one in bins]
    axes.plot(predicted, actual, marker="o", color=DARK)
    _diagonal(axes, predicted + actual)
    axes.set_xlabel("mean predicted")
    axes.set_ylabel("share that came" if is_rate else "mean actual")
    axes.set_title("reliability by tenths")


def _coverage(axes: Any, rows: pl.DataFrame) -> None:
    """Share inside the interval by week; a rate has none of a single case, so its mean error is shown instead."""
    known = rows.filter(pl.col("is_inside").is_not_null())
    what = pl.col("is_inside").cast(pl.Float64) if known.height else pl.col("error")
    weekly = (known if known.height else rows).group_by_dynamic("due_at", every="1w").agg(what.mean().alias("share"))
    axes.plot(weekly["due_at"].to_list(), weekly["share"].to_list(), marker="o", color=DARK)
    level = known["level"].mean()
    if isinstance(level, float):
        axes.axhline(level, color="#444444", linestyle="--")
        axes.set_ylim(0, 1.05)
    axes.tick_params(axis="x", labelrotation=20, labelsize=7)
    axes.set_title("coverage by week" if known.height else "mean error by week")


def _diagonal(axes: Any, values: list[float]) -> None:
    ends = [min(values), max(values)]
    axes.plot(ends, ends, color="#444444", linestyle="--", linewidth=1)
