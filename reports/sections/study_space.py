"""Where the good settings lie: parallel coordinates, the two strongest settings, and the front of several objectives."""

from __future__ import annotations

import math
from dataclasses import replace

from reports.analysis.optuna_study import goal_names, optuna_study, setting_names
from reports.elements import formatting
from reports.elements.page import Cell, Figure, Link, PageTable, Section, TableColumn, TableRow
from reports.figures import study_plots
from reports.records.study import StudyResult, TrialFacts
from reports.sections.tuning import number, number_cell, setting_text

MOST_AXES = 5
"""Settings in the figure of parallel coordinates: more would not be told apart on a telephone."""

BEST = 10
"""Trials in the table."""


def landscape(result: StudyResult, slug: str, heading: str) -> Section:
    """Values over the settings that mattered most.

    Args:
        result: any study.
        slug: the section's; unique on the page.
        heading: its title.
    """
    complete, moved = result.complete, _moved(result)
    if len(complete) < 2:
        few = "one trial has a value" if complete else "no trial has a value"
        return Section(slug, heading, f"Where good settings lie cannot be told: {few}.")
    tables = [_best_table(result, slug)]
    if not moved:
        return Section(
            slug,
            heading,
            "Where good settings lie cannot be told: all complete trials have the same settings.",
            tables=tables,
        )
    study, goal, names = optuna_study(result), goal_names(result)[0], setting_names(result)
    strongest = [names[path] for path in moved[:2]]
    finding = _finding(result, moved)
    figures: list[Figure] = [
        study_plots.slices(
            f"{slug}-slice",
            f"{goal} against {formatting.join_words(strongest)}",
            _against(result, moved[:2]),
            study,
            strongest,
            goal,
        )
    ]
    if len(moved) > 1 and len(complete) > 3:
        drawn = study_plots.contour(
            f"{slug}-contour",
            f"{goal} over {formatting.join_words(strongest)}",
            finding,
            study,
            strongest,
            goal,
        )
        figures.append(replace(drawn, caption="Dots are trials; between them the colour is interpolated."))
    if len(moved) > 1:
        axes = [names[path] for path in moved[:MOST_AXES]]
        left_out = len(moved) - len(axes)
        told = "A line is a trial; the stronger its colour, the better."
        if left_out:
            told += (
                f" The {MOST_AXES} settings that mattered most are drawn, {left_out} more are in the table."
            )
        figures.append(
            study_plots.parallel_coordinates(
                f"{slug}-lines", "Settings of all complete trials", told, study, axes, goal
            )
        )
    return Section(
        slug,
        heading,
        finding,
        figures=figures,
        tables=tables,
        method=(
            "The settings are the two that mattered most, or the first two of the space where that is not known. Between "
            "trials the figure of two settings is interpolated, and far from any trial it is a guess; all other settings "
            "differ from dot to dot.",
        ),
        links=(Link("trials.csv", "every trial"),),
    )


def front(result: StudyResult, slug: str, heading: str) -> Section | None:
    """The trials that no other surpasses in all objectives; None where there is one objective."""
    if len(result.goals) < 2:
        return None
    best = front_of(result)
    if not best:
        return Section(slug, heading, "There is no front: no trial has a value for each objective.")
    goals = [formatting.printable(goal.text) for goal in result.goals]
    finding = (
        f"{formatting.plural(len(best), 'trial')} of {len(result.complete)} with values "
        f"{'is' if len(best) == 1 else 'are'} surpassed by none in all of {formatting.join_words(goals)}."
    )
    names, figures = goal_names(result), []
    if len(result.complete) > 1:
        study = optuna_study(result, len(result.goals))
        for at in range(1, len(names)):
            figures.append(
                study_plots.front(
                    f"{slug}-{at}", f"{names[0]} and {names[at]}", finding, study, (0, at), names
                )
            )
    return Section(
        slug, heading, finding, figures=figures, tables=[_front_table(result, best, slug)],
        method=("A trial is surpassed by another that is as good in every objective and better in one. Of several objectives the "
                "first decides which trial goes into the ending.",),
    )  # fmt: skip


def front_of(result: StudyResult) -> list[TrialFacts]:
    """The feasible trials that no other feasible one surpasses in all objectives, the best by the first one first."""
    signs = [1.0 if goal.higher else -1.0 for goal in result.goals]
    known = [
        (
            trial,
            tuple(sign * value for sign, value in zip(signs, trial.values, strict=True) if value is not None),
        )
        for trial in result.complete
        if trial.feasible is not False and None not in trial.values
    ]
    return [
        trial
        for trial, mine in known
        if not any(
            other != mine and all(a >= b for a, b in zip(other, mine, strict=True)) for _, other in known
        )
    ]


def _moved(result: StudyResult) -> list[str]:
    """Settings of which the complete trials have several values, the most important first."""
    shares = result.importances
    several = []
    for place, setting in enumerate(result.space):
        values = {
            (type(trial.params[setting.path]), trial.params[setting.path])
            for trial in result.complete
            if setting.path in trial.params
        }
        if len(values) > 1:
            several.append((-shares.get(setting.path, 0.0), place, setting.path))
    return [path for _, _, path in sorted(several)]


def _finding(result: StudyResult, moved: list[str]) -> str:
    few = result.complete[: max(len(result.complete) // 10, 3)]
    said = []
    for path in moved[:2]:
        values = [trial.params[path] for trial in few if path in trial.params]
        numbers = [
            value for value in values if isinstance(value, int | float) and not isinstance(value, bool)
        ]
        if values and len(numbers) == len(values):
            low, high = f"{min(numbers):.3g}", f"{max(numbers):.3g}"
            said.append(f"{formatting.printable(path)} {low}" + (f" to {high}" if low != high else ""))
        elif values:
            options = list(dict.fromkeys(setting_text(value) for value in values))
            said.append(f"{formatting.printable(path)} {' or '.join(options[:4])}")
    return f"The best {len(few)} trials have {formatting.join_words(said)}."


def _against(result: StudyResult, paths: list[str]) -> str:
    goal = formatting.printable(result.goals[0].text)
    values = [trial.value for trial in result.complete]
    return (
        f"A dot is a trial, the later the stronger its colour; {goal} goes from {number(min(values))} to {number(max(values))} over "
        f"{formatting.join_words([formatting.printable(path) for path in paths])}."
    )


def _best_table(result: StudyResult, slug: str) -> PageTable:
    best = list(result.complete[:BEST])
    rest = result.default is not None and result.default not in best
    rows = tuple(
        _row(result, trial) for trial in [*best, *([result.default] if rest and result.default else [])]
    )
    caption = f"The best {len(best)} trials" + (" and the untuned settings" if rest else "")
    return PageTable(f"{slug}-trials", caption, _columns(result), rows, folded=len(result.space) > 6)


def _front_table(result: StudyResult, best: list[TrialFacts], slug: str) -> PageTable:
    rows = tuple(_row(result, trial) for trial in best)
    return PageTable(
        f"{slug}-table",
        "Trials that none surpasses in all",
        _columns(result),
        rows,
        searchable=len(rows) > 12,
    )


def _columns(result: StudyResult) -> tuple[TableColumn, ...]:
    return (
        TableColumn("Trial"),
        *(TableColumn(formatting.printable(goal.text), numeric=True) for goal in result.goals),
        *(TableColumn(formatting.printable(limit.name), numeric=True) for limit in result.limits),
        *(
            TableColumn(formatting.printable(setting.path), numeric=not setting.options)
            for setting in result.space
        ),
    )


def _row(result: StudyResult, trial: TrialFacts) -> TableRow:
    note = "untuned" if trial.default else "breaks a limit" if trial.feasible is False else ""
    cells = [Cell(f"trial {trial.number}", note=note)]
    cells += [number_cell(value) for value in trial.values]
    cells += [number_cell(trial.limited.get(limit.name)) for limit in result.limits]
    for setting in result.space:
        if setting.path not in trial.params:
            cells.append(Cell(formatting.MISSING))
            continue
        value = trial.params[setting.path]
        plain = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        cells.append(Cell(setting_text(value), float(value) if plain else None))  # type: ignore[arg-type]
    return TableRow(tuple(cells))
