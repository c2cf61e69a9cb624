"""Precision over recall, one step curve per model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure as Canvas
from numpy.typing import NDArray

from reports.elements.formatting import short_names
from reports.elements.matplotlib_figure import LegendAbove, axes, colour, dashes, figure, shade
from reports.elements.page import Figure

RECALLS = np.linspace(0, 1, 101)
"""The recall levels at which COCO samples precision."""


def pr_curves(
    slug: str,
    title: str,
    finding: str,
    labels: Sequence[str],
    curves: Sequence[NDArray[np.float64]],
    bands: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]] = (),
) -> Figure:
    """Draw one curve per model.

    Args:
        slug: unique on the page.
        title: a phrase.
        finding: one sentence on what the figure shows.
        labels: of the models.
        curves: of each model (S, 101), one row per seed: precision at `RECALLS`, mean over classes; NaN is not drawn.
        bands: of each model (101,) lower and upper limit of a shaded band.
    """
    names = short_names(labels, 28)
    above = LegendAbove.of(names)

    def draw(canvas: Canvas) -> None:
        (ax,) = axes(canvas)
        for number, (name, rows) in enumerate(zip(names, curves, strict=True)):
            its = colour(number)
            if bands:
                shade(ax, number, RECALLS, *bands[number])
            if len(rows) > 1:
                for row in rows:
                    ax.plot(RECALLS, row, color=its, linewidth=0.8, alpha=0.35, gid=f"series-{number}")
            mean = rows.mean(0)
            ax.plot(
                RECALLS, mean, color=its, linewidth=1.8, linestyle=dashes(number), label=name,
                gid=f"series-{number}",
            )  # fmt: skip
        ax.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
        if len(names) > 1:
            above.draw(ax)

    return figure(slug, title, finding, 300 + (above.height if len(names) > 1 else 0), draw)
