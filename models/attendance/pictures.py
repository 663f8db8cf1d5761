"""What a backtest on a file shows beside its figures: the last steps of each series, hidden, forecast and compared.

Frames and models in, PNG bytes out. The comparison of candidates and its picture are the training's.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import polars as pl

from models.base import Context, Prediction, TrainConfig, Trained, UseCase
from models.files import Prepared

MOST = 12
SHOWN_STEPS = 8
"""History shown before what is hidden, in times its length."""
HIDDEN_SHARE = 0.1
MOST_HIDDEN = 48
UNIT, START, PEOPLE = "unit", "starts_at", "attendance"


def pictures(
    code: UseCase, file: Prepared, trained: Trained, config: TrainConfig, context: Context
) -> dict[str, bytes]:
    """`forecast`: what a model that ends before the last tenth of the steps says of them, beside what came.

    Twelve series at most, the longest. Raises `NotReady` where so much less history is too little.
    """
    name = pl.coalesce("series_id", "venue_name", "category", pl.lit(""))
    training = file.training.with_columns(name.alias(UNIT))
    cut = _cut(training, config)
    before = training.filter(pl.col(START) < cut).drop(UNIT)
    earlier = replace(context, as_of=cut)
    model = code.train(before, config, earlier).model
    units = training.group_by(UNIT).len().sort(["len", UNIT], descending=[True, False])[UNIT][:MOST].to_list()
    shown = training.filter(pl.col(UNIT).is_in(units))
    rows = code.rows(_seen_from(shown.drop(UNIT), cut), earlier)
    said = {one.subject.id: one for one in model.predict(rows) if one.subject.kind == "event" and one.interval}
    drawn = [part for unit in units if len(part := _drawn(shown.filter(pl.col(UNIT) == unit), cut, said))]
    return {"forecast": _png(drawn, cut)} if drawn else {}


def _cut(training: pl.DataFrame, config: TrainConfig) -> datetime:
    """The moment from which on everything is hidden: the horizon, or a tenth of the longest series' steps."""
    longest = training.group_by(UNIT).len().sort(["len", UNIT], descending=[True, False])[UNIT][0]
    moments = training.filter(pl.col(UNIT) == longest)[START].unique().sort()
    hidden = config.horizon_days or min(MOST_HIDDEN, max(1, int(len(moments) * HIDDEN_SHARE)))
    found: datetime = moments[max(1, len(moments) - hidden)]
    return found


def _seen_from(training: pl.DataFrame, cut: datetime) -> pl.DataFrame:
    """The rows as they were at `cut`: what came after it is on the calendar, and nobody has come yet."""
    later = pl.col(START) >= cut
    return training.with_columns(
        pl.when(~later).then(pl.col(PEOPLE)).alias(PEOPLE),
        (~later).alias("is_past"),
        pl.when(later).then(pl.lit("scheduled")).otherwise(pl.col("status")).alias("status"),
    )


def _drawn(part: pl.DataFrame, cut: datetime, said: Mapping[str, Prediction]) -> list[dict[str, Any]]:
    """One series in order of time: moment, people, and the forecast where there is one; empty where there is none."""
    rows: list[dict[str, Any]] = []
    for row in part.sort(START).iter_rows(named=True):
        found = said.get(row["event_id"]) if row[START] >= cut else None
        band = (found.interval.low, found.value, found.interval.high) if found and found.interval else None
        rows.append({"unit": row[UNIT], "at": row[START], "people": row[PEOPLE], "band": band})
    hidden = sum(row["at"] >= cut for row in rows)
    if not any(row["band"] for row in rows):
        return []
    return rows[-hidden * (SHOWN_STEPS + 1) :]


def _png(series: Sequence[Sequence[Mapping[str, Any]]], cut: datetime) -> bytes:
    from matplotlib.figure import Figure

    across = min(3, len(series))
    down = -(-len(series) // across)
    figure = Figure(figsize=(5 * across, 2.6 * down), layout="constrained")
    panels = figure.subplots(down, across, squeeze=False).ravel()
    for axes, rows in zip(panels, series, strict=False):
        told = [row for row in rows if row["band"]]
        at = [row["at"] for row in told]
        axes.plot(
            [row["at"] for row in rows], [row["people"] for row in rows], color="#444444", linewidth=1, label="came"
        )
        axes.fill_between(
            at, [row["band"][0] for row in told], [row["band"][2] for row in told], color="#b8c4d6", label="P10 to P90"
        )
        axes.plot(at, [row["band"][1] for row in told], color="#1f3a5f", linestyle="--", label="P50")
        axes.axvline(cut, color="grey", linewidth=0.5)
        axes.set_title(rows[0]["unit"], fontsize=9)
        axes.tick_params(axis="x", labelrotation=30, labelsize=7)
    for axes in panels[len(series) :]:
        axes.set_axis_off()
    panels[0].legend(fontsize=7, frameon=False)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=80, metadata={"Software": None})
    return picture.getvalue()
