"""Reliability diagram: precision over mean score, with the diagonal of perfect calibration."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure as Canvas

from metrics.reliability import Reliability
from reports.elements.formatting import short_names
from reports.elements.matplotlib_figure import MUTED, PAPER, LegendAbove, axes, colour, dashes, figure
from reports.elements.page import Figure
from reports.elements.palette import series_style


def reliability_diagram(
    slug: str, title: str, finding: str, labels: Sequence[str], curves: Sequence[Reliability]
) -> Figure:
    """Draw the precision of each bin over its mean score, with confidence intervals and the diagonal.

    Args:
        slug: unique on the page.
        title: a phrase.
        finding: one sentence on what the figure shows.
        labels: of the models.
        curves: of each model; empty bins are left out.
    """
    names = short_names(labels, 28)
    above = LegendAbove.of(names)

    def draw(canvas: Canvas) -> None:
        (ax,) = axes(canvas)
        ax.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (1, 2)))
        for number, (name, curve) in enumerate(zip(names, curves, strict=True)):
            known = curve.count > 0
            x, y = curve.score[known], curve.precision[known]
            its, gid = colour(number), f"series-{number}"
            # The first and last bins are narrow: thin bars without caps.
            ax.vlines(
                x, curve.precision_low[known], curve.precision_high[known], color=its, linewidth=1, gid=gid
            )
            ax.plot(
                x, y, color=its, linestyle=dashes(number), linewidth=1.6, marker=series_style(number).shape, markersize=6,
                markeredgecolor=PAPER, markeredgewidth=0.7, label=name, gid=gid,
            )  # fmt: skip
        ax.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="mean score", ylabel="precision")
        ax.set_xticks(np.linspace(0, 1, 6))
        if len(names) > 1:
            above.draw(ax)

    return figure(slug, title, finding, 330 + (above.height if len(names) > 1 else 0), draw)
