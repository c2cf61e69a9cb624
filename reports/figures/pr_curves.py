"""Precision against recall: where along the score a model gives up precision for recall, and how far recall goes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure as Canvas
from numpy.typing import NDArray

from reports.elements.formatting import truncate
from reports.elements.matplotlib_figure import axes, colour, dashes, figure, legend, shade
from reports.elements.page import Figure

RECALLS = np.linspace(0, 1, 101)
"""The recalls at which COCO reads precision."""


def pr_curves(
    slug: str,
    title: str,
    finding: str,
    labels: Sequence[str],
    curves: Sequence[NDArray[np.float64]],
    bands: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]] = (),
) -> Figure:
    """One step curve a model.

    Args:
        slug: unique on the page.
        title: what it shows.
        finding: what is to be seen in it.
        labels: of the models, in the order of their numbers.
        curves: for each model (S, 101), a row a seed: precision at `RECALLS`, mean over classes; NaN is not drawn.
        bands: for each model (101,) low and high of its mean, shaded.
    """

    def draw(canvas: Canvas) -> None:
        (ax,) = axes(canvas)
        for number, (label, rows) in enumerate(zip(labels, curves, strict=True)):
            its = colour(number)
            if bands:
                shade(ax, number, RECALLS, *bands[number])
            if len(rows) > 1:
                for row in rows:
                    ax.plot(RECALLS, row, color=its, linewidth=0.8, alpha=0.35, gid=f"series-{number}")
            mean = rows.mean(0)
            ax.plot(
                RECALLS, mean, color=its, linewidth=1.8, linestyle=dashes(number), label=truncate(label, 28),
                gid=f"series-{number}",
            )  # fmt: skip
        ax.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
        legend(ax, loc="lower left")

    return figure(slug, title, finding, 300, draw)
