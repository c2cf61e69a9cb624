"""Fixes of boxes: swapped corners, boxes outside or beyond their image, without size, annotated twice; repeated ids."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from bench.convert.image_set import ImageSet
from bench.fix.changes import Action, Box, Change
from bench.survey.box_defects import BEYOND_PX

Fixed = tuple[list[ImageSet], list[Change]]
"""What a fix returns: the images and objects after it, and its changes."""

Boxes = NDArray[np.float64]
Rows = NDArray[np.bool_]


def swap_corners(sets: Sequence[ImageSet], last_pixel: float = 0.0) -> Fixed:
    """Swap the sides of boxes whose right side is left of the left one, or whose bottom is above the top.

    Args:
        sets: images and objects.
        last_pixel: 1 where coordinates are those of pixels and the last one is included (VOC): the right side as read is then
            one pixel left of where it belongs.
    """

    def fix(one: ImageSet) -> tuple[Rows, Boxes]:
        xywh = one.truth.xywh.copy()
        for axis in (0, 1):
            swapped = xywh[:, axis + 2] < 0
            xywh[swapped, axis] += xywh[swapped, axis + 2]
            xywh[swapped, axis + 2] = last_pixel - xywh[swapped, axis + 2]
        changed: Rows = np.logical_or.reduce(xywh != one.truth.xywh, axis=1)
        return changed, xywh

    return _changed(sets, "swapped_corners", fix)


def remove_outside(sets: Sequence[ImageSet]) -> Fixed:
    """Remove boxes that have no part of their image."""

    def fix(one: ImageSet) -> Rows:
        corners, limits = one.truth.boxes, _limits(one)
        sized = (one.truth.xywh[:, 2:] > 0).all(1)
        beside = (corners[:, :2] >= limits) | (corners[:, 2:] <= 0)
        outside: Rows = np.logical_or.reduce(beside, axis=1) & sized
        return outside

    return _removed(sets, "outside_boxes", fix)


def clip_boxes(sets: Sequence[ImageSet]) -> Fixed:
    """Clip boxes that extend more than `BEYOND_PX` pixels beyond their image; less is rounding of a format."""

    def fix(one: ImageSet) -> tuple[Rows, Boxes]:
        corners, limits = one.truth.boxes, _limits(one)
        beyond = np.maximum(-corners[:, :2], corners[:, 2:] - limits).max(1, initial=0)
        rows: Rows = (beyond > BEYOND_PX) & (one.truth.xywh[:, 2:] > 0).all(1)
        low = np.clip(corners[:, :2], 0, limits)
        high = np.clip(corners[:, 2:], 0, limits)
        return rows, np.concatenate([low, high - low], axis=1)

    return _changed(sets, "boxes_beyond_image", fix)


def remove_degenerate(sets: Sequence[ImageSet], least: float = 0.0) -> Fixed:
    """Remove boxes whose width or height is at most `least` pixels."""

    def fix(one: ImageSet) -> Rows:
        degenerate: Rows = np.logical_or.reduce(one.truth.xywh[:, 2:] <= least, axis=1)
        return degenerate

    return _removed(sets, "degenerate_boxes", fix)


def remove_repeated(sets: Sequence[ImageSet]) -> Fixed:
    """Remove objects with class and box of another one on the same image; crowd regions are kept.

    The first one stays, or the first that is not ignored.
    """

    def fix(one: ImageSet) -> Rows:
        table = one.truth
        keys = np.column_stack([table.image, table.label, table.xywh])
        order = np.lexsort((table.ignored, *keys.T[::-1]))
        order = order[~table.crowd[order]]
        same = (keys[order][1:] == keys[order][:-1]).all(1)
        repeated = np.zeros(len(table), np.bool_)
        repeated[order[1:][same]] = True
        return repeated

    return _removed(sets, "duplicate_boxes", fix)


def renumber_objects(sets: Sequence[ImageSet]) -> Fixed:
    """Give objects whose id an earlier object of their split has a new one, above all others."""
    fixed: list[ImageSet] = []
    changes: list[Change] = []
    for one in sets:
        ids = one.truth.object_id.copy()
        repeated = np.ones(len(ids), np.bool_)
        repeated[np.unique(ids, return_index=True)[1]] = False
        rows = np.flatnonzero(repeated)
        ids[rows] = np.arange(1, len(rows) + 1) + ids.max(initial=0)
        changes += [
            _change(one, row, "repeated_ids", "changed", detail=f"id {ids[row]}") for row in rows.tolist()
        ]
        fixed.append(one.with_rows(np.ones(len(ids), np.bool_), object_id=ids) if len(rows) else one)
    return fixed, changes


def _limits(one: ImageSet) -> Boxes:
    """(N, 2) width and height of the image of each object."""
    return one.truth.catalog.sizes[one.truth.image][:, ::-1].astype(np.float64)


def _removed(sets: Sequence[ImageSet], kind: str, find: Callable[[ImageSet], Rows]) -> Fixed:
    """Remove the objects that `find` returns."""
    fixed: list[ImageSet] = []
    changes: list[Change] = []
    for one in sets:
        rows = find(one)
        changes += [_change(one, row, kind, "removed") for row in np.flatnonzero(rows).tolist()]
        fixed.append(one.with_rows(~rows) if rows.any() else one)
    return fixed, changes


def _changed(sets: Sequence[ImageSet], kind: str, fix: Callable[[ImageSet], tuple[Rows, Boxes]]) -> Fixed:
    """Change the boxes of the objects that `fix` returns, and their area where it is that of the box."""
    fixed: list[ImageSet] = []
    changes: list[Change] = []
    for one in sets:
        rows, boxes = fix(one)
        if not rows.any():
            fixed.append(one)
            continue
        xywh, area = one.truth.xywh.copy(), one.truth.area.copy()
        xywh[rows] = boxes[rows]
        of_box = rows & (area == one.truth.xywh[:, 2] * one.truth.xywh[:, 3])
        area[of_box] = xywh[of_box, 2] * xywh[of_box, 3]
        changes += [
            _change(one, row, kind, "changed", new_box=xywh[row].tolist())
            for row in np.flatnonzero(rows).tolist()
        ]
        fixed.append(one.with_rows(np.ones(len(rows), np.bool_), xywh=xywh, area=area))
    return fixed, changes


def _change(
    one: ImageSet,
    row: int,
    kind: str,
    action: Action,
    new_box: Sequence[float] | None = None,
    detail: str = "",
) -> Change:
    table = one.truth
    return Change(
        kind,
        action,
        one.purpose or "",
        one.pictures[table.image[row]].name,
        int(table.object_id[row]),
        table.catalog.classes[table.label[row]],
        _box(table.xywh[row].tolist()),
        None if new_box is None else _box(new_box),
        detail,
    )


def _box(sides: Sequence[float]) -> Box:
    x, y, w, h = sides
    return x, y, w, h
