"""Verdict: which model is best, by how much and how certain that is; the leaderboard."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from metrics.plurals import agree
from reports.analysis.extremes import Extreme, highest
from reports.analysis.report_data import ReportData, mean
from reports.analysis.speed import Speed, speed_finding
from reports.elements import formatting
from reports.elements.page import Cell, Figure, Link, PageTable, Section, TableColumn, TableRow
from reports.figures.dot_plot import dot_plot
from reports.figures.lines import LineAxes, lines
from reports.records.run import RunResult
from reports.sections.budget_curves import budget_text
from reports.sections.speed_cells import leaderboard_cells, leaderboard_columns
from reports.sections.verdict_text import ranking, verdict

COLUMNS = (
    ("ap", "AP", "average precision, mean over IoU thresholds 0.50 to 0.95 and over classes"),
    ("ap50", "AP50", "average precision at IoU threshold 0.50"),
    ("ap75", "AP75", "average precision at IoU threshold 0.75"),
    ("ap_small", "AP small", "AP of objects of up to 32 x 32 pixels"),
    ("ap_medium", "AP medium", "AP of objects of 32 x 32 to 96 x 96 pixels"),
    ("ap_large", "AP large", "AP of objects of 96 x 96 pixels or more"),
    ("ar_100", "AR", "average recall, mean over the same IoU thresholds and classes"),
)
"""Short names, headings and meanings of the measures in the leaderboard; in all of them higher is better."""


def section(report: ReportData, speed: Speed, opening: str = "") -> Section:
    """The verdict and the leaderboard; the verdict begins with `opening`."""
    values = report.headline("ap")
    rows = report.labels
    aps = np.full((len(rows), len(rows), report.seeds), np.nan)
    for at, seeds in enumerate(values):
        aps[at, at, : len(seeds)] = seeds
    bars = None
    if report.statistics is not None:
        bars = [np.full((len(rows), 2), np.nan) for _ in rows]
        for at, standing in enumerate(report.standings("ap")):
            bars[at][at] = standing.ci_low, standing.ci_high
    figure = dot_plot(
        "ap", f"AP on the {formatting.printable(report.data.split)} images", ranking(report), rows, rows, list(aps),
        "AP (%)", show_means=True, intervals=bars,
        pale=[np.full(len(rows), report.too_few)] * len(rows),
    )  # fmt: skip
    return Section(
        "verdict",
        "Verdict" if len(rows) > 1 else "Result",
        " ".join(filter(None, (opening, verdict(report), budget_text(report), speed_finding(report, speed)))),
        figures=(replace(figure, caption=report.markers_caption), _by_iou(report)),
        tables=(_leaderboard(report, speed),),
        warnings=_warnings(report),
        template="facts.html",
        extra={"facts": _notes(report)},
        method=(
            "AP is defined as in COCO: the area under the interpolated precision-recall curve, sampled at 101 recall levels, as a "
            "mean over the IoU thresholds 0.50 to 0.95 in steps of 0.05 and over the classes with valid objects, with at most 100 "
            "detections per image and class. AP50 and AP75 are AP at a single IoU threshold. Small objects have up to 32 x 32 "
            "pixels, medium ones 32 x 32 to 96 x 96, and large ones 96 x 96 or more. AR is the mean recall over the same IoU thresholds. A dash marks a value "
            "that is not defined, for instance because there are no objects of that size.",
            "Values are in percent, differences in percentage points: from 34.1% to 35.1% is one percentage point. All numbers are "
            "computed from the detections of the runs."
            + " Models are ordered by AP." * (len(report.models) > 1)
            + " Runs that differ only in their seed are one model, whose numbers are means over its seeds."
            * (len(report.runs) > 1),
            *_statistics_method(report),
        ),
        links=(
            Link("leaderboard.csv", "one row per run"),
            Link("metrics.csv", "one row per value"),
            *(
                [Link("standings.csv", "one row per model and measure, with intervals")]
                if report.statistics
                else []
            ),
        ),
    )


def _statistics_method(report: ReportData) -> tuple[str, ...]:
    """How intervals, letters and ranks are computed; empty without statistics."""
    if report.statistics is None:
        return ()
    method = report.statistics.method
    population = "images and seeds" if report.statistics.compared == "training recipes" else "images"
    text = (
        f"Brackets are {method.confidence:.0%} confidence intervals over {population}: Student's t with the standard error of "
        f"{formatting.plural(method.resamples, 'bootstrap replicate')}, which are the values on as many resamples of the {method.unit}s"
    )
    if len(report.models) == 1:
        return (f"{text} (seed {method.seed}).",)
    return (
        f"{text}, the same for all models (seed {method.seed}). Brackets of "
        "a difference in the verdict are simultaneous intervals for all pairs. Two models share a letter if neither is decisively "
        "better. A difference is decisive if its confidence interval and the simultaneous interval exclude 0 and the p-value, "
        f"adjusted by Holm's method, is below {1 - method.confidence:.2g}. Small print below a rank: its "
        f"{method.confidence:.0%} confidence interval.",
    )


def _by_iou(report: ReportData) -> Figure:
    """AP over the IoU threshold, which separates detection from localization."""
    thresholds = np.array(report.evaluated[0][0].rule.iou_thresholds)
    curves = [[(thresholds, 100 * run.ap_by_iou) for run in runs] for runs in report.evaluated]
    return lines(
        "ap-iou", "AP at each IoU threshold", ap_by_iou_text(report.labels, ap_at_ends(report)), report.labels, curves,
        LineAxes("IoU threshold", "AP (%)"),
    )  # fmt: skip


def ap_at_ends(report: ReportData) -> tuple[Extreme, Extreme]:
    """The highest AP, mean over seeds, at IoU thresholds 0.50 and 0.95."""
    loose, strict = (
        highest(
            report.labels, [float(np.mean([run.ap_by_iou[at] for run in runs])) for runs in report.evaluated]
        )
        for at in (0, -1)
    )
    return loose, strict


def ap_by_iou_text(labels: Sequence[str], ends: tuple[Extreme, Extreme]) -> str:
    """Describe the highest AP at IoU thresholds 0.50 and 0.95."""
    loose, strict = ends
    if math.isnan(loose.value):
        return "There are no valid objects."
    if len(labels) == 1:
        return f"AP is {formatting.points(loose.value)} at IoU threshold 0.50 and {formatting.points(strict.value)} at 0.95."
    return f"At IoU threshold 0.50, {_highest_text(loose)}; at 0.95, which requires accurate boxes, {_highest_text(strict)}."


def _highest_text(extreme: Extreme) -> str:
    if extreme.value == 0:
        return "AP is 0 for all models"
    value = formatting.points(extreme.value)
    if value == "0.0":
        return "AP is less than 0.1 for all models"
    if extreme.shared_by_all:
        return f"all models have the same AP ({value})"
    names = formatting.join_words(list(extreme.holders))
    return f"{names} {agree(len(extreme.holders), 'has', 'share')} the highest AP ({value})"


def _warnings(report: ReportData) -> list[str]:
    """Limitations of the comparison; `_notes` has the remarks that limit nothing."""
    statistics = report.statistics
    warnings = [formatting.sentence(str(note)) for note in report.notes]
    warnings += [
        f"Gate: {formatting.printable(str(one))}." for one in report.gate_results if one.state != "passed"
    ]
    unfair = [note for note in report.training_notes if note.kind != "validated_once"]
    warnings += [formatting.sentence(str(note)) for note in (*unfair, *report.unused_columns)]
    protocols = sorted({name for result in report.results for name in result.protocols})
    if protocols:
        warnings.append(
            f"The numbers of this page are COCO's. Those by {formatting.join_words(protocols)} are in the section Reproducibility."
        )
    for run in report.runs:
        result, measured = run.run.result, run.evaluation.headline
        wrong = [
            name
            for name, value in result.headline.items()
            if name in measured and not _same(value, measured[name]) and _was_computed(result, name)
        ]
        if wrong:
            warnings.append(
                f"{formatting.printable(result.name)}: {formatting.join_words(wrong)} in result.json "
                f"{agree(len(wrong), 'differs', 'differ')} from the detections; this page shows the values of the detections."
            )
    if statistics is not None:
        warnings += [formatting.sentence(str(note)) for note in statistics.notes if note.kind == "too_few"]
    elif report.data.images < 50:
        images = formatting.plural(report.data.images, "image is", "images are")
        warnings.append(f"{images} too few to separate models of similar AP.")
    return warnings


def _was_computed(result: RunResult, name: str) -> bool:
    """Whether the settings of a run include the measure of this headline number; True if they are unknown."""
    measures = result.config.get("evaluate", {}).get("measures")
    measure = "average_recall" if name.startswith("ar") else "average_precision"
    return measures is None or measure in measures


def _notes(report: ReportData) -> list[str]:
    unknown = [
        formatting.sentence(str(note)) for note in report.training_notes if note.kind == "validated_once"
    ]
    unknown += _identical(report)
    if report.statistics is None:
        return unknown
    gate = [
        f"Gate: {formatting.printable(str(one))}." for one in report.gate_results if one.state == "passed"
    ]
    return (
        gate
        + unknown
        + [formatting.sentence(str(note)) for note in report.statistics.notes if note.kind != "too_few"]
    )


def _identical(report: ReportData) -> list[str]:
    """Which models have identical detections, run by run."""
    groups: dict[tuple[bytes, ...], list[str]] = {}
    for label, runs in zip(report.labels, report.evaluated, strict=True):
        tables = [run.run.detections for run in runs]
        content = tuple(
            column.tobytes()
            for table in tables
            for column in (table.image, table.label, table.xywh, table.score)
        )
        groups.setdefault(content, []).append(label)
    return [
        f"{formatting.join_words(labels)} have identical detections."
        for labels in groups.values()
        if len(labels) > 1
    ]


def _same(written: float | None, measured: float) -> bool:
    if written is None or math.isnan(measured):
        return written is None and math.isnan(measured)
    return abs(written - measured) < 1e-6


def _leaderboard(report: ReportData, speed: Speed) -> PageTable:
    headline = {name: report.headline(name) for name, *_ in COLUMNS}
    best = {
        name: max((mean(seeds) for seeds in values), default=math.nan) for name, values in headline.items()
    }
    rows = []
    for at, model in enumerate(report.models):
        cells = [Cell(report.labels[at], note=_model_note(report, at))]
        standing = report.standings("ap")[at] if report.statistics is not None else None
        if standing is not None and len(report.models) > 1:
            ranks = (
                f"{standing.rank_low} to {standing.rank_high}"
                if standing.rank_low < standing.rank_high
                else ""
            )
            cells.append(Cell(str(standing.rank), standing.rank, note=ranks))
            cells.append(Cell(standing.letters))
        for name, *_ in COLUMNS:
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
    has_intervals = report.statistics is not None
    standing_columns = (
        (
            TableColumn("Rank", numeric=True, help="below: the 95% confidence interval of the rank"),
            TableColumn("Ties", help="models that share a letter are tied: neither is decisively better"),
        )
        if has_intervals and len(rows) > 1
        else ()
    )
    columns = (
        TableColumn("Model"),
        *standing_columns,
        *(TableColumn(title, numeric=True, help=meaning) for _, title, meaning in COLUMNS),
        *leaderboard_columns(speed),
        TableColumn("Parameters", numeric=True),
        TableColumn("Training time", numeric=True),
    )
    spread = " Below AP: range over seeds." if report.seeds > 1 else ""
    if has_intervals:
        spread = (
            " Below AP: 95% confidence interval. Models that share a letter are tied."
            if len(rows) > 1
            else " Below AP: 95% confidence interval."
        )
    strong = " Bold: highest value of the column, significant or not." if len(rows) > 1 else ""
    return PageTable("leaderboard", f"AP and AR in percent.{strong}{spread}", columns, tuple(rows))


def _model_note(report: ReportData, at: int) -> str:
    model = report.models[at]
    seeds = ""
    if report.seeds > 1:
        values = [formatting.points(float(value)) for value in report.headline("ap")[at]]
        seeds = f"{formatting.plural(len(model.runs), 'seed')}: {', '.join(values)}"
    partial = "partial" if any(result.status == "partial" for result in model.results) else ""
    return ", ".join(filter(None, (seeds, partial)))
