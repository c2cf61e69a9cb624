"""Trials of a study: states, reasons, limits and times; and how to continue the study."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from statistics import median

from metrics.plurals import agree
from reports.analysis.study_values import STATE_WORDS, number_cell, range_text, setting_text
from reports.elements import formatting
from reports.elements.page import Cell, Figure, Link, PageTable, Section, TableColumn, TableRow
from reports.figures import study_plots
from reports.records.study import StudyFolder, StudyResult
from reports.records.trial import Dimension, TrialRecord

MOST_ROWS = 300
"""Trials that the page lists; the file beside it has all."""

_STATE_MEANINGS = {
    "complete": "has a value",
    "pruned": "stopped early, or over a limit",
    "fail": "has no value, for the reason given",
    "running": "was running when this page was written",
    "waiting": "queued",
}


def trials(result: StudyResult, slug: str, heading: str, show_paths: bool = False) -> Section:
    """States, reasons, times and limits of all trials.

    Args:
        result: any study.
        slug: of the section; unique on the page.
        heading: title of the section.
        show_paths: show absolute paths in reasons in full.
    """
    if not result.trials:
        return Section(slug, heading, "There are no trials.")
    tables = [_state_table(result, slug)]
    reasons = _reason_table(result, slug, show_paths)
    if reasons:
        tables.append(reasons)
    if result.limits:
        tables.append(_limit_table(result, slug))
    tables.append(_trial_table(result, slug, show_paths))
    return Section(
        slug,
        heading,
        _finding(result),
        figures=_timeline(result, slug),
        tables=tables,
        warnings=_warnings(result),
        method=(
            "A trial whose worker died is marked as failed, and another trial with the same settings continues from its "
            "checkpoint; together they count once. Times are wall-clock times; several workers on one machine slow each other down.",
        ),
        links=(Link("trials.csv", "all trials"),),
    )


def continuation(folder: StudyFolder, show_paths: bool = False) -> Section:
    """How to continue a study, how to use its winner, and what it was made with."""
    stages, last = folder.stages, folder.result
    commands = [_without_paths(last.command, show_paths)] if last.command else []
    if folder.winner:
        commands.append(f"python -m bench run --config {StudyFolder.WINNER}")
    finding = "The command that started the study is not recorded."
    if last.command:
        finding = "The same command continues the study; a larger --trials extends it."
    settings = []
    if folder.winner:
        settings.append(("the winner (winner.toml)", _without_paths(folder.winner, show_paths)))
    return Section(
        "continuation",
        "Continuing the study",
        finding,
        tables=[
            _fact_table(stages),
            *(_space_table(stage, f"space-{at}") for at, stage in enumerate(stages)),
        ],
        template="reproducibility.html",
        extra={"commands": commands, "warnings": [], "settings": settings},
        links=(Link("study.json", "the whole study"),),
    )


def _without_paths(text: str, show_paths: bool) -> str:
    lines = text.split("\n")
    return "\n".join(
        formatting.printable(line if show_paths else formatting.hide_paths(line)) for line in lines
    )


def _finding(result: StudyResult) -> str:
    counted, states = result.counted, result.states
    present = [state for state in STATE_WORDS if state in states]
    if len(present) == 1:
        words = f"all {STATE_WORDS[present[0]]}"
    else:
        words = formatting.join_words([f"{formatting.count(states[s])} {STATE_WORDS[s]}" for s in present])
    text = f"{formatting.plural(len(counted), 'trial')}: {words}" if counted else "No trial counts"
    if result.requested is not None and result.requested != len(counted):
        text += f"; {formatting.count(result.requested)} were requested"
    workers = len({trial.worker for trial in result.trials if trial.worker})
    if workers > 1:
        text += f"; {formatting.plural(workers, 'worker')}"
    started = [trial.started for trial in result.trials if trial.started is not None]
    finished = [trial.finished for trial in result.trials if trial.finished is not None]
    if started and finished:
        text += f"; {formatting.duration((max(finished) - min(started)).total_seconds())} from start to end"
    return text + "."


def _warnings(result: StudyResult) -> list[str]:
    warnings = []
    failed = result.states.get("fail", 0)
    if failed and failed >= 0.2 * len(result.counted):
        warnings.append(
            f"{formatting.plural(failed, 'trial')} failed: the sampler avoids failing settings, and may miss good ones nearby."
        )
    retries = sum(trial.retry_of is not None for trial in result.trials)
    if retries:
        warnings.append(
            f"{formatting.plural(retries, 'trial')} {agree(retries, 'continues', 'continue')} another one whose worker died "
            "or was stopped."
        )
    over = sum(trial.feasible is False for trial in result.counted)
    if over:
        warnings.append(
            f"{over} of {formatting.plural(len(result.counted), 'trial')} {agree(over, 'is', 'are')} over a limit."
        )
    return warnings


def _state_table(result: StudyResult, slug: str) -> PageTable:
    rows = []
    for state in STATE_WORDS:
        members = [trial for trial in result.counted if trial.state == state]
        if not members:
            continue
        times = [trial.seconds for trial in members if math.isfinite(trial.seconds)]
        middle, total = (median(times), sum(times)) if times else (None, None)
        cells = (
            Cell(state.upper()),
            Cell(formatting.count(len(members)), len(members)),
            Cell(formatting.duration(middle), middle),
            Cell(formatting.duration(total), total),
            Cell(_STATE_MEANINGS[state]),
        )
        rows.append(TableRow(cells))
    columns = (
        TableColumn("State"),
        *(TableColumn(title, numeric=True) for title in ("Trials", "Median time", "Total time")),
        TableColumn("Meaning"),
    )
    return PageTable(f"{slug}-states", "Trials by state", columns, tuple(rows))


def _reason_table(result: StudyResult, slug: str, show_paths: bool) -> PageTable | None:
    counts = Counter(
        formatting.truncate(_reason(trial, show_paths), 300)
        for trial in result.counted
        if trial.reason and trial.state in ("fail", "pruned")
    )
    if not counts:
        return None
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MOST_ROWS]
    rows = tuple(TableRow((Cell(reason), Cell(formatting.count(count), count))) for reason, count in ranked)
    columns = (TableColumn("Reason"), TableColumn("Trials", numeric=True))
    return PageTable(f"{slug}-reasons", "Why trials have no value", columns, rows, folded=len(rows) > 8)


def _reason(trial: TrialRecord, show_paths: bool) -> str:
    return trial.reason if show_paths else formatting.hide_paths(trial.reason)


def _limit_table(result: StudyResult, slug: str) -> PageTable:
    rows = []
    for limit in result.limits:
        measured = [trial.measured.get(limit.name) for trial in result.counted]
        known = [value for value in measured if value is not None]
        within = sum(value <= limit.bound for value in known)
        cells = (
            Cell(formatting.printable(limit.name)),
            Cell(f"{limit.bound:g}", limit.bound),
            Cell(formatting.count(within), within),
            Cell(formatting.count(len(known) - within), len(known) - within),
            number_cell(min(known, default=None)),
            number_cell(max(known, default=None)),
        )
        rows.append(TableRow(cells))
    titles = ("Limit", "Within", "Over", "Lowest measured", "Highest measured")
    columns = (TableColumn("Quantity"), *(TableColumn(title, numeric=True) for title in titles))
    return PageTable(f"{slug}-limits", "Limits and the number of trials within them", columns, tuple(rows))


def _timeline(result: StudyResult, slug: str) -> list[Figure]:
    timed = [trial for trial in result.trials if trial.started is not None and trial.finished is not None]
    ended = sum(trial.state not in ("waiting", "running") for trial in result.trials)
    if len(timed) < 2 or len(timed) < ended:
        return []
    times = [trial.seconds for trial in timed]
    least, middle, most = (formatting.duration(f(times)) for f in (min, median, max))
    finding = f"A bar is a trial; the median duration is {middle} (from {least} to {most})."
    return [study_plots.timeline(slug, "When each trial ran", finding, result)]


def _trial_table(result: StudyResult, slug: str, show_paths: bool) -> PageTable:
    listed = result.trials[:MOST_ROWS]
    rows = []
    for trial in listed:
        params = [
            f"{formatting.printable(path)}={setting_text(value)}" for path, value in trial.params.items()
        ]
        seconds = trial.seconds
        cells = (
            Cell(f"trial {trial.number}", note=_note(trial)),
            Cell(trial.state.upper() + (", over a limit" if trial.feasible is False else "")),
            number_cell(trial.value),
            Cell(formatting.duration(seconds), seconds if math.isfinite(seconds) else None),
            Cell(
                ", ".join(params) or formatting.MISSING,
                note=formatting.truncate(_reason(trial, show_paths), 200),
            ),
        )
        rows.append(TableRow(cells))
    left = len(result.trials) - len(listed)
    caption = (
        f"The first {formatting.plural(len(listed), 'trial')}; {left} more are in trials.csv"
        if left
        else "All trials"
    )
    columns = (
        TableColumn("Trial"),
        TableColumn("State"),
        TableColumn("Value", numeric=True),
        TableColumn("Time", numeric=True),
        TableColumn("Settings"),
    )
    return PageTable(f"{slug}-all", caption, columns, tuple(rows), searchable=len(rows) > 12, folded=True)


def _note(trial: TrialRecord) -> str:
    if trial.superseded:
        return "superseded"
    if trial.surplus:
        return "surplus"
    if trial.default:
        return "default"
    return "" if trial.retry_of is None else f"continues trial {trial.retry_of}"


def _fact_table(stages: Sequence[StudyResult]) -> PageTable:
    facts: list[tuple[str, list[str]]] = [
        ("Study", [formatting.printable(stage.name) for stage in stages]),
        ("Objectives", [_objectives(stage) for stage in stages]),
        ("Requested trials", [formatting.count(stage.requested) for stage in stages]),
        ("Sampler", [_text(stage.sampler) for stage in stages]),
        ("Seed", [formatting.MISSING if stage.seed is None else str(stage.seed) for stage in stages]),
        ("Pruner", [_text(stage.pruner, "none") for stage in stages]),
        ("Storage", [_text(stage.storage) for stage in stages]),
        ("Data", [f"{formatting.printable(stage.data)} {stage.fingerprint[:12]}" for stage in stages]),
        ("Validation images", [formatting.count(stage.images) for stage in stages]),
        ("Settings of earlier stages", [_fixed(stage) for stage in stages]),
        ("Device", [_text(stage.environment.device or stage.environment.cpu) for stage in stages]),
        ("Commit", [_commit(stage) for stage in stages]),
        ("Versions", [_versions(stage) for stage in stages]),
    ]
    rows = tuple(TableRow((Cell(name), *(Cell(text) for text in texts))) for name, texts in facts)
    columns = (TableColumn("Fact"), *(TableColumn(stage.stage) for stage in stages))
    return PageTable("facts", "What the study was made with", columns, rows)


def _objectives(stage: StudyResult) -> str:
    return formatting.join_words(
        [
            f"{formatting.printable(each.text)} ({'higher' if each.higher else 'lower'} is better)"
            for each in stage.objectives
        ]
    )


def _text(text: str, otherwise: str = formatting.MISSING) -> str:
    return formatting.printable(text) or otherwise


def _fixed(stage: StudyResult) -> str:
    settings = [f"{formatting.printable(path)}={setting_text(value)}" for path, value in stage.fixed.items()]
    return ", ".join(settings) or "none"


def _commit(stage: StudyResult) -> str:
    if stage.environment.commit is None:
        return formatting.MISSING
    return stage.environment.commit[:12] + (", with changes" if stage.environment.dirty else "")


def _versions(stage: StudyResult) -> str:
    return _text(
        ", ".join(f"{name} {version}" for name, version in sorted(stage.environment.packages.items()))
    )


def _space_table(stage: StudyResult, slug: str) -> PageTable:
    rows = tuple(
        TableRow(
            (
                Cell(formatting.printable(each.path)),
                Cell(setting_text(each.default)),
                Cell(range_text(each)),
                Cell(_kind(each)),
            )
        )
        for each in stage.space
    )
    columns = tuple(TableColumn(title) for title in ("Setting", "Default", "Range", "Kind"))
    return PageTable(slug, f"Search space of {stage.stage}", columns, rows, folded=True)


def _kind(dimension: Dimension) -> str:
    return "option" if dimension.options else "whole number" if dimension.whole else "number"
