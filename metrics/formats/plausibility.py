"""Checks of boxes and scores for probable mistakes: units, layouts, ranges, image borders.

Suspicious boxes and scores are evaluated unchanged, as by pycocotools, with a warning. Only boxes in another unit than the
ground truth are refused, because every number computed from them would be wrong.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from metrics.errors import InputError, InputNote, InputWarning
from metrics.notes import Note, report
from metrics.tables import AnnotationTable, DetectionTable, Table
from metrics.tables.class_names import report_similar_names

_RELATIVE = 1.5  # relative coordinates are smaller, and few pixel coordinates are
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_FEWEST_AREAS = 4
_LOOKED_AT = 100
"""Rows that are looked at before all are."""
_FEWEST_CORNERS = 8
"""Boxes whose sizes are all larger than their positions, by which corners are suspected, whatever part is beyond the border."""
_SLACK = 1.0  # pixels, for rounding and for the inclusive pixels of some tools


def require_image_size(size: tuple[int, int], where: str) -> None:
    """Refuse a (height, width) that no image has; `where` names the image.

    Raises:
        InputError: a side is negative, or does not fit into 32 bits.
    """
    if not all(0 <= side < 2**31 for side in size):
        sides = "x".join(str(side)[:12] for side in size)
        raise InputError(f"{where}: has {sides} pixels; correct its annotation")


def check_annotations(table: AnnotationTable, where: str) -> None:
    """Warn about objects without size, beyond the border or repeated, and classes that look alike; refuse relative boxes."""
    _refuse_relative(table, float(table.catalog.sizes.max(initial=0)), where)
    _refuse_corners(table, where)
    report_similar_names(table.catalog.classes, where)
    warn_rows(
        where,
        repeated_rows(table) & ~table.crowd,
        "objects repeat another one (same image, class and box); each counts as an object, so that recall cannot reach 1: "
        "remove the repeated annotations",
        "repeated_objects",
    )
    _check_boxes(table, where, "objects")


def check_detections(table: DetectionTable, truth: AnnotationTable, where: str) -> None:
    """Check detections like annotations, and warn about scores outside [0, 1]."""
    scale = max(float(table.catalog.sizes.max(initial=0)), float(truth.xywh.max(initial=0)))
    _refuse_relative(table, scale, where)
    _check_boxes(table, where, "detections")
    if len(table) and (table.score.min() < 0 or table.score.max() > 1):
        outside = (table.score < 0) | (table.score > 1)
        first = table.score[np.argmax(outside)]
        warn_rows(
            where,
            outside,
            f"detections have a score outside [0, 1], the first {first:g}; AP uses only their order, but "
            "calibration is meaningless" + ("; are they percent?" if table.score.max() <= 100 else ""),
        )


def warn_rows(
    where: str,
    rows: NDArray[np.bool_],
    text: str,
    kind: str = "suspicious_rows",
    category: type[InputNote | InputWarning] = InputWarning,
) -> None:
    """Report the number of affected rows, if there are any."""
    count = int(np.count_nonzero(rows))
    if count:
        values = {"rows": count, "of": len(rows)}
        report(
            Note(kind, f"{where}: {count:,} of {len(rows):,} {text}", where, values), category, stacklevel=3
        )


def warn_repeated_ids(
    where: str, ids: NDArray[np.int64] | Sequence[object], subject: str, outcome: str
) -> NDArray[np.bool_]:
    """Warn about ids that several rows have, with the first five of them.

    Args:
        where: the file and the list in it.
        ids: (N,) of the rows.
        subject: what the rows are.
        outcome: what happens with them.

    Returns:
        (N,) whether a row is the first of its id.
    """
    first_row: dict[object, int] = {}
    distinct = len(np.unique(ids)) if isinstance(ids, np.ndarray) else len(set(ids))
    if distinct == len(ids):
        return np.ones(len(ids), np.bool_)
    values = ids.tolist() if isinstance(ids, np.ndarray) else ids
    first = np.zeros(len(values), np.bool_)
    repeated: dict[object, None] = {}
    for row, identity in enumerate(values):
        if first_row.setdefault(identity, row) == row:
            first[row] = True
        else:
            repeated[identity] = None
    shown = ", ".join(str(identity)[:40] for identity in list(repeated)[:_SHOWN_IDS])
    more = ", ..." if len(repeated) > _SHOWN_IDS else ""
    warn_rows(
        where, ~first, f"{subject} have an id that is repeated ({shown}{more}); {outcome}", "repeated_ids"
    )
    return first


_SHOWN_IDS = 5


def repeated_rows(table: Table) -> NDArray[np.bool_]:
    """(N,) whether an earlier row has the same image, class and box."""
    key = table.image.astype(np.uint64) * _MULTIPLIER + table.label.astype(np.uint64)
    for column in (table.xywh + 0.0).T:  # -0.0 becomes 0.0
        key = (key ^ (key >> np.uint64(29))) * _MULTIPLIER ^ np.ascontiguousarray(column).view(np.uint64)
    key = (key ^ (key >> np.uint64(32))) * _MULTIPLIER
    repeated = np.zeros(len(table), np.bool_)
    ordered = np.sort(key)
    if not (ordered[1:] == ordered[:-1]).any():
        return repeated
    order = np.argsort(key, kind="stable")
    equal = np.flatnonzero(key[order][1:] == key[order][:-1])
    first, second = order[equal], order[equal + 1]
    same = (table.image[first] == table.image[second]) & (table.label[first] == table.label[second])
    repeated[second] = same & (table.xywh[first] == table.xywh[second]).all(1)
    return repeated


def _refuse_relative(table: Table, scale: float, where: str) -> None:
    """Refuse boxes in [0, 1] where images and objects extend to `scale` pixels (0 if unknown)."""
    if not len(table) or scale <= 8 * _RELATIVE or table.xywh[0].max() > _RELATIVE * 8:
        return
    relative = np.count_nonzero(np.abs(table.xywh) <= _RELATIVE) > 0.95 * table.xywh.size
    if relative and (table.xywh % 1 != 0).any():
        raise InputError(
            f"{where}: box {table.xywh[0].tolist()} and nearly all others lie within [0, {_RELATIVE}], but images "
            f"and objects extend to {scale:g}: these are relative coordinates; multiply x and w by the image's "
            "width, y and h by its height"
        )


def _refuse_corners(table: AnnotationTable, where: str) -> None:
    """Refuse boxes whose areas are nearly all those of corners x1, y1, x2, y2, and not those of a position and a size."""
    if len(table) < _FEWEST_AREAS:
        return
    for rows in (slice(_LOOKED_AT), slice(None)):
        x, y, w, h = table.xywh[rows].T
        area = table.area[rows]
        corners = (w > x) & (h > y) & np.isclose(area, (w - x) * (h - y), rtol=0.01)
        if (corners & ~np.isclose(area, w * h, rtol=0.01)).mean() <= 0.95:
            return
    raise InputError(
        f"{where}: box {table.xywh[0].tolist()} has the area {table.area[0]:g}, and nearly all others fit corners x1, y1, x2, y2 in the "
        f"same way; expected x, y, w, h: subtract the first corner from the second"
    )


def _check_boxes(table: Table, where: str, subject: str) -> None:
    if not len(table):
        return
    width, height = table.xywh[:, 2], table.xywh[:, 3]
    if width.min() <= 0 or height.min() <= 0:
        negative = bool(width.min() < 0 or height.min() < 0)
        hint = (
            "; are these corners? Either swapped ones (python -m bench data --fix swaps them), or ones that are read as a position and a size"
            if negative
            else ""
        )
        warn_rows(
            where,
            (width <= 0) | (height <= 0),
            f"{subject} have no width or no height{hint}; they are evaluated as pycocotools does, "
            "but not used for training",
            "degenerate_boxes",
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
    hint = (
        "; a box is read as a position and a size: are these corners?"
        if corners and (beyond.mean() > 0.25 or (beyond.any() and len(table) >= _FEWEST_CORNERS))
        else ""
    )
    warn_rows(
        where,
        beyond,
        f"{subject} extend beyond the border of their image{hint}; they are evaluated as they are",
        "boxes_beyond_image",
    )
