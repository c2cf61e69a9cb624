"""A line a run against something that rises: epochs, IoU thresholds, scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator
from numpy.typing import NDArray

from reports.elements.formatting import truncate
from reports.elements.matplotlib_figure import INK, PAPER, axes, colour, dashes, figure, hook, legend, shade
from reports.elements.page import Figure
from reports.elements.palette import series_style

Curve = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Where and how much, of the same length."""


@dataclass(frozen=True, slots=True)
class LineAxes:
    """How the two axes are named and bounded.

    Attributes:
        x, y: what is on them.
        whole: whether x counts whole things.
        x_limits, y_limits: None leaves them to the data; y from 0 then.
        log_x: whether x rises by factors; what is not above 0 is not drawn then.
        ticks: the only places on x that are named, where they are known beforehand.
        cursor: whether the page moves an upright line along x.
    """

    x: str
    y: str
    whole: bool = False
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
    named: LineAxes,
    points: Sequence[Sequence[tuple[float, float]]] = (),
    bands: Sequence[tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]] = (),
) -> Figure:
    """One line a run, in its model's colour and dash; values that are not finite break the line.

    Args:
        slug: unique on the page.
        title: what it shows.
        finding: what is to be seen in it.
        labels: of the models, in the order of their numbers.
        curves: for each model its runs' curves.
        named: the axes.
        points: for each model points to mark; without them a marker stands at some places of every line.
        bands: for each model where, low and high of the mean of its curves, shaded.
    """

    def draw(canvas: Canvas) -> None:
        (ax,) = axes(canvas)
        for number, (label, runs) in enumerate(zip(labels, curves, strict=True)):
            its, shape = colour(number), series_style(number).shape
            if bands:
                shade(ax, number, *bands[number])
            for at, (x, y) in enumerate(runs):
                ax.plot(
                    x, y, color=its, linestyle=dashes(number), linewidth=1.8 if len(runs) == 1 else 1.2,
                    marker=None if points else shape, markersize=4.5, markevery=max(1, -(-len(x) // 10)),
                    label=None if at else truncate(label, 28), gid=f"series-{number}",
                )  # fmt: skip
            for x_, y_ in points[number] if points else ():
                ax.plot(
                    x_, y_, shape, color=its, markersize=7, markeredgecolor=PAPER, markeredgewidth=0.8,
                    gid=f"series-{number}",
                )  # fmt: skip
        ax.set(xlabel=named.x, ylabel=named.y)
        if named.log_x:
            ax.set_xscale("log")
            low, high = ax.get_xlim()
            if high < 30 * low:  # powers of ten alone would leave next to nothing to read
                ax.xaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
            ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            ax.xaxis.set_minor_formatter(NullFormatter())
        if named.whole:
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        if named.ticks:
            ax.xaxis.set_major_locator(FixedLocator(named.ticks))
            ax.xaxis.set_minor_locator(NullLocator())
        if named.x_limits:
            ax.set_xlim(*named.x_limits)
        if named.y_limits:
            ax.set_ylim(*named.y_limits)
        else:
            ax.set_ylim(bottom=0)
        if len(labels) > 1:
            legend(ax, loc="best")
        if named.cursor:
            # The page's script reads from these two where the axis begins and ends, and moves the first between them.
            for at, x_ in enumerate(ax.get_xlim()):
                ax.axvline(x_, color=INK, linewidth=1.2, alpha=0.0, gid=hook(f"cursor-{at}"))

    return figure(slug, title, finding, 280, draw)
