"""Optimization history and hyperparameter importance of a study."""

from __future__ import annotations

import math
from dataclasses import replace

from reports.analysis.search_axis import objective_names, search_axes
from reports.analysis.study_values import number, number_cell, range_text, setting_text, signed
from reports.elements import formatting
from reports.elements.page import Cell, Figure, Link, PageTable, Section, TableColumn, TableRow
from reports.figures import study_plots
from reports.records.study import StudyResult
from reports.records.trial import TrialRecord

STILL_IMPROVING = 0.1
"""If the best value came within this last fraction of the trials, more trials may improve it."""

FEW_TRIALS = 30
"""With fewer complete trials, importances are unreliable."""


def history(result: StudyResult, slug: str, heading: str) -> Section:
    """Values by trial with the best so far, and intermediate values of trials that trained.

    Args:
        result: any study.
        slug: of the section; unique on the page.
        heading: title of the section.
    """
    improvements = _improvements(result)
    if not improvements:
        why = "all trials with a value are over a limit" if result.complete else "no trial has a value"
        return Section(slug, heading, f"There is no history: {why}.")
    finding, figures, name = _finding(result, improvements), [], objective_names(result)[0]
    if len(result.complete) > 1:
        figure = study_plots.history(slug, f"{name} by trial", finding, result)
        figures.append(replace(figure, caption="Trials without a value are omitted."))
        if any(len(trial.intermediate_values) > 1 for trial in result.counted):
            figures.append(_intermediate_values(result, slug))
    warnings = []
    if len(result.counted) >= 10 and improvements[-1].number >= (1 - STILL_IMPROVING) * len(result.trials):
        warnings.append(
            "The best value improved within the last tenth of the trials: more trials may find better settings."
        )
    method = "All values are measured on the validation images."
    if result.limits:
        method += " Trials over a limit are drawn, but are never the best."
    return Section(
        slug,
        heading,
        finding,
        figures=figures,
        tables=[_improvement_table(result, improvements, slug)] if len(result.complete) > 1 else [],
        warnings=warnings,
        method=(method,),
        links=(Link("trials.csv", "all trials"),),
    )


def importances(result: StudyResult, slug: str, heading: str) -> Section:
    """Importance of each setting for the first objective; arguments as in `history`."""
    complete = len(result.complete)
    shares = {path: share for path, share in result.importances.items() if math.isfinite(share)}
    if not shares or not any(shares.values()):
        return Section(slug, heading, f"Importances are unknown: {_why_unknown(result)}.")
    ranked = sorted(shares, key=lambda path: (-shares[path], path))
    finding = (
        f"{formatting.printable(ranked[0])} is the most important setting, with {shares[ranked[0]]:.2f} of 1"
    )
    if len(ranked) > 1:
        finding += f", followed by {formatting.printable(ranked[1])} with {shares[ranked[1]]:.2f}"
    finding += f" ({result.importance_evaluator}, {formatting.plural(complete, 'complete trial')})."
    figures: list[Figure] = []
    if complete > 1 and len(shares) > 1:
        axes = search_axes(result)
        named = {axes[path].name: shares[path] for path in ranked if path in axes}
        figure = study_plots.importances(slug, "Importance of each setting", finding, named)
        figures.append(replace(figure, caption="Importances sum to 1."))
    few = f"Importances from {complete} trials are unreliable; about 50 make them stable."
    return Section(
        slug,
        heading,
        finding,
        figures=figures,
        tables=[_importance_table(result, ranked, slug)],
        warnings=[few] if complete < FEW_TRIALS else [],
        method=(
            f"{result.importance_evaluator} (Watanabe et al. 2023) measures how much the distribution of a setting among "
            "the best tenth of the trials differs from its distribution among all trials. Importances refer to the first "
            "objective and to the ranges that were searched: a setting may matter more in other ranges.",
        ),
    )


def _improvements(result: StudyResult) -> list[TrialRecord]:
    """Feasible trials that were the best when they finished, by number."""
    sign = 1.0 if result.objectives[0].higher else -1.0
    improvements: list[TrialRecord] = []
    for trial in result.counted:
        known = math.isfinite(trial.value) and trial.feasible is not False
        if known and (not improvements or sign * trial.value > sign * improvements[-1].value):
            improvements.append(trial)
    return improvements


def _finding(result: StudyResult, improvements: list[TrialRecord]) -> str:
    complete, name = result.complete, formatting.printable(result.objectives[0].text)
    best, default = improvements[-1], result.default
    if len(complete) == 1:
        return f"Only one trial has a value: {name} {number(best.value)}."
    if len({trial.value for trial in complete}) == 1:
        return (
            f"All {len(complete)} complete trials have the same {name}, {number(best.value)}: no setting in this search space "
            "makes a difference on these images."
        )
    text = f"The best {name}, {number(best.value)}, was reached by trial {best.number} of {len(result.trials)} (counted from 0)"
    if default is best:
        return f"{text}, which has the default settings."
    if default is not None:
        return f"{text}, {signed(best.value - default.value)} compared with the default settings."
    return f"{text}; the default settings have no value."


def _intermediate_values(result: StudyResult, slug: str) -> Figure:
    pruned = [trial for trial in result.counted if trial.state == "pruned" and trial.intermediate_values]
    finding = "The best trial is drawn in orange."
    if pruned:
        first = min(max(trial.intermediate_values) for trial in pruned)
        finding = (
            f"{formatting.plural(len(pruned), 'trial')} {'was' if len(pruned) == 1 else 'were'} pruned, the first after "
            f"{formatting.count(first)} images. {finding}"
        )
    title = f"{objective_names(result)[0]} by training images seen"
    return study_plots.intermediate_values(f"{slug}-steps", title, finding, result)


def _improvement_table(result: StudyResult, improvements: list[TrialRecord], slug: str) -> PageTable:
    rows, previous = [], math.nan
    for trial in improvements:
        changed = [
            f"{formatting.printable(dimension.path)}={setting_text(trial.params[dimension.path])}"
            for dimension in result.space
            if dimension.path in trial.params and trial.params[dimension.path] != dimension.default
        ]
        gain = trial.value - previous
        cells = (
            Cell(f"trial {trial.number}"),
            number_cell(trial.value, strong=trial is improvements[-1]),
            Cell(signed(gain), gain) if math.isfinite(gain) else Cell(formatting.MISSING),
            Cell(", ".join(changed) or "none"),
        )
        rows.append(TableRow(cells))
        previous = trial.value
    columns = (
        TableColumn("Trial"),
        TableColumn("Value", numeric=True),
        TableColumn("Improvement", numeric=True),
        TableColumn("Settings other than the defaults"),
    )
    return PageTable(
        f"{slug}-best", "Trials that improved the best value", columns, tuple(rows), folded=len(rows) > 8
    )


def _importance_table(result: StudyResult, ranked: list[str], slug: str) -> PageTable:
    space = {dimension.path: dimension for dimension in result.space}
    best = result.complete[0].params if result.complete else {}
    rows = []
    for path in ranked:
        dimension, share = space.get(path), result.importances[path]
        cells = (
            Cell(formatting.printable(path)),
            Cell(f"{share:.2f}", share, bar=min(max(share, 0.0), 1.0)),
            Cell(range_text(dimension) if dimension else formatting.MISSING),
            Cell(setting_text(dimension.default) if dimension else formatting.MISSING),
            Cell(setting_text(best[path]) if path in best else formatting.MISSING),
        )
        rows.append(TableRow(cells))
    columns = (
        TableColumn("Setting"),
        TableColumn("Importance", numeric=True),
        *(TableColumn(title) for title in ("Range", "Default", "Best trial")),
    )
    return PageTable(f"{slug}-table", "Settings by importance", columns, tuple(rows))


def _why_unknown(result: StudyResult) -> str:
    complete = result.complete
    if len(result.space) < 2:
        return "only one setting was tuned"
    if not complete:
        return "no trial has a value"
    if len(complete) == 1:
        return "only one trial has a value"
    if len({trial.value for trial in complete}) == 1:
        return "all complete trials have the same value"
    return f"{formatting.plural(len(complete), 'complete trial')} are too few"
