"""Line plots, one line per run, over epochs, IoU thresholds, scores, batch sizes or times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator
from numpy.typing import NDArray

from reports.elements.formatting import short_names
from reports.elements.matplotlib_figure import (
    INK,
    PAPER,
    LegendAbove,
    axes,
    colour,
    dashes,
    figure,
    hook,
    shade,
)
from reports.elements.page import Figure
from reports.elements.palette import series_style

Curve = tuple[NDArray[np.float64], NDArray[np.float64]]
"""x and y, of equal length."""


@dataclass(frozen=True, slots=True)
class LineAxes:
    """Labels, limits and scales of the axes.

    Attributes:
        x, y: labels.
        integer_x: whether x has integer ticks only.
        x_limits, y_limits: None fits the data, with y from 0.
        log_x: whether x is logarithmic; values of 0 and below are not drawn. Without a positive value x is linear.
        ticks: ticks on x; automatic if empty.
        cursor: whether to add a vertical line that the page's script moves along x.
    """

    x: str
    y: str
    integer_x: bool = False
    x_limits: tuple[float, float] | None = None
    y_limits: tuple[float, float] | None = None
    log_x: bool = False
    ticks: tuple[float, ...] = ()
    cursor: bool = False


def lines(
    slug: str,
    title: str,
    finding: str,
    labels: Sequence[str],
    curves: Sequence[Sequence[Curve]],
    line_axes: LineAxes,
    points: Sequence[Sequence[tuple[float, float]]] = (),
    bands: Sequence[tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]] = (),
    numbers: Sequence[int] | None = None,
) -> Figure:
    """Draw one line per run in the colour and dash of its model; values that are not finite interrupt the line.

    Args:
        slug: unique on the page.
        title: a phrase.
        finding: one sentence on what the figure shows.
        labels: of the models.
        curves: of each model, one per run.
        line_axes: labels, limits and scales.
        points: of each model, drawn as markers; without them, markers are spaced along each line.
        bands: of each model, x, lower and upper limit of a shaded band.
        numbers: of the models, by default 0, 1, ...
    """
    series = range(len(labels)) if numbers is None else numbers
    names = short_names(labels, 28)
    above = LegendAbove.of([name for name, runs in zip(names, curves, strict=True) if runs])

    def draw(canvas: Canvas) -> None:
        (ax,) = axes(canvas)
        for place, (number, name, runs) in enumerate(zip(series, names, curves, strict=True)):
            its, shape = colour(number), series_style(number).shape
            if bands:
                shade(ax, number, *bands[place])
            for at, (x, y) in enumerate(runs):
                ax.plot(
                    x, y, color=its, linestyle=dashes(number), linewidth=1.8 if len(runs) == 1 else 1.2,
                    marker=None if points else shape, markersize=4.5, markevery=max(1, -(-len(x) // 10)),
                    label=None if at else name, gid=f"series-{number}",
                )  # fmt: skip
            for x_, y_ in points[place] if points else ():
                ax.plot(
                    x_, y_, shape, color=its, markersize=7, markeredgecolor=PAPER, markeredgewidth=0.8,
                    gid=f"series-{number}",
                )  # fmt: skip
        ax.set(xlabel=line_axes.x, ylabel=line_axes.y)
        if line_axes.log_x and any((x > 0).any() for runs in curves for x, _ in runs):
            ax.set_xscale("log")
            low, high = ax.get_xlim()
            if high < 30 * low:  # powers of ten alone would give one or two ticks
                ax.xaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
            ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            ax.xaxis.set_minor_formatter(NullFormatter())
        above_zero = [y[x > 0] if line_axes.log_x else y for runs in curves for x, y in runs]
        if ax.get_xscale() == "linear" and not any(np.isfinite(y).any() for y in above_zero):
            ax.set_xlim(0, 1)
        if line_axes.integer_x:
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        if line_axes.ticks:
            ax.xaxis.set_major_locator(FixedLocator(line_axes.ticks))
            ax.xaxis.set_minor_locator(NullLocator())
        if line_axes.x_limits:
            ax.set_xlim(*line_axes.x_limits)
        if line_axes.y_limits:
            ax.set_ylim(*line_axes.y_limits)
        else:
            ax.set_ylim(bottom=0)
        if len(labels) > 1:
            above.draw(ax)
        if line_axes.cursor:
            # The page's script reads the ends of the axis from these two lines and moves the first one.
            for at, x_ in enumerate(ax.get_xlim()):
                ax.axvline(x_, color=INK, linewidth=1.2, alpha=0.0, gid=hook(f"cursor-{at}"))

    return figure(slug, title, finding, 280 + (above.height if len(labels) > 1 else 0), draw)
