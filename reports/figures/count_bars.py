"""Bars of counts: one row per class, one bar per split, on a linear or logarithmic axis."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from reports.elements.formatting import count, large_number, short_names
from reports.elements.matplotlib_figure import INK, axes, colour, figure, legend
from reports.elements.page import Figure


def count_bars(
    slug: str,
    title: str,
    finding: str,
    rows: Sequence[str],
    labels: Sequence[str],
    values: Sequence[Sequence[int]],
    axis: str,
) -> Figure:
    """Draw one row per name with one bar per series; the axis is logarithmic if the counts differ by more than 100.

    Args:
        slug: unique on the page.
        title: a phrase.
        finding: one sentence on what the figure shows.
        rows: R names, from top to bottom.
        labels: of the series.
        values: of each series R counts; the number is written at the end of each bar.
        axis: label of the axis.
    """
    positive = [value for of in values for value in of if value > 0]
    log = bool(positive) and max(positive) > 100 * min(positive)
    step = 0.8 / len(labels)
    high = max(24, 12 * len(labels) + 6)

    def draw(canvas: Canvas) -> None:
        (ax,) = axes(canvas)
        ax.grid(False, axis="y")
        if log:
            ax.set_xscale("log")
            ax.set_xlim(min(positive) / 2 if min(positive) > 1 else 0.7, max(positive) * 4)
        else:
            ax.set_xlim(0, max(positive, default=1) * 1.2)
            ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        for number, name in enumerate(short_names(labels, 24)):
            its, series = colour(number), f"series-{number}"
            for row, value in enumerate(values[number]):
                y = row + (number - (len(labels) - 1) / 2) * step
                ax.barh(
                    y, value, height=step * 0.9, color=its, gid=series,
                    label=None if row else name,
                )  # fmt: skip
                ax.annotate(
                    count(value), (max(value, ax.get_xlim()[0]), y), xytext=(3, 0), textcoords="offset points",
                    va="center", fontsize=9, color=INK, gid=series,
                )  # fmt: skip
        ax.set_yticks(range(len(rows)), short_names(rows, 22))
        ax.set_ylim(len(rows) - 0.45, -0.55)
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: large_number(value).replace(" ", "")))
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.set_xlabel(axis, color=INK)
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
        if len(labels) > 1:
            legend(ax, loc="lower left", bbox_to_anchor=(0, 1), ncols=len(labels), borderaxespad=0.2)

    return figure(slug, title, finding, 88 + high * len(rows), draw)
