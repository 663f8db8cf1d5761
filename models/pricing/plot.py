"""The picture of a backtest: weekly demand sold against forecast."""

import io
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def demand_png(weeks: Mapping[str, tuple[Floats, Floats]]) -> bytes:
    """One scatter per candidate of (sold, forecast) product-weeks on log axes, as PNG bytes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4 * len(weeks), 4), layout="constrained")
    panels = figure.subplots(1, len(weeks), squeeze=False, sharex=True, sharey=True)[0]
    for axes, (name, (actual, forecast)) in zip(panels, weeks.items(), strict=True):
        axes.loglog(np.maximum(actual, 0.5), np.maximum(forecast, 0.5), ".", alpha=0.3)
        top = max(1.0, float(actual.max()), float(forecast.max()))
        axes.plot([0.5, top], [0.5, top], color="grey", linewidth=1)
        axes.set(title=name, xlabel="sold in the week")
    panels[0].set_ylabel("forecast")
    picture = io.BytesIO()
    figure.savefig(picture, format="png", metadata={"Software": None})
    return picture.getvalue()
