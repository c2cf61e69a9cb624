"""Optuna's own figures of a study, in the page's colours, type and size."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import Collection, LineCollection, PathCollection, QuadMesh
from matplotlib.colors import ListedColormap, to_hex, to_rgba
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text
from matplotlib.ticker import AutoLocator, FuncFormatter, MaxNLocator, NullFormatter

from reports.elements.matplotlib_figure import INK, MUTED, PAPER, RULE, adopted
from reports.elements.page import Figure
from reports.elements.palette import LIGHT

if TYPE_CHECKING:
    import optuna

BLUE, ORANGE, GREEN = LIGHT[0], LIGHT[1], LIGHT[2]

# What Optuna draws with, and what stands for it here.
_COLOURS = {
    "#1f77b4": BLUE,  # tab:blue: a trial
    "#3182bd": BLUE,  # of tab20c: a bar
    "#d62728": ORANGE,  # tab:red: the best, or failed
    "#ff7f0e": LIGHT[4],  # tab:orange: pruned
    "#2ca02c": GREEN,  # tab:green: running
    "#7f7f7f": MUTED,  # tab:gray: waiting
    "#cccccc": MUTED,  # not feasible
    "#000000": INK,
    "#555555": MUTED,  # ticks
    "#808080": PAPER,  # the edge of a dot
    "#2f3b52": INK,
}

_DEEP = 12
"""Steps of the scale of colours: one hue, from faint to full, so that it holds on dark paper too."""

_SAID = {
    "Best Value": "best so far",
    "Best Trial": "not surpassed in all",
    "Trial": "other trials",
    "Feasible Trial": "other trials",
    "Infeasible Trial": "breaks a limit",
    "Feasible": "keeps the limits",
    "Infeasible": "breaks a limit",
    "COMPLETE": "complete",
    "FAIL": "failed",
    "PRUNED": "pruned",
    "INFEASIBLE": "breaks a limit",
    "WAITING": "waiting",
}
"""Optuna's words, and ours."""


def history(slug: str, title: str, finding: str, study: optuna.Study, value: str) -> Figure:
    """Each trial's value and the best so far; `study` has one objective and a trial that is complete.

    Args:
        slug: unique on the page.
        title: what it shows.
        finding: what is to be seen in it.
        study: of `reports.analysis.optuna_study`.
        value: what the objective is called.
    """

    def plot(plots: Any) -> Axes:
        ax: Axes = plots.plot_optimization_history(study, target_name=value)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.set_xlabel("trial")
        legend = ax.get_legend()
        if legend is not None:
            legend.get_texts()[0].set_text("a trial")
        for line in ax.lines:
            line.set(linewidth=1.8, alpha=1, drawstyle="steps-post")
        return ax

    return _figure(slug, title, finding, 280, plot)


def intermediate(slug: str, title: str, finding: str, study: optuna.Study, value: str) -> Figure:
    """The objective between epochs, a line a trial; arguments as in `history`."""

    def plot(plots: Any) -> Axes:
        ax: Axes = plots.plot_intermediate_values(study)
        best = study.best_trial.number if study.best_trials else None
        for line in ax.lines:
            first = line.get_label() == f"Trial{best}"
            line.set(
                color=ORANGE if first else BLUE,
                alpha=1 if first else 0.35,
                linewidth=2 if first else 1,
                zorder=3 if first else 2,
            )
        ax.set(xlabel="training images seen", ylabel=value)
        return ax

    return _figure(slug, title, finding, 280, plot, keep_legend=False)


def importances(slug: str, title: str, finding: str, study: optuna.Study, shares: dict[str, float]) -> Figure:
    """A bar a setting; `shares` by the setting's name in `study`, more than none."""
    from optuna.importance import PedAnovaImportanceEvaluator

    class Known(PedAnovaImportanceEvaluator):
        """The shares that the study itself was told: the figure is of the same numbers as the table."""

        def evaluate(self, *arguments: Any, **named: Any) -> dict[str, float]:
            return dict(shares)

    def plot(plots: Any) -> Axes:
        ax: Axes = plots.plot_param_importances(study, evaluator=Known())
        ax.set(xlabel="share of importance", ylabel="")
        ax.set_xlim(0, 1.18 * max(max(shares.values()), 0.01))
        ax.grid(False, axis="y")
        ax.tick_params(axis="y", length=0)
        return ax

    return _figure(slug, title, finding, 62 + 30 * len(shares), plot, keep_legend=False)


def parallel_coordinates(
    slug: str, title: str, finding: str, study: optuna.Study, params: Sequence[str], value: str
) -> Figure:
    """A line a trial across the objective and some settings, the stronger the better; arguments as in `history`."""

    def plot(plots: Any) -> Axes:
        ax: Axes = plots.plot_parallel_coordinate(study, params=list(params), target_name=value)
        for lines in ax.collections:
            if isinstance(lines, LineCollection):
                lines.set_linewidth(1.2)
        _lean(ax, range(len(params) + 1), [label.get_text() for label in ax.get_xticklabels()])
        for other in _canvas(ax).axes:
            other.grid(False)
            if isinstance(other.yaxis.get_major_locator(), AutoLocator):
                other.yaxis.set_major_locator(MaxNLocator(4))
            if other is not ax and other.get_label() != "<colorbar>":
                other.tick_params(axis="y", labelsize=9, pad=1)
                for label in other.get_yticklabels():  # they stand among the lines
                    label.set_bbox({"facecolor": PAPER, "edgecolor": "none", "alpha": 0.8, "pad": 0.6})
        return ax

    return _figure(slug, title, finding, 340, plot)


def slices(
    slug: str, title: str, finding: str, study: optuna.Study, params: Sequence[str], value: str
) -> Figure:
    """The objective against one or two settings, a dot a trial; arguments as in `history`."""

    def plot(plots: Any) -> Axes:
        made = plots.plot_slice(study, params=list(params), target_name=value)
        every: list[Axes] = list(made) if isinstance(made, np.ndarray) else [made]
        for ax in every:
            ax.set_ylabel(value if ax is every[0] else "")
            if isinstance(ax.xaxis.get_major_locator(), AutoLocator):
                ax.xaxis.set_major_locator(MaxNLocator(3 if len(every) > 1 else 5))
            elif ax.get_xscale() == "linear":
                options = [label.get_text() for label in ax.get_xticklabels()]
                _lean(ax, range(len(options)), [option.strip("'") for option in options])
        _canvas(every[0]).axes[-1].set_ylabel("trial")
        return every[0]

    return _figure(slug, title, finding, 280, plot)


def contour(
    slug: str, title: str, finding: str, study: optuna.Study, params: Sequence[str], value: str
) -> Figure:
    """The objective over two settings, interpolated between trials; arguments as in `history`."""

    def plot(plots: Any) -> Axes:
        ax: Axes = plots.plot_contour(study, params=list(params), target_name=value)
        for drawn in ax.collections:
            if isinstance(drawn, PathCollection):
                drawn.set(sizes=[16], linewidths=0.6)
        if isinstance(ax.xaxis.get_major_locator(), AutoLocator):
            ax.xaxis.set_major_locator(MaxNLocator(5))
        return ax

    return _figure(slug, title, finding, 300, plot)


def timeline(slug: str, title: str, finding: str, study: optuna.Study) -> Figure:
    """When each trial ran, a bar a trial, coloured by how it ended."""

    def plot(plots: Any) -> Axes:
        ax: Axes = plots.plot_timeline(study)
        ax.set(xlabel="time since the first trial began", ylabel="trial")
        places = _steps(ax.get_xlim())
        ax.set_xticks(places, [_passed(place) for place in places], rotation=0, ha="center")
        ax.invert_yaxis()
        return ax

    return _figure(slug, title, finding, 280, plot)


def front(
    slug: str, title: str, finding: str, study: optuna.Study, pair: tuple[int, int], names: Sequence[str]
) -> Figure:
    """Two of several objectives against each other; the trials that none surpasses in all are marked.

    Args:
        slug: unique on the page.
        title: what it shows.
        finding: what is to be seen in it.
        study: of `reports.analysis.optuna_study`, with all its objectives.
        pair: which two.
        names: of the objectives.
    """

    def plot(plots: Any) -> Axes:
        ax: Axes = plots.plot_pareto_front(
            study,
            targets=lambda trial: tuple(trial.values[at] for at in pair),
            target_names=[names[at] for at in pair],
        )
        return ax

    return _figure(slug, title, finding, 280, plot)


def _figure(
    slug: str,
    title: str,
    finding: str,
    height: float,
    plot: Callable[[Any], Axes],
    keep_legend: bool = True,
) -> Figure:
    def make() -> Canvas:
        import optuna.visualization.matplotlib as plots

        with _quietly():
            canvas = _canvas(plot(plots))
            canvas.set_layout_engine("constrained")
            _restyle(canvas, keep_legend)
        return canvas

    with _pyplot_without_windows():
        return adopted(slug, title, finding, height, make)


@contextmanager
def _pyplot_without_windows() -> Iterator[None]:
    """Optuna draws by pyplot, which would open windows where a user works with them; its figures are closed after."""
    from matplotlib import pyplot

    before, known = matplotlib.get_backend(auto_select=False), set(pyplot.get_fignums())
    pyplot.switch_backend("agg")
    try:
        yield
    finally:
        for number in set(pyplot.get_fignums()) - known:
            pyplot.close(number)
        if before is not None and before.lower() != "agg":
            pyplot.switch_backend(before)


@contextmanager
def _quietly() -> Iterator[None]:
    """Optuna's style is for it alone, and what it says of experiments and layouts is not for our users."""
    with warnings.catch_warnings(), matplotlib.rc_context({"figure.constrained_layout.use": True}):
        warnings.simplefilter("ignore")
        yield


def _canvas(ax: Axes) -> Canvas:
    canvas = ax.get_figure()
    assert isinstance(canvas, Canvas)
    return canvas


def _restyle(canvas: Canvas, keep_legend: bool) -> None:
    """The page's colours, grid and type, and Optuna's words in ours."""
    canvas.suptitle("")
    for mapped in canvas.findobj(_is_mapped):
        _ramp(mapped)
    for artist in canvas.findobj():
        _recolour(artist)
    for ax in canvas.axes:
        ax.set_title("")
        ax.set_facecolor("none")
        ax.set_axisbelow(True)
        ax.tick_params(which="both", colors=MUTED, labelcolor=INK, length=3)
        ax.tick_params(which="minor", length=0)
        for axis in (ax.xaxis, ax.yaxis):
            axis.label.set(color=INK, fontsize=11.5)
            if axis.get_scale() == "log":
                axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
                axis.set_minor_formatter(NullFormatter())
            for label in axis.get_ticklabels():
                label.set_fontsize(min(label.get_fontsize(), 11))
        for line in (*ax.xaxis.get_gridlines(), *ax.yaxis.get_gridlines()):
            line.set(color=RULE, linewidth=0.8, linestyle="-")
        for side, spine in ax.spines.items():
            spine.set(color=MUTED, linewidth=0.8)
            if ax.get_label() != "<colorbar>":
                spine.set_visible(side in ("left", "bottom") or (spine.get_visible() and side == "right"))
    _legend(canvas, keep_legend)


def _is_mapped(artist: Any) -> bool:
    return (
        isinstance(artist, Collection) and artist.get_array() is not None and not isinstance(artist, QuadMesh)
    )


def _ramp(mapped: Any) -> None:
    """A scale of one hue instead of Optuna's; it rises where Optuna's does."""
    if isinstance(mapped, ContourSet) and not mapped.filled:
        mapped.set_cmap(ListedColormap([to_rgba(INK, 0.35)]))
        return
    faintest = 0.25 if isinstance(mapped, PathCollection) else 0.08
    ramp = ListedColormap([to_rgba(BLUE, deep) for deep in np.linspace(faintest, 1, _DEEP)])
    mapped.set_cmap(ramp.reversed() if mapped.get_cmap().name.count("_r") % 2 else ramp)


def _recolour(artist: Any) -> None:
    if isinstance(artist, Line2D):
        artist.set_color(_ours(artist.get_color()))
        artist.set_markerfacecolor(_ours(artist.get_markerfacecolor()))
        artist.set_markeredgecolor(_ours(artist.get_markeredgecolor()))
    elif isinstance(artist, Text):
        artist.set_color(INK)
    elif isinstance(artist, Patch):
        face, edge = artist.get_facecolor(), artist.get_edgecolor()
        artist.set_facecolor(_ours(face))
        artist.set_edgecolor(_ours(edge))
    elif isinstance(artist, Collection) and not isinstance(artist, QuadMesh):
        edges = [_ours(each) for each in artist.get_edgecolor()]
        if artist.get_array() is None:
            artist.set_facecolor([_ours(each) for each in artist.get_facecolor()])
        if not isinstance(artist, ContourSet | LineCollection):
            artist.set_edgecolor(edges)


def _ours(given: Any) -> Any:
    """A colour of this page for one of Optuna's; what is transparent stays so."""
    red, green, blue, alpha = to_rgba(given)
    return to_rgba(_COLOURS.get(to_hex((red, green, blue)), to_hex((red, green, blue))), alpha)


def _legend(canvas: Canvas, keep: bool) -> None:
    """One legend above the axes, in ink, its words ours."""
    for ax in canvas.axes:
        legend = ax.get_legend()
        if legend is None:
            continue
        handles = [handle for handle in legend.legend_handles if handle is not None]
        labels = [text.get_text() for text in legend.get_texts()]
        legend.remove()
        if keep and len(labels) > 1:
            said = [_SAID.get(label, label) for label in labels]
            ax.legend(
                handles, said, loc="lower left", bbox_to_anchor=(0, 1), ncols=2 if max(map(len, said)) > 10 else 4,
                labelcolor=INK, frameon=False, fontsize=11, borderaxespad=0.2, columnspacing=1.2, handlelength=1.4,
            )  # fmt: skip


def _lean(ax: Axes, places: Sequence[int], names: Sequence[str]) -> None:
    """Names below an axis, leaning so that long ones do not meet."""
    ax.set_xticks(list(places), names, rotation=40, ha="right", rotation_mode="anchor")


def _steps(ends: tuple[float, float]) -> list[float]:
    """Three to six round times between two of matplotlib's days since 1970."""
    span = (ends[1] - ends[0]) * 86400
    step = next((step for step in _ROUND if span / step <= 6), 86400 * max(round(span / 86400 / 4), 1))
    return [
        at * step / 86400 for at in range(math.ceil(ends[0] * 86400 / step), int(ends[1] * 86400 / step) + 1)
    ]


_ROUND = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600,
          7200, 3 * 3600, 6 * 3600, 12 * 3600, 86400)  # fmt: skip
"""Seconds."""


def _passed(days: float) -> str:
    """Matplotlib's days since 1970 as ``0.5 s``, ``1:30`` (minutes) or ``2:00:00``."""
    seconds = days * 86400
    if 0 < abs(seconds) < 10:
        return f"{seconds:g} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d}"
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
