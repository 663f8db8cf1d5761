"""The picture of a backtest: how often leads converted against how often they were said to, and whom to call first."""

import io
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def calibration_png(outcome: Floats, probabilities: Mapping[str, Floats]) -> bytes:
    """Left a reliability diagram over ten equal bins per candidate, right cumulative gain, as PNG bytes.

    Gain is the share of all conversions among the best-scored share of leads; the grey line is calling at random.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 5), layout="constrained")
    left, right = figure.subplots(1, 2)
    top = 0.0
    for name, probability in probabilities.items():
        bins = np.array_split(np.argsort(probability, kind="stable"), 10)
        said = [float(probability[part].mean()) for part in bins if len(part)]
        seen = [float(outcome[part].mean()) for part in bins if len(part)]
        left.plot(said, seen, marker="o", label=name)
        top = max(top, *said, *seen)
        right.plot(*gain(outcome, probability), label=name)
    left.plot([0, top], [0, top], color="grey", linewidth=1)
    left.set(xlabel="predicted probability", ylabel="share that converted", title="Calibration on the test rows")
    right.plot([0, 1], [0, 1], color="grey", linewidth=1)
    right.set(xlabel="share of leads, best first", ylabel="share of conversions", title="Gain on the test rows")
    left.legend()
    picture = io.BytesIO()
    figure.savefig(picture, format="png", metadata={"Software": None})
    return picture.getvalue()


def gain(outcome: Floats, probability: Floats) -> tuple[Floats, Floats]:
    """(share of leads taken, share of conversions among them), both from 0 to 1, at every hundredth of the leads."""
    order = np.argsort(-probability, kind="stable")
    taken = np.linspace(0, len(order), min(len(order), 100) + 1).astype(np.intp)
    found = np.concatenate([[0.0], np.cumsum(outcome[order])])
    return taken / max(len(order), 1), found[taken] / max(float(outcome.sum()), 1.0)
