"""Heat map of values by corruption and severity, darker where they are higher."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.figure import Figure as Canvas
from matplotlib.patches import Rectangle

from reports.elements.formatting import points
from reports.elements.matplotlib_figure import INK, axes, colour, figure
from reports.elements.page import Figure


def corruption_map(
    slug: str,
    title: str,
    finding: str,
    rows: Sequence[str],
    columns: Sequence[str],
    values: Sequence[Sequence[float]],
    highest: float,
    number: int,
) -> Figure:
    """Draw a grid of values with their numbers.

    Args:
        slug: unique on the page.
        title: a phrase.
        finding: one sentence on what the figure shows.
        rows: R names, from top to bottom.
        columns: K names.
        values: R rows of K fractions; NaN has no colour.
        highest: value of the darkest colour.
        number: of the model.
    """

    def draw(canvas: Canvas) -> None:
        (ax,) = axes(canvas)
        ax.grid(False)
        for row, of_row in enumerate(values):
            for column, value in enumerate(of_row):
                if math.isfinite(value):
                    shade = 0.7 * min(value / highest, 1.0) if highest > 0 else 0.0
                    patch = Rectangle((column, row), 1, 1, facecolor=colour(number), alpha=shade, linewidth=0)
                    ax.add_patch(patch)
                ax.text(
                    column + 0.5, row + 0.5, points(value), ha="center", va="center", color=INK, fontsize=10.5
                )
        ax.set(xlim=(0, len(columns)), ylim=(len(rows), 0))
        ax.set_xticks([at + 0.5 for at in range(len(columns))], list(columns))
        ax.set_yticks([at + 0.5 for at in range(len(rows))], list(rows))
        ax.tick_params(length=0)
        for spine in ax.spines.values():
            spine.set_visible(False)

    return figure(slug, title, finding, 44 + 21 * len(rows), draw)
