"""What became of the trials: how they ended and why, when they ran, which limits they kept, and how to go on."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from statistics import median

from reports.analysis.optuna_study import optuna_study
from reports.elements import formatting
from reports.elements.page import Cell, Figure, Link, PageTable, Section, TableColumn, TableRow
from reports.figures import study_plots
from reports.records.study import StudyFolder, StudyResult
from reports.sections.tuning import WORDS, number_cell, setting_text, where_text

MOST_ROWS = 300
"""Trials that the page lists; the file beside it has all."""

_MEANS = {
    "complete": "has a value",
    "pruned": "others did better after as many images",
    "fail": "has no value, and says why",
    "running": "was in hand when this page was made",
    "waiting": "queued",
}


def trials(result: StudyResult, slug: str, heading: str, show_paths: bool = False) -> Section:
    """States, reasons, times and limits of all trials.

    Args:
        result: any study.
        slug: the section's; unique on the page.
        heading: its title.
        show_paths: show absolute paths in reasons in full.
    """
    if not result.trials:
        return Section(slug, heading, "There is no trial.")
    tables = [_states(result, slug)]
    reasons = _reasons(result, slug, show_paths)
    if reasons:
        tables.append(reasons)
    if result.limits:
        tables.append(_limits(result, slug))
    tables.append(_all(result, slug, show_paths))
    return Section(
        slug,
        heading,
        _finding(result),
        figures=_timeline(result, slug),
        tables=tables,
        warnings=_warnings(result),
        method=(
            "A trial whose worker died is failed, and another with the same settings goes on from its checkpoint: it takes "
            "no place of its own, and is counted once. Times are wall clock, and on a machine with several workers they "
            "share it.",
        ),
        links=(Link("trials.csv", "every trial"),),
    )


def going_on(folder: StudyFolder, show_paths: bool = False) -> Section:
    """How to go on with a study, how to use its winner, and what it was made with."""
    stages, last = folder.stages, folder.result
    commands = [_private(last.command, show_paths)] if last.command else []
    if folder.winner:
        commands.append(f"python -m bench run --config {StudyFolder.WINNER}")
    finding = (
        "The same command goes on with the study; a larger --trials extends it."
        if last.command
        else ("How the study was begun is not recorded.")
    )
    settings = []
    if folder.winner:
        settings.append(("the winner (winner.toml)", _private(folder.winner, show_paths)))
    return Section(
        "going-on",
        "How to go on",
        finding,
        tables=[_facts(stages), *(_space(stage, f"space-{at}") for at, stage in enumerate(stages))],
        template="reproducibility.html",
        extra={"commands": commands, "warnings": [], "settings": settings},
        links=(Link("study.json", "all of the study"),),
    )


def _private(text: str, show_paths: bool) -> str:
    lines = text.split("\n")
    return "\n".join(
        formatting.printable(line if show_paths else formatting.hide_paths(line)) for line in lines
    )


def _finding(result: StudyResult) -> str:
    counted, states = result.counted, result.states
    told = [(states[state], word) for state, word in WORDS.items() if state in states]
    said = (
        f"all {told[0][1]}"
        if len(told) == 1
        else formatting.join_words([f"{formatting.count(n)} {word}" for n, word in told])
    )
    text = f"{formatting.plural(len(counted), 'trial')}: {said}" if counted else "No trial counts"
    if result.asked is not None and result.asked != len(counted):
        text += f"; {formatting.count(result.asked)} were asked for"
    workers = len({trial.worker for trial in result.trials if trial.worker})
    if workers > 1:
        text += f", by {workers} workers"
    begun = [trial.start for trial in result.trials if trial.start is not None]
    ended = [trial.end for trial in result.trials if trial.end is not None]
    if begun and ended:
        text += f", within {formatting.duration((max(ended) - min(begun)).total_seconds())}"
    return text + "."


def _warnings(result: StudyResult) -> list[str]:
    said, states = [], result.states
    failed = states.get("fail", 0)
    if failed and failed >= 0.2 * len(result.counted):
        said.append(
            f"{formatting.plural(failed, 'trial')} failed: the search avoids what fails, and may have missed good settings."
        )
    again = sum(trial.retry_of is not None for trial in result.trials)
    if again:
        said.append(
            f"{formatting.plural(again, 'trial')} went on in the place of another whose worker was gone or was stopped."
        )
    broken = sum(trial.feasible is False for trial in result.counted)
    if broken:
        said.append(
            f"{formatting.plural(broken, 'trial')} of {len(result.counted)} {'breaks' if broken == 1 else 'break'} a limit."
        )
    return said


def _states(result: StudyResult, slug: str) -> PageTable:
    rows = []
    for state in WORDS:
        members = [trial for trial in result.counted if trial.state == state]
        if not members:
            continue
        times = [trial.seconds for trial in members if math.isfinite(trial.seconds)]
        middle = median(times) if times else None
        rows.append(
            TableRow(
                (
                    Cell(state.upper()),
                    Cell(formatting.count(len(members)), len(members)),
                    Cell(formatting.duration(middle), middle),
                    Cell(
                        formatting.duration(sum(times)) if times else formatting.MISSING,
                        sum(times) if times else None,
                    ),
                    Cell(_MEANS[state]),
                )
            )
        )
    columns = (
        TableColumn("State"), TableColumn("Trials", numeric=True), TableColumn("Median time", numeric=True), TableColumn("Together", numeric=True),
        TableColumn("Means"),
    )  # fmt: skip
    return PageTable(f"{slug}-states", "Trials by how they ended", columns, tuple(rows))


def _reasons(result: StudyResult, slug: str, show_paths: bool) -> PageTable | None:
    counts = Counter(
        formatting.truncate(trial.reason if show_paths else formatting.hide_paths(trial.reason), 300)
        for trial in result.counted
        if trial.reason and trial.state in ("fail", "pruned")
    )
    if not counts:
        return None
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MOST_ROWS]
    rows = tuple(TableRow((Cell(reason), Cell(formatting.count(count), count))) for reason, count in ranked)
    columns = (TableColumn("Reason"), TableColumn("Trials", numeric=True))
    return PageTable(f"{slug}-reasons", "Why trials have no value", columns, rows, folded=len(rows) > 8)


def _limits(result: StudyResult, slug: str) -> PageTable:
    rows = []
    for limit in result.limits:
        values = [trial.limited.get(limit.name) for trial in result.counted]
        known = [value for value in values if value is not None]
        kept = sum(value <= limit.bound if limit.at_most else value >= limit.bound for value in known)
        rows.append(
            TableRow(
                (
                    Cell(formatting.printable(limit.name)),
                    Cell(f"at {'most' if limit.at_most else 'least'} {limit.bound:g}", limit.bound),
                    Cell(formatting.count(kept), kept),
                    Cell(formatting.count(len(known) - kept), len(known) - kept),
                    number_cell(min(known, default=None)),
                    number_cell(max(known, default=None)),
                )
            )
        )
    titles = ("Limit", "Kept by", "Broken by", "Least measured", "Most measured")
    columns = (TableColumn("What"), *(TableColumn(title, numeric=True) for title in titles))
    return PageTable(f"{slug}-limits", "Limits, and how many trials kept them", columns, tuple(rows))


def _timeline(result: StudyResult, slug: str) -> list[Figure]:
    timed = [trial for trial in result.trials if trial.start is not None and trial.end is not None]
    if len(timed) < 2 or len(timed) < sum(
        trial.state not in ("waiting", "running") for trial in result.trials
    ):
        return []
    times = [trial.seconds for trial in timed]
    finding = (
        f"A bar is a trial; they took {formatting.duration(min(times))} to {formatting.duration(max(times))}, "
        f"in the middle {formatting.duration(median(times))}."
    )
    return [study_plots.timeline(slug, "When each trial ran", finding, optuna_study(result))]


def _all(result: StudyResult, slug: str, show_paths: bool) -> PageTable:
    listed = result.trials[:MOST_ROWS]
    rows = []
    for trial in listed:
        reason = trial.reason if show_paths else formatting.hide_paths(trial.reason)
        told = [f"{formatting.printable(path)}={setting_text(value)}" for path, value in trial.params.items()]
        seconds = trial.seconds
        rows.append(
            TableRow(
                (
                    Cell(f"trial {trial.number}", note=_place(trial.default, trial.retry_of, trial.counts)),
                    Cell(trial.state.upper() + (", breaks a limit" if trial.feasible is False else "")),
                    number_cell(trial.value),
                    Cell(formatting.duration(seconds), seconds if math.isfinite(seconds) else None),
                    Cell(", ".join(told) or formatting.MISSING, note=formatting.truncate(reason, 200)),
                )
            )
        )
    left = len(result.trials) - len(listed)
    caption = "All trials" if not left else f"The first {len(listed)} trials; {left} more are in trials.csv"
    columns = (
        TableColumn("Trial"),
        TableColumn("State"),
        TableColumn("Value", numeric=True),
        TableColumn("Time", numeric=True),
        TableColumn("Settings"),
    )
    return PageTable(f"{slug}-all", caption, columns, tuple(rows), searchable=len(rows) > 12, folded=True)


def _place(default: bool, retry_of: int | None, counts: bool) -> str:
    if default:
        return "untuned"
    if retry_of is not None:
        return f"goes on with trial {retry_of}"
    return "" if counts else "does not count"


def _facts(stages: Sequence[StudyResult]) -> PageTable:
    facts: list[tuple[str, list[str]]] = [
        ("Study", [formatting.printable(stage.name) for stage in stages]),
        (
            "Objectives",
            [
                formatting.join_words([_goal(goal.text, goal.higher) for goal in stage.goals])
                for stage in stages
            ],
        ),
        ("Trials asked for", [formatting.count(stage.asked) for stage in stages]),
        ("Sampler", [_told(stage.sampler) for stage in stages]),
        ("Seed", [formatting.MISSING if stage.seed is None else str(stage.seed) for stage in stages]),
        ("Gives up early", [_told(stage.pruner, "nobody") for stage in stages]),
        ("Storage", [_told(stage.storage) for stage in stages]),
        ("Data", [f"{formatting.printable(stage.data)} {stage.fingerprint[:12]}" for stage in stages]),
        ("Validation images", [formatting.count(stage.images) for stage in stages]),
        ("Settled before", [_fixed(stage) for stage in stages]),
        ("Device", [_told(stage.environment.device or stage.environment.cpu) for stage in stages]),
        ("Commit", [_commit(stage) for stage in stages]),
        ("Versions", [_versions(stage) for stage in stages]),
    ]
    rows = tuple(TableRow((Cell(name), *(Cell(text) for text in texts))) for name, texts in facts)
    columns = (TableColumn("What"), *(TableColumn(formatting.printable(stage.stage)) for stage in stages))
    return PageTable("facts", "What the study was made with", columns, rows)


def _goal(text: str, higher: bool) -> str:
    return f"{formatting.printable(text)} ({'more' if higher else 'less'} is better)"


def _told(text: str, otherwise: str = formatting.MISSING) -> str:
    return formatting.printable(text) or otherwise


def _fixed(stage: StudyResult) -> str:
    return (
        ", ".join(
            f"{formatting.printable(path)}={setting_text(value)}" for path, value in stage.fixed.items()
        )
        or "nothing"
    )


def _commit(stage: StudyResult) -> str:
    commit = stage.environment.commit
    return (
        formatting.MISSING
        if commit is None
        else commit[:12] + (", with changes" if stage.environment.dirty else "")
    )


def _versions(stage: StudyResult) -> str:
    told = [f"{name} {version}" for name, version in sorted(stage.environment.packages.items())]
    return formatting.printable(", ".join(told)) or formatting.MISSING


def _space(stage: StudyResult, slug: str) -> PageTable:
    rows = tuple(
        TableRow(
            (
                Cell(formatting.printable(each.path)),
                Cell(setting_text(each.default)),
                Cell(where_text(each)),
                Cell(_kind(each.options, each.whole)),
            )
        )
        for each in stage.space
    )
    columns = (TableColumn("Setting"), TableColumn("Untuned"), TableColumn("Sought in"), TableColumn("Kind"))
    return PageTable(slug, f"The space of {formatting.printable(stage.stage)}", columns, rows, folded=True)


def _kind(options: Sequence[object], whole: bool) -> str:
    return "option" if options else "whole number" if whole else "number"
