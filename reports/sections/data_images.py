"""Images of a data set: sizes, objects per image, file formats and colours."""

from __future__ import annotations

from collections import Counter

from metrics.plurals import agree
from reports.elements.formatting import count, join_words, plural, three_digits
from reports.elements.page import Cell, Figure, PageTable, Section, TableColumn, TableRow
from reports.figures.histograms import HistogramAxis, histograms
from reports.figures.size_bubbles import size_bubbles
from reports.records.data_check import DataCheck, SplitFacts

MAX_ROWS = 12
"""Number of sizes in the table."""

MAX_BINS = 40
"""Number of bins of objects per image; beyond, several numbers share one."""


def section(check: DataCheck) -> Section:
    """Sizes, objects per image, and what the files are."""
    labels = [split.name for split in check.splits]
    figures: list[Figure] = []
    if any(split.sizes for split in check.splits):
        figures.append(
            size_bubbles(
                "image-sizes",
                "Image sizes",
                size_finding(check),
                labels,
                [[(size.height, size.width, size.images) for size in split.sizes] for split in check.splits],
            )
        )
    edges, counts = objects_per_image(check)
    axis = HistogramAxis("objects per image", "images", integers=True)
    figures.append(
        histograms(
            "objects-per-image", "Objects per image", object_finding(check), labels, edges, counts, axis
        )
    )
    return Section(
        "images",
        "Images",
        f"{size_finding(check)} {file_finding(check)}".strip(),
        figures=figures,
        tables=[_sizes(check)],
    )


def size_finding(check: DataCheck) -> str:
    """How many sizes there are, and the most frequent one."""
    sizes = size_counts(check)
    unknown = sum(split.unknown_sizes for split in check.splits)
    if not sizes:
        return "The sizes of the images are not known without reading them."
    images = sum(split.images for split in check.splits)
    (height, width), most = max(sizes.items(), key=lambda item: (item[1], item[0]))
    rest = f" The size of {plural(unknown, 'image')} is not known." if unknown else ""
    if len(sizes) == 1 and most == images:
        return f"{agree(images, 'The', 'All')} {plural(images, 'image has', 'images have')} {width} x {height} pixels."
    more = any(split.other_sizes for split in check.splits)
    number = f"More than {len(sizes)}" if more else f"{len(sizes)}"
    return f"{number} different sizes; {count(most)} of {plural(images, 'image')} {agree(most, 'has', 'have')} {width} x {height} pixels.{rest}"


def object_finding(check: DataCheck) -> str:
    """Mean and maximum number of objects per image."""
    numbers: Counter[int] = Counter()
    for split in check.splits:
        numbers.update(split.objects_per_image)
    images = sum(numbers.values())
    if not images:
        return "There are no images."
    mean = sum(number * with_number for number, with_number in numbers.items()) / images
    most = max(number for number, with_number in numbers.items() if with_number)
    return f"{three_digits(mean)} objects per image on average, at most {count(most)}."


def file_finding(check: DataCheck) -> str:
    """Formats and colour modes of the files, if they were decoded."""
    if not check.decoded:
        return ""
    formats: Counter[str] = Counter()
    modes: Counter[str] = Counter()
    for split in check.splits:
        formats.update(split.formats)
        modes.update(split.modes)
    kinds = join_words([f"{count(number)} {kind}" for kind, number in formats.most_common()])
    colours = join_words([f"{count(number)} {mode}" for mode, number in modes.most_common()])
    return f"File formats: {kinds}; colour modes: {colours}."


def size_counts(check: DataCheck) -> dict[tuple[int, int], int]:
    """Images of each listed (height, width)."""
    counts: Counter[tuple[int, int]] = Counter()
    for split in check.splits:
        for size in split.sizes:
            counts[size.height, size.width] += size.images
    return dict(counts)


def objects_per_image(check: DataCheck) -> tuple[list[float], list[list[int]]]:
    """Limits of bins of objects per image, and the images of each split in each."""
    most = max((number for split in check.splits for number in split.objects_per_image), default=0)
    width = -(-(most + 1) // MAX_BINS)
    bins = -(-(most + 1) // width)
    edges = [width * at - 0.5 for at in range(bins + 1)]
    return edges, [_binned(split, width, bins) for split in check.splits]


def _binned(split: SplitFacts, width: int, bins: int) -> list[int]:
    counts = [0] * bins
    for number, images in split.objects_per_image.items():
        counts[number // width] += images
    return counts


def _sizes(check: DataCheck) -> PageTable:
    sizes = sorted(size_counts(check).items(), key=lambda item: (-item[1], item[0]))
    columns = (
        TableColumn("Width x height (px)"),
        *(TableColumn(split.name, numeric=True) for split in check.splits),
    )
    of_split = [{(size.height, size.width): size.images for size in split.sizes} for split in check.splits]
    rows = [
        TableRow(
            (
                Cell(f"{width} x {height}"),
                *(
                    Cell(count(known.get((height, width), 0)), known.get((height, width), 0))
                    for known in of_split
                ),
            )
        )
        for (height, width), _ in sizes[:MAX_ROWS]
    ]
    caption = (
        "Images of each size" if len(sizes) <= MAX_ROWS else f"Images of the {MAX_ROWS} most frequent sizes"
    )
    return PageTable(
        "sizes-table", caption, columns, tuple(rows), column_series=(None, *range(len(check.splits))),
        folded=len(rows) > 3,
    )  # fmt: skip
