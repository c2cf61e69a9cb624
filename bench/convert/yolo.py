"""YOLO in the layout of Ultralytics: ``data.yaml``, ``images/<split>`` and ``labels/<split>``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from bench.convert.image_set import ImageSet
from bench.convert.orientation import upright_boxes
from bench.convert.written import (
    WrittenFiles,
    count_flags,
    note_areas,
    note_class_ids,
    note_columns,
    note_image_ids,
    with_file_names,
)
from metrics.errors import InputError
from metrics.formats.yolo_text import description_text, label_text
from metrics.notes import Note
from metrics.plurals import agree, plural

VISIBLE_PX = 0.01
"""Smallest excess over the border, in pixels, that is counted as a clipped box: less is rounding of six decimals."""


def yolo_files(sets: Sequence[ImageSet]) -> WrittenFiles:
    """Write boxes as fractions of the upright image's sides, with all digits.

    Crowd regions and ignored objects are left out, because every line is an object to detect. Boxes are clipped to their
    image, beyond which there are no fractions, and boxes that have no part of it or a negative size are left out.

    Raises:
        InputError: there is no class.
    """
    catalog = sets[0].truth.catalog
    if not catalog.classes:
        raise InputError("YOLO: the data set has no classes, and the format needs one; annotate an object")
    written = WrittenFiles()
    notes = written.notes
    named = with_file_names(sets, by_stem=True, together=False, notes=notes)
    note_image_ids(named, notes)
    note_class_ids(catalog.class_ids, range(len(catalog.classes)), catalog.classes, notes)
    _note_flags(named, notes)
    losses = _Losses()
    splits: dict[str, str] = {}
    for one in named:
        one = _on_upright_images(one, losses)
        folder = "" if one.purpose is None else f"/{one.purpose}"
        if one.purpose is not None:
            splits[one.purpose] = f"images{folder}"
        table = one.truth
        kept, boxes = _within_images(one, losses)
        label, image = table.label[kept], table.image[kept]
        order = np.argsort(image, kind="stable")
        limits = np.searchsorted(image[order], np.arange(len(one.pictures) + 1))
        for k, (picture, name) in enumerate(zip(one.pictures, table.catalog.file_names, strict=True)):
            rows = order[limits[k] : limits[k + 1]]
            height, width = table.catalog.sizes[k].tolist()
            file = f"labels{folder}/{PurePosixPath(name).stem}.txt"
            written.texts[file] = label_text(boxes[rows], label[rows], (height, width))
            written.pictures.append((picture, f"images{folder}/{name}"))
    written.texts["data.yaml"] = description_text(catalog.classes, splits)
    losses.add_to(notes)
    _note_splits(splits, notes)
    note_areas(named, notes)
    note_columns(named, notes)
    return written


@dataclass(slots=True)
class _Losses:
    """Numbers of boxes that change."""

    turned: int = 0
    clipped: int = 0
    outside: int = 0
    negative: int = 0

    def add_to(self, notes: list[Note]) -> None:
        """Add a note for each number that is not 0."""
        sentences = {
            "turned_boxes": (
                self.turned,
                "object on an image whose EXIF rotation its annotations ignore is turned with the image",
                "objects on images whose EXIF rotation their annotations ignore are turned with the image",
            ),
            "clipped_boxes": (
                self.clipped,
                "box extends beyond its image and is clipped to it",
                "boxes extend beyond their image and are clipped to it",
            ),
            "outside_boxes": (
                self.outside,
                "box is completely outside its image and is left out",
                "boxes are completely outside their image and are left out",
            ),
            "negative_boxes": (
                self.negative,
                "box has a negative width or height and is left out; --fix swaps its corners",
                "boxes have a negative width or height and are left out; --fix swaps their corners",
            ),
        }
        for kind, (count, one, many) in sentences.items():
            if count:
                notes.append(Note(kind, plural(count, one, many), values={"objects": count}))


def _on_upright_images(one: ImageSet, losses: _Losses) -> ImageSet:
    """The set with boxes and sizes of upright images, which the reader of fractions takes."""
    table = one.truth
    xywh, sizes = table.xywh.copy(), table.catalog.sizes.copy()
    area = table.area
    for k, picture in enumerate(one.pictures):
        if picture.stored_boxes:
            rows = table.image == k
            height, width = sizes[k].tolist()
            xywh[rows] = upright_boxes(xywh[rows], picture.orientation, (height, width))
            losses.turned += int(np.count_nonzero(rows))
            sizes[k] = (width, height) if picture.orientation >= 5 else (height, width)
    catalog = replace(table.catalog, sizes=sizes)
    return replace(one, truth=replace(table, catalog=catalog, xywh=xywh, area=area))


def _within_images(one: ImageSet, losses: _Losses) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Which objects are written, and the boxes of these, clipped to their images."""
    table = one.truth
    valid = ~(table.crowd | table.ignored)
    negative = valid & (table.xywh[:, 2:] < 0).any(1)
    valid &= ~negative
    limits = table.catalog.sizes[table.image][:, ::-1].astype(np.float64)
    corners = table.boxes
    low = np.clip(corners[:, :2], 0, limits)
    high = np.clip(corners[:, 2:], 0, limits)
    had_size = (table.xywh[:, 2:] > 0).all(1)
    outside = valid & had_size & (high <= low).any(1)
    kept = valid & ~outside
    excess = np.maximum(low - corners[:, :2], corners[:, 2:] - high).max(1, initial=0)
    losses.negative += int(np.count_nonzero(negative))
    losses.outside += int(np.count_nonzero(outside))
    losses.clipped += int(np.count_nonzero(kept & (excess > VISIBLE_PX)))
    inside = np.concatenate([low, high - low], axis=1)
    boxes = np.where((excess > 0)[:, None], inside, table.xywh)
    return kept, boxes[kept]


def _note_flags(sets: Sequence[ImageSet], notes: list[Note]) -> None:
    for kind, count, what in zip(
        ("lost_crowd", "lost_ignored"), count_flags(sets), ("crowd region", "ignored object"), strict=True
    ):
        if count:
            text = f"{plural(count, what)} {agree(count, 'is', 'are')} not written: every line of YOLO is an object to detect"
            notes.append(Note(kind, text, values={"objects": count}))


def _note_splits(splits: dict[str, str], notes: list[Note]) -> None:
    missing = [name for name in ("train", "val") if name not in splits]
    if missing:
        text = f"data.yaml has no {' and no '.join(missing)}, which Ultralytics needs; --splits made writes the splits that runs use"
        notes.append(Note("absent_split", text, ", ".join(missing)))
