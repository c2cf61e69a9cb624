"""Values of models over the time of a decision, with their intervals, and where each model was eliminated or set aside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from reports.elements.formatting import short_names
from reports.elements.matplotlib_figure import INK, MUTED, PAPER, axes, colour, dashes, figure
from reports.elements.page import Figure
from reports.elements.palette import series_style


@dataclass(frozen=True, slots=True)
class Course:
    """The course of a model.

    Attributes:
        name: of the model.
        series: its number on the page; None for a model that is not on it, which is drawn in grey.
        minutes: of each look, increasing.
        values, lows, highs: fractions at each look; NaN where unknown.
        end: how it ended.
    """

    name: str
    series: int | None
    minutes: Sequence[float]
    values: Sequence[float]
    lows: Sequence[float]
    highs: Sequence[float]
    end: str


def courses(
    slug: str, title: str, finding: str, models: Sequence[Course], measure: str, minutes: float
) -> Figure:
    """Draw a line per model; a cross marks an elimination, an open circle a model that was set aside.

    Args:
        slug: unique on the page.
        title: a phrase.
        finding: one sentence on what the figure shows.
        models: their courses.
        measure: name of the measure.
        minutes: time that the decision took.
    """

    def draw(canvas: Canvas) -> None:
        (ax,) = axes(canvas)
        shift = 0.006 * minutes
        labels = []
        names = short_names([model.name for model in models], 22)
        for at, (name, model) in enumerate(zip(names, models, strict=True)):
            its = MUTED if model.series is None else colour(model.series)
            gid = None if model.series is None else f"series-{model.series}"
            x = np.array(model.minutes) + shift * (at - (len(models) - 1) / 2)  # intervals side by side
            y, low, high = (100 * np.array(of) for of in (model.values, model.lows, model.highs))
            style = "solid" if model.series is None else dashes(model.series)
            shape = "o" if model.series is None else series_style(model.series).shape
            ax.vlines(x, low, high, color=its, linewidth=1.2, gid=gid)
            ax.plot(x, y, shape, color=its, linestyle=style, linewidth=1.4, markersize=6, markeredgecolor=PAPER, markeredgewidth=0.8, gid=gid)  # fmt: skip
            if model.end == "eliminated":
                ax.plot(x[-1:], y[-1:], "x", color=INK, markersize=9, markeredgewidth=2, gid=gid)
            elif model.end == "set_aside":
                ax.plot(
                    x[-1:],
                    y[-1:],
                    "o",
                    color=INK,
                    markersize=9,
                    markerfacecolor="none",
                    markeredgewidth=1.4,
                    gid=gid,
                )
            labels.append((float(y[-1]), float(x[-1]), name, gid))
        known = np.concatenate(
            [np.array(of) for model in models for of in (model.values, model.lows, model.highs)]
        )
        known = 100 * known[np.isfinite(known)]
        bottom, top = (float(known.min()), float(known.max())) if len(known) else (0.0, 100.0)
        room = max(0.06 * (top - bottom), 0.5)
        ax.set_ylim(max(bottom - room, -0.03 * top) if bottom >= 0 else bottom - room, top + room)
        _label(ax, labels, 0.062 * (top - bottom + 2 * room), minutes)
        ax.set_xlim(0, minutes * 1.3)
        ax.set(xlabel="minutes since the start", ylabel=f"{measure} on validation images (%)")

    return figure(slug, title, finding, 300, draw)


def _label(
    ax: Axes, labels: Sequence[tuple[float, float, str, str | None]], apart: float, minutes: float
) -> None:
    """Write the name of each model to the right of its last point; names beside each other are moved apart."""
    written: list[tuple[float, float]] = []
    for y, x, text, gid in sorted(labels, key=lambda label: label[:3]):
        at = y
        for other_x, other_y in written:
            if abs(other_x - x) < 0.25 * minutes and at - other_y < apart:
                at = other_y + apart
        written.append((x, at))
        ax.text(x + 0.025 * minutes, at, text, color=INK, fontsize=10.5, va="center", gid=gid)
