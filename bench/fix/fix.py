"""All fixes of a data set, in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bench.convert.image_set import ImageSet
from bench.fix.boxes import (
    Fixed,
    clip_boxes,
    remove_degenerate,
    remove_outside,
    remove_repeated,
    renumber_objects,
    swap_corners,
)
from bench.fix.changes import Change
from bench.fix.classes import trim_class_names
from bench.fix.images import make_upright, remove_copies, remove_unreadable
from bench.process.progress import Progress


def fix_sets(
    sets: Sequence[ImageSet],
    counts_pixels: bool = False,
    whole_pixels: bool = False,
    decode: bool = True,
    progress: Progress | None = None,
) -> Fixed:
    """Apply every fix once; applying them again changes nothing.

    Args:
        sets: images and objects.
        counts_pixels: whether the coordinates were read as pixels of which the last is included (VOC).
        whole_pixels: whether they are written so; then boxes of at most one pixel have no size.
        decode: whether images are decoded to find those that are truncated.
        progress: display; none by default.
    """
    fixed = list(sets)
    changes: list[Change] = []
    steps: list[Callable[[Sequence[ImageSet]], Fixed]] = [
        *([lambda sets: remove_unreadable(sets, progress)] if decode else []),
        remove_copies,
        make_upright,
        trim_class_names,
        lambda sets: swap_corners(sets, 1.0 if counts_pixels else 0.0),
        remove_outside,
        clip_boxes,
        lambda sets: remove_degenerate(sets, 1.0 if whole_pixels else 0.0),
        remove_repeated,
        renumber_objects,
    ]
    for step in steps:
        fixed, made = step(fixed)
        changes += made
    return fixed, changes
