"""Pictures of a backtest as PNG bytes, drawn without a display. Numbers in, bytes out."""

import io
from collections.abc import Mapping

from numpy.typing import ArrayLike


def backtest_plot(
    scores: Mapping[str, float],
    chosen: str,
    actual: ArrayLike,
    forecast: ArrayLike,
    *,
    metric: str,
    unit: str,
    axis: str = "days ahead",
) -> bytes:
    """Left: every candidate's gate metric, the chosen one dark. Right: actual and forecast along `axis`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    names = list(scores)
    bars = left.barh(names, [scores[name] for name in names], color="#b8c4d6")
    for name, bar in zip(names, bars, strict=True):
        if name == chosen:
            bar.set_color("#1f3a5f")
    left.bar_label(bars, fmt="%.3f", padding=3)
    left.invert_yaxis()
    left.margins(x=0.15)
    left.set_title(f"{metric}, lower is better")
    steps = range(1, len(list(actual)) + 1)  # type: ignore[arg-type]
    right.plot(steps, actual, color="#444444", label="actual")
    right.plot(steps, forecast, color="#1f3a5f", linestyle="--", label=chosen)
    right.set_xlabel(axis)
    right.set_title(unit)
    right.legend(frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90, metadata={"Software": None})
    return buffer.getvalue()
