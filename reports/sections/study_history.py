"""How a study went, and which settings mattered: the best value trial by trial, and importances."""

from __future__ import annotations

import math
from dataclasses import replace

from reports.analysis.optuna_study import goal_names, optuna_study, setting_names
from reports.elements import formatting
from reports.elements.page import Cell, Figure, Link, PageTable, Section, TableColumn, TableRow
from reports.figures import study_plots
from reports.records.study import StudyResult, TrialFacts
from reports.sections.tuning import number, number_cell, setting_text, signed, where_text

STILL_RISING = 0.1
"""A best value that came within this last share of the trials: more might bring better ones."""


def history(result: StudyResult, slug: str, heading: str) -> Section:
    """Values by trial, the best so far, and the objective between epochs where trials trained.

    Args:
        result: any study.
        slug: the section's; unique on the page.
        heading: its title.
    """
    improved = _improvements(result)
    if not improved:
        return Section(slug, heading, "There is no history: no trial has a value.")
    study, goal = optuna_study(result), goal_names(result)[0]
    finding, figures = _finding(result, improved), []
    if len(result.complete) > 1:
        drawn = study_plots.history(slug, f"{goal} by trial", finding, study, goal)
        figures.append(replace(drawn, caption="Trials without a value are left out."))
        if any(len(trial.steps) > 1 for trial in result.counted):
            figures.append(_between_epochs(result, slug))
    warnings = []
    if len(result.counted) >= 10 and improved[-1].number >= (1 - STILL_RISING) * len(result.trials):
        warnings.append(
            "The best value still improved in the last tenth of the trials: more trials may find better settings."
        )
    return Section(
        slug,
        heading,
        finding,
        figures=figures,
        tables=[_table(result, improved, slug)] if len(result.complete) > 1 else [],
        warnings=warnings,
        method=(
            "Every value is measured on the validation images. Trials that break a limit are drawn, and are never the best."
            if result.limits
            else "Every value is measured on the validation images.",
        ),
        links=(Link("trials.csv", "every trial"),),
    )


def importances(result: StudyResult, slug: str, heading: str) -> Section:
    """How much each setting mattered for the first objective; arguments as in `history`."""
    complete = len(result.complete)
    shares = {path: share for path, share in result.importances.items() if math.isfinite(share)}
    if not shares or not any(shares.values()):
        return Section(slug, heading, f"What mattered cannot be told: {_why_not(result)}.")
    ranked = sorted(shares, key=lambda path: (-shares[path], path))
    first = ranked[0]
    finding = (
        f"{formatting.printable(first)} mattered most, with {shares[first]:.2f} of 1"
        + (
            f", then {formatting.printable(ranked[1])} with {shares[ranked[1]]:.2f}"
            if len(ranked) > 1
            else ""
        )
        + f" ({result.evaluator}, {formatting.plural(complete, 'complete trial')})."
    )
    names = setting_names(result)
    figures: list[Figure] = []
    if complete > 1 and len(shares) > 1:
        known = {names[path]: shares[path] for path in ranked if path in names}
        study = optuna_study(result)
        drawn = study_plots.importances(slug, "Importance of each setting", finding, study, known)
        figures.append(replace(drawn, caption="Shares add up to 1."))
    return Section(
        slug,
        heading,
        finding,
        figures=figures,
        tables=[_importance_table(result, ranked, slug)],
        warnings=(
            [f"Of {complete} trials importances are rough; some fifty make them steady."]
            if complete < 30
            else []
        ),
        method=(
            f"{result.evaluator} (Watanabe et al. 2023) asks of each setting how much the best tenth of the trials differ "
            "in it from all trials; shares add up to 1. It speaks of the ranges that were searched, and of the first "
            "objective: a setting that matters little here may matter much elsewhere.",
        ),
    )


def _improvements(result: StudyResult) -> list[TrialFacts]:
    """The trials that were the best when they came, in order; those that break a limit are passed over."""
    sign = 1.0 if result.goals[0].higher else -1.0
    best: list[TrialFacts] = []
    for trial in result.counted:
        known = math.isfinite(trial.value) and trial.feasible is not False
        if known and (not best or sign * trial.value > sign * best[-1].value):
            best.append(trial)
    return best


def _finding(result: StudyResult, improved: list[TrialFacts]) -> str:
    complete, goal = result.complete, formatting.printable(result.goals[0].text)
    best = improved[-1]
    if len(complete) == 1:
        return f"One trial has a value: {goal} {number(best.value)}. There is nothing to compare it with."
    if len({trial.value for trial in complete}) == 1:
        return (
            f"All {len(complete)} complete trials have the same {goal}, {number(best.value)}: nothing in this space makes a "
            "difference on these images."
        )
    said = f"The best {goal}, {number(best.value)}, came with trial {best.number} of {len(result.trials)} (the first is 0)"
    default = result.default
    if default is best:
        return said + ": it is that of the untuned settings."
    if default is not None:
        return said + f", {signed(best.value - default.value)} against the untuned settings."
    return said + "; the untuned settings have none."


def _between_epochs(result: StudyResult, slug: str) -> Figure:
    pruned = [trial for trial in result.counted if trial.state == "pruned" and trial.steps]
    finding = "The best trial is the strong line."
    if pruned:
        least = min(max(trial.steps) for trial in pruned)
        finding = (
            f"{formatting.plural(len(pruned), 'trial')} did badly and were given up, the first after {formatting.count(least)} images. "
            + finding
        )
    goal = goal_names(result)[0]
    return study_plots.intermediate(
        f"{slug}-steps", f"{goal} by training images seen", finding, optuna_study(result), goal
    )


def _table(result: StudyResult, improved: list[TrialFacts], slug: str) -> PageTable:
    rows, last = [], math.nan
    for trial in improved:
        changed = [
            f"{formatting.printable(setting.path)}={setting_text(trial.params[setting.path])}"
            for setting in result.space
            if setting.path in trial.params and trial.params[setting.path] != setting.default
        ]
        gain = trial.value - last
        rows.append(
            TableRow(
                (
                    Cell(f"trial {trial.number}"),
                    number_cell(trial.value, strong=trial is improved[-1]),
                    Cell(signed(gain), gain) if math.isfinite(gain) else Cell(formatting.MISSING),
                    Cell(", ".join(changed) or "untuned"),
                )
            )
        )
        last = trial.value
    columns = (
        TableColumn("Trial"),
        TableColumn("Value", numeric=True),
        TableColumn("Better by", numeric=True),
        TableColumn("Settings other than untuned"),
    )
    return PageTable(
        f"{slug}-best", "Trials that were the best when they came", columns, tuple(rows), folded=len(rows) > 8
    )


def _importance_table(result: StudyResult, ranked: list[str], slug: str) -> PageTable:
    known = {setting.path: setting for setting in result.space}
    best = result.complete[0] if result.complete else None
    rows = []
    for path in ranked:
        setting = known.get(path)
        share = result.importances[path]
        taken = best is not None and path in best.params
        rows.append(
            TableRow(
                (
                    Cell(formatting.printable(path)),
                    Cell(f"{share:.2f}", share, bar=min(max(share, 0.0), 1.0)),
                    Cell(where_text(setting) if setting else formatting.MISSING),
                    Cell(setting_text(setting.default) if setting else formatting.MISSING),
                    Cell(
                        setting_text(best.params[path]) if best is not None and taken else formatting.MISSING
                    ),
                )
            )
        )
    columns = (
        TableColumn("Setting"), TableColumn("Importance", numeric=True), TableColumn("Sought in"), TableColumn("Untuned"), TableColumn("Best trial"),
    )  # fmt: skip
    return PageTable(f"{slug}-table", "Settings by importance", columns, tuple(rows))


def _why_not(result: StudyResult) -> str:
    complete = result.complete
    if len(result.space) < 2:
        return "only one setting was tuned"
    if not complete:
        return "no trial has a value"
    if len({trial.value for trial in complete}) == 1:
        return (
            "all complete trials have the same value" if len(complete) > 1 else "only one trial has a value"
        )
    return (
        f"{formatting.plural(len(complete), 'complete trial')} are too few"
        if len(complete) > 1
        else "only one trial has a value"
    )
