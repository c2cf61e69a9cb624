"""Figures of a study: history, intermediate values, importances, settings, Pareto front and timeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, MultipleLocator, NullFormatter

from reports.analysis.search_axis import SearchAxis, objective_names
from reports.elements.matplotlib_figure import INK, MUTED, PAPER, axes, figure, legend
from reports.elements.page import Figure
from reports.elements.palette import LIGHT
from reports.records.study import StudyResult
from reports.records.trial import TrialRecord

BLUE, ORANGE, GREEN, YELLOW = LIGHT[0], LIGHT[1], LIGHT[2], LIGHT[4]

_SHADES = 12
"""Steps of a colour scale: one hue, from faint to full, which works on dark paper too."""


def history(slug: str, title: str, finding: str, result: StudyResult) -> Figure:
    """The value of each complete trial, and the best value so far; infeasible trials in grey.

    Args:
        slug: unique on the page.
        title: what it shows.
        finding: what can be seen in it.
        result: a study with complete trials.
    """

    def draw(canvas: Canvas) -> None:
        (ax,) = axes(canvas)
        feasible, infeasible = _by_number(result, True), _by_number(result, False)
        _dots(ax, [t.number for t in feasible], [t.value for t in feasible], BLUE, "trial")
        _dots(ax, [t.number for t in infeasible], [t.value for t in infeasible], MUTED, "over a limit", "X")
        best = np.maximum.accumulate if result.objectives[0].higher else np.minimum.accumulate
        if feasible:
            numbers = [*(t.number for t in feasible), max(t.number for t in result.complete)]
            values = best([*(t.value for t in feasible), feasible[-1].value])
            ax.plot(numbers, values, color=ORANGE, linewidth=1.8, drawstyle="steps-post", label="best so far")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.set(xlabel="trial", ylabel=objective_names(result)[0])
        _legend(ax)

    return figure(slug, title, finding, 280, draw)


def intermediate_values(slug: str, title: str, finding: str, result: StudyResult) -> Figure:
    """The objective over training images seen, a line per trial, the best one in orange; arguments as in `history`."""

    def draw(canvas: Canvas) -> None:
        (ax,) = axes(canvas)
        best = result.complete[0] if result.complete else None
        for trial in result.counted:
            steps = [(seen, v) for seen, v in sorted(trial.intermediate_values.items()) if v is not None]
            if steps:
                x, y = zip(*steps, strict=True)
                first = trial is best
                ax.plot(
                    x, y, ".-", color=ORANGE if first else BLUE, alpha=1 if first else 0.35,
                    linewidth=2 if first else 1, zorder=3 if first else 2,
                )  # fmt: skip
        ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        ax.set(xlabel="training images seen", ylabel=objective_names(result)[0])

    return figure(slug, title, finding, 280, draw)


def importances(slug: str, title: str, finding: str, shares: Mapping[str, float]) -> Figure:
    """A bar per setting, from top to bottom; `shares` by the setting's name, at least one."""

    def draw(canvas: Canvas) -> None:
        (ax,) = axes(canvas)
        ax.barh(list(shares), list(shares.values()), color=BLUE, height=0.7)
        for row, share in enumerate(shares.values()):
            ax.annotate(
                f"{share:.2f}", (share, row), (4, 0), textcoords="offset points", va="center", color=INK
            )
        ax.invert_yaxis()
        ax.set_xlim(0, 1.18 * max(*shares.values(), 0.01))
        ax.set_xlabel("importance")
        ax.grid(False, axis="y")
        ax.tick_params(axis="y", length=0)

    return figure(slug, title, finding, 62 + 30 * len(shares), draw)


def slices(
    slug: str, title: str, finding: str, result: StudyResult, settings: Sequence[SearchAxis]
) -> Figure:
    """The objective against each of one or two settings, darker for later trials; arguments as in `history`."""

    def draw(canvas: Canvas) -> None:
        panels = axes(canvas, columns=len(settings))
        for ax, setting in zip(panels, settings, strict=True):
            trials = [trial for trial in _by_number(result) if setting.path in trial.params]
            shades = [trial.number / max(len(result.trials) - 1, 1) for trial in trials]
            x = [setting.position(trial.params[setting.path]) for trial in trials]
            _shaded(ax, x, [trial.value for trial in trials], shades)
            _set_axis(ax, setting, ticks=3 if len(settings) > 1 else 5)
            ax.sharey(panels[0])
        panels[0].set_ylabel(objective_names(result)[0])
        for ax in panels[1:]:
            ax.tick_params(labelleft=False)

    return figure(slug, title, finding, 280, draw)


def interaction(
    slug: str, title: str, finding: str, result: StudyResult, settings: tuple[SearchAxis, SearchAxis]
) -> Figure:
    """Trials over two settings, darker for better values, the best and the default marked; arguments as in `history`."""
    across, up = settings

    def position(trial: TrialRecord) -> tuple[float, float]:
        return across.position(trial.params[across.path]), up.position(trial.params[up.path])

    def draw(canvas: Canvas) -> None:
        (ax,) = axes(canvas)
        drawn = [t for t in reversed(result.complete) if across.path in t.params and up.path in t.params]
        x, y = zip(*map(position, drawn), strict=True) if drawn else ((), ())
        _shaded(ax, x, y, _ranks(drawn))
        for trial, marker, size, label in (
            (result.default, "D", 9, "default settings"),
            (result.complete[0], "*", 14, "best trial"),
        ):
            if trial in drawn:
                ax.plot(
                    *position(trial), marker, markersize=size, markerfacecolor="none", markeredgecolor=ORANGE,
                    markeredgewidth=1.6, label=label,
                )  # fmt: skip
        _set_axis(ax, across, ticks=5)
        _set_axis(ax, up, ticks=5, vertical=True)
        _legend(ax)

    return figure(slug, title, finding, 300, draw)


def parallel_coordinates(
    slug: str, title: str, finding: str, result: StudyResult, settings: Sequence[SearchAxis]
) -> Figure:
    """A line per complete trial across the objective and some settings, darker for better values; as in `history`."""

    def draw(canvas: Canvas) -> None:
        (ax,) = axes(canvas)
        ax.grid(False)
        drawn = list(reversed(result.complete))
        values = [trial.value for trial in drawn]
        objective = SearchAxis("", objective_names(result)[0], min(values), max(values))
        columns = [objective, *settings]
        for trial, shade in zip(drawn, _ranks(drawn), strict=True):
            heights = [objective.relative(trial.value)]
            heights += [
                setting.relative(trial.params[setting.path]) if setting.path in trial.params else np.nan
                for setting in settings
            ]
            ax.plot(heights, color=BLUE, alpha=_alpha(shade), linewidth=1.2)
        for at, column in enumerate(columns):
            ax.axvline(at, color=MUTED, linewidth=0.8, zorder=1)
            ends = ((0.0, f"{column.low:.4g}"), (1.0, f"{column.high:.4g}"))
            count = max(len(column.labels) - 1, 1)
            ticks = [(k / count, text) for k, text in enumerate(column.labels)] if column.labels else ends
            for height, text in ticks:
                ax.annotate(
                    text, (at, height), (3, 0), textcoords="offset points", va="center", color=INK, fontsize=9,
                    bbox={"facecolor": PAPER, "edgecolor": "none", "alpha": 0.8, "pad": 0.6},
                )  # fmt: skip
        ax.set_xlim(-0.1, len(columns) - 0.4)
        ax.set_yticks([])
        for spine in ax.spines.values():
            spine.set_visible(False)
        _slanted(ax, [column.name for column in columns])

    return figure(slug, title, finding, 340, draw)


def pareto_front(slug: str, title: str, finding: str, result: StudyResult, pair: tuple[int, int]) -> Figure:
    """Two of several objectives, given by index, against each other, the Pareto front in orange; as in `history`."""

    def draw(canvas: Canvas) -> None:
        (ax,) = axes(canvas)
        front = set(map(id, result.pareto_front))
        drawn = [trial for trial in result.complete if all(trial.values[at] is not None for at in pair)]
        feasible = [trial for trial in drawn if trial.feasible is not False]
        for label, colour, marker, trials in (
            ("over a limit", MUTED, "X", [t for t in drawn if t.feasible is False]),
            ("other trials", BLUE, "o", [t for t in feasible if id(t) not in front]),
            ("Pareto front", ORANGE, "o", [t for t in feasible if id(t) in front]),
        ):
            x, y = ([trial.values[at] for trial in trials] for at in pair)
            _dots(ax, x, y, colour, label, marker)
        names = objective_names(result)
        ax.set(xlabel=names[pair[0]], ylabel=names[pair[1]])
        _legend(ax)

    return figure(slug, title, finding, 280, draw)


def timeline(slug: str, title: str, finding: str, result: StudyResult) -> Figure:
    """When each trial ran, a bar per trial, coloured by its state; arguments as in `history`."""

    def draw(canvas: Canvas) -> None:
        (ax,) = axes(canvas)
        timed = [trial for trial in result.trials if trial.started and trial.finished]
        first = min(trial.started for trial in timed if trial.started)
        groups = {
            "complete": (BLUE, [t for t in timed if t.state == "complete" and t.feasible is not False]),
            "over a limit": (MUTED, [t for t in timed if t.feasible is False]),
            "pruned": (YELLOW, [t for t in timed if t.state == "pruned" and t.feasible is not False]),
            "failed": (ORANGE, [t for t in timed if t.state == "fail" and t.feasible is not False]),
        }
        for label, (colour, trials) in groups.items():
            if trials:
                left = [(t.started - first).total_seconds() for t in trials if t.started]
                width = [max(t.seconds, 0.0) for t in trials]
                ax.barh([t.number for t in trials], width, left=left, height=0.8, color=colour, label=label)
        ax.xaxis.set_major_locator(MultipleLocator(_time_step(ax.get_xlim())))
        last = ax.get_xlim()[1]
        ax.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: clock(seconds, last)))
        ax.yaxis.set_major_locator(MaxNLocator(integer=True))
        ax.set(xlabel="time since the first trial started", ylabel="trial")
        ax.invert_yaxis()
        _legend(ax)

    return figure(slug, title, finding, 280, draw)


def _by_number(result: StudyResult, feasible: bool | None = None) -> list[TrialRecord]:
    """Complete trials by number; those that are feasible or not only, unless `feasible` is None."""
    trials = [t for t in result.complete if feasible is None or (t.feasible is not False) == feasible]
    return sorted(trials, key=lambda trial: trial.number)


def _ranks(trials: Sequence[TrialRecord]) -> list[float]:
    """0 for the first to 1 for the last of trials; equal values get equal ranks."""
    places = {trial.value: at for at, trial in enumerate(trials)}
    return [places[trial.value] / max(len(trials) - 1, 1) for trial in trials]


def _alpha(shade: float) -> float:
    """Opacity of a shade in [0, 1], in steps, so that the file stays small."""
    return 0.2 + 0.8 * round(shade * (_SHADES - 1)) / (_SHADES - 1)


def _dots(
    ax: Axes, x: Sequence[float | None], y: Sequence[float | None], colour: str, label: str, marker: str = "o"
) -> None:
    if len(x):
        at = np.asarray([x, y], np.float64)
        ax.plot(
            *at, marker, color=colour, markersize=5.5, markeredgecolor=PAPER, markeredgewidth=0.6, label=label
        )


def _shaded(ax: Axes, x: Sequence[float], y: Sequence[float], shades: Sequence[float]) -> None:
    colours = [to_rgba(BLUE, _alpha(shade)) for shade in shades]
    ax.scatter(x, y, s=26, c=colours or BLUE, edgecolors=PAPER, linewidths=0.6, zorder=2)


def _set_axis(ax: Axes, setting: SearchAxis, ticks: int, vertical: bool = False) -> None:
    """Name, scale and ticks of a setting's axis."""
    axis = ax.yaxis if vertical else ax.xaxis
    axis.set_label_text(setting.name)
    if setting.options and vertical:
        ax.set_yticks(range(len(setting.labels)), setting.labels)
        ax.set_ylim(-0.4, len(setting.labels) - 0.6)
    elif setting.options:
        _slanted(ax, setting.labels)
        ax.set_xlim(-0.4, len(setting.labels) - 0.6)
    elif setting.log:
        (ax.set_yscale if vertical else ax.set_xscale)("log")
        low, high = ax.get_ylim() if vertical else ax.get_xlim()
        if high < 100 * low:  # powers of ten alone would label two values, one or none
            axis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7) if high < 6 * low else (1, 2, 5)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    else:
        axis.set_major_locator(MaxNLocator(ticks))


def _slanted(ax: Axes, names: Sequence[str]) -> None:
    """Names below an axis at 0, 1, ..., slanted so that long ones do not overlap."""
    ax.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")


def _legend(ax: Axes) -> None:
    """A legend above the axes, where there is more than one label; and offset texts in ink."""
    for axis in (ax.xaxis, ax.yaxis):
        axis.get_offset_text().set_color(INK)
    if len(ax.get_legend_handles_labels()[1]) > 1:
        legend(ax, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.2)


_STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600,
          7200, 3 * 3600, 6 * 3600, 12 * 3600)  # fmt: skip
"""Seconds."""


def _time_step(limits: tuple[float, float]) -> float:
    """Seconds between ticks, a round number, so that there are at most six."""
    span = limits[1] - limits[0]
    return next((step for step in _STEPS if span / step <= 6), 86400 * max(round(span / 86400 / 4), 1))


def clock(seconds: float, last: float) -> str:
    """A time on an axis that ends at `last` seconds: ``0.5 s``, ``1:30`` (minutes) or ``2:00:00``, all in the same form."""
    if last < 60:
        return f"{seconds:g} s"
    whole = round(seconds)
    if last < 3600:
        return f"{whole // 60}:{whole % 60:02d}"
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
