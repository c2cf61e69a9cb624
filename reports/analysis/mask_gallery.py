"""Images of the section on masks: which are shown, and the label maps of truth and models drawn over them."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from metrics.errors import InputError
from metrics.mask_counts import count_image
from metrics.mask_files import read_label_map
from metrics.pixel_labels import IGNORED
from reports.analysis.gallery_images import MAX_SIDE, UnreadableImage, embed
from reports.analysis.mask_results import MaskResults, image_mean_iou
from reports.analysis.report_data import ReportData
from reports.elements import formatting
from reports.elements.palette import PHOTO
from reports.records.run import RunFolder

GROUPS = (
    ("differ", "Largest differences between models", 4),
    ("worst", "Lowest mIoU", 2),
    ("best", "Highest mIoU", 1),
)
"""Short name, heading and maximum number of images."""

LEAST_SIDE = 360
"""Maps whose longest side is shorter are enlarged by a whole factor, so that the edges of areas stay thin."""

_FILL, _DARK = 110, 200
"""Opacity of an area, and of outlines and the stripes on ignored pixels, of 255."""


@dataclass(frozen=True, slots=True)
class MaskChoice:
    """An image to show.

    Attributes:
        image: index in the catalog.
        group: one of `GROUPS`.
        reason: why it was chosen, in a few words.
    """

    image: int
    group: str
    reason: str


@dataclass(frozen=True, slots=True)
class MaskTile:
    """One label map of an image.

    Attributes:
        number: of the model; None for the image alone and for the truth.
        title: name of the model, or what is shown.
        caption: its mIoU in the image; empty for the image alone and for the truth.
        overlay: ``data:`` URL of a transparent picture of the map; empty for the image alone.
        text: shares of the classes in words, the alternative of the picture.
    """

    number: int | None
    title: str
    caption: str
    overlay: str
    text: str


@dataclass(frozen=True, slots=True)
class MaskImage:
    """An image with the label maps of the truth and of every model.

    Attributes:
        slug: unique on the page.
        name: the file's name, or the id.
        reason: why it was chosen.
        width, height: pixels of the original.
        picture: ``data:`` URL.
        tiles: image, truth, and one per model.
        labels: that occur in the maps, in increasing order, without the background.
        ignored: whether the truth has ignored pixels.
    """

    slug: str
    name: str
    reason: str
    width: int
    height: int
    picture: str
    tiles: tuple[MaskTile, ...]
    labels: tuple[int, ...]
    ignored: bool


def choose(report: ReportData, results: MaskResults) -> list[MaskChoice]:
    """Choose images by the mIoU of each model's first run in each image alone, the first of each group first.

    Ties go by image order; each image is chosen once, and only images whose label maps were all saved. Every image of
    "Highest mIoU" has a higher mean over models than every image of "Lowest mIoU".
    """
    runs = first_runs(report, results)
    values = np.stack([image_mean_iou(counts[0]) for counts in results.counts])
    saved = [
        all(run.mask_record is not None and run.mask_record.files[at] for run in runs)
        for at in range(values.shape[1])
    ]
    usable = np.flatnonzero(np.array(saved, np.bool_) & ~np.isnan(values).any(axis=0))
    spread, mean = np.ptp(values[:, usable], axis=0), values[:, usable].mean(axis=0)
    orders = {
        "differ": usable[np.argsort(-spread, kind="stable")][: np.count_nonzero(spread > 0)].tolist(),
        "worst": usable[np.argsort(mean, kind="stable")].tolist(),
        "best": usable[np.argsort(-mean, kind="stable")].tolist(),
    }
    average = values.mean(axis=0)
    labels = [report.labels[number] for number in results.numbers]
    taken: set[int] = set()
    choices: dict[str, list[MaskChoice]] = {}
    for group, _, most in GROUPS:
        free = [at for at in orders[group] if at not in taken]
        if group == "best" and choices["worst"]:
            floor = max(average[choice.image] for choice in choices["worst"])
            free = [at for at in free if average[at] > floor]
        choices[group] = [MaskChoice(at, group, _reason(group, values[:, at], labels)) for at in free[:most]]
        taken.update(choice.image for choice in choices[group])
    longest = max(len(of_group) for of_group in choices.values())
    turns = [[of_group[at] for of_group in choices.values() if at < len(of_group)] for at in range(longest)]
    return list(chain.from_iterable(turns))


def first_runs(report: ReportData, results: MaskResults) -> list[RunFolder]:
    """The first run of each model with label maps, whose maps are shown."""
    return [report.evaluated[number][0].run for number in results.numbers]


def load_mask_image(
    report: ReportData, results: MaskResults, choice: MaskChoice
) -> MaskImage | UnreadableImage:
    """Load a chosen image with the label maps of the truth and of every model.

    It is unreadable if a file is missing, or if its label maps are not those that were measured.
    """
    catalog = report.truth.catalog
    image_id = catalog.image_ids[choice.image]
    name = formatting.printable(catalog.file_names[choice.image] or str(image_id))
    assert report.images is not None
    assert report.label_maps is not None
    try:
        picture, size = embed(report.images(image_id))
        truth = np.asarray(report.label_maps(image_id))
        if truth.shape != size:
            raise InputError(f"the label map has shape {truth.shape}, the image {size}")
        classes = [formatting.printable(each) for each in results.classes]
        tiles = [
            MaskTile(None, "Image", "", "", ""),
            MaskTile(None, "Ground truth", "", draw_overlay(truth), describe_map(truth, classes)),
        ]
        maps: list[NDArray[np.integer]] = [truth]
        for at, (number, run) in enumerate(zip(results.numbers, first_runs(report, results), strict=True)):
            found = _read_measured(run, results, at, choice.image, truth)
            miou = image_mean_iou(results.counts[at][0])[choice.image]
            text = describe_map(found, classes)
            tiles.append(
                MaskTile(
                    number,
                    report.labels[number],
                    f"mIoU {formatting.points(miou)}",
                    draw_overlay(found),
                    text,
                )
            )
            maps.append(found)
    except Exception as error:  # a user's reader may raise anything; the page reports it
        message = f"{error}" if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
        return UnreadableImage(name, formatting.truncate(report.private(message), 160))
    labels = sorted({int(label) for each in maps for label in np.unique(each)} - {0, IGNORED})
    return MaskImage(
        f"masks-image-{choice.image}",
        name,
        choice.reason,
        size[1],
        size[0],
        picture,
        tuple(tiles),
        tuple(labels),
        bool((truth == IGNORED).any()),
    )


def draw_overlay(labels: NDArray[np.integer]) -> str:
    """Draw a label map as a transparent PNG, a ``data:`` URL: areas tinted in the colours of their classes, with edges.

    The background is transparent but for a dark outline of the areas, ignored pixels are striped. Classes whose labels differ by a multiple of 8 share a colour.
    """
    small = _resized(labels)
    colours = len(PHOTO)
    index = np.where(small > 0, (small.astype(np.int64) - 1) % colours + 1, 0)
    edge = np.zeros(small.shape, np.bool_)
    for axis in (0, 1):
        step = np.diff(small.astype(np.int64), axis=axis) != 0
        before = [slice(None), slice(None)]
        after = [slice(None), slice(None)]
        before[axis], after[axis] = slice(None, -1), slice(1, None)
        edge[tuple(before)] |= step
        edge[tuple(after)] |= step
    dark = 2 * colours + 1
    index = np.where(edge, np.where(small > 0, index + colours, dark), index)
    rows, columns = np.indices(small.shape)
    striped = np.where((rows + columns) // 4 % 2 == 0, dark, 0)
    index = np.where(small == IGNORED, striped, index)
    rgb = [tuple(int(colour[at : at + 2], 16) for at in (1, 3, 5)) for colour in PHOTO]
    palette = [(0, 0, 0), *rgb, *rgb, (40, 44, 52)]
    alpha = bytes([0, *[_FILL] * colours, *[255] * colours, _DARK])
    image = Image.fromarray(index.astype(np.uint8), "P")
    image.putpalette(list(chain.from_iterable(palette)))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", transparency=alpha, optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def describe_map(labels: NDArray[np.integer], classes: Sequence[str]) -> str:
    """Describe a label map: the share of each class that occurs, the largest first; at most eight are named."""
    names = {**dict(enumerate(classes)), IGNORED: "ignored"}
    values, counts = np.unique(labels, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    shares = [f"{names[int(values[at])]} {_percent(int(counts[at]), labels.size)}" for at in order]
    return formatting.join_words(shares, 8)


def estimate_bytes(image: MaskImage) -> int:
    """Estimate the size of an image on the page from above."""
    words = sum(len(tile.text.encode()) + len(tile.title.encode()) for tile in image.tiles)
    pictures = len(image.picture) + sum(len(tile.overlay) for tile in image.tiles)
    return pictures + 6 * words + (900 + 6 * len(image.name.encode())) * len(image.tiles) + 1200


def _read_measured(
    run: RunFolder, results: MaskResults, at: int, image: int, truth: NDArray[np.integer]
) -> NDArray[np.integer]:
    """The saved label map of an image, whose counts must be those of the record."""
    assert run.mask_record is not None
    file = run.path / RunFolder.LABEL_MAPS / run.mask_record.files[image]
    found = read_label_map(file)
    if found.shape != truth.shape:
        raise InputError(f"{file}: the label map has shape {found.shape}, that of the truth {truth.shape}")
    counts = results.counts[at][0]
    again = count_image(truth, found, results.classes)
    pairs = (
        (again.intersection, counts.intersection),
        (again.truth, counts.truth),
        (again.predicted, counts.predicted),
    )
    if any(not np.array_equal(now, then[image]) for now, then in pairs):
        raise InputError(
            f"{file}: is not the label map that was measured, or the masks of the data set have changed"
        )
    return found


def _resized(labels: NDArray[np.integer]) -> NDArray[np.integer]:
    """The map with its longest side between `LEAST_SIDE` / 2 and `MAX_SIDE` pixels, by the nearest pixel."""
    longest = max(labels.shape)
    if longest > MAX_SIDE:
        rows, columns = (
            np.minimum(
                ((np.arange(max(1, round(n * MAX_SIDE / longest))) + 0.5) * longest / MAX_SIDE).astype(int),
                n - 1,
            )
            for n in labels.shape
        )
        return np.asarray(labels[np.ix_(rows, columns)])
    factor = max(1, LEAST_SIDE // longest)
    return labels.repeat(factor, axis=0).repeat(factor, axis=1)


def _percent(part: int, whole: int) -> str:
    """A share above 0 in percent."""
    return "<0.1%" if part < 0.0005 * whole else f"{100 * part / whole:.1f}%"


def _reason(group: str, values: NDArray[np.float64], labels: Sequence[str]) -> str:
    if group == "differ":
        low, high = int(np.argmin(values)), int(np.argmax(values))
        return (
            f"mIoU in this image: {labels[high]} {formatting.points(values[high])}, "
            f"{labels[low]} {formatting.points(values[low])}"
        )
    over = ", mean over models" if len(values) > 1 else ""
    return f"mIoU in this image{over}: {formatting.points(float(values.mean()))}"
