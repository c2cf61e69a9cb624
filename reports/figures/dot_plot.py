"""Dot plots: one row per class, size or model; a dot for each model's mean and small dots for its seeds."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure as Canvas
from numpy.typing import NDArray

from reports.elements.formatting import points, short_names
from reports.elements.matplotlib_figure import INK, PAPER, RULE, LegendAbove, axes, colour, figure
from reports.elements.page import Figure
from reports.elements.palette import series_style


def dot_plot(
    slug: str,
    title: str,
    finding: str,
    rows: Sequence[str],
    labels: Sequence[str],
    values: Sequence[NDArray[np.float64]],
    axis: str,
    show_means: bool = False,
    intervals: Sequence[NDArray[np.float64]] | None = None,
    pale: Sequence[NDArray[np.bool_]] | None = None,
    zero: bool = False,
    numbers: Sequence[int] | None = None,
) -> Figure:
    """Draw the values of several models in rows.

    Args:
        slug: unique on the page.
        title: a phrase.
        finding: one sentence on what the figure shows.
        rows: R names, from top to bottom.
        labels: of the models, shown in a legend unless they are the rows.
        values: of each model (R, S) fractions, one column per seed; NaN is not drawn.
        axis: label of the axis.
        show_means: write each mean above its dot; for one dot per row.
        intervals: of each model (R, 2) limits, drawn as bars; NaN is not drawn.
        pale: of each model (R,) whether an interval rests on too few data and is drawn pale.
        zero: whether to draw the line at 0.
        numbers: of the models, by default 0, 1, ...
    """
    models = len(labels)
    series = range(models) if numbers is None else numbers
    single = models == 1
    step = 0.0 if single or show_means else min(0.18, 0.7 / models)
    high = 34 if show_means or single else max(26, 9 * models + 8)
    row_names, names = short_names(rows, 22), short_names(labels, 24)
    left = 12 + 6.8 * max(map(len, row_names), default=0)
    above = LegendAbove.of(names, left)
    head = 0 if show_means or single else above.height

    def draw(canvas: Canvas) -> None:
        (ax,) = axes(canvas)
        ax.grid(False, axis="y")
        for row in range(len(rows)):
            ax.axhline(row, color=RULE, linewidth=0.8, zorder=0)
        if zero:
            ax.axvline(0, color=INK, linewidth=1)
        for place, (number, name) in enumerate(zip(series, names, strict=True)):
            at = np.arange(len(rows)) + (place - (models - 1) / 2) * step
            its, seeds = colour(number), 100 * values[place]
            if intervals is not None:
                low, high = 100 * intervals[place].T
                hint = np.zeros(len(rows), np.bool_) if pale is None else pale[place]
                for kept, width, alpha in ((~hint, 2.2, 0.75), (hint, 1.4, 0.3)):
                    if kept.any():
                        ax.hlines(
                            at[kept], low[kept], high[kept], color=its, linewidth=width, alpha=alpha,
                            gid=f"series-{number}",
                        )  # fmt: skip
            if seeds.shape[1] > 1:
                ax.plot(
                    seeds.ravel(), np.repeat(at, seeds.shape[1]), "o", color=its, markersize=4,
                    markerfacecolor=PAPER, markeredgewidth=1.2, gid=f"series-{number}",
                )  # fmt: skip
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)
                means = np.nanmean(seeds, axis=1)
            ax.plot(
                means, at, series_style(number).shape, color=its, markersize=7, markeredgecolor=PAPER,
                markeredgewidth=0.8, label=name, gid=f"series-{number}",
            )  # fmt: skip
            if show_means:
                for mean, y in zip(means, at, strict=True):
                    if np.isfinite(mean):
                        ax.annotate(
                            points(mean / 100), (mean, y), (0, 7), textcoords="offset points", ha="center",
                            color=INK, fontsize=11, fontweight="bold", gid=f"series-{number}",
                        )  # fmt: skip
        ax.set_yticks(range(len(rows)), row_names)
        ax.set_ylim(len(rows) - 0.45, -0.65 if show_means else -0.55)
        ax.set_xlim(*_limits([*values, *(intervals or [])]))
        ax.set_xlabel(axis)
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
        if not (show_means or single):
            above.draw(ax)

    return figure(slug, title, finding, 62 + head + high * len(rows), draw)


def _limits(values: Sequence[NDArray[np.float64]]) -> tuple[float, float]:
    """Limits of the axis: from 0 if the dots stay distinguishable, else around them; all percent if all values are 0 or unknown."""
    known = 100 * np.concatenate([value.ravel() for value in values])
    known = known[np.isfinite(known)]
    if not known.any():
        return 0.0, 100.0
    low, high = float(known.min()), float(known.max())
    room = max(0.12 * (high - low), 0.04 * abs(high), 0.01)
    near_zero = low >= 0 and low - room < 0.35 * high
    return (-0.02 * high if near_zero else low - room), high + room
