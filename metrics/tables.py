"""A data set's truth, or a detector's output on it, as columns: the form in which evaluation reads both.

Boxes are kept as xywh, the layout of COCO's files. The reference computes with w and h as they stand in the
file, and ``(x + w) - x`` is not always ``w`` in floating point: a table of corners could not give its numbers to
the last bit. `AnnotationTable.boxes` and `DetectionTable.boxes` are the corners.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metrics.errors import InputError

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Catalog:
    """The images and classes that a table's rows point into.

    Attributes:
        image_ids: I ids, all integers or all strings, strictly increasing. Ties between scores are broken by
            image order, and the reference's is that of sorted ids.
        sizes: (I, 2) int32 (height, width) in pixels; 0 where it is not known.
        file_names: I names, relative to the data set's folder; empty where an image has none.
        class_ids: C ids as they stand in the user's files, strictly increasing.
        classes: C names, in the order of `class_ids`. A label is an index into both.
    """

    image_ids: tuple[int, ...] | tuple[str, ...]
    sizes: NDArray[np.int32]
    file_names: tuple[str, ...]
    class_ids: tuple[int, ...]
    classes: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class AnnotationTable:
    """What is there: every annotated object of a data set.

    Attributes:
        catalog: the images and classes, also those without an object.
        image: (N,) int32 index of the image in `catalog.image_ids`.
        label: (N,) int32 in [0, C).
        xywh: (N, 4) float64 pixels.
        area: (N,) float64 square pixels, as annotated (a mask's area in COCO), else w * h.
        crowd: (N,) bool: a region of many objects, in which any number of detections may lie.
        ignored: (N,) bool: neither asked for nor held against a detector (VOC's ``difficult``).
        object_id: (N,) int64 ids as they stand in the user's files.
    """

    catalog: Catalog
    image: NDArray[np.int32]
    label: NDArray[np.int32]
    xywh: NDArray[np.float64]
    area: NDArray[np.float64]
    crowd: NDArray[np.bool_]
    ignored: NDArray[np.bool_]
    object_id: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class DetectionTable:
    """What was found: every detection on a data set, in the order in which it was given (which breaks ties).

    Attributes:
        catalog: the images and classes of the truth that the detections answer to.
        image: (N,) int32 index of the image in `catalog.image_ids`.
        label: (N,) int32 in [0, C).
        xywh: (N, 4) float64 pixels of the original image.
        score: (N,) float64, finite; higher is surer.
    """

    catalog: Catalog
    image: NDArray[np.int32]
    label: NDArray[np.int32]
    xywh: NDArray[np.float64]
    score: NDArray[np.float64]
