"""Heat map of a grid of counts, darker where there are more."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure as Canvas
from matplotlib.patches import Rectangle

from reports.elements.matplotlib_figure import INK, axes, colour, figure
from reports.elements.page import Figure


def heat_map(
    slug: str, title: str, finding: str, counts: Sequence[Sequence[int]], across: str, down: str
) -> Figure:
    """Draw a grid of counts with its origin at the top left.

    Args:
        slug: unique on the page.
        title: a phrase.
        finding: one sentence on what the figure shows.
        counts: R rows of K counts.
        across: label of the horizontal axis, whose range is 0 to 1.
        down: label of the vertical axis, whose range is 0 to 1.
    """
    most = max(max(row) for row in counts) or 1
    rows, columns = len(counts), len(counts[0])

    def draw(canvas: Canvas) -> None:
        (ax,) = axes(canvas)
        ax.grid(False)
        for row, values in enumerate(counts):
            for column, value in enumerate(values):
                if value:
                    corner = column / columns, row / rows
                    ax.add_patch(
                        Rectangle(
                            corner,
                            1 / columns,
                            1 / rows,
                            facecolor=colour(0),
                            alpha=value / most,
                            linewidth=0,
                        )
                    )
        ax.set(xlim=(0, 1), ylim=(1, 0), xlabel=across, ylabel=down, aspect="equal")
        ax.xaxis.label.set_color(INK)
        ax.yaxis.label.set_color(INK)
        for side in ("top", "right"):
            ax.spines[side].set_visible(True)

    return figure(slug, title, finding, 320, draw)
