"""Priors over the boxes that they have to find, and how many boxes of each size they reach, before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter, NullFormatter
from numpy.typing import NDArray

from reports.elements.matplotlib_figure import INK, MUTED, PAPER, axes, colour, dashes, figure, legend
from reports.elements.page import Figure

Floats = NDArray[np.float64]
Curve = tuple[Floats, Floats]
"""Sizes in pixels, and the share of boxes of about that size that some prior reaches."""

_BINS = 12


def recall_by_size(area: Floats, reached: NDArray[np.bool_], least: float, most: float) -> Curve:
    """The share of boxes that are reached, in bins of equal ratio of size.

    Args:
        area: (G,) of the boxes.
        reached: (G,) whether some prior overlaps each enough.
        least: where the first bin begins, as a side: the square root of an area.
        most: where the last one ends; above `least`.

    Returns:
        The middle of each bin, and its share; NaN where it holds no box, or less than one in 200 of all.
    """
    edges = np.geomspace(least, most, _BINS + 1)
    bins = np.searchsorted(edges[1:-1], np.sqrt(area), side="right")
    count = np.bincount(bins, minlength=_BINS)
    share = np.full(_BINS, np.nan)
    enough = count >= max(1, len(area) / 200)
    np.divide(np.bincount(bins, weights=reached, minlength=_BINS), count, out=share, where=enough)
    return np.sqrt(edges[:-1] * edges[1:]), share


def anchor_figure(
    title: str,
    finding: str,
    boxes: Floats,
    before: Sequence[Floats],
    after: Sequence[Floats],
    curves: Mapping[str, tuple[Curve, Curve]],
    threshold: float,
) -> Figure:
    """Two panels: widths and heights of boxes with the priors over them, and recall by size.

    Args:
        title: what it shows.
        finding: what is to be seen in it.
        boxes: (N, 2) width and height in pixels of the network's input; as many as shall be drawn.
        before: of each level (S, 2), the same of the priors of now.
        after: and of those found.
        curves: by the name of a split, recall by size before and after; the first is drawn solid.
        threshold: IoU from which on a prior reaches a box.
    """

    def draw(canvas: Canvas) -> None:
        shapes, recall = axes(canvas, 1, 2)
        every = np.concatenate([boxes, *before, *after])
        (left, low), (right, high) = every.min(axis=0) / 1.3, every.max(axis=0) * 1.3
        shapes.set(xscale="log", yscale="log", xlim=(left, right), ylim=(low, high))
        shapes.plot(*boxes.T, "o", color=MUTED, markersize=2, alpha=0.35, markeredgewidth=0, rasterized=True)
        for number, (name, levels) in enumerate({"priors now": before, "priors found": after}.items()):
            sides = np.concatenate(list(levels)).T
            face = PAPER if number == 0 else colour(number)
            shapes.plot(
                *sides, "s" if number == 0 else "o", color=colour(number), markersize=6, markerfacecolor=face,
                markeredgewidth=1.3, markeredgecolor=colour(number) if number == 0 else PAPER, label=name,
            )  # fmt: skip
        shapes.set(title="Boxes and priors", xlabel="width, pixels of the input", ylabel="height")
        for number, state in enumerate(("now", "found")):
            for style, (split, pair) in enumerate(curves.items()):
                sizes, share = pair[number]
                known = np.isfinite(share)
                recall.plot(
                    sizes[known], 100 * share[known], color=colour(number), linestyle=dashes(style),
                    linewidth=1.8, marker="o", markersize=3, label=f"{state}, {split}",
                )  # fmt: skip
        recall.set(
            title=f"Boxes reached at IoU {threshold:g}", xlabel="size, square root of area", xscale="log"
        )
        recall.set_ylabel("%", rotation=0)
        recall.set_ylim(-3, 103)
        for ax in (shapes, recall):
            _plain_ticks(ax)
            where = "upper left" if ax is shapes else "lower right"
            legend(ax, loc=where, frameon=True, facecolor=PAPER, edgecolor="none", framealpha=0.85)

    return figure("anchors", title, finding, 400, draw, width=900)


def _plain_ticks(ax: Axes) -> None:
    """10 and 100, not powers of ten; between them where there is only one."""
    for axis in (ax.xaxis, ax.yaxis):
        if axis.get_scale() == "log":
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            low, high = axis.get_view_interval()
            few = high / low < 50
            axis.set_minor_formatter(
                FuncFormatter(lambda value, _: f"{value:g}" if f"{value:e}"[0] in "25" else "")
                if few
                else NullFormatter()
            )
            axis.set_tick_params(which="minor", labelcolor=INK)
