"""Box plots in rows, on a logarithmic axis."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from reports.elements.formatting import short_names
from reports.elements.matplotlib_figure import INK, PAPER, RULE, LegendAbove, axes, colour, figure
from reports.elements.page import Figure
from reports.elements.palette import series_style

Box = tuple[float, float, float, float, float]
"""Five positive values in ascending order: whisker, lower quartile, median, upper quartile, whisker."""


def boxes(
    slug: str,
    title: str,
    finding: str,
    rows: Sequence[str],
    labels: Sequence[str],
    values: Sequence[Sequence[Box | None]],
    axis: str,
) -> Figure:
    """Draw one row per name with one box per model.

    Args:
        slug: unique on the page.
        title: a phrase.
        finding: one sentence on what the figure shows.
        rows: R names, from top to bottom.
        labels: of the models.
        values: of each model R boxes; None is not drawn.
        axis: label of the axis.
    """
    drawn = [number for number, of in enumerate(values) if any(of)]
    step = min(0.26, 0.8 / max(len(drawn), 1))
    height = max(30, 15 * len(drawn) + 12)
    row_names, names = short_names(rows, 22), short_names(labels, 24)
    left = 12 + 6.8 * max(map(len, row_names), default=0)
    above = LegendAbove.of([names[number] for number in drawn], left)

    def draw(canvas: Canvas) -> None:
        (ax,) = axes(canvas)
        ax.set_xscale("log")
        ax.grid(False, axis="y")
        for row in range(1, len(rows)):
            ax.axhline(row - 0.5, color=RULE, linewidth=0.8, zorder=0)
        for place, number in enumerate(drawn):
            its, series = colour(number), f"series-{number}"
            named = False
            for row, box in enumerate(values[number]):
                if box is None:
                    continue
                y = row + (place - (len(drawn) - 1) / 2) * step
                begin, first, middle, third, end = box
                ax.hlines(y, begin, end, color=its, linewidth=1.2, gid=series)
                ax.hlines(y, first, third, color=its, linewidth=6, gid=series)
                ax.plot(
                    middle, y, series_style(number).shape, color=its, markersize=6, markeredgecolor=PAPER,
                    markeredgewidth=1.0, label=None if named else names[number], gid=series,
                )  # fmt: skip
                named = True
        ax.set_yticks(range(len(rows)), row_names)
        ax.set_ylim(len(rows) - 0.45, -0.55)
        low, high = ax.get_xlim()
        # Over more than two and a half decades, labels at 2 and 5 would overlap.
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 300 * low else (1,)))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.set_xlabel(axis, color=INK)
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
        if len(drawn) > 1:
            above.draw(ax)

    head = above.height if len(drawn) > 1 else 0
    return figure(slug, title, finding, 66 + head + height * len(rows), draw)
