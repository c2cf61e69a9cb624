"""What went down and what went up in training: loss, and AP on the validation images, by epoch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from reports.figures.drawing import Palette, axes, dashes, figure, legend
from reports.marks import mark
from reports.page import Figure
from reports.shown import short

Curve = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Epochs and values, of the same length."""


def history(
    slug: str,
    title: str,
    finding: str,
    labels: Sequence[str],
    curves: Sequence[Sequence[Curve]],
    axis: str,
    from_zero: bool = True,
) -> Figure:
    """One line a run, in its model's colour; values that are not finite break the line.

    Args:
        slug: unique on the page.
        title: what it shows.
        finding: what is to be seen in it.
        labels: of the models, in the order of their numbers.
        curves: for each model its runs' curves.
        axis: what is on the vertical axis.
        from_zero: whether that axis starts at 0.
    """

    def draw(canvas: Canvas, palette: Palette) -> None:
        (ax,) = axes(canvas, palette)
        for number, (label, runs) in enumerate(zip(labels, curves, strict=True)):
            for at, (epochs, values) in enumerate(runs):
                ax.plot(
                    epochs, values, color=palette.of(number), linestyle=dashes(number),
                    linewidth=1.8 if len(runs) == 1 else 1.2, marker=mark(number).shape, markersize=4,
                    markevery=max(1, len(epochs) // 8), label=None if at else short(label, 28), gid=f"series-{number}",
                )  # fmt: skip
        ax.set(xlabel="epoch", ylabel=axis)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        if from_zero:
            ax.set_ylim(bottom=0)
        if len(labels) > 1:
            legend(ax, palette, loc="best")

    return figure(slug, title, finding, 300, draw)
