"""Histograms as outlines, one per split, as shares of each split; with marks at values such as strides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from reports.elements.formatting import short_names
from reports.elements.matplotlib_figure import INK, MUTED, axes, colour, dashes, figure, legend
from reports.elements.page import Figure


@dataclass(frozen=True, slots=True)
class HistogramAxis:
    """The horizontal axis.

    Attributes:
        label: quantity and unit.
        of: what the shares are of: ``boxes``.
        log: whether it is logarithmic.
        integers: whether bins are centred on integers.
        ticks: values with a tick and its text; automatic if empty.
        marks: vertical lines, by value the text.
    """

    label: str
    of: str
    log: bool = False
    integers: bool = False
    ticks: Mapping[float, str] = field(default_factory=dict)
    marks: Mapping[float, str] = field(default_factory=dict)


def histograms(
    slug: str,
    title: str,
    finding: str,
    labels: Sequence[str],
    edges: Sequence[float],
    counts: Sequence[Sequence[int]],
    axis: HistogramAxis,
) -> Figure:
    """Draw one outline per series; empty bins at both ends are left out.

    Args:
        slug: unique on the page.
        title: a phrase.
        finding: one sentence on what the figure shows.
        labels: of the series.
        edges: B + 1 limits of the bins.
        counts: of each series B counts.
        axis: the horizontal axis.
    """
    used = np.flatnonzero(np.sum(counts, axis=0))
    first, last = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, len(edges) - 1)
    shown = np.asarray(edges[first : last + 1], np.float64)

    def draw(canvas: Canvas) -> None:
        (ax,) = axes(canvas)
        if axis.log:
            ax.set_xscale("log")
        for number, (name, of) in enumerate(zip(short_names(labels, 24), counts, strict=True)):
            total = sum(of)
            if not total:
                continue
            shares = 100 * np.asarray(of[first:last], np.float64) / total
            ax.stairs(
                shares, shown, color=colour(number), linewidth=1.7, linestyle=dashes(number),
                label=name, gid=f"series-{number}",
            )  # fmt: skip
        ax.set_ylim(bottom=0)
        ax.set_xlim(shown[0], shown[-1])
        for value, text in axis.marks.items():
            if shown[0] <= value <= shown[-1]:
                ax.axvline(value, color=MUTED, linewidth=1, linestyle=(0, (2, 2)))
                ax.annotate(
                    text, (value, 1), xycoords=("data", "axes fraction"), xytext=(3, -2),
                    textcoords="offset points", va="top", fontsize=9, color=MUTED,
                )  # fmt: skip
        if axis.ticks:
            inside = {value: text for value, text in axis.ticks.items() if shown[0] <= value <= shown[-1]}
            ax.xaxis.set_major_locator(FixedLocator(list(inside)))
            ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: inside.get(value, f"{value:g}")))
        elif axis.log:
            wide = shown[-1] > 60 * shown[0]
            ax.xaxis.set_major_locator(LogLocator(base=2, subs=(1,), numticks=7 if wide else 12))
            ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        elif axis.integers:
            ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.set_xlabel(axis.label, color=INK)
        ax.set_ylabel(f"{axis.of} (%)", color=INK)
        if len(labels) > 1:
            legend(ax, loc="lower left", bbox_to_anchor=(0, 1), ncols=len(labels), borderaxespad=0.2)

    return figure(slug, title, finding, 260, draw)
