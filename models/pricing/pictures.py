"""What a backtest on a file shows beside its figures: the demand curve behind each recommended price.

Frames and models in, PNG bytes out. The comparison of candidates and its picture are the training's.
"""

import io
from collections.abc import Sequence

from models.base import Context, Prediction, TrainConfig, Trained, UseCase
from models.files import Prepared

MOST = 12


def pictures(
    code: UseCase, file: Prepared, trained: Trained, config: TrainConfig, context: Context
) -> dict[str, bytes]:
    """`demand`: expected quantity by price of the twelve products sold most, with current and recommended price."""
    rows = code.rows(file.live, context)
    priced = [one for one in trained.model.predict(rows) if one.value is not None and one.details.get("demand_curve")]
    busiest = sorted(priced, key=lambda one: -float(one.details.get("expected_quantity") or 0))[:MOST]
    return {"demand": _png(busiest)} if busiest else {}


def _png(products: Sequence[Prediction]) -> bytes:
    from matplotlib.figure import Figure

    across = min(3, len(products))
    down = -(-len(products) // across)
    figure = Figure(figsize=(4.5 * across, 2.8 * down), layout="constrained")
    panels = figure.subplots(down, across, squeeze=False).ravel()
    for axes, one in zip(panels, products, strict=False):
        curve = one.details["demand_curve"]
        axes.plot([p["price"] for p in curve], [p["quantity"] for p in curve], color="#1f3a5f")
        axes.axvline(float(one.value or 0), color="#1f3a5f", linestyle="--", label="recommended")
        current = one.details.get("current_price")
        if current is not None:
            axes.axvline(float(current), color="grey", linestyle=":", label="current")
        axes.set_title(one.subject.id, fontsize=9)
        axes.set_xlabel(one.unit, fontsize=8)
    for axes in panels[len(products) :]:
        axes.set_axis_off()
    panels[0].set_ylabel("expected quantity", fontsize=8)
    panels[0].legend(fontsize=7, frameon=False)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=80, metadata={"Software": None})
    return picture.getvalue()
