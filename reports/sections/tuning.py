"""Whether tuning helped: what the study found, what it was worth when run again, and what it is worth on test."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from reports.analysis.optuna_study import option_text
from reports.elements import formatting
from reports.elements.page import Cell, Figure, Link, PageTable, Section, TableColumn, TableRow
from reports.figures.final_evaluation import ending_plot
from reports.records.study import (
    Ending,
    Finalist,
    Scalar,
    Setting,
    StudyFolder,
    StudyResult,
    changed_settings,
)


def verdict(folder: StudyFolder) -> Section:
    """The first section of a study's page: whether tuning helped, and which settings came out."""
    result = folder.result
    return Section(
        "verdict",
        "Verdict",
        finding(result),
        figures=_figures(result, "ending"),
        tables=[*_endings(result, "ending"), *_changes(folder.stages, "settings")],
        warnings=_warnings(result),
        method=METHOD if result.ending else (),
        links=_links(folder),
    )


def section(folders: Sequence[StudyFolder]) -> Section | None:
    """Studies beside runs that are compared: one finding and one table each; None without a study."""
    if not folders:
        return None
    figures: list[Figure] = []
    tables: list[PageTable] = []
    for at, folder in enumerate(folders):
        label = f"{formatting.truncate(folder.result.variant, 24)}, {folder.result.stage}"
        several = len(folders) > 1
        for table in (*_endings(folder.result, f"tuning-{at}"), *_changes(folder.stages, f"tuned-{at}")):
            tables.append(replace(table, caption=f"{label}: {table.caption}") if several else table)
        figures += _figures(folder.result, f"tuning-{at}")
    said = [finding(folder.result) for folder in folders]
    if len(folders) > 1:
        said = [
            f"{formatting.printable(folder.result.variant)} ({folder.result.stage}): {text}"
            for folder, text in zip(folders, said, strict=True)
        ]
    return Section(
        "tuning",
        "Tuning",
        " ".join(said),
        figures=figures,
        tables=tables,
        warnings=list(dict.fromkeys(text for folder in folders for text in _warnings(folder.result))),
        method=METHOD,
    )


METHOD = (
    "Settings are tuned on the validation images only. The best few and the untuned ones are then run again with fresh "
    "seeds, the choice is made by the mean of these runs on validation, and the chosen and the untuned settings look at "
    "the test images once. Where there are no fresh runs the choice is made by the study's own values.",
    "Optimism is the value in the study less the mean of the fresh runs: the best of many noisy trials was lucky, too. "
    "Intervals are over test images, and seeds where there are several, at 95%; that of a difference is measured on the "
    "same images for both settings.",
)


def finding(result: StudyResult) -> str:
    """In a few sentences, whether tuning helped; whatever the study came to."""
    if not result.complete:
        return _nothing(result)
    if result.ending is None:
        return _so_far(result)
    ending, goal = result.ending, formatting.printable(result.ending_goal.text)
    winner, default = ending.winner, ending.default
    tested = f" On test, {goal} is {_with_interval(winner)}." if math.isfinite(winner.mean_test) else ""
    if winner is default:
        return f"Tuning did not help: the untuned settings did best on validation.{tested} {_hope(result)}"
    if not math.isfinite(ending.gain):
        return f"The settings of {formatting.printable(winner.name)} did best on validation.{tested} {_hope(result)}"
    told = (
        f"on test, {goal} is {_with_interval(winner)} with the settings of {formatting.printable(winner.name)} and "
        f"{number(default.mean_test if default else None)} untuned: {_gain(ending)}."
    )
    return f"{_judged(result, ending)}: {told} {_hope(result)}"


def number(value: float | None) -> str:
    """An objective's value: three decimals, or four digits of a large one."""
    if value is None or not math.isfinite(value):
        return formatting.MISSING
    return (f"{value:.3f}" if abs(value) < 100 else f"{value:.4g}").replace("-", "−")


def number_cell(value: float | None, note: str = "", strong: bool = False) -> Cell:
    """The same in a table."""
    known = value is not None and math.isfinite(value)
    return Cell(number(value), value if known else None, note=note, strong=strong and known)


def setting_text(value: Scalar) -> str:
    """A setting's value in four digits, or as TOML says it."""
    return f"{value:.4g}" if isinstance(value, float) else formatting.truncate(option_text(value), 60)


def where_text(setting: Setting) -> str:
    """Where a setting was sought: ``0.1 to 0.9``, ``hard, linear``."""
    if setting.options:
        return formatting.join_words(
            [formatting.truncate(option_text(option), 30) for option in setting.options], 8
        )
    return f"{setting.low:g} to {setting.high:g}{', by factors' if setting.log else ''}"


def _nothing(result: StudyResult) -> str:
    states = result.states
    if not states:
        return "The study has no trial yet."
    said = formatting.join_words(
        [f"{formatting.count(count)} {WORDS[state]}" for state, count in sorted(states.items())]
    )
    reasons = [trial.reason for trial in result.counted if trial.reason]
    last = (
        f" The last reason: {formatting.truncate(formatting.hide_paths(reasons[-1]), 300)}."
        if reasons
        else ""
    )
    return f"No trial has a value: {said}.{last}"


WORDS = {
    "complete": "complete",
    "pruned": "given up early",
    "fail": "failed",
    "running": "in hand",
    "waiting": "waiting",
}
"""What a state is called in a sentence."""


def _so_far(result: StudyResult) -> str:
    best, default, goal = result.complete[0], result.default, formatting.printable(result.goals[0].text)
    told = (
        f"The study has not ended. So far the best of {formatting.plural(len(result.complete), 'complete trial')}, "
        f"number {best.number}, has {goal} {number(best.value)} on validation"
    )
    if default is best:
        told += ", with the untuned settings"
    elif default is not None:
        told += f"; untuned it is {number(default.value)}"
    return told + "."


def _judged(result: StudyResult, ending: Ending) -> str:
    if ending.gain_interval is None:
        return "Whether tuning helped is not known for sure, without an interval"
    low, high = ending.gain_interval
    if not result.ending_goal.higher:
        low, high = -high, -low
    if low <= 0 <= high:
        return "It is open whether tuning helped"
    if ending.doubt:
        return f"It is open whether tuning helped ({formatting.printable(ending.doubt)})"
    return "Tuning helped" if low > 0 else "Tuning did harm"


def _gain(ending: Ending) -> str:
    text = f"a difference of {signed(ending.gain)}"
    if ending.gain_interval is not None:
        low, high = ending.gain_interval
        text += f" [{signed(low)}, {signed(high)}]"
    return text


def signed(value: float) -> str:
    """A difference of an objective, with its sign."""
    text = f"{value:+.3f}" if abs(value) < 100 else f"{value:+.4g}"
    return ("0" + text[2:] if float(text) == 0 else text).replace("-", "−")


def _with_interval(finalist: Finalist) -> str:
    text = number(finalist.mean_test)
    if finalist.test_interval is not None:
        text += f" [{number(finalist.test_interval[0])}, {number(finalist.test_interval[1])}]"
    return text


def _hope(result: StudyResult) -> str:
    assert result.ending is not None
    winner = result.ending.winner
    tuned, again = number(winner.tuned), number(winner.mean_again)
    if winner.again and winner.tuned is None and result.ending.goal is not None:
        return (
            f"The study sought {formatting.printable(result.goals[0].text)}, which says nothing of the detector: the choice was "
            f"made by {formatting.plural(len(winner.again), 'fresh seed')} alone."
        )
    if not winner.again or winner.tuned is None:
        return (
            f"Nothing was run again with fresh seeds: the study's own {tuned} on validation is the best of "
            f"{formatting.plural(len(result.complete), 'trial')}, and too good."
        )
    hope = winner.optimism if result.goals[0].higher else -winner.optimism
    fresh = f"{tuned} in the study became {again} with {formatting.plural(len(winner.again), 'fresh seed')}"
    if hope > 0:
        return f"On validation, {fresh}: the search was too hopeful by {number(abs(winner.optimism))}."
    return f"On validation, {fresh}: the search was not too hopeful."


def _warnings(result: StudyResult) -> list[str]:
    said = []
    if result.ending is not None and not result.ending.winner.again and result.complete:
        said.append("No fresh seeds: the value in the study flatters the settings that were chosen by it.")
    if result.ending is not None and result.ending.winner.name != "default":
        trial = next((t for t in result.trials if f"trial {t.number}" == result.ending.winner.name), None)
        if trial is not None and trial.feasible is False:
            said.append("The chosen settings break a limit: no trial that keeps them all did well enough.")
    known = {setting.path: setting for setting in result.space}
    strayed = [
        trial
        for trial in result.trials
        if any(path not in known or not known[path].holds(value) for path, value in trial.params.items())
    ]
    if strayed:
        said.append(
            f"{formatting.plural(len(strayed), 'trial')} {'lies' if len(strayed) == 1 else 'lie'} outside of the space as it is told here: it was changed while the "
            "study ran. Figures show the widest ranges, and importances compare trials that were drawn from different ones."
        )
    return said


def _figures(result: StudyResult, slug: str) -> list[Figure]:
    ending = result.ending
    if ending is None or all(
        each.tuned is None and not each.again and not each.test for each in ending.finalists
    ):
        return []
    figure = ending_plot(
        slug,
        "Values in the study, run again, and on test",
        finding(result),
        ending.finalists,
        result.ending_goal.text,
    )
    return [
        replace(
            figure, caption="The bar is test's 95% interval; an upright line is the mean of several runs."
        )
    ]


def _endings(result: StudyResult, slug: str) -> list[PageTable]:
    if result.ending is None:
        return []
    rows = []
    for each in result.ending.finalists:
        rows.append(
            TableRow(
                (
                    Cell(formatting.printable(each.name), strong=each.name == result.ending.chosen,
                         note="chosen" if each.name == result.ending.chosen else ""),
                    number_cell(each.tuned),
                    number_cell(each.mean_again, _spread(each.again)),
                    number_cell(each.optimism),
                    number_cell(each.mean_test, _interval(each) or _spread(each.test)),
                )
            )
        )  # fmt: skip
    columns = (
        TableColumn("Settings"),
        *(TableColumn(title, numeric=True) for title in ("In the study", "Run again", "Optimism", "Test")),
    )
    goal = formatting.printable(result.ending_goal.text)
    return [
        PageTable(
            slug,
            f"The best settings and the untuned ones; {goal}, on validation but for the last column",
            columns,
            tuple(rows),
        )
    ]


def _spread(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{number(min(known))} to {number(max(known))}" if len(known) > 1 else ""


def _interval(finalist: Finalist) -> str:
    ends = finalist.test_interval
    return "" if ends is None else f"[{number(ends[0])}, {number(ends[1])}]"


def _changes(stages: Sequence[StudyResult], slug: str) -> list[PageTable]:
    """The settings that the winner, or the best trial so far, has and the untuned ones have not."""
    last = stages[-1]
    if last.ending is not None:
        name, values = last.ending.winner.name, dict(last.ending.winner.values)
    elif last.complete:
        name, values = f"trial {last.complete[0].number}", {**last.fixed, **last.complete[0].params}
    else:
        return []
    rows = []
    for stage in stages:
        for path, (before, after) in changed_settings(stage, values).items():
            setting = next(each for each in stage.space if each.path == path)
            share = stage.importances.get(path)
            rows.append(
                TableRow(
                    (
                        Cell(formatting.printable(path)),
                        Cell(setting_text(before)),
                        Cell(setting_text(after), strong=True),
                        Cell(where_text(setting)),
                        Cell(formatting.MISSING if share is None else f"{share:.2f}", share),
                    )
                )
            )
    if not rows:
        return []
    columns = (
        TableColumn("Setting"),
        TableColumn("Untuned"),
        TableColumn("Tuned"),
        TableColumn("Sought in"),
        TableColumn("Importance", numeric=True),
    )
    return [
        PageTable(
            slug,
            f"Settings in which {formatting.printable(name)} differs from the untuned ones",
            columns,
            tuple(rows),
        )
    ]


def _links(folder: StudyFolder) -> list[Link]:
    links = [Link("trials.csv", "every trial")]
    if folder.winner:
        links.append(Link("winner.toml", "the chosen settings, for bench run --config"))
    return [*links, Link("study.json", "all of the study")]
