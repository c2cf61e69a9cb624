"""Values over the search space: slices, the two most important settings, parallel coordinates, and the Pareto front."""

from __future__ import annotations

from dataclasses import replace

from metrics.plurals import agree
from reports.analysis.search_axis import objective_names, search_axes
from reports.analysis.study_values import number, number_cell, setting_text
from reports.elements import formatting
from reports.elements.page import Cell, Figure, Link, PageTable, Section, TableColumn, TableRow
from reports.figures import study_plots
from reports.records.study import StudyResult
from reports.records.trial import TrialRecord, is_number

MOST_AXES = 5
"""Settings in the parallel coordinates: more would not be legible on a phone."""

BEST = 10
"""Trials in the table."""


def landscape(result: StudyResult, slug: str, heading: str) -> Section:
    """Values over the most important settings.

    Args:
        result: any study.
        slug: of the section; unique on the page.
        heading: title of the section.
    """
    complete, varied = result.complete, _varied_settings(result)
    if len(complete) < 2:
        few = "only one trial has a value" if complete else "no trial has a value"
        return Section(slug, heading, f"Values over the search space are unknown: {few}.")
    tables = [_best_table(result, slug)]
    if not varied:
        finding = "Values over the search space are unknown: all complete trials have the same settings."
        return Section(slug, heading, finding, tables=tables)
    finding, name, axes = _finding(result, varied), objective_names(result)[0], search_axes(result)
    settings = [axes[path] for path in varied]
    strongest = formatting.join_words([setting.name for setting in settings[:2]])
    figures: list[Figure] = [
        study_plots.slices(
            f"{slug}-slice",
            f"{name} against {strongest}",
            _slice_finding(result, varied[:2]),
            result,
            settings[:2],
        )
    ]
    if len(settings) > 1 and len(complete) > 3:
        figure = study_plots.interaction(
            f"{slug}-interaction", f"{name} over {strongest}", finding, result, (settings[0], settings[1])
        )
        figures.append(replace(figure, caption="A dot is a trial; darker is better."))
    if len(settings) > 1:
        text = "A line is a trial; darker is better."
        if len(settings) > MOST_AXES:
            text += f" Of {formatting.plural(len(settings), 'setting')}, the {MOST_AXES} most important are drawn; the table has all of them."
        figures.append(
            study_plots.parallel_coordinates(
                f"{slug}-lines", "Settings of all complete trials", text, result, settings[:MOST_AXES]
            )
        )
    return Section(
        slug,
        heading,
        finding,
        figures=figures,
        tables=tables,
        method=_method(len(settings), len(figures)),
        links=(Link("trials.csv", "all trials"),),
    )


def _method(settings: int, figures: int) -> tuple[str, ...]:
    """What the figures of two settings show; empty where there are no others."""
    if settings < 3:
        return ()
    drawn = "first two figures show" if figures > 2 else "first figure shows"
    return (
        f"The {drawn} the two most important settings, or the first two of the search space where importances are unknown. "
        "All other settings differ from dot to dot.",
    )


def front(result: StudyResult, slug: str, heading: str) -> Section | None:
    """The Pareto front of several objectives; None where there is only one."""
    if len(result.objectives) < 2:
        return None
    best, complete = result.pareto_front, result.complete
    if not best:
        return Section(
            slug, heading, "There is no Pareto front: no feasible trial has a value for each objective."
        )
    names = formatting.join_words([formatting.printable(objective.text) for objective in result.objectives])
    finding = (
        f"{len(best)} of {formatting.plural(len(complete), 'complete trial')} {agree(len(best), 'is', 'are')} on the "
        f"Pareto front of {names}."
    )
    short = objective_names(result)
    figures = [
        study_plots.pareto_front(f"{slug}-{at}", f"{short[0]} and {short[at]}", finding, result, (0, at))
        for at in range(1, len(short))
        if len(complete) > 1
    ]
    rows = tuple(_row(result, trial) for trial in best)
    table = PageTable(
        f"{slug}-table", "Trials on the Pareto front", _columns(result), rows, searchable=len(rows) > 12
    )
    method = (
        "A trial is on the Pareto front unless another one is at least as good in every objective, and better in one. The "
        "first objective decides which trials are finalists."
    )
    return Section(slug, heading, finding, figures=figures, tables=[table], method=(method,))


def _varied_settings(result: StudyResult) -> list[str]:
    """Settings of which the complete trials have several values, the most important first."""
    varied = []
    for place, dimension in enumerate(result.space):
        path = dimension.path
        values = {
            (type(trial.params[path]), trial.params[path])
            for trial in result.complete
            if path in trial.params
        }
        if len(values) > 1:
            varied.append((-result.importances.get(path, 0.0), place, path))
    return [path for _, _, path in sorted(varied)]


def _finding(result: StudyResult, varied: list[str]) -> str:
    if len({trial.value for trial in result.complete}) == 1:
        return "All complete trials have the same value, so no settings are better than others."
    best = result.complete[: max(len(result.complete) // 10, 3)]
    parts = []
    for path in varied[:2]:
        values = [trial.params[path] for trial in best if path in trial.params]
        numbers = [float(value) for value in values if is_number(value)]  # type: ignore[arg-type]
        if values and len(numbers) == len(values):
            low, high = f"{min(numbers):.3g}", f"{max(numbers):.3g}"
            parts.append(f"{formatting.printable(path)} {low}" + (f" to {high}" if low != high else ""))
        elif values:
            options = list(dict.fromkeys(setting_text(value) for value in values))
            parts.append(f"{formatting.printable(path)} {' or '.join(options[:4])}")
    return (
        f"The best {formatting.plural(len(best), 'trial has', 'trials have')} {formatting.join_words(parts)}."
    )


def _slice_finding(result: StudyResult, paths: list[str]) -> str:
    name = formatting.printable(result.objectives[0].text)
    values = [trial.value for trial in result.complete]
    settings = formatting.join_words([formatting.printable(path) for path in paths])
    return f"A dot is a trial, darker if later; {name} ranges from {number(min(values))} to {number(max(values))} over {settings}."


def _best_table(result: StudyResult, slug: str) -> PageTable:
    best = list(result.complete[:BEST])
    caption = f"The best {formatting.plural(len(best), 'trial')}"
    if result.default is not None and result.default not in best:
        best.append(result.default)
        caption += " and the default settings"
    rows = tuple(_row(result, trial) for trial in best)
    return PageTable(f"{slug}-trials", caption, _columns(result), rows, folded=len(result.space) > 6)


def _columns(result: StudyResult) -> tuple[TableColumn, ...]:
    return (
        TableColumn("Trial"),
        *(TableColumn(formatting.printable(each.text), numeric=True) for each in result.objectives),
        *(TableColumn(formatting.printable(limit.name), numeric=True) for limit in result.limits),
        *(TableColumn(formatting.printable(each.path), numeric=not each.options) for each in result.space),
    )


def _row(result: StudyResult, trial: TrialRecord) -> TableRow:
    note = "default" if trial.default else "over a limit" if trial.feasible is False else ""
    cells = [Cell(f"trial {trial.number}", note=note)]
    cells += [number_cell(value) for value in trial.values]
    cells += [number_cell(trial.measured.get(limit.name)) for limit in result.limits]
    for dimension in result.space:
        if dimension.path not in trial.params:
            cells.append(Cell(formatting.MISSING))
            continue
        value = trial.params[dimension.path]
        cells.append(Cell(setting_text(value), float(value) if is_number(value) else None))  # type: ignore[arg-type]
    return TableRow(tuple(cells))
