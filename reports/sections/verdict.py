"""Which model is best, by how much, and how far that is to be believed: one generated sentence and the leaderboard."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from reports.analysis.report_data import ReportData, mean
from reports.analysis.speed import Speed, sentence
from reports.analysis.verdict import brief, verdict
from reports.elements import formatting
from reports.elements.page import Cell, Figure, Link, PageTable, Section, TableColumn, TableRow
from reports.figures.dot_plot import dot_plot
from reports.figures.lines import LineAxes, lines
from reports.sections.speed_cells import leaderboard_cells, leaderboard_columns

COLUMNS = (
    ("ap", "AP"),
    ("ap50", "AP50"),
    ("ap75", "AP75"),
    ("ap_small", "AP S"),
    ("ap_medium", "AP M"),
    ("ap_large", "AP L"),
    ("ar_100", "AR"),
)
"""Short names and headings of the leaderboard; oLRP, of which less is better, is in the section on errors."""


def section(report: ReportData, speed: Speed) -> Section:
    """The verdict and the leaderboard."""
    values = report.headline("ap")
    rows = report.labels
    ranked = np.full((len(rows), len(rows), report.seeds), np.nan)
    for at, seeds in enumerate(values):
        ranked[at, at, : len(seeds)] = seeds
    bars = None
    if report.statistics is not None:
        bars = [np.full((len(rows), 2), np.nan) for _ in rows]
        for at, standing in enumerate(report.standings("ap")):
            bars[at][at] = standing.ci_low, standing.ci_high
    figure = dot_plot(
        "ap", f"AP on the {formatting.printable(report.data.split)} images", brief(report), rows, rows, list(ranked),
        "AP (points of 100)", said=True, intervals=bars,
        pale=[np.full(len(rows), report.too_few)] * len(rows),
    )  # fmt: skip
    warnings = _warnings(report)
    return Section(
        "verdict",
        "Verdict" if len(rows) > 1 else "Result",
        " ".join(filter(None, (verdict(report), sentence(report, speed)))),
        figures=(replace(figure, caption=report.marks_said), _by_iou(report)),
        tables=(_leaderboard(report, speed),),
        warnings=warnings,
        template="facts.html",
        extra={"facts": [note for note in _notes(report) if note not in warnings]},
        method=(
            "AP is COCO's: the area under the envelope of precision over recall, read at 101 recalls, mean over IoU "
            "thresholds 0.50 to 0.95 in steps of 0.05 and over the classes that have objects; at most 100 detections "
            "an image and class. AP50 and AP75 are AP at one threshold; S are objects up to 32 x 32 pixels, M up to "
            "96 x 96, L the larger ones. AR is the mean recall over the same thresholds at 100 detections. A dash is a value that is "
            "not defined, for instance because no object has that size.",
            "All numbers are measured anew from the runs' detections. Models are ordered by AP; runs that differ in "
            "nothing but their seed are one model, and its numbers are the mean over its seeds.",
            *_how_sure(report),
        ),
        links=(
            Link("leaderboard.csv", "one row a run"),
            Link("metrics.csv", "one row a value"),
            *(
                [Link("standings.csv", "one row a model and measure, with intervals")]
                if report.statistics
                else []
            ),
        ),
    )


def _how_sure(report: ReportData) -> tuple[str, ...]:
    """What the intervals, letters and ranks mean; nothing where they were not measured."""
    if report.statistics is None:
        return ()
    method = report.statistics.method
    over = "images and seeds" if report.statistics.compared == "training recipes" else "images"
    return (
        f"Brackets hold {method.confidence:.0%} intervals over {over}, from {method.resamples:,} resamples of the "
        f"{method.unit}s that are the same for all models (seed {method.seed}), each an exact evaluation. Two models "
        "share a letter where neither beats the other: a difference is decisive only if its own interval, the interval "
        "that holds for all pairs at once, and the p-value after Holm's correction all speak against chance. Ranks "
        f"are those that {method.confidence:.0%} of the resamples give.",
    )


def _by_iou(report: ReportData) -> Figure:
    """AP at each IoU threshold: whether a lead comes from finding objects or from placing boxes well."""
    thresholds = np.array(report.scored[0][0].rule.iou_thresholds)
    curves = [[(thresholds, 100 * run.ap_by_iou) for run in runs] for runs in report.scored]
    loose = [float(np.mean([run.ap_by_iou[0] for run in runs])) for runs in report.scored]
    strict = [float(np.mean([run.ap_by_iou[-1] for run in runs])) for runs in report.scored]
    if math.isnan(loose[0]):
        finding = "There is no object to be found."
    elif len(loose) == 1:
        finding = f"AP falls from {formatting.points(loose[0])} at IoU 0.50 to {formatting.points(strict[0])} at 0.95."
    else:
        first, last = report.labels[int(np.argmax(loose))], report.labels[int(np.argmax(strict))]
        finding = (
            f"{first} is highest at IoU 0.50, where finding an object is enough ({formatting.points(max(loose))}); {last} at "
            f"0.95, where its box must fit ({formatting.points(max(strict))})."
        )
    return lines(
        "ap-iou", "AP at each IoU threshold", finding, report.labels, curves,
        LineAxes("IoU that a detection must reach", "AP (points of 100)"),
    )  # fmt: skip


def _warnings(report: ReportData) -> list[str]:
    said = [formatting.printable(note) for note in report.notes]
    said += [
        f"Gate: {formatting.printable(str(one))}." for one in report.gate_results if one.state != "passed"
    ]
    said += [_sentence(note.text) for note in report.unused_columns]
    for scored in report.runs:
        result = scored.run.result
        wrong = [
            name
            for name, value in result.headline.items()
            if name in scored.evaluation.headline and not _same(value, scored.evaluation.headline[name])
        ]
        if wrong:
            said.append(
                f"{formatting.printable(result.name)}: result.json has another {formatting.join_words(wrong)} than its detections "
                "give; this page shows what the detections give."
            )
    if report.statistics is not None:
        said += [_sentence(note.text) for note in report.statistics.notes if note.kind == "too_few"]
    elif (images := report.data.images) < 50:
        said.append(f"{formatting.plural(images, 'image')} cannot part models that are near each other.")
    return said


def _notes(report: ReportData) -> list[str]:
    """What the statistics ask a reader to know."""
    if report.statistics is None:
        return []
    gate = [f"gate: {one}" for one in report.gate_results if one.state == "passed"]
    return [_sentence(text) for text in (*gate, *(note.text for note in report.statistics.notes))]


def _sentence(text: str) -> str:
    return f"{formatting.printable(text[0].upper() + text[1:])}."


def _same(written: float | None, measured: float) -> bool:
    if written is None or math.isnan(measured):
        return written is None and math.isnan(measured)
    return abs(written - measured) < 1e-6


def _leaderboard(report: ReportData, speed: Speed) -> PageTable:
    headline = {name: report.headline(name) for name, _ in COLUMNS}
    best = {
        name: max((mean(seeds) for seeds in values), default=math.nan) for name, values in headline.items()
    }
    rows = []
    for at, model in enumerate(report.models):
        cells = [Cell(report.labels[at], note=_note(report, at))]
        standing = report.standings("ap")[at] if report.statistics is not None else None
        if standing is not None and len(report.models) > 1:
            ranks = (
                f"{standing.rank_low} to {standing.rank_high}"
                if standing.rank_low < standing.rank_high
                else ""
            )
            cells.append(Cell(str(standing.rank), standing.rank, note=ranks))
            cells.append(Cell(standing.letters))
        for name, _ in COLUMNS:
            seeds = headline[name][at]
            value = mean(seeds)
            spread = (
                f"{formatting.points(seeds.min())} to {formatting.points(seeds.max())}"
                if len(seeds) > 1
                else ""
            )
            if standing is not None:
                spread = formatting.points_interval(standing.ci_low, standing.ci_high)
            cells.append(
                Cell(
                    formatting.points(value),
                    value,
                    strong=len(report.models) > 1 and value == best[name],
                    note=spread if name == "ap" and not math.isnan(value) else "",
                    bar=value if name == "ap" and not math.isnan(value) else None,
                )
            )
        budget = model.results[0].budget
        trained = [result.budget.train_seconds for result in model.results]
        known = [seconds for seconds in trained if seconds is not None]
        seconds = sum(known) / len(known) if known else None
        cells += leaderboard_cells(speed, at)
        cells.append(Cell(formatting.large_number(budget.parameters), budget.parameters))
        cells.append(Cell(formatting.duration(seconds), seconds))
        rows.append(TableRow(tuple(cells), series=at))
    sure = report.statistics is not None
    standing_columns = (
        (TableColumn("Rank", numeric=True), TableColumn("Tie")) if sure and len(rows) > 1 else ()
    )
    columns = (
        TableColumn("Model"),
        *standing_columns,
        *(TableColumn(title, numeric=True) for _, title in COLUMNS),
        *leaderboard_columns(speed),
        TableColumn("Parameters", numeric=True),
        TableColumn("Training", numeric=True),
    )
    spread = " The range below AP is that of the seeds." if report.seeds > 1 else ""
    if sure:
        spread = (
            " Below AP its 95% interval; models that share a letter are tied."
            if len(rows) > 1
            else " Below AP its 95% interval."
        )
    strong = " Bold: the highest of its column, however small its lead." if len(rows) > 1 else ""
    return PageTable("leaderboard", f"AP and AR in points of 100.{strong}{spread}", columns, tuple(rows))


def _note(report: ReportData, at: int) -> str:
    model = report.models[at]
    seeds = ""
    if report.seeds > 1:
        values = [formatting.points(float(value)) for value in report.headline("ap")[at]]
        seeds = f"{formatting.plural(len(model.runs), 'seed')}: {', '.join(values)}"
    partial = "partial" if any(result.status == "partial" for result in model.results) else ""
    return ", ".join(word for word in (seeds, partial) if word)
