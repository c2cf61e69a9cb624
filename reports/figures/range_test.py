"""Loss over the learning rate of a range test, with the rates that it suggests."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter, NullFormatter
from numpy.typing import NDArray

from reports.elements.matplotlib_figure import INK, MUTED, PAPER, axes, colour, figure, legend
from reports.elements.page import Figure

Floats = NDArray[np.float64]


def range_test_figure(
    title: str, finding: str, rate: Floats, loss: Floats, smoothed: Floats, steepest: float, lowest: float
) -> Figure:
    """Draw the loss of each step and its running average; y ends at the first loss, where later ones are far above it.

    Args:
        title: a phrase.
        finding: one sentence on what the figure shows.
        rate: (N,) learning rates, increasing.
        loss: (N,) losses.
        smoothed: (N,) running average of the losses.
        steepest: rate of the steepest descent; NaN for none.
        lowest: rate of the lowest smoothed loss; NaN for none.
    """

    def draw(canvas: Canvas) -> None:
        (ax,) = axes(canvas)
        ax.set_xscale("log")
        ax.plot(rate, loss, "o", color=MUTED, markersize=3, markeredgewidth=0, alpha=0.6, label="each step")
        ax.plot(rate, smoothed, color=colour(0), linewidth=1.8, label="running average")
        marks = {"steepest descent": (steepest, "o"), "lowest loss": (lowest, "s")}
        for number, (name, (at, shape)) in enumerate(marks.items(), start=1):
            if np.isfinite(at):
                height = float(smoothed[np.searchsorted(rate, at)])
                ax.axvline(at, color=colour(number), linewidth=1.0, linestyle=":")
                ax.plot(
                    at, height, shape, color=colour(number), markersize=8, markeredgecolor=PAPER,
                    markeredgewidth=1.0, label=f"{name}: {at:.2g}", zorder=3,
                )  # fmt: skip
        ax.set(xlabel="learning rate", ylabel="training loss")
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.tick_params(axis="x", labelcolor=INK)
        if len(loss):
            low, high = float(loss.min()), max(float(loss[:10].max()), float(smoothed[:10].max()))
            ax.set_ylim(low - 0.1 * (high - low), high + 0.3 * (high - low))
        legend(ax, loc="lower left", frameon=True, facecolor=PAPER, edgecolor="none", framealpha=0.85)

    return figure("range-test", title, finding, 340, draw, width=640)
