"""The picture of a backtest: how often leads converted against how often they were said to."""

import io
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def calibration_png(outcome: Floats, probabilities: Mapping[str, Floats]) -> bytes:
    """A reliability diagram over ten equal bins per candidate, as PNG bytes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    top = 0.0
    for name, probability in probabilities.items():
        bins = np.array_split(np.argsort(probability, kind="stable"), 10)
        said = [float(probability[part].mean()) for part in bins if len(part)]
        seen = [float(outcome[part].mean()) for part in bins if len(part)]
        axes.plot(said, seen, marker="o", label=name)
        top = max(top, *said, *seen)
    axes.plot([0, top], [0, top], color="grey", linewidth=1)
    axes.set(xlabel="predicted probability", ylabel="share that converted", title="Calibration on the test weeks")
    axes.legend()
    picture = io.BytesIO()
    figure.savefig(picture, format="png", metadata={"Software": None})
    return picture.getvalue()
