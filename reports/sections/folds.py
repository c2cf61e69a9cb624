"""Folds: AP of each fold of a cross-validation, and whether differences hold beyond these folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from metrics.plurals import agree
from reports.analysis.folds import FoldDifference, FoldResults
from reports.analysis.report_data import ReportData
from reports.elements import formatting
from reports.elements.page import Cell, Figure, Link, PageTable, Section, TableColumn, TableRow
from reports.figures.dot_plot import dot_plot

MEAN = "mean"


def section(report: ReportData, results: FoldResults | None) -> Section | None:
    """AP of each fold, means and differences with corrected intervals; None without folds."""
    if results is None:
        return None
    finding = finding_text(report.labels, results)
    tables = [_values_table(report, results)]
    links = [Link("folds.csv", "values by run and fold")]
    if results.differences:
        tables.append(_pairs_table(report.labels, results))
        links.append(Link("fold-differences.csv", "differences over folds"))
    return Section(
        "folds",
        "Folds",
        finding,
        figures=(_figure(report, results, finding),),
        tables=tables,
        warnings=_warnings(results),
        method=(
            f"All images were divided into {formatting.plural(results.folds, 'fold')}, stratified by class; images of one group and equal images are in "
            "one fold. Each fold was tested once, by networks that were trained on the others. All other sections of this "
            "page pool the detections of all folds, so that scores of different networks are ranked together; this section "
            "evaluates each fold alone, where the mean over folds can differ from the pooled value.",
            "The interval of a mean over folds is the corrected resampled t interval (Nadeau and Bengio 2003): the variance of the "
            "mean is (1/K + test images / training images) times the variance between the folds, because any two folds share "
            f"training images; here {results.test_share:.2f} test images per training image. It "
            "generalizes to other training and test images, and to one network per seed as here. In simulations it contains the true "
            "difference in 95% of experiments or more if training images cause up to a quarter of the variance between 5 folds, and "
            "in fewer if they cause more, or with 10 folds (docs/designs.md). The intervals of the pooled "
            "values in other sections generalize to other test images for these trained networks. Differences are paired "
            "by fold, and p-values are adjusted by Holm's method for the number of pairs; a difference is decisive if "
            "its interval excludes 0 and the adjusted p-value is below 0.05.",
        ),
        links=links,
    )


def finding_text(labels: Sequence[str], results: FoldResults) -> str:
    """Means over folds, and which differences are decisive."""
    folds = results.folds
    means = [
        f"{label} {formatting.points(each.mean)} {formatting.points_interval(each.low, each.high)}".strip()
        for label, each in zip(labels, results.means["ap"], strict=True)
    ]
    text = f"Mean AP over {formatting.plural(folds, 'fold')}: {formatting.join_words(means)}."
    if not results.differences:
        return text
    decisive = [row for row in results.differences if row.decisive]
    if not decisive:
        count = len(results.differences)
        which = (
            "The difference is" if count == 1 else f"None of the {formatting.plural(count, 'difference')} is"
        )
        return f"{text} {which} {agree(count, 'not ', '')}decisive over folds."
    shown = [_difference_text(labels, row) for row in decisive]
    return f"{text} Decisive over folds: {formatting.join_words(shown, 3)}."


def _difference_text(labels: Sequence[str], row: FoldDifference) -> str:
    better, worse = (row.first, row.second) if row.interval.mean > 0 else (row.second, row.first)
    ends = sorted((abs(row.interval.low), abs(row.interval.high)))
    interval = formatting.difference_interval(*ends)
    return f"{labels[better]} above {labels[worse]} by {formatting.points(abs(row.interval.mean))} {interval}"


def _warnings(results: FoldResults) -> tuple[str, ...]:
    if results.folds >= 5:
        return ()
    return (
        f"{formatting.plural(results.folds, 'fold')} give an interval with {formatting.plural(results.folds - 1, 'degree')} of freedom, which is wide; "
        "use 5 or 10 folds for a decision over folds.",
    )


def _figure(report: ReportData, results: FoldResults, finding: str) -> Figure:
    names = [*(f"fold {number + 1}" for number in range(results.folds)), MEAN]
    unknown = np.full((results.folds, 2), np.nan)
    values, intervals = [], []
    for of_model, mean in zip(results.values["ap"], results.means["ap"], strict=True):
        seeds = of_model.T  # (K, S)
        values.append(np.r_[seeds, seeds.mean(0, keepdims=True)])
        intervals.append(np.r_[unknown, [[mean.low, mean.high]]])
    drawing = dot_plot(
        "folds", "AP by fold", finding, names, report.labels, values, "AP (%)", intervals=intervals
    )
    caption = "Bars are 95% intervals of the mean over folds, corrected for shared training images."
    return replace(drawing, caption=caption)


def _values_table(report: ReportData, results: FoldResults) -> PageTable:
    made = []
    for fold in range(results.folds):
        images = int(results.images[fold])
        cells = [Cell(f"fold {fold + 1}"), Cell(formatting.count(images), images)]
        for name in ("ap", "ap50"):
            for of_model in results.values[name]:
                value = float(of_model[:, fold].mean())
                cells.append(Cell(formatting.points(value), value))
        made.append(TableRow(tuple(cells)))
    total = int(results.images.sum())
    cells = [Cell(MEAN), Cell(formatting.count(total), total, note="in all")]
    for name in ("ap", "ap50"):
        for each in results.means[name]:
            note = formatting.points_interval(each.low, each.high)
            cells.append(Cell(formatting.points(each.mean), each.mean, note=note))
    made.append(TableRow(tuple(cells)))
    columns = (
        TableColumn("Fold"),
        TableColumn("Images", numeric=True),
        *(
            TableColumn(f"{label}: {name}", numeric=True)
            for name in ("AP", "AP50")
            for label in report.labels
        ),
    )
    models = tuple(range(len(report.labels)))
    return PageTable(
        "folds-table", "AP and AP50 by fold, in percent, mean over seeds; below the means their 95% intervals", columns,
        tuple(made), column_series=(None, None, *models, *models),
    )  # fmt: skip


def _pairs_table(labels: Sequence[str], results: FoldResults) -> PageTable:
    made = []
    for row in results.differences:
        interval = row.interval
        verdict = "tied"
        if row.decisive:
            verdict = f"{labels[row.first if interval.mean > 0 else row.second]} is better"
        made.append(
            TableRow(
                (
                    Cell(f"{labels[row.first]} − {labels[row.second]}"),
                    Cell(
                        formatting.signed_points(interval.mean),
                        interval.mean,
                        note=formatting.difference_interval(interval.low, interval.high),
                    ),
                    Cell(formatting.p_value(row.p_adjusted), row.p_adjusted),
                    Cell(f"{row.wins} of {results.folds}", row.wins),
                    Cell(verdict, strong=row.decisive),
                )
            )
        )
    columns = (
        TableColumn("Pair"),
        TableColumn("Difference", True, "mean over folds, with the corrected interval"),
        TableColumn("Adjusted p-value", True),
        TableColumn("Folds in which first is better", True),
        TableColumn("Verdict"),
    )
    return PageTable(
        "folds-pairs",
        "Differences in AP over folds in percentage points, with corrected 95% intervals",
        columns,
        tuple(made),
    )
