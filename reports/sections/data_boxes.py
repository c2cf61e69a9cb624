"""Boxes of a data set: sizes in the network's input against its strides, aspect ratios, and where the centres are."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from metrics.plurals import agree
from reports.elements.formatting import MISSING, join_words, plural, three_digits
from reports.elements.page import Cell, PageTable, Section, TableColumn, TableRow
from reports.figures.heat_map import heat_map
from reports.figures.histograms import HistogramAxis, histograms
from reports.records.data_check import QUANTILES, DataCheck, Distribution

ASPECT_TICKS = {2.0**k: f"{2**k}:1" if k > 0 else f"1:{2**-k}" if k < 0 else "1:1" for k in range(-6, 7, 1)}


def section(check: DataCheck) -> Section:
    """Distributions of the boxes that are trained on."""
    labels = [split.name for split in check.splits]
    sizes = [split.box_input_size for split in check.splits]
    aspects = [split.box_aspect for split in check.splits]
    first, *coarser = check.input.strides
    marks = {float(first): f"stride {first}"} | {float(stride): str(stride) for stride in coarser}
    side = HistogramAxis(
        "square root of the area in the network's input (px)", "boxes", log=True, marks=marks
    )
    shape = HistogramAxis("width : height", "boxes", log=True, ticks=ASPECT_TICKS)
    centers = np.sum([split.centers for split in check.splits], axis=0)
    figures = [
        histograms(
            "box-sizes", "Box sizes", size_finding(check), labels, sizes[0].edges, [of.counts for of in sizes], side
        ),
        histograms(
            "box-aspects", "Aspect ratios", aspect_finding(check), labels, aspects[0].edges,
            [of.counts for of in aspects], shape,
        ),
        heat_map(
            "box-centers", "Centres of boxes in the image", center_finding(check), centers.tolist(),
            "from left to right", "from top to bottom",
        ),
    ]  # fmt: skip
    return Section(
        "boxes",
        "Boxes",
        size_finding(check),
        figures=figures,
        tables=[_quantiles(check)],
        method=(
            "Boxes are those that are trained on: neither crowd regions nor ignored, with a width and a height, and not "
            "outside their image. Bins of sizes and aspect ratios are a quarter of a doubling wide. Centres are counted in a "
            "grid of 16 x 16 cells over the image; the darkest cell has the most centres.",
        ),
    )


def size_finding(check: DataCheck) -> str:
    """Median size in the network's input, and the share of boxes below the finest stride."""
    small, total = below_stride(check)
    if not total:
        return "No box can be trained on, or the sizes of the images are not known."
    stride = check.input.strides[0]
    known = {
        split.name: three_digits(split.box_input_size.quantiles[3])
        for split in check.splits
        if split.box_input_size.count
    }
    medians = [f"{median} px in {name}" for name, median in known.items()]
    if len(set(known.values())) == 1:
        medians = [f"{next(iter(known.values()))} px"]
    below = (
        f"none of {plural(total, 'box')} is smaller"
        if not small
        else f"{small / total:.1%} of {plural(total, 'box')} {agree(small, 'is', 'are')} smaller"
    )
    return (
        f"In the network's input of {check.input.width} x {check.input.height} pixels, the median size of boxes is "
        f"{join_words(medians)}; {below} than the finest stride of {stride} px."
    )


def below_stride(check: DataCheck) -> tuple[int, int]:
    """Boxes whose size is below the finest stride, counted in bins, and all boxes."""
    stride = check.input.strides[0]
    small = total = 0
    for split in check.splits:
        of = split.box_input_size
        total += of.count
        small += sum(
            number
            for high, number in zip(of.edges[1:], of.counts, strict=True)
            if high <= stride * (1 + 1e-9)
        )
    return small, total


def aspect_finding(check: DataCheck) -> str:
    """Aspect ratios of most boxes over all splits."""
    ranges = [
        f"{_ratio(split.box_aspect.quantiles[1])} to {_ratio(split.box_aspect.quantiles[5])} in {split.name}"
        for split in check.splits
        if split.box_aspect.count
    ]
    if not ranges:
        return "No box can be trained on."
    return f"Nine out of ten boxes have a width to height ratio of {join_words(ranges)}."


def center_finding(check: DataCheck) -> str:
    """The share of centres in the middle quarter of the image."""
    centers = np.sum([split.centers for split in check.splits], axis=0)
    total = int(centers.sum())
    if not total:
        return "No centre of a box is known."
    low, high = len(centers) // 4, len(centers) - len(centers) // 4
    inner = int(centers[low:high, low:high].sum())
    return f"{inner / total:.0%} of the centres are in the middle quarter of the image's area; evenly spread centres would give 25%."


def _ratio(value: float | None) -> str:
    if value is None or not math.isfinite(value) or value <= 0:
        return MISSING
    return f"{three_digits(value)}:1" if value >= 1 else f"1:{three_digits(1 / value)}"


def _quantiles(check: DataCheck) -> PageTable:
    titles = ["Smallest", "5%", "25%", "Median", "75%", "95%", "Largest"]
    assert len(titles) == len(QUANTILES)
    rows = []
    for number, split in enumerate(check.splits):
        for what, of in (
            ("size in the image (px)", split.box_size),
            ("size in the network's input (px)", split.box_input_size),
            ("width : height", split.box_aspect),
        ):
            rows.append(TableRow((Cell(f"{split.name}, {what}"), *_cells(of)), series=number))
    columns: Sequence[TableColumn] = [
        TableColumn("Quantity"),
        *(TableColumn(title, numeric=True) for title in titles),
    ]
    return PageTable(
        "boxes-table",
        "Quantiles of the boxes; size is the square root of the area",
        tuple(columns),
        tuple(rows),
        folded=True,
    )


def _cells(of: Distribution) -> list[Cell]:
    return [Cell(three_digits(value), value) for value in of.quantiles]
