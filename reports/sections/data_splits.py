"""Splits and classes of a data set: how many images and objects, and of which class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metrics.plurals import agree
from reports.elements.formatting import count, join_words, plural, printable, three_digits
from reports.elements.page import Cell, Link, PageTable, Section, TableColumn, TableRow
from reports.figures.count_bars import count_bars
from reports.records.data_check import DataCheck, SplitFacts

MAX_BARS = 15
"""Number of classes in the figure."""

ORIGINS = {
    "given": "in the data set",
    "made": "made by hash",
    "fold": "fold, stratified by class",
    "shared": "same images",
    "drawn": "drawn",
}


def section(check: DataCheck) -> Section:
    """Counts of each split and of each class."""
    labels = [split.name for split in check.splits]
    totals = class_totals(check)
    order = np.argsort(-totals, kind="stable")
    shown = order[:MAX_BARS]
    figure = count_bars(
        "objects-by-class",
        "Objects per class and split",
        class_finding(check),
        [check.classes[label].name for label in shown],
        labels,
        [[split.objects_by_class[label] for label in shown] for split in check.splits],
        "objects" if len(order) <= MAX_BARS else f"objects, the {MAX_BARS} most frequent classes",
    )
    return Section(
        "splits",
        "Splits and classes",
        split_finding(check),
        figures=[figure],
        tables=[_splits(check), _classes(check)],
        method=(
            "Objects of a class are counted without crowd regions and ignored objects. The aspect ratio of a box is its width "
            "divided by its height.",
        ),
        links=[Link("check.json", "all numbers of this page")],
    )


def class_totals(check: DataCheck) -> NDArray[np.int64]:
    """(C,) objects of each class in all splits."""
    totals: NDArray[np.int64] = np.array([split.objects_by_class for split in check.splits], np.int64).sum(
        axis=0
    )
    return totals


def split_finding(check: DataCheck) -> str:
    """Images and objects of each split, and how the splits came about."""
    parts = [
        f"{split.name} has {plural(split.images, 'image')} with {plural(split.objects, 'object')}"
        for split in check.splits
    ]
    classes = len(check.classes)
    text = f"{join_words(parts)}. There {agree(classes, 'is', 'are')} {plural(classes, 'class')}."
    made = [split.name for split in check.splits if split.origin == "made"]
    if made:
        text += f" The data set does not have all splits: {join_words(made)} {agree(len(made), 'was', 'were')} made by a hash of the images' names."
    return text[:1].upper() + text[1:]


def class_finding(check: DataCheck) -> str:
    """The most and the least frequent class."""
    totals = class_totals(check)
    used = np.flatnonzero(totals)
    if not len(used):
        return "No class has an object."
    most, least = int(used[np.argmax(totals[used])]), int(used[np.argmin(totals[used])])
    name = printable(check.classes[most].name)
    if len(used) == 1:
        return (
            f"All {plural(int(totals[most]), 'object')} {agree(totals[most], 'is', 'are')} of class {name}."
        )
    share = totals[most] / totals.sum()
    text = f"{name} has {plural(int(totals[most]), 'object')} ({share:.0%} of all)"
    if totals[most] == totals[least]:
        return (
            f"All {plural(len(used), 'class')} with objects have {plural(int(totals[most]), 'object')} each."
        )
    ratio = three_digits(float(totals[most] / totals[least]))
    return f"{text}, {ratio} times as many as {printable(check.classes[least].name)} ({count(int(totals[least]))})."


def _splits(check: DataCheck) -> PageTable:
    columns = (
        TableColumn("Split"),
        TableColumn("Origin"),
        *(
            TableColumn(title, numeric=True)
            for title in ("Images", "Without objects", "Objects", "Crowd", "Ignored", "Objects per image")
        ),
    )
    rows = [_split_row(number, split) for number, split in enumerate(check.splits)]
    return PageTable("splits-table", "Images and objects of each split", columns, tuple(rows))


def _split_row(number: int, split: SplitFacts) -> TableRow:
    values = [split.images, split.empty_images, split.objects, split.crowd, split.ignored]
    mean = split.objects / split.images if split.images else float("nan")
    return TableRow(
        (
            Cell(split.name),
            Cell(ORIGINS[split.origin]),
            *(Cell(count(value), value) for value in values),
            Cell(three_digits(mean), mean),
        ),
        series=number,
    )


def _classes(check: DataCheck) -> PageTable:
    totals = class_totals(check)
    high = max(int(totals.max(initial=0)), 1)
    columns = (
        TableColumn("Class"),
        TableColumn("Id", numeric=True),
        TableColumn("Objects", numeric=True),
        *(TableColumn(split.name, numeric=True) for split in check.splits),
        *(TableColumn(f"Images of {split.name}", numeric=True) for split in check.splits),
    )
    numbers = tuple(range(len(check.splits)))
    rows = []
    for label in np.argsort(-totals, kind="stable").tolist():
        of = check.classes[label]
        counts = [split.objects_by_class[label] for split in check.splits]
        images = [split.images_by_class[label] for split in check.splits]
        total = int(totals[label])
        rows.append(
            TableRow(
                (
                    Cell(of.name),
                    Cell(str(of.id), of.id),
                    Cell(count(total), total, bar=total / high),
                    *(Cell(count(value), value) for value in (*counts, *images)),
                )
            )
        )
    return PageTable(
        "classes-table",
        "Objects of each class, without crowd regions and ignored objects",
        columns,
        tuple(rows),
        column_series=(None, None, None, *numbers, *numbers),
        searchable=len(rows) > 10,
    )
