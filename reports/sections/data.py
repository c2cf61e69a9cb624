"""Data: the images, objects and classes that the models were evaluated on."""

from __future__ import annotations

import numpy as np

from metrics.match_rule import COCO_AREAS
from reports.analysis.report_data import ReportData
from reports.elements import formatting
from reports.elements.page import Cell, PageTable, Section, TableColumn, TableRow


def section(report: ReportData) -> Section:
    """Counts by class and size, empty images, and notes on the data set."""
    truth, data = report.truth, report.data
    images = len(truth.catalog.image_ids)
    empty = images - len(np.unique(truth.image))
    crowds, ignored = int(truth.crowd.sum()), int((truth.ignored & ~truth.crowd).sum())
    each = np.bincount(truth.image, minlength=images)
    per_image = (
        f", with a median of {np.median(each):g} and a maximum of {formatting.plural(each.max(), 'object')} per image"
        if images
        else ""
    )
    finding = (
        f"{formatting.plural(images, 'image')} with {formatting.plural(len(truth), 'object')} of "
        f"{formatting.plural(len(report.classes), 'class')}{per_image}."
    )
    counts = [
        (empty, f"{formatting.plural(empty, 'image has', 'images have')} no objects: all detections there are false positives."),
        (crowds, f"{formatting.plural(crowds, 'object is a crowd region', 'objects are crowd regions')}: any number of detections may match one, and these detections are ignored."),
        (ignored, f"{formatting.plural(ignored, 'object is', 'objects are')} ignored, and so are the detections matched to them."),
    ]  # fmt: skip
    notes = sorted({report.private(note) for result in report.results for note in result.data.notes})
    return Section(
        "data",
        "Data",
        finding,
        tables=(_table(report),),
        template="facts.html",
        extra={"facts": [text for number, text in counts if number] + notes},
        method=(
            (f"The format is {formatting.printable(data.format)}. " if data.format else "")
            + f"The fingerprint of the ground truth is {data.fingerprint}. Only runs with the same fingerprint are "
            "compared. Sizes are by annotated area: small up to 32 x 32 pixels, medium up to 96 x 96 pixels, large above; an area equal to a limit belongs to both sizes.",
        ),
    )


def _table(report: ReportData) -> PageTable:
    truth = report.truth
    width = len(report.classes)
    total = np.bincount(truth.label, minlength=width)
    pairs = np.unique(np.c_[truth.label, truth.image], axis=0)[:, 0] if len(truth) else np.zeros(0, np.int64)
    within = np.bincount(pairs, minlength=width)
    aside = np.bincount(truth.label[truth.crowd | truth.ignored], minlength=width)
    sizes = []
    for name in ("small", "medium", "large"):
        least, most = COCO_AREAS[name]
        sizes.append(np.bincount(truth.label[(truth.area >= least) & (truth.area <= most)], minlength=width))
    high = int(total.max(initial=1)) or 1
    rows = []
    for at, name in enumerate(report.classes):
        counts = (total[at], within[at], *(size[at] for size in sizes), aside[at])
        cells = [Cell(formatting.count(int(number)), int(number)) for number in counts]
        cells[0] = Cell(cells[0].text, cells[0].value, bar=total[at] / high)
        rows.append(
            TableRow(
                (Cell(name), Cell(str(truth.catalog.class_ids[at]), truth.catalog.class_ids[at]), *cells)
            )
        )
    titles = ("Id", "Objects", "Images", "Small", "Medium", "Large", "Crowd or ignored")
    columns = (TableColumn("Class"), *(TableColumn(title, numeric=True) for title in titles))
    return PageTable(
        "data-table", f"Objects of the {formatting.printable(report.data.split)} split by class and size", columns,
        tuple(rows), searchable=len(rows) > 10,
    )  # fmt: skip
