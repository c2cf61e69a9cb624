"""Tables of label maps: models, pairs and classes on the page, and the same as CSV."""

from __future__ import annotations

import numpy as np
import pandas as pd

from metrics.compare import Comparison
from reports.analysis.extremes import highest
from reports.analysis.mask_results import FEW_IMAGES, MEASURES, MaskResults, image_mean_iou
from reports.analysis.report_data import ReportData
from reports.elements import formatting
from reports.elements.page import Cell, PageTable, TableColumn, TableRow
from reports.records.csv import to_csv
from reports.sections.pair_columns import (
    DETECTABLE,
    DIFFERENCE,
    INTERVAL,
    P_VALUE,
    PROBABILITY,
    PairColumn,
    headings,
    pair_column,
    pair_rows,
    verdict_column,
)

DECIDED = ("miou", "mdice", "pixel_accuracy")
"""Measures whose differences are in the table of pairs."""


def csv_files(report: ReportData, results: MaskResults) -> dict[str, str]:
    """The numbers of the section as CSV, by file name."""
    files = {"mask-images.csv": to_csv(_image_rows(report, results))}
    statistics = results.statistics
    if statistics is not None:
        files["mask-standings.csv"] = to_csv(statistics.to_frame())
        files["mask-classes.csv"] = to_csv(
            statistics.classes_to_frame().rename(columns={"objects": "images"})
        )
        if len(results.numbers) > 1:
            files["mask-pairs.csv"] = to_csv(statistics.pairwise_to_frame())
    return files


def shown_names(report: ReportData, results: MaskResults) -> list[str]:
    """Names of the models with label maps on the page."""
    return [report.labels[number] for number in results.numbers]


def model_names(report: ReportData, results: MaskResults) -> list[str]:
    """Names of the models in the statistics."""
    return [report.models[number].label for number in results.numbers]


def models_table(report: ReportData, results: MaskResults) -> PageTable:
    statistics, several = results.statistics, len(results.numbers) > 1
    values = {name: [results.value(at, name) for at in range(len(results.numbers))] for name in MEASURES}
    best = {
        name: highest([str(at) for at in range(len(given))], given).value for name, given in values.items()
    }
    rows = []
    for at, number in enumerate(results.numbers):
        label = report.models[number].label
        seeds = len(results.counts[at])
        cells = [Cell(report.labels[number], note=formatting.plural(seeds, "seed") if seeds > 1 else "")]
        for name in MEASURES:
            value = values[name][at]
            note = ""
            if statistics is not None:
                standing = statistics.standing(label, name)
                note = formatting.points_interval(standing.ci_low, standing.ci_high)
            cells.append(
                Cell(
                    formatting.points(value), value, strong=several and value >= best[name] - 1e-12, note=note
                )
            )
        if several and statistics is not None:
            cells.append(Cell(statistics.standing(label, "miou").letters))
        rows.append(TableRow(tuple(cells), series=number))
    columns = [TableColumn("Model"), *(TableColumn(title, numeric=True) for title in MEASURES.values())]
    if several and statistics is not None:
        columns.append(
            TableColumn("Ties in mIoU", help="models that share a letter are not decisively different")
        )
    intervals = (
        "" if statistics is None else f", with {statistics.method.confidence:.0%} confidence intervals"
    )
    strong = " Bold: highest value of the column, significant or not." if several else ""
    return PageTable(
        "masks-models", f"Label maps, in percent{intervals}.{strong}", tuple(columns), tuple(rows)
    )


def pairs_table(report: ReportData, results: MaskResults, statistics: Comparison) -> PageTable:
    names = dict(zip(model_names(report, results), shown_names(report, results), strict=True))
    order = {name: place for place, name in enumerate(DECIDED)}
    chosen = sorted(
        (row for row in statistics.pairwise if row.metric in order), key=lambda row: order[row.metric]
    )
    measure = PairColumn(TableColumn("Measure"), lambda row: Cell(MEASURES[row.metric]))
    columns = (
        pair_column(names), measure, DIFFERENCE, INTERVAL, P_VALUE, PROBABILITY, DETECTABLE, verdict_column(names),
    )  # fmt: skip
    return PageTable(
        "masks-pairs-table", f"Differences of label maps in percentage points, with {statistics.method.confidence:.0%} confidence "
        "intervals: below the difference the simultaneous one, which decides", headings(columns),
        pair_rows(columns, chosen), searchable=len(chosen) > 12,
    )  # fmt: skip


def classes_table(report: ReportData, results: MaskResults) -> PageTable:
    statistics, several = results.statistics, len(results.numbers) > 1
    notes: dict[tuple[str, str], str] = {}
    decisive: dict[str, list[str]] = {}
    names = dict(zip(model_names(report, results), shown_names(report, results), strict=True))
    if statistics is not None:
        for of_class in statistics.class_values:
            if of_class.measure == "miou":
                interval = formatting.points_interval(of_class.ci_low, of_class.ci_high)
                notes[of_class.model, of_class.class_name] = interval
        for row in statistics.class_pairs:
            if row.decisive and row.metric == "miou":
                better, worse = (row.model_a, row.model_b) if row.delta > 0 else (row.model_b, row.model_a)
                decisive.setdefault(row.scope, []).append(f"{names[better]} > {names[worse]}")
    images, areas = results.class_images, results.truth.sum(axis=0)
    most = int(images.max(initial=1)) or 1
    rows = []
    for label in np.flatnonzero(images > 0).tolist():
        name = results.classes[label]
        values = [results.value(at, "miou", label) for at in range(len(results.numbers))]
        best = highest([str(at) for at in range(len(values))], values).value
        share = float(areas[label] / max(areas.sum(), 1))
        cells = [
            Cell(formatting.printable(name)),
            Cell(formatting.count(int(images[label])), int(images[label]), bar=images[label] / most),
            Cell(formatting.points(share), share),
        ]
        for model, value in zip(names, values, strict=True):
            note = notes.get((model, name), "")
            cells.append(
                Cell(formatting.points(value), value, strong=several and value >= best - 1e-12, note=note)
            )
        if several:
            spread = float(np.ptp(values))
            cells.append(Cell(formatting.points(spread), spread))
        if several and statistics is not None:
            few = images[label] < FEW_IMAGES or statistics.leaderboard[0].too_few
            cells.append(
                Cell("too few images" if few else formatting.join_words(decisive.get(name, ["none"]), 3))
            )
        rows.append(TableRow(tuple(cells)))
    columns = [TableColumn("Class"), TableColumn("Images", True), TableColumn("Share of pixels", True)]
    columns += [TableColumn(label, numeric=True) for label in names.values()]
    columns += [TableColumn("Spread", numeric=True)] if several else []
    columns += [TableColumn("Decisive differences")] if several and statistics is not None else []
    after = len(columns) - 3 - len(names)
    strong = " Bold: highest value of the row, significant or not." if several else ""
    return PageTable(
        "masks-classes-table", f"IoU by class, in percent.{strong}", tuple(columns), tuple(rows),
        column_series=(None, None, None, *results.numbers, *((None,) * after)), searchable=len(rows) > 10,
    )  # fmt: skip


def _image_rows(report: ReportData, results: MaskResults) -> pd.DataFrame:
    """MIoU and pixel accuracy of every image alone, by run."""
    catalog = report.truth.catalog
    frames = []
    for number, of_model in zip(results.numbers, results.counts, strict=True):
        for run, counts in zip(report.evaluated[number], of_model, strict=True):
            pixels = counts.pixels.astype(np.float64)
            correct = counts.intersection.sum(axis=1)
            frames.append(
                pd.DataFrame(
                    {
                        "run_id": run.run.result.name,
                        "image_id": list(catalog.image_ids),
                        "file_name": list(catalog.file_names),
                        "pixels": counts.pixels,
                        "miou": image_mean_iou(counts),
                        "pixel_accuracy": np.divide(
                            correct, pixels, out=np.full(len(pixels), np.nan), where=pixels > 0
                        ),
                    }
                )
            )
    return pd.concat(frames, ignore_index=True)
