"""Forest plot: differences with their confidence intervals and the line of no difference."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure as Canvas
from numpy.typing import NDArray

from reports.elements.formatting import truncate
from reports.elements.matplotlib_figure import INK, MUTED, PAPER, RULE, axes, figure
from reports.elements.page import Figure


def forest(
    slug: str,
    title: str,
    finding: str,
    rows: Sequence[str],
    values: NDArray[np.float64],
    decisive: Sequence[bool],
    measure: str = "AP",
) -> Figure:
    """Draw one row per difference: a filled diamond if it is decisive, else an open one.

    Args:
        slug: unique on the page.
        title: a phrase.
        finding: one sentence on what the figure shows.
        rows: R names, from top to bottom.
        values: (R, 5) fractions: difference, limits of its interval, limits of the simultaneous interval.
        decisive: whether each difference is decisive.
        measure: of which they are differences.
    """

    def draw(canvas: Canvas) -> None:
        (ax,) = axes(canvas)
        ax.grid(False, axis="y")
        delta, low, high, wide_low, wide_high = 100 * values.T
        at = np.arange(len(rows))
        for row in range(len(rows)):
            ax.axhline(row, color=RULE, linewidth=0.8, zorder=0)
        ax.axvline(0, color=INK, linewidth=1.2)
        ax.hlines(at, wide_low, wide_high, color=MUTED, linewidth=1)
        ax.hlines(at, low, high, color=INK, linewidth=3)
        for x, y, sure in zip(delta, at, decisive, strict=True):
            ax.plot(
                x,
                y,
                "D",
                color=INK,
                markersize=7,
                markerfacecolor=INK if sure else PAPER,
                markeredgewidth=1.4,
            )
        if not np.nan_to_num(values).any():
            ax.set_xlim(-1, 1)  # all differences are 0
        ax.set_yticks(at, [truncate(row, 30) for row in rows])
        ax.set_ylim(len(rows) - 0.45, -0.55)
        ax.set_xlabel(f"difference in {measure} (percentage points)")
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)

    return figure(slug, title, finding, 66 + 28 * len(rows), draw)
