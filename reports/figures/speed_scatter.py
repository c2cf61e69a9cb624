"""Latency or size against AP: one marker per model with its intervals, and the Pareto front."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from reports.elements.formatting import short_names
from reports.elements.matplotlib_figure import INK, MUTED, PAPER, LegendAbove, axes, colour, figure
from reports.elements.page import Figure
from reports.elements.palette import series_style

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Point:
    """One model.

    Attributes:
        number: of the model.
        label: of the model.
        cost, costs: what it costs, above 0, such as milliseconds, and its interval; both ends are equal where it has none.
        quality, qualities: AP as a fraction and its interval; NaN if not known.
        on_front: whether it is on the Pareto front.
        grey: whether it is slower than another model without a decisively higher AP.
    """

    number: int
    label: str
    cost: float
    costs: Interval
    quality: float
    qualities: Interval
    on_front: bool
    grey: bool


def pareto(
    slug: str,
    title: str,
    finding: str,
    points: Sequence[Point],
    axis: str,
    level: float | None = None,
    names_above: bool = False,
) -> Figure:
    """Draw a cost, on a logarithmic axis, against AP; up and to the left is better.

    Args:
        slug: unique on the page.
        title: a phrase.
        finding: one sentence on what the figure shows.
        points: at least one.
        axis: label of the axis of costs.
        level: AP to mark by a horizontal line.
        names_above: whether labels are in a legend instead of beside the markers, for points that may be close to each other.
    """
    labels = [point.label for point in points]
    names = short_names(labels, 40 if names_above else 20)
    above = LegendAbove.of(names)

    def draw(canvas: Canvas) -> None:
        (ax,) = axes(canvas)
        ax.set_xscale("log")
        if level is not None:
            ax.axhline(100 * level, color=MUTED, linewidth=0.8, zorder=0)
        front = sorted((point.cost, 100 * point.quality) for point in points if point.on_front)
        lows = [min(point.cost, point.costs[0]) for point in points]
        highs = [max(point.cost, point.costs[1]) for point in points]
        room = max(max(highs) / min(lows), 1.5) ** 0.22
        ax.set_xlim(min(lows) / room, max(highs) * room)
        if front:
            x, y = np.array(front).T
            ax.step(
                np.append(x, ax.get_xlim()[1]), np.append(y, y[-1]), where="post", color=MUTED, linewidth=1.2,
                linestyle=(0, (4, 2)), zorder=1,
            )  # fmt: skip
        for name, point in zip(names, points, strict=True):
            its, series = MUTED if point.grey else colour(point.number), f"series-{point.number}"
            middle = 100 * point.quality
            ax.hlines(middle, *point.costs, color=its, linewidth=1.8, gid=series)
            if np.isfinite(point.qualities).all():
                low, high = (100 * end for end in point.qualities)
                ax.vlines(point.cost, low, high, color=its, linewidth=1.8, gid=series)
            ax.plot(
                point.cost, middle, series_style(point.number).shape, color=its, markersize=8,
                markerfacecolor=PAPER if point.grey else its, markeredgecolor=its if point.grey else PAPER,
                markeredgewidth=1.4 if point.grey else 0.8, gid=series, linestyle="none",
                label=name if names_above else None,
            )  # fmt: skip
            if not names_above:
                ax.annotate(
                    name, (point.cost, middle), (7, 6), textcoords="offset points",
                    color=MUTED if point.grey else INK, fontsize=11, gid=series,
                )  # fmt: skip
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.margins(y=0.18)
        ax.set(xlabel=axis, ylabel="AP (%)")
        if names_above:
            above.draw(ax)

    return figure(slug, title, finding, 300 + (above.height if names_above else 0), draw)
