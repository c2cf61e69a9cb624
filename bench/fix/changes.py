"""Log of the changes that fixes made: a record for each, a table of all, and their number by kind."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal

Action = Literal["removed", "changed"]


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
    box: tuple[float, float, float, float] | None = None
    new_box: tuple[float, float, float, float] | None = None
    detail: str = ""


_SIDES = ("x", "y", "width", "height")
_COLUMNS = (
    "kind",
    "action",
    "split",
    "image",
    "object_id",
    "class",
    *_SIDES,
    *(f"new_{s}" for s in _SIDES),
    "detail",
)

assert len(_COLUMNS) == len(fields(Change)) + 6  # each box has four columns


def changes_csv(changes: Sequence[Change]) -> str:
    """All changes as CSV with a header, one line each."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for change in changes:
        boxes = [*(change.box or ("",) * 4), *(change.new_box or ("",) * 4)]
        number = "" if change.object_id is None else change.object_id
        place = (change.kind, change.action, change.split, change.image, number, change.class_name)
        writer.writerow([*place, *boxes, change.detail])
    return text.getvalue()


TITLES = {
    "unreadable_images": "images that cannot be read were removed",
    "leakage": "images that are also in another split were removed",
    "repeated_images": "images that are copies of another one were removed",
    "rotated_images": "images were rotated as their EXIF orientation says",
    "invisible_in_class_names": "class names were freed of invisible characters and spaces around them",
    "swapped_corners": "boxes had their corners swapped",
    "outside_boxes": "boxes outside their image were removed",
    "boxes_beyond_image": "boxes were clipped to their image",
    "degenerate_boxes": "boxes without width or height were removed",
    "duplicate_boxes": "objects that were annotated twice were removed",
    "repeated_ids": "objects got an id of their own",
    "renamed_images": "image files got another name",
}
"""What was done for each kind of change, in the order of the fixes."""


def summary(changes: Sequence[Change]) -> list[str]:
    """A line for each kind of change with its number; one line if there are none."""
    counts = Counter(change.kind for change in changes)
    return [f"{counts[kind]} {title}" for kind, title in TITLES.items() if counts[kind]] or [
        "nothing to fix: the copy has the same images and objects"
    ]
