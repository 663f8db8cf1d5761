"""The pictures of pricing's part of the page. Numbers in, PNG bytes out."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def demand_png(brands: Mapping[int, tuple[Floats, Floats]]) -> bytes:
    """Units sold against forecast in the test weeks, a panel for each brand, log axes."""
    figure, panels = _figure(2, 6, (13, 4.6))
    for axes, (brand, (actual, said)) in zip(panels.flat, brands.items(), strict=False):
        axes.loglog(said, actual, ".", markersize=2, alpha=0.25, color="#1f3a5f")
        ends = [max(0.5, float(said.min())), float(actual.max())]
        axes.plot(ends, ends, color="grey", linewidth=1)
        axes.set_title(f"brand {brand}", fontsize=9)
    panels.flat[-1].set_axis_off()
    figure.supxlabel("forecast units in a week")
    figure.supylabel("sold")
    return _png(figure)


def coverage_png(shares: Mapping[int, float]) -> bytes:
    """Share of store-weeks inside the 80 % interval, by brand."""
    figure, panels = _figure(1, 1, (7, 3))
    axes = panels.flat[0]
    bars = axes.bar([str(brand) for brand in shares], list(shares.values()), color="#b8c4d6")
    axes.bar_label(bars, fmt="%.2f", fontsize=8)
    axes.axhspan(0.75, 0.85, color="#1f3a5f", alpha=0.12)
    axes.axhline(0.8, color="#1f3a5f", linewidth=1)
    axes.set(ylim=(0, 1), xlabel="brand", title="Held-out weeks inside the 80 % interval of demand")
    return _png(figure)


def _figure(rows: int, columns: int, size: tuple[float, float]) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    return figure, np.atleast_1d(figure.subplots(rows, columns, squeeze=False))


def _png(figure: Any) -> bytes:
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=90, metadata={"Software": None})
    return picture.getvalue()
