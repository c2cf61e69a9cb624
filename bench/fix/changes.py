"""Log of the changes that fixes made: a record for each, a table of all, and their number by kind."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from metrics.plurals import plural
from reports.records.csv import to_csv

Action = Literal["removed", "changed"]

Box = tuple[float, float, float, float]
"""Xywh in pixels."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change of an image, an object or a class.

    Attributes:
        kind: what was wrong, an identifier as in the findings of `bench data`.
        action: what was done.
        split: of the image; empty without splits.
        image: its path in the data set; empty for a class.
        object_id: id of the object; None for an image or a class.
        class_name: of the object, or the class.
        box: xywh of the object before the change, in pixels.
        new_box: xywh of the object after it.
        detail: the new name or id, the image that is kept, or why a file cannot be read.
    """

    kind: str
    action: Action
    split: str = ""
    image: str = ""
    object_id: int | None = None
    class_name: str = ""
    box: Box | None = None
    new_box: Box | None = None
    detail: str = ""


def changes_csv(changes: Sequence[Change]) -> str:
    """All changes as CSV with a header, one line each; each box has columns x, y, width, height."""
    frame = pd.DataFrame(
        {
            "kind": [change.kind for change in changes],
            "action": [change.action for change in changes],
            "split": [change.split for change in changes],
            "image": [change.image for change in changes],
            "object_id": pd.array([change.object_id for change in changes], dtype="Int64"),
            "class": [change.class_name for change in changes],
            **_sides("", [change.box for change in changes]),
            **_sides("new_", [change.new_box for change in changes]),
            "detail": [change.detail for change in changes],
        }
    )
    return to_csv(frame)


def _sides(prefix: str, boxes: Sequence[Box | None]) -> dict[str, list[float]]:
    """Columns of the sides of boxes; NaN without a box."""
    return {
        f"{prefix}{name}": [math.nan if box is None else box[side] for box in boxes]
        for side, name in enumerate(("x", "y", "width", "height"))
    }


TITLES = {
    "unreadable_images": ("unreadable image removed", "unreadable images removed"),
    "leakage": (
        "image removed that is also in another split",
        "images removed that are also in another split",
    ),
    "repeated_images": ("copy of an image removed", "copies of images removed"),
    "rotated_images": (
        "image rotated by its EXIF orientation",
        "images rotated by their EXIF orientation",
    ),
    "invisible_in_class_names": (
        "class name freed of invisible characters and spaces around it",
        "class names freed of invisible characters and spaces around them",
    ),
    "swapped_corners": ("box with swapped corners corrected", "boxes with swapped corners corrected"),
    "outside_boxes": ("box outside its image removed", "boxes outside their image removed"),
    "boxes_beyond_image": ("box clipped to its image", "boxes clipped to their image"),
    "degenerate_boxes": ("box without width or height removed", "boxes without width or height removed"),
    "duplicate_boxes": ("repeated object removed", "repeated objects removed"),
    "repeated_ids": ("object with a repeated id renumbered", "objects with a repeated id renumbered"),
    "renamed_images": ("image file renamed", "image files renamed"),
    "found_elsewhere": (
        "image named in the annotations like its file",
        "images named in the annotations like their files",
    ),
}
"""What was done for each kind of change, once and several times, in the order of the fixes."""


def counts(changes: Sequence[Change]) -> dict[str, int]:
    """The number of changes of each kind, in the order of the fixes."""
    number = Counter(change.kind for change in changes)
    return {kind: number[kind] for kind in TITLES if number[kind]}


def summary(changes: Sequence[Change]) -> list[str]:
    """A line for each kind of change with its number; one line if there are none."""
    return [plural(number, *TITLES[kind]) for kind, number in counts(changes).items()] or [
        "nothing to fix: the copy has the same images and objects"
    ]
