"""Axes that need no further labels: size, shape, position and surroundings of objects.

Attributes that depend on the size of the image are unassigned where it is unknown. All objects take part, including those
that are not valid ground truth; a crowd is one object.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from metrics.engine.neighbours import Neighbours, neighbours
from metrics.registry import UnknownName
from metrics.slices.axes import Axis
from metrics.tables import AnnotationTable

Floats = NDArray[np.float64]

BORDER = 2.0
"""Distance in pixels from the border of the image up to which an object may be truncated."""

ANY_OVERLAP = 1e-300
"""IoU threshold that every pair of overlapping boxes reaches."""


def relative_area(truth: AnnotationTable) -> Floats:
    """(G,) area relative to the image; NaN where the size of the image is unknown."""
    height, width = _sizes(truth)
    return np.asarray(truth.area / (height * width), np.float64)


def aspect(truth: AnnotationTable) -> Floats:
    """(G,) width over height; NaN for a box of height 0."""
    _, _, width, height = truth.xywh.T
    ratio: Floats = np.divide(width, height, out=np.full(len(width), np.nan), where=height > 0)
    return ratio


def border_distance(truth: AnnotationTable) -> Floats:
    """(G,) pixels from the nearest border, negative outside; NaN where the size of the image is unknown."""
    x, y, width, height = truth.xywh.T
    image_height, image_width = _sizes(truth)
    right, bottom = image_width - (x + width), image_height - (y + height)
    return np.asarray(np.minimum(np.minimum(x, y), np.minimum(right, bottom)))


def crowding(truth: AnnotationTable) -> Floats:
    """(G,) highest IoU with another object of any class in the image; 0 without one."""
    pairs = _overlapping(truth, truth)
    highest = np.zeros(len(truth))
    np.maximum.at(highest, pairs.row, pairs.iou)
    return highest


def covered(truth: AnnotationTable) -> Floats:
    """(G,) largest share of the object's box covered by the box of another object; 0 without one."""
    pairs = _overlapping(truth, truth)
    size = truth.xywh[:, 2] * truth.xywh[:, 3]
    intersection = pairs.iou * (size[pairs.row] + size[pairs.object]) / (1 + pairs.iou)
    largest = np.zeros(len(truth))
    np.maximum.at(largest, pairs.row, intersection / size[pairs.row])
    return np.minimum(largest, 1.0)


def neighbour_count(truth: AnnotationTable, scale: float = 1.5) -> NDArray[np.int64]:
    """(G,) number of other objects with their centre in the object's box, enlarged about its centre.

    Args:
        truth: the objects; those without area are not counted.
        scale: factor of width and height.
    """
    x, y, width, height = truth.xywh.T
    enlarged = np.stack(
        [x - width * (scale - 1) / 2, y - height * (scale - 1) / 2, width * scale, height * scale], axis=1
    )
    pairs = _overlapping(truth, replace(truth, xywh=enlarged))
    centre = truth.xywh[:, :2] + truth.xywh[:, 2:] / 2
    low, high = enlarged[:, :2], enlarged[:, :2] + enlarged[:, 2:]
    within = (centre[pairs.object] >= low[pairs.row]) & (centre[pairs.object] <= high[pairs.row])
    return np.bincount(pairs.row[within.all(1)], minlength=len(truth))


def object_count(truth: AnnotationTable) -> NDArray[np.int64]:
    """(I,) number of objects in each image; a crowd counts as one."""
    return np.bincount(truth.image, minlength=len(truth.catalog.image_ids))


def class_frequency(truth: AnnotationTable) -> NDArray[np.int64]:
    """(G,) number of images with an object of the same class."""
    classes = len(truth.catalog.classes)
    cells = np.unique(truth.image.astype(np.int64) * classes + truth.label)
    return np.bincount(cells % max(classes, 1), minlength=classes)[truth.label]


def pixel_statistics(image: NDArray[np.uint8]) -> dict[str, float]:
    """Compute statistics of an image's pixels, for axes made by `Axis.from_quantiles` or `Axis.from_bins`.

    Args:
        image: (H, W, 3) uint8 RGB, or (H, W) grey.

    Returns:
        ``brightness``: mean luma (ITU-R BT.601), in [0, 1]. ``contrast``: its standard deviation. ``sharpness``: variance of
        its 4-neighbour Laplacian, low for a blurred image. NaN for an image that is too small.
    """
    luma = image @ np.array([0.299, 0.587, 0.114]) / 255 if image.ndim == 3 else image / 255
    inner = luma[1:-1, 1:-1]
    laplacian = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:] - 4 * inner
    return {
        "brightness": float(luma.mean()) if luma.size else np.nan,
        "contrast": float(luma.std()) if luma.size else np.nan,
        "sharpness": float(laplacian.var()) if laplacian.size else np.nan,
    }


def _area_axis(truth: AnnotationTable) -> Axis:
    """Area in pixels, with COCO's limits; exactly 32 x 32 is small, exactly 96 x 96 medium."""
    return Axis.from_bins("area", "object", truth.area, [1024.0, 9216.0], ["small", "medium", "large"])


def _size_axis(truth: AnnotationTable) -> Axis:
    """Area by rank within the class: the smallest 10%, then 20%, 40%, 20% and 10%."""
    return Axis.from_quantiles("size", "object", truth.area, groups=truth.label)


def _relative_area_axis(truth: AnnotationTable) -> Axis:
    """Area relative to the image."""
    names = ["up to 0.1%", "0.1 to 1%", "1 to 10%", "above 10%"]
    return Axis.from_bins("relative_area", "object", relative_area(truth), [0.001, 0.01, 0.1], names)


def _aspect_axis(truth: AnnotationTable) -> Axis:
    """Width over height by rank within the class: the tallest 10%, then 20%, 40%, 20% and the widest 10%."""
    shares = {"very tall": 0.1, "tall": 0.3, "medium": 0.7, "wide": 0.9, "very wide": 1.0}
    return Axis.from_quantiles("aspect", "object", aspect(truth), shares, truth.label)


def _border_axis(truth: AnnotationTable) -> Axis:
    """Whether the object is within 2 pixels of the image's border and may be truncated."""
    names = ["at the border", "inside"]
    return Axis.from_bins("border", "object", border_distance(truth), [BORDER], names)


def _crowding_axis(truth: AnnotationTable) -> Axis:
    """Highest IoU with another object."""
    names = ["alone", "up to 0.1", "0.1 to 0.3", "0.3 to 0.5", "above 0.5"]
    return Axis.from_bins("crowding", "object", crowding(truth), [0.0, 0.1, 0.3, 0.5], names)


def _covered_axis(truth: AnnotationTable) -> Axis:
    """Largest share of the box that the box of another object covers."""
    names = ["no overlap", "up to a quarter", "up to a half", "more than half"]
    return Axis.from_bins("covered", "object", covered(truth), [0.0, 0.25, 0.5], names)


def _neighbours_axis(truth: AnnotationTable) -> Axis:
    """Number of other objects with their centre in the box enlarged 1.5 times."""
    return Axis.from_bins(
        "neighbours", "object", neighbour_count(truth), [0, 1, 3], ["0", "1", "2 or 3", "4 or more"]
    )


def _place_axis(truth: AnnotationTable) -> Axis:
    """Position of the object's centre in a 3 x 3 grid of the image."""
    height, width = _sizes(truth)
    centre_x, centre_y = (truth.xywh[:, :2] + truth.xywh[:, 2:] / 2).T
    unknown = np.isnan(height)
    row, column = (
        np.clip(np.nan_to_num(np.floor(3 * centre / side)), 0, 2).astype(np.int64)
        for centre, side in ((centre_y, height), (centre_x, width))
    )
    names = [f"{y} {x}" for y in ("top", "middle", "bottom") for x in ("left", "centre", "right")]
    numbers = np.where(unknown, np.nan, 3 * row + column)
    return Axis.from_bins("place", "object", numbers, np.arange(8.0).tolist(), names)


def _object_count_axis(truth: AnnotationTable) -> Axis:
    """Number of objects in the image."""
    names = ["none", "1", "2 to 5", "6 to 15", "16 or more"]
    return Axis.from_bins("object_count", "image", object_count(truth), [0, 1, 5, 15], names)


def _class_frequency_axis(truth: AnnotationTable) -> Axis:
    """Number of images with the object's class, with LVIS's limits."""
    names = ["rare (up to 10)", "common (11 to 100)", "frequent (above 100)"]
    return Axis.from_bins("class_frequency", "object", class_frequency(truth), [10, 100], names)


@dataclass(frozen=True, slots=True)
class AxisKind:
    """An axis that can be made for any ground truth.

    Attributes:
        title: a few words, for headings and sentences.
        description: what an object or image is assigned by, as a phrase without a full stop.
        make: assigns the objects or images of a ground truth.
    """

    title: str
    description: str
    make: Callable[[AnnotationTable], Axis]


AXES: Mapping[str, AxisKind] = {
    "area": AxisKind(
        "area",
        "area in pixels, with COCO's limits; exactly 32 x 32 is small, exactly 96 x 96 medium",
        _area_axis,
    ),
    "aspect": AxisKind(
        "aspect ratio within the class",
        "rank of width over height within the class: the tallest tenth, the next fifth, two fifths, a fifth, and the widest tenth",
        _aspect_axis,
    ),
    "border": AxisKind(
        "contact with the image border",
        f"whether the box is within {BORDER:g} pixels of the image border, so that the object may be truncated",
        _border_axis,
    ),
    "class_frequency": AxisKind(
        "frequency of the class",
        "number of images with the object's class, with LVIS's limits",
        _class_frequency_axis,
    ),
    "covered": AxisKind(
        "overlap with other boxes",
        "the largest share of the box that the box of another object covers",
        _covered_axis,
    ),
    "crowding": AxisKind("crowding", "highest IoU with another object", _crowding_axis),
    "neighbours": AxisKind(
        "neighbours",
        "number of other objects with their centre in the box enlarged 1.5 times",
        _neighbours_axis,
    ),
    "object_count": AxisKind("number of objects", "number of objects in the image", _object_count_axis),
    "place": AxisKind(
        "place in the image", "position of the object's centre in a 3 x 3 grid of the image", _place_axis
    ),
    "relative_area": AxisKind("relative area", "area relative to the image", _relative_area_axis),
    "size": AxisKind(
        "size within the class",
        "rank of the area within the class: the smallest tenth, the next fifth, two fifths, a fifth, and the largest tenth",
        _size_axis,
    ),
}
"""Axes by name."""


def make_axis(name: str, truth: AnnotationTable) -> Axis:
    """Assign the objects or images of `truth` to the slices of a named axis.

    Args:
        name: one of `AXES`.
        truth: the ground truth.

    Raises:
        UnknownName: no such axis; the message suggests the closest name.
    """
    if name not in AXES:
        raise UnknownName("axis", name, AXES)
    return AXES[name].make(truth)


def _sizes(truth: AnnotationTable) -> tuple[Floats, Floats]:
    """Height and width of each object's image; NaN where unknown."""
    height, width = truth.catalog.sizes[truth.image].T.astype(np.float64)
    known = (height > 0) & (width > 0)
    return np.where(known, height, np.nan), np.where(known, width, np.nan)


def _overlapping(truth: AnnotationTable, others: AnnotationTable) -> Neighbours:
    """Overlapping pairs of a row of `others` and a different row of `truth`."""
    rows = np.arange(len(truth))
    pairs = neighbours(truth, others, np.ones(len(truth), np.bool_), rows, ANY_OVERLAP)
    return pairs.select(pairs.row != pairs.object)
