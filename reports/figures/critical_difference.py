"""Critical difference diagram: mean ranks on a line, and bars over models that a test does not distinguish."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure as Canvas

from reports.elements.formatting import short_names
from reports.elements.matplotlib_figure import INK, MUTED, PAPER, axes, colour, figure
from reports.elements.page import Figure
from reports.elements.palette import series_style

_STEP = 0.42
_BAR = 0.2


def critical_difference(
    slug: str,
    title: str,
    finding: str,
    labels: Sequence[str],
    ranks: Sequence[float],
    groups: Sequence[Sequence[int]],
    difference: float,
) -> Figure:
    """Draw mean ranks from the best at the left; a bar joins models that are not distinguished.

    Args:
        slug: unique on the page.
        title: a phrase.
        finding: one sentence on what the figure shows.
        labels: of the models.
        ranks: mean rank of each model, from 1.
        groups: numbers of the models of each bar.
        difference: length of the critical difference, in ranks.

    Source: Demsar 2006, figure 1.
    """
    order = np.argsort(ranks, kind="stable").tolist()
    left = order[: (len(order) + 1) // 2]
    right = order[len(left) :][::-1]
    depth = _BAR * len(groups) + _STEP * max(len(left), len(right)) + 0.25

    names = short_names(labels, 18)

    def draw(canvas: Canvas) -> None:
        (ax,) = axes(canvas)
        ax.grid(False)
        low, high = 1.0, float(len(ranks))
        ax.plot([low, high], [0, 0], color=INK, linewidth=1.2)
        for tick in range(1, len(ranks) + 1):
            ax.plot([tick, tick], [0, 0.08], color=INK, linewidth=1.2)
            ax.text(tick, 0.14, str(tick), ha="center", va="bottom", color=INK, fontsize=11)
        shown = min(difference, high - low)
        ax.plot([low, low + shown], [0.75, 0.75], color=MUTED, linewidth=2)
        more = "" if difference <= high - low else ", more than the axis"
        ax.text(
            low,
            0.82,
            f"critical difference {difference:.2f}{more}",
            ha="left",
            va="bottom",
            color=INK,
            fontsize=11,
        )
        for at, group in enumerate(groups):
            ends = [ranks[number] for number in group]
            y = -_BAR * (at + 0.6)
            ax.plot(
                [min(ends) - 0.03, max(ends) + 0.03], [y, y], color=INK, linewidth=4, solid_capstyle="round"
            )
        room = 0.06 * (high - low) + 0.05
        for side, numbers in (("right", left), ("left", right)):
            edge = low - room if side == "right" else high + room
            for at, number in enumerate(numbers):
                y = -_BAR * len(groups) - _STEP * (at + 0.7)
                ax.plot(
                    [ranks[number], ranks[number], edge], [0, y, y], color=colour(number), linewidth=1.2,
                    gid=f"series-{number}",
                )  # fmt: skip
                ax.plot(
                    ranks[number], 0, series_style(number).shape, color=colour(number), markersize=8,
                    markeredgecolor=PAPER, markeredgewidth=0.8, gid=f"series-{number}", clip_on=False, zorder=3,
                )  # fmt: skip
                ax.text(
                    edge, y, f" {names[number]} {ranks[number]:.2f} ", ha=side, va="center", color=INK,
                    fontsize=11, gid=f"series-{number}",
                )  # fmt: skip
        span = high - low
        ax.set_xlim(low - 0.62 * span, high + 0.62 * span)
        ax.set_ylim(-depth, 1.2)
        ax.set_axis_off()

    return figure(slug, title, finding, 40 + 62 * (depth + 1.2), draw)
