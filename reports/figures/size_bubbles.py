"""Sizes of images: width against height, one bubble per size whose area is the number of images."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure as Canvas

from reports.elements.formatting import short_names
from reports.elements.matplotlib_figure import INK, PAPER, axes, colour, figure, legend
from reports.elements.page import Figure

SizeCounts = Sequence[tuple[int, int, int]]
"""(height, width, number of images) of each size."""


def size_bubbles(
    slug: str, title: str, finding: str, labels: Sequence[str], sizes: Sequence[SizeCounts]
) -> Figure:
    """Draw the image sizes of each series.

    Args:
        slug: unique on the page.
        title: a phrase.
        finding: one sentence on what the figure shows.
        labels: of the series.
        sizes: of each series its image sizes.
    """
    most = max((images for of in sizes for _, _, images in of), default=1)

    def draw(canvas: Canvas) -> None:
        (ax,) = axes(canvas)
        for number, (name, of) in enumerate(zip(short_names(labels, 24), sizes, strict=True)):
            ax.scatter(
                [width for _, width, _ in of], [height for height, _, _ in of],
                s=[12 + 240 * images / most for _, _, images in of], color=colour(number), alpha=0.55,
                edgecolors=PAPER, linewidths=0.8, label=name, gid=f"series-{number}",
            )  # fmt: skip
        largest = max((max(height, width) for of in sizes for height, width, _ in of), default=1)
        ax.set(
            xlim=(0, largest * 1.1),
            ylim=(0, largest * 1.1),
            xlabel="width (px)",
            ylabel="height (px)",
            aspect="equal",
        )
        ax.xaxis.label.set_color(INK)
        ax.yaxis.label.set_color(INK)
        if len(labels) > 1:
            legend(
                ax,
                loc="lower left",
                bbox_to_anchor=(0, 1),
                ncols=len(labels),
                borderaxespad=0.2,
                markerscale=0.5,
            )

    return figure(slug, title, finding, 340, draw)
