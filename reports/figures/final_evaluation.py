"""Values of finalists in the study, retrained with fresh seeds, and on the test split."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from reports.elements.formatting import short_names, truncate
from reports.elements.matplotlib_figure import INK, PAPER, RULE, axes, figure, legend
from reports.elements.page import Figure
from reports.elements.palette import LIGHT
from reports.records.final_evaluation import Finalist


def final_evaluation_plot(
    slug: str, title: str, finding: str, finalists: Sequence[Finalist], axis: str
) -> Figure:
    """A row per finalist: a diamond for the value in the study, dots for fresh seeds, squares and a bar for the test.

    Args:
        slug: unique on the page.
        title: what it shows.
        finding: what can be seen in it.
        finalists: from top to bottom; at least one.
        axis: the objective.
    """

    def draw(canvas: Canvas) -> None:
        (ax,) = axes(canvas)
        ax.grid(False, axis="y")
        named: set[str] = set()
        for row, each in enumerate(finalists):
            ax.axhline(row, color=RULE, linewidth=0.8, zorder=0)
            _dots(ax, row - 0.2, [each.tuned], "D", LIGHT[1], "validation, study", named)
            _dots(ax, row, each.retrained, "o", LIGHT[0], "validation, fresh seeds", named)
            _dots(ax, row + 0.2, each.test, "s", LIGHT[2], "test", named)
            if each.test_interval is not None:
                ax.hlines(row + 0.2, *each.test_interval, color=LIGHT[2], linewidth=2.2, alpha=0.75)
        ax.set_yticks(range(len(finalists)), short_names([each.name for each in finalists], 22))
        ax.set_ylim(len(finalists) - 0.45, -0.55)
        ax.margins(x=0.08)
        ax.set_xlabel(truncate(axis, 40))
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
        legend(ax, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.2)

    return figure(slug, title, finding, 110 + 46 * len(finalists), draw)


def _dots(
    ax: Axes, row: float, values: Sequence[float | None], shape: str, colour: str, label: str, named: set[str]
) -> None:
    known = [value for value in values if value is not None and math.isfinite(value)]
    if not known:
        return
    single = len(known) == 1
    ax.plot(
        known, [row] * len(known), linestyle="", marker=shape, color=colour, markersize=7 if single else 5,
        markerfacecolor=colour if single else PAPER, markeredgecolor=PAPER if single else colour,
        markeredgewidth=0.8 if single else 1.2, label=None if label in named else label,
    )  # fmt: skip
    named.add(label)
    if not single:
        mean = sum(known) / len(known)
        ax.plot(mean, row, "|", color=INK, markersize=11, markeredgewidth=1.6)
