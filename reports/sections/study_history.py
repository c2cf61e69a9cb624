"""Optimization history and hyperparameter importance of a study."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from metrics.plurals import agree
from reports.analysis.search_axis import objective_names, search_axes
from reports.analysis.setting_effects import (
    SettingEffect,
    best_gain,
    improvements,
    late_gain,
    least_difference,
    setting_effects,
)
from reports.analysis.study_values import (
    amount,
    default_settings,
    number,
    number_cell,
    range_text,
    setting_text,
    signed,
)
from reports.elements import formatting
from reports.elements.page import Cell, Figure, Link, PageTable, Section, TableColumn, TableRow
from reports.figures import study_plots
from reports.records.study import StudyResult
from reports.records.trial import TrialRecord

FEW_TRIALS = 30
"""With fewer complete trials, importances are unreliable."""


def history(result: StudyResult, slug: str, heading: str) -> Section:
    """Values by trial with the best so far, and intermediate values of trials that trained.

    Args:
        result: any study.
        slug: of the section; unique on the page.
        heading: title of the section.
    """
    found = improvements(result)
    if not found:
        why = "all trials with a value are over a limit" if result.complete else "no trial has a value"
        return Section(slug, heading, f"There is no history: {why}.")
    finding, figures, name = _finding(result, found), [], objective_names(result)[0]
    if len(result.complete) > 1:
        figure = study_plots.history(slug, f"{name} by trial", finding, result)
        figures.append(replace(figure, caption="Trials without a value are omitted."))
        if any(len(trial.intermediate_values) > 1 for trial in result.counted):
            figures.append(_intermediate_values(result, slug))
    warnings = []
    if len(result.counted) >= 10 and (gain := late_gain(result)) >= least_difference(result):
        warnings.append(
            f"The best value improved by {number(gain)} within the last tenth of the trials: more trials may find better settings."
        )
    measured_on = "training boxes" if result.stage == "anchors" else "validation images"
    method = f"All values are measured on the {measured_on}."
    if result.limits:
        method += " Trials over a limit are drawn, but are never the best."
    return Section(
        slug,
        heading,
        finding,
        figures=figures,
        tables=[_improvement_table(result, found, slug)] if len(result.complete) > 1 else [],
        warnings=warnings,
        method=(method,),
        links=(Link("trials.csv", "all trials"),),
    )


def importances(result: StudyResult, slug: str, heading: str) -> Section:
    """Importance of each setting for the first objective; arguments as in `history`."""
    complete = len(result.complete)
    effects = setting_effects(result)
    if not any(each.importance for each in effects):
        return Section(slug, heading, f"Importances are unknown: {_why_unknown(result)}.")
    finding = importance_text(result, effects)
    figures: list[Figure] = []
    if complete > 1 and len(effects) > 1:
        axes = search_axes(result)
        named = {axes[each.path].name: each.importance for each in effects if each.path in axes}
        figure = study_plots.importances(slug, "Importance of each setting", finding, named)
        figures.append(replace(figure, caption="Importances sum to 1."))
    few = f"Importances from {formatting.plural(complete, 'trial is', 'trials are')} unreliable; about 50 make them stable."
    return Section(
        slug,
        heading,
        finding,
        figures=figures,
        tables=[_importance_table(result, effects, slug)],
        warnings=[few] if complete < FEW_TRIALS else [],
        method=(
            f"{result.importance_evaluator} (Watanabe et al. 2023) measures how much the distribution of a setting among "
            "the best tenth of the trials differs from its distribution among all trials. Importances refer to the first "
            "objective and to the ranges that were searched: a setting may matter more in other ranges. An importance has no unit: the "
            "most important of several settings may make no difference worth mentioning."
            + " That of a setting which was tried only beside some values of another one is measured on these trials and multiplied by "
            "their share." * any(each.only_if is not None for each in result.space),
            "The difference of a setting is the highest minus the lowest median value among the trials with each option, or with "
            "the low, middle and high third of a number's values; it contains the effects of all other settings that the "
            "sampler chose together with it. Differences below "
            f"{number(least_difference(result))} are called small.",
        ),
    )


def importance_text(result: StudyResult, effects: Sequence[SettingEffect]) -> str:
    """Describe the most important settings, and where importance and actual differences disagree."""
    first, *others = effects
    name, least = formatting.printable(result.objectives[0].text), least_difference(result)
    text = f"{formatting.printable(first.path)} has the highest importance, {first.importance:.2f} of 1"
    if others:
        text += f", followed by {formatting.printable(others[0].path)} with {others[0].importance:.2f}"
    complete = formatting.plural(len(result.complete), "complete trial")
    parts = [f"{text} ({result.importance_evaluator}, {complete})."]
    if math.isfinite(first.effect):
        parts.append(f"Between its values the median {name} differs by {_size(first.effect, least)}.")
    known = [each for each in others if math.isfinite(each.effect)]
    most = max(known, key=lambda each: each.effect, default=first)
    if most.effect >= least and not most.effect <= first.effect:
        parts.append(
            f"By this difference {formatting.printable(most.path)} matters most, with {number(most.effect)}."
        )
    gain = best_gain(result)
    if gain <= 0:
        parts.append(f"No trial is better than {default_settings(result)}.")
    elif gain < least:
        parts.append(f"The best trial is better than {default_settings(result)} by {_size(gain, least)}.")
    elif not first.in_best:
        parts.append(f"The best trial has the default value of {formatting.printable(first.path)}.")
    return " ".join(parts)


def _finding(result: StudyResult, improvements: list[TrialRecord]) -> str:
    complete, name = result.complete, formatting.printable(result.objectives[0].text)
    best, default = improvements[-1], result.default
    if len(complete) == 1:
        return f"Only one trial has a value: {name} {number(best.value)}."
    if len({trial.value for trial in complete}) == 1:
        return (
            f"All {formatting.plural(len(complete), 'complete trial has', 'complete trials have')} the same {name}, {number(best.value)}: the settings that were tried make no "
            "difference on these images."
        )
    text = f"The best {name}, {number(best.value)}, was reached by trial {best.number} of {len(result.trials)} (counted from 0)"
    if default is best:
        return f"{text}, which has {default_settings(result)}."
    if default is not None:
        gain = best.value - default.value
        difference = f"{amount(abs(gain))} {'above' if gain > 0 else 'below'}" if gain else "the same as"
        return f"{text}, {difference} that of {default_settings(result)}."
    return f"{text}; {default_settings(result)} have no value."


def _intermediate_values(result: StudyResult, slug: str) -> Figure:
    pruned = [trial for trial in result.counted if trial.state == "pruned" and trial.intermediate_values]
    finding = "The best trial is drawn in orange."
    if pruned:
        first = min(max(trial.intermediate_values) for trial in pruned)
        finding = (
            f"{formatting.plural(len(pruned), 'trial')} {agree(len(pruned), 'was', 'were')} pruned, the first after "
            f"{formatting.plural(first, 'image')}. {finding}"
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
            Cell(_gain_text(gain), gain) if math.isfinite(gain) else Cell(formatting.MISSING),
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


def _size(difference: float, least: float) -> str:
    """``0.034``, ``only 0.002`` if it is not worth mentioning, or ``less than 0.001``."""
    text = amount(difference)
    return f"only {text}" if difference < least and text == number(difference) else text


def _gain_text(gain: float) -> str:
    """An improvement, which is not 0 even where it is rounded to 0."""
    return "below 0.001" if 0 < abs(gain) < 0.0005 else signed(gain)


def _importance_table(result: StudyResult, effects: Sequence[SettingEffect], slug: str) -> PageTable:
    space = {dimension.path: dimension for dimension in result.space}
    best = result.complete[0].params if result.complete else {}
    rows = []
    for each in effects:
        dimension = space.get(each.path)
        cells = (
            Cell(formatting.printable(each.path)),
            Cell(f"{each.importance:.2f}", each.importance, bar=min(max(each.importance, 0.0), 1.0)),
            number_cell(each.effect),
            Cell(range_text(dimension) if dimension else formatting.MISSING),
            Cell(setting_text(dimension.default) if dimension else formatting.MISSING),
            Cell(setting_text(best[each.path]) if each.path in best else formatting.MISSING),
        )
        rows.append(TableRow(cells))
    columns = (
        TableColumn("Setting"),
        TableColumn("Importance", numeric=True, help="share of 1, without a unit"),
        TableColumn(
            "Difference",
            numeric=True,
            help="highest minus lowest median value among low, middle and high values",
        ),
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
    return f"{len(complete)} complete trials are too few"
