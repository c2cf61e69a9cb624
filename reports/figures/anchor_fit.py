"""Anchor priors and ground-truth boxes, and the share of boxes that priors cover by size, before and after a fit."""

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
"""Sizes in pixels, and the share of boxes of about that size that a prior covers."""

_BINS = 12


def recall_by_size(area: Floats, reached: NDArray[np.bool_], least: float, most: float) -> Curve:
    """Compute the share of covered boxes in logarithmic bins of size.

    Args:
        area: (G,) of the boxes.
        reached: (G,) whether a prior reaches the IoU threshold with the box.
        least: start of the first bin, as the square root of an area.
        most: end of the last bin, above `least`.

    Returns:
        The centre of each bin and its share; NaN for a bin with no box, or with fewer than one in 200 of all.
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
    """Draw two panels: widths and heights of boxes and priors, and coverage by size.

    Args:
        title: a phrase.
        finding: one sentence on what the figure shows.
        boxes: (N, 2) width and height in pixels of the network's input.
        before: of each level, (S, 2) width and height of the current priors.
        after: the same of the fitted priors.
        curves: by split, coverage by size before and after; the first split is drawn solid.
        threshold: IoU at which a prior covers a box.
    """

    def draw(canvas: Canvas) -> None:
        shapes, recall = axes(canvas, 1, 2)
        every = np.concatenate([boxes, *before, *after])
        (left, low), (right, high) = every.min(axis=0) / 1.3, every.max(axis=0) * 1.3
        shapes.set(xscale="log", yscale="log", xlim=(left, right), ylim=(low, high))
        shapes.plot(*boxes.T, "o", color=MUTED, markersize=2, alpha=0.35, markeredgewidth=0, rasterized=True)
        for number, (name, levels) in enumerate({"current priors": before, "fitted priors": after}.items()):
            sides = np.concatenate(list(levels)).T
            face = PAPER if number == 0 else colour(number)
            shapes.plot(
                *sides, "s" if number == 0 else "o", color=colour(number), markersize=6, markerfacecolor=face,
                markeredgewidth=1.3, markeredgecolor=colour(number) if number == 0 else PAPER, label=name,
            )  # fmt: skip
        shapes.set(title="Boxes and priors", xlabel="width (input pixels)", ylabel="height (input pixels)")
        for number, state in enumerate(("current", "fitted")):
            for style, (split, pair) in enumerate(curves.items()):
                sizes, share = pair[number]
                known = np.isfinite(share)
                recall.plot(
                    sizes[known], 100 * share[known], color=colour(number), linestyle=dashes(style),
                    linewidth=1.8, marker="o", markersize=3, label=f"{state}, {split}",
                )  # fmt: skip
        recall.set(
            title=f"Objects reached at IoU {threshold:g}",
            xlabel="square root of area (input pixels)",
            ylabel="objects (%)",
            xscale="log",
        )
        recall.set_ylim(-3, 103)
        for ax in (shapes, recall):
            _plain_ticks(ax)
            where = "upper left" if ax is shapes else "lower right"
            legend(ax, loc=where, frameon=True, facecolor=PAPER, edgecolor="none", framealpha=0.85)

    return figure("anchors", title, finding, 400, draw, width=900)


def _plain_ticks(ax: Axes) -> None:
    """Label ticks 10 and 100 rather than as powers; add minor labels on short axes."""
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
