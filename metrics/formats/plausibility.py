"""What is probably wrong with boxes and scores that can be read: units, layouts, ranges, edges.

Nothing is changed here: what can be evaluated is evaluated as the reference does, and said. Only boxes in
another unit than the truth's are refused, because every number made from them would be wrong.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from metrics.errors import InputError, InputWarning
from metrics.tables import AnnotationTable, DetectionTable, Table

_RELATIVE = 1.5  # no relative coordinate is larger, few in pixels are smaller
_SLACK = 1.0  # pixels: rounding, and the inclusive pixels of some tools


def check_annotations(table: AnnotationTable, where: str) -> None:
    """Warn of objects without size, and over the edge; refuse relative boxes."""
    _refuse_relative(table, float(table.catalog.sizes.max(initial=0)), where)
    _tell_of_boxes(table, where, "objects")


def check_detections(table: DetectionTable, truth: AnnotationTable, where: str) -> None:
    """The same for detections, and scores outside [0, 1]."""
    scale = max(float(table.catalog.sizes.max(initial=0)), float(truth.xywh.max(initial=0)))
    _refuse_relative(table, scale, where)
    _tell_of_boxes(table, where, "detections")
    if len(table) and (table.score.min() < 0 or table.score.max() > 1):
        outside = (table.score < 0) | (table.score > 1)
        first = table.score[np.argmax(outside)]
        tell(
            where,
            outside,
            f"detections have a score outside [0, 1], the first {first:g}; their order counts for AP, but "
            "calibration means nothing" + ("; are they percent?" if table.score.max() <= 100 else ""),
        )


def tell(where: str, rows: NDArray[np.bool_], story: str) -> None:
    """Warn how many of the rows are so, if any is."""
    count = int(np.count_nonzero(rows))
    if count:
        warnings.warn(f"{where}: {count} of {len(rows)} {story}", InputWarning, stacklevel=4)


def _refuse_relative(table: Table, scale: float, where: str) -> None:
    """`scale` is the largest extent in pixels that is known, or 0."""
    if not len(table) or scale <= 8 * _RELATIVE or table.xywh[0].max() > _RELATIVE * 8:
        return
    relative = np.count_nonzero(np.abs(table.xywh) <= _RELATIVE) > 0.95 * table.xywh.size
    if relative and (table.xywh % 1 != 0).any():
        raise InputError(
            f"{where}: box {table.xywh[0].tolist()} and nearly all others lie within [0, {_RELATIVE}], but images "
            f"and objects reach to {scale:g}: these are relative coordinates; multiply x and w by the image's "
            "width, y and h by its height"
        )


def _tell_of_boxes(table: Table, where: str, things: str) -> None:
    if not len(table):
        return
    width, height = table.xywh[:, 2], table.xywh[:, 3]
    if width.min() <= 0 or height.min() <= 0:
        negative = bool(width.min() < 0 or height.min() < 0)
        hint = "; COCO's boxes are [x, y, w, h]: are these corners?" if negative else ""
        tell(
            where,
            (width <= 0) | (height <= 0),
            f"{things} have no width or no height{hint}; they are evaluated as the reference does, "
            "and are no training targets",
        )
    known = (table.catalog.sizes > 0).all(1)
    if not known.any():
        return
    beyond = np.zeros(len(table), np.bool_)
    corners = True
    for axis, extent in enumerate((table.catalog.sizes[:, 1], table.catalog.sizes[:, 0])):
        limit = np.where(known, extent + _SLACK, np.inf)[table.image]
        first, size = table.xywh[:, axis], table.xywh[:, 2 + axis]
        beyond |= first + size > limit
        beyond |= first < -_SLACK
        corners = corners and bool((size > first).all() and (size <= limit).all())
    hint = "; COCO's boxes are [x, y, w, h]: are these corners?" if corners and beyond.mean() > 0.25 else ""
    tell(where, beyond, f"{things} reach over their image's edge{hint}; they are evaluated as they are")
