"""What a format writes: texts, images and what is lost; and the checks that formats share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

import numpy as np

from bench.convert.file_names import distinct_file_names
from bench.convert.image_set import ImageSet, Picture
from metrics.notes import Note
from metrics.plurals import agree, plural


@dataclass(frozen=True, slots=True)
class WrittenFiles:
    """The files of a data set, by their paths in its folder.

    Attributes:
        texts: annotation files and lists.
        pictures: where each image is written.
        notes: what the format cannot hold or had to change, with numbers.
    """

    texts: dict[str, str | bytes] = field(default_factory=dict)
    pictures: list[tuple[Picture, str]] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)


def with_file_names(
    sets: Sequence[ImageSet], by_stem: bool, together: bool, notes: list[Note]
) -> list[ImageSet]:
    """The sets with the names of the written files in their catalogs.

    Args:
        sets: the images of each split.
        by_stem: whether names must differ without suffix.
        together: whether the images of all sets share a folder.
        notes: gets a note about names that had to change.
    """
    groups = [list(sets)] if together else [[one] for one in sets]
    named = []
    changed: list[tuple[str, str]] = []
    for group in groups:
        pictures = [picture for one in group for picture in one.pictures]
        names = distinct_file_names(
            [picture.name for picture in pictures], [picture.file for picture in pictures], by_stem
        )
        changed += [
            (picture.name, name)
            for picture, name in zip(pictures, names, strict=True)
            if PurePosixPath(picture.name).name != name
        ]
        rest = iter(names)
        for one in group:
            own = tuple(next(rest) for _ in one.pictures)
            catalog = replace(one.truth.catalog, file_names=own)
            named.append(replace(one, truth=replace(one.truth, catalog=catalog)))
    if changed:
        old, new = changed[0]
        text = f"{plural(len(changed), 'image gets', 'images get')} another file name, because the current one is taken or cannot be written: {old} is {new}"
        notes.append(Note("renamed_images", text, values={"images": len(changed)}))
    return named


def count_flags(sets: Sequence[ImageSet]) -> tuple[int, int]:
    """Number of crowd regions, and of ignored objects that are no crowd regions."""
    crowd = sum(int(np.count_nonzero(one.truth.crowd)) for one in sets)
    ignored = sum(int(np.count_nonzero(one.truth.ignored & ~one.truth.crowd)) for one in sets)
    return crowd, ignored


def note_areas(sets: Sequence[ImageSet], notes: list[Note]) -> None:
    """Note the objects whose annotated area is not that of their box, for formats without areas."""
    count = 0
    for one in sets:
        box = one.truth.xywh[:, 2] * one.truth.xywh[:, 3]
        count += int(np.count_nonzero(~np.isclose(one.truth.area, box, rtol=1e-9, atol=1e-9)))
    if count:
        text = (
            f"{plural(count, 'object has', 'objects have')} an area of their own, as of a mask; it is not written, so their size is that of their "
            f"box, which changes measures by object size"
        )
        notes.append(Note("lost_areas", text, values={"objects": count}))


def note_columns(sets: Sequence[ImageSet], notes: list[Note]) -> None:
    """Note the columns of images that formats other than COCO cannot hold."""
    columns = sorted({name for one in sets for name in one.truth.catalog.image_columns})
    if columns:
        text = f"the fields {', '.join(columns)} of images are not written"
        notes.append(Note("lost_columns", text, values={"columns": len(columns)}))


def note_class_ids(old: Sequence[int], new: Sequence[int], names: Sequence[str], notes: list[Note]) -> None:
    """Note the classes whose id changes."""
    changed = [k for k in range(len(names)) if old[k] != new[k]]
    if changed:
        first = changed[0]
        text = (
            f"{len(changed):,} of {plural(len(names), 'class')} {agree(len(changed), 'gets', 'get')} another id on reading: the format has only their order; "
            f"{names[first]!r} was {old[first]} and is {new[first]}"
        )
        notes.append(Note("class_ids", text, values={"classes": len(changed), "of": len(names)}))


def note_image_ids(sets: Sequence[ImageSet], notes: list[Note]) -> None:
    """Note the images whose id is not the name of their file without suffix, for formats that know images by that."""
    pairs = [
        (identity, PurePosixPath(name).stem)
        for one in sets
        for identity, name in zip(one.truth.catalog.image_ids, one.truth.catalog.file_names, strict=True)
    ]
    changed = [(old, new) for old, new in pairs if old != new]
    if changed:
        old, new = changed[0]
        text = f"{plural(len(changed), 'image gets', 'images get')} another id on reading, the name of the file: {old!r} is {new!r}"
        notes.append(Note("image_ids", text, values={"images": len(changed)}))
