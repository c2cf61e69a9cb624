"""Whether ids of detections mean the images and classes that they equal, judged by where the boxes are.

A tool that counts classes from 0, or that makes an image's id of the number in its file name, writes ids that often exist in
the ground truth too, so that detections are silently compared with other images or classes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from metrics.boxes import convert
from metrics.errors import InputWarning
from metrics.formats.identity import file_numbers
from metrics.iou import box_iou
from metrics.notes import Note, report
from metrics.tables import AnnotationTable, DetectionTable, ImageId

_SAMPLE = 500
"""Detections that are looked at, those with the highest scores."""

_BLOCK = 10_000
"""Objects of an image that are compared at once, which limits the memory for an image with millions of objects."""

_POOR, _GOOD, _BETTER = 0.1, 0.4, 4.0
"""Shares of detections on an object of their class: suspiciously few; enough for a mapping; and their least ratio."""

_MOST_PAIRS = 100
_FEWEST = 10


def check_mapping(detections: DetectionTable, truth: AnnotationTable, where: str) -> None:
    """Warn if hardly any detection lies on an object of its class, but most would with shifted classes or other images.

    Args:
        detections: on the catalog of `truth`, by their ids.
        truth: ground truth.
        where: file of the detections.
    """
    if len(detections) < _FEWEST or not len(truth):
        return
    count = min(_SAMPLE, len(detections))
    sample = np.sort(np.argpartition(detections.score, -count)[-count:])
    image, label = detections.image[sample].astype(np.int64), detections.label[sample].astype(np.int64)
    boxes = convert(detections.xywh[sample], "xywh", "xyxy")
    now = _share(truth, image, label, boxes)
    if now > _POOR:
        return
    count = len(truth.catalog.classes)
    for shift in (1, -1):
        shifted = label + shift
        share = _share(truth, image, np.where((shifted >= 0) & (shifted < count), shifted, -1), boxes)
        if share >= max(_GOOD, _BETTER * now):
            _warn(where, now, share, _class_advice(truth.catalog.class_ids, shift))
            return
    by_file = _images_by_file_number(truth.catalog.image_ids, truth.catalog.file_names)
    if by_file is not None:
        share = _share(truth, by_file[image], label, boxes)
        if share >= max(_GOOD, _BETTER * now):
            advice = "with the numbers in the file names as image ids: pass --image-ids file-names (image_ids='file-names')"
            _warn(where, now, share, advice)


def _warn(where: str, now: float, share: float, advice: str) -> None:
    text = (
        f"{where}: {now:.0%} of the highest-scoring detections lie on an object of their class (IoU 0.5); "
        f"{share:.0%} would {advice}"
    )
    report(
        Note("other_mapping", text, where, {"share": now, "mapped_share": share}), InputWarning, stacklevel=3
    )


def _class_advice(class_ids: tuple[int, ...], shift: int) -> str:
    """How to map each class to the next, or to the one before."""
    count = len(class_ids)
    for rule, first in (("from-0", 0), ("from-1", 1)):
        expected = [label + shift for label in range(count) if 0 <= label + shift < count]
        mapped = [class_ids[label] - first for label in range(count) if 0 <= label + shift < count]
        if mapped == expected:
            return f"with class indices from {first}: pass --class-map {rule} (class_map={rule!r})"
    pairs = {
        str(class_ids[label]): class_ids[label + shift]
        for label in range(count)
        if 0 <= label + shift < count
    }
    if len(pairs) > _MOST_PAIRS:
        return f"with each class id mapped to the {'next' if shift > 0 else 'previous'} one: pass --class-map FILE.json"
    return f"with other class ids: pass --class-map FILE.json, a file with {json.dumps(pairs)} (class_map={{...}})"


def _images_by_file_number(
    image_ids: Sequence[ImageId], file_names: tuple[str, ...]
) -> NDArray[np.int64] | None:
    """For each image the one whose file is called like the former's id, -1 without one; None if ids and files agree."""
    numbers = file_numbers(file_names)
    other = np.array([numbers.get(each, -1) for each in image_ids], np.int64)
    return None if (other < 0).all() or (other == np.arange(len(other))).all() else other


def _share(
    truth: AnnotationTable, image: NDArray[np.int64], label: NDArray[np.int64], boxes: NDArray[np.float64]
) -> float:
    """Share of boxes with an IoU of at least 0.5 with an object of this image and label; images and labels may be -1."""
    wanted = np.zeros(len(truth.catalog.image_ids) + 1, np.bool_)
    wanted[image] = True  # an image -1 is the last entry
    objects = np.flatnonzero(wanted[truth.image])
    hit = np.zeros(len(image), np.bool_)
    for i in np.unique(image[image >= 0]).tolist():
        chosen, inside = np.flatnonzero(image == i), objects[truth.image[objects] == i]
        for start in range(0, len(inside), _BLOCK):
            rows, of = chosen[~hit[chosen]], inside[start : start + _BLOCK]
            overlap = box_iou(boxes[rows], convert(truth.xywh[of], "xywh", "xyxy")) >= 0.5
            hit[rows] = (overlap & (label[rows][:, None] == truth.label[of])).any(1)
    return float(hit.mean())
