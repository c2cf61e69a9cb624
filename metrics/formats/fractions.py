"""Tables of ground truth whose boxes are in fractions of the image's sides, although the layout has pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from metrics.formats.box_orders import LARGEST_RELATIVE
from metrics.formats.image_annotations import ImageAnnotation
from metrics.notes import Note, report


def are_fractions(boxes: NDArray[np.float64]) -> bool:
    """Whether no coordinate of any box is much above 1, and some are not whole.

    Args:
        boxes: (N, 4) in any layout.
    """
    return bool(len(boxes) and np.abs(boxes).max() <= LARGEST_RELATIVE and (boxes % 1).any())


def as_fractions(images: Sequence[ImageAnnotation], where: str) -> list[ImageAnnotation]:
    """The images of a table; boxes in fractions are read as such, which is reported.

    Args:
        images: all images of a file, with boxes as written.
        where: the file, for the note.
    """
    corners = [box.corners for image in images for box in image.boxes]
    if not are_fractions(np.array(corners, np.float64).reshape(-1, 4)):
        return list(images)
    text = f"{where}: no coordinate is above 1: they are read as fractions of the image's sides"
    report(Note("relative_boxes", text, where))
    return [replace(image, size=(0, 0), relative=True).in_pixels_of(image.size) for image in images]
