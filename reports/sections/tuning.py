"""The final evaluation of studies: did tuning help, in the study, retrained with fresh seeds, and on the test split."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from reports.analysis.study_values import (
    STATE_WORDS,
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
from reports.records.final_evaluation import FinalEvaluation, Finalist
from reports.records.study import StudyFolder, StudyResult, changed_settings

METHOD = (
    "Settings are tuned on the validation images only. The best ones and the default settings are then retrained with "
    "fresh seeds, the settings with the best mean on the validation split are chosen, and the chosen and the default "
    "settings are evaluated on the test split once. Without fresh seeds, the choice is made by the values in the study.",
    "Optimism is the value in the study minus the mean over fresh seeds: the best of many noisy trials is overestimated. "
    "Confidence intervals are at 95%, over test images and, where there are several, over seeds; the difference is paired "
    "by image.",
)


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
        method=METHOD if result.final_evaluation else (),
        links=_links(folder),
    )


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


def finding(result: StudyResult) -> str:
    """Whether tuning helped, in a few sentences, for any state of a study."""
    evaluation = result.final_evaluation
    if not result.complete:
        return _no_value(result)
    if evaluation is None:
        return _best_so_far(result)
    name, winner, default = (
        formatting.printable(evaluation.objective.text),
        evaluation.winner,
        evaluation.default,
    )
    tested = f" On the test split, {name} is {_test(winner)}." if math.isfinite(winner.mean_test) else ""
    if winner is default:
        conclusion = "Tuning did not help: the default settings did best on the validation split."
        return f"{conclusion}{tested} {_optimism(result, evaluation)}"
    if evaluation.gain is None:
        conclusion = f"The settings of {winner.name} did best on the validation split."
        return f"{conclusion}{tested} {_optimism(result, evaluation)}"
    comparison = (
        f"on the test split, {name} is {_test(winner)} with the settings of {winner.name} and "
        f"{number(default.mean_test if default else None)} with the default settings, a difference of "
        f"{signed(evaluation.gain.delta)}{_signed_interval(evaluation.gain.interval)}."
    )
    return f"{_conclusion(evaluation)}: {comparison} {_optimism(result, evaluation)}"


def _no_value(result: StudyResult) -> str:
    states = result.states
    if not states:
        return "The study has no trials yet."
    counts = [f"{formatting.count(count)} {STATE_WORDS[state]}" for state, count in sorted(states.items())]
    reasons = [trial.reason for trial in result.counted if trial.reason]
    last = (
        f" The last reason: {formatting.truncate(formatting.hide_paths(reasons[-1]), 300)}."
        if reasons
        else ""
    )
    return f"No trial has a value: {formatting.join_words(counts)}.{last}"


def _best_so_far(result: StudyResult) -> str:
    best, default, name = result.complete[0], result.default, formatting.printable(result.objectives[0].text)
    text = (
        f"The study is not finished. The best of {formatting.plural(len(result.complete), 'complete trial')} so far is "
        f"trial {best.number}, with {name} {number(best.value)} on the validation split"
    )
    if default is best:
        text += ", which has the default settings"
    elif default is not None:
        text += f"; the default settings have {number(default.value)}"
    return text + "."


def _conclusion(evaluation: FinalEvaluation) -> str:
    assert evaluation.gain is not None
    if evaluation.gain.interval is None:
        return "Whether tuning helped is uncertain without a confidence interval"
    low, high = evaluation.gain.interval
    if not evaluation.objective.higher:
        low, high = -high, -low
    if low <= 0 <= high:
        return "Whether tuning helped is uncertain"
    if evaluation.gain.doubt:
        return f"Whether tuning helped is uncertain ({formatting.printable(evaluation.gain.doubt)})"
    return "Tuning helped" if low > 0 else "Tuning made it worse"


def _signed_interval(ends: tuple[float, float] | None) -> str:
    return "" if ends is None else f" [{signed(ends[0])}, {signed(ends[1])}]"


def _test(finalist: Finalist) -> str:
    return f"{number(finalist.mean_test)} {interval(finalist.test_interval)}".strip()


def _optimism(result: StudyResult, evaluation: FinalEvaluation) -> str:
    winner = evaluation.winner
    seeds = formatting.plural(len(winner.retrained), "fresh seed")
    if winner.retrained and winner.tuned is None and evaluation.objective != result.objectives[0]:
        return (
            f"The study optimized {formatting.printable(result.objectives[0].text)}, which does not measure the detector: "
            f"the choice rests on {seeds} alone."
        )
    if not winner.retrained or winner.tuned is None:
        return (
            f"The settings were not retrained with fresh seeds: the value {number(winner.tuned)} on the validation split is "
            f"the best of {formatting.plural(len(result.complete), 'trial')} and therefore optimistic."
        )
    optimism = winner.optimism if result.objectives[0].higher else -winner.optimism
    text = f"On the validation split, {number(winner.tuned)} in the study became {number(winner.mean_retrained)} with {seeds}"
    if optimism > 0:
        return f"{text}: the study was too optimistic by {number(abs(winner.optimism))}."
    return f"{text}: the study was not too optimistic."


def _warnings(result: StudyResult) -> list[str]:
    warnings, evaluation = [], result.final_evaluation
    if evaluation is not None and not evaluation.winner.retrained and result.complete:
        warnings.append("No fresh seeds: the value in the study overestimates the settings that it selected.")
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
            f"{formatting.plural(outside, 'trial')} {'is' if outside == 1 else 'are'} outside the search space, which was "
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
        "Finalists in the study, retrained, and on the test split",
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
            number_cell(each.optimism),
            number_cell(each.mean_test, interval(each.test_interval) or _extremes(each.test)),
        )
        rows.append(TableRow(cells))
    columns = (
        TableColumn("Settings"),
        *(TableColumn(title, numeric=True) for title in ("In the study", "Retrained", "Optimism", "Test")),
    )
    name = formatting.printable(evaluation.objective.text)
    caption = f"Default vs tuned settings: {name} on the validation split and, in the last column, on the test split"
    return [PageTable(slug, caption, columns, tuple(rows))]


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
                Cell(formatting.MISSING if share is None else f"{share:.2f}", share),
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
