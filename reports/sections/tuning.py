"""The final evaluation of studies: did tuning help, in the study, retrained with fresh seeds, and on the test split."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from metrics.plurals import agree
from reports.analysis.study_values import (
    interval,
    number,
    number_cell,
    range_text,
    setting_text,
    signed,
)
from reports.elements import formatting
from reports.elements.page import Cell, Figure, Link, PageTable, Section, TableColumn, TableRow
from reports.figures.final_evaluation import final_evaluation_plot
from reports.records.study import StudyFolder, StudyResult, changed_settings
from reports.sections import compression_search_text
from reports.sections.tuning_text import finding, looks_text

METHOD = (
    "Settings are tuned on the validation images only. The best ones and the default settings are then retrained with "
    "fresh seeds, the settings with the best mean on the validation split are chosen, and the chosen and the default "
    "settings are evaluated on the test split once. Without fresh seeds, the choice is made by the values in the study.",
    "Study minus fresh seeds, on the same validation images, shows only how favourable the seeds of the selected trial were. "
    "Settings that were selected on the validation images look better on these images than on others, whatever the seeds: this "
    "optimism is part of validation minus test. The two splits can also differ in difficulty; the default settings, which were "
    "not selected, show by how much.",
    "Every extension of a study looks at the test split again. Deciding by test values whether to continue is a selection, "
    "too, so the looks are counted. "
    "Confidence intervals are at 95%, over test images and, where there are several, over seeds; the difference is paired "
    "by image.",
)


COLUMNS = (
    "Validation, study",
    "Validation, fresh seeds",
    "Study minus fresh seeds",
    "Test",
    "Validation minus test",
)
"""Headings of the values of a finalist, on the page and in the terminal."""


def final_evaluation(folder: StudyFolder) -> Section:
    """The first section of a study's page: whether tuning helped, and the chosen settings."""
    result = folder.result
    return Section(
        "verdict",  # the page's skip link leads here
        "Final evaluation",
        finding(result),
        figures=_figures(result, "finalists"),
        tables=[*_finalist_tables(result, "finalists"), *_changed_settings(folder.stages, "settings")],
        warnings=_warnings(result),
        method=_method(result) if result.final_evaluation else (),
        links=_links(folder),
    )


def _method(result: StudyResult) -> tuple[str, ...]:
    return compression_search_text.METHOD if result.stage == "compression" else METHOD


def section(folders: Sequence[StudyFolder]) -> Section | None:
    """Studies in a comparison of runs: a finding and the tables of each; None without a study."""
    if not folders:
        return None
    figures: list[Figure] = []
    tables: list[PageTable] = []
    findings = [finding(folder.result) for folder in folders]
    several = len(folders) > 1
    for at, folder in enumerate(folders):
        result = folder.result
        label = f"{formatting.truncate(result.variant, 24)}, {result.stage}"
        for table in (
            *_finalist_tables(result, f"tuning-{at}"),
            *_changed_settings(folder.stages, f"tuned-{at}"),
        ):
            tables.append(replace(table, caption=f"{label}: {table.caption}") if several else table)
        figures += _figures(result, f"tuning-{at}")
        if several:
            findings[at] = f"{formatting.printable(result.variant)} ({result.stage}): {findings[at]}"
    return Section(
        "tuning",
        "Tuning",
        " ".join(findings),
        figures=figures,
        tables=tables,
        warnings=list(dict.fromkeys(text for folder in folders for text in _warnings(folder.result))),
        method=METHOD,
    )


def _warnings(result: StudyResult) -> list[str]:
    warnings, evaluation = [], result.final_evaluation
    if evaluation is not None and not evaluation.winner.retrained and result.complete:
        warnings.append("No fresh seeds: the value in the study overestimates the settings that it selected.")
    if len(result.test_looks) > 1:
        warnings.append(
            f"{looks_text(result)} If earlier test values influenced the decision to continue, the latest ones are optimistic."
        )
    if evaluation is not None and evaluation.chosen is not None:
        trial = next((t for t in result.trials if t.number == evaluation.chosen), None)
        if trial is not None and trial.feasible is False:
            warnings.append("The chosen settings exceed a limit: no trial within all limits did better.")
    known = {dimension.path: dimension for dimension in result.space}
    outside = sum(
        any(path not in known or not known[path].contains(value) for path, value in trial.params.items())
        for trial in result.trials
    )
    if outside:
        warnings.append(
            f"{formatting.plural(outside, 'trial')} {agree(outside, 'is', 'are')} outside the search space, which was "
            "changed while the study ran. Figures show the widest ranges, and importances compare trials from different ones."
        )
    return warnings


def _figures(result: StudyResult, slug: str) -> list[Figure]:
    evaluation = result.final_evaluation
    if evaluation is None or all(
        each.tuned is None and not each.retrained and not each.test for each in evaluation.finalists
    ):
        return []
    figure = final_evaluation_plot(
        slug,
        "Finalists on the validation split, in the study and with fresh seeds, and on the test split",
        finding(result),
        evaluation.finalists,
        evaluation.objective.text,
    )
    caption = "Bar: 95% confidence interval on the test split; vertical line: mean of several runs."
    return [replace(figure, caption=caption)]


def _finalist_tables(result: StudyResult, slug: str) -> list[PageTable]:
    evaluation = result.final_evaluation
    if evaluation is None:
        return []
    rows = []
    for each in evaluation.finalists:
        chosen = each.trial == evaluation.chosen
        cells = (
            Cell(each.name, strong=chosen, note="chosen" if chosen else ""),
            number_cell(each.tuned),
            number_cell(each.mean_retrained, _extremes(each.retrained)),
            _difference_cell(each.study_minus_fresh),
            number_cell(each.mean_test, interval(each.test_interval) or _extremes(each.test)),
            _difference_cell(each.validation_minus_test),
        )
        rows.append(TableRow(cells))
    columns = (
        TableColumn("Settings"),
        *(TableColumn(title, numeric=True) for title in COLUMNS),
    )
    name = formatting.printable(evaluation.objective.text)
    caption = f"Default vs tuned settings: {name} on the validation split and on the test split"
    return [PageTable(slug, caption, columns, tuple(rows))]


def _difference_cell(value: float) -> Cell:
    return Cell(signed(value), value if math.isfinite(value) else None)


def _extremes(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{number(min(known))} to {number(max(known))}" if len(known) > 1 else ""


def _changed_settings(stages: Sequence[StudyResult], slug: str) -> list[PageTable]:
    """Settings of the winner, or of the best trial so far, that are not at their default."""
    last = stages[-1]
    if last.final_evaluation is not None:
        winner = last.final_evaluation.winner
        name, values = winner.name, dict(winner.values)
    elif last.complete:
        name, values = f"trial {last.complete[0].number}", {**last.fixed, **last.complete[0].params}
    else:
        return []
    rows = []
    for stage in stages:
        ranges = {dimension.path: range_text(dimension) for dimension in stage.space}
        for path, (default, tuned) in changed_settings(stage, values).items():
            share = stage.importances.get(path)
            cells = (
                Cell(formatting.printable(path)),
                Cell(setting_text(default)),
                Cell(setting_text(tuned), strong=True),
                Cell(ranges[path]),
                Cell(formatting.fixed(share, 2), share),
            )
            rows.append(TableRow(cells))
    if not rows:
        return []
    columns = (
        *(TableColumn(title) for title in ("Setting", "Default", "Tuned", "Range")),
        TableColumn("Importance", numeric=True),
    )
    return [PageTable(slug, f"Settings of {name} that differ from the defaults", columns, tuple(rows))]


def _links(folder: StudyFolder) -> list[Link]:
    links = [Link("trials.csv", "all trials")]
    if folder.winner:
        links.append(Link("winner.toml", "the chosen settings, for bench run --config"))
    return [*links, Link("study.json", "the whole study")]
