"""Pascal VOC: ``Annotations``, ``JPEGImages``, and the lists of the splits in ``ImageSets/Main``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np

from bench.convert.image_set import ImageSet
from bench.convert.written import (
    WrittenFiles,
    count_flags,
    note_areas,
    note_class_ids,
    note_columns,
    note_image_ids,
    with_file_names,
)
from metrics.formats.voc import Pixels, VOCAnnotation
from metrics.formats.voc_xml import annotation_xml, lost_boxes, storable_name
from metrics.notes import Note
from metrics.plurals import plural
from metrics.tables import Catalog
from metrics.tables.class_names import distinct_names


def voc_files(sets: Sequence[ImageSet], pixels: Pixels = "inclusive") -> WrittenFiles:
    """Write coordinates with all their digits; readers that follow the development kit may refuse decimals.

    Crowd regions become difficult objects. Classes have no ids and exist only where they have objects.

    Args:
        sets: the images of each split.
        pixels: convention of the coordinates.
    """
    written = WrittenFiles()
    named = with_file_names(sets, by_stem=True, together=True, notes=written.notes)
    names = _class_names(named, written.notes)
    _note_losses(named, names, pixels, written.notes)
    for one in named:
        table, catalog = one.truth, one.truth.catalog
        boxes, order = table.boxes, np.argsort(table.image, kind="stable")
        limits = np.searchsorted(table.image[order], np.arange(len(one.pictures) + 1))
        stems = [PurePosixPath(name).stem for name in catalog.file_names]
        for k, (picture, name) in enumerate(zip(one.pictures, catalog.file_names, strict=True)):
            rows = order[limits[k] : limits[k + 1]]
            height, width = catalog.sizes[k].tolist()
            annotation = VOCAnnotation(
                name,
                (height, width),
                tuple(names[label] for label in table.label[rows].tolist()),
                boxes[rows],
                (table.ignored | table.crowd)[rows],
                np.zeros(len(rows), np.bool_),
            )
            written.texts[f"Annotations/{stems[k]}.xml"] = annotation_xml(annotation, pixels)
            written.pictures.append((picture, f"JPEGImages/{name}"))
        if one.purpose is not None:
            written.texts[f"ImageSets/Main/{one.purpose}.txt"] = "".join(f"{stem}\n" for stem in stems)
    return written


def _class_names(sets: Sequence[ImageSet], notes: list[Note]) -> tuple[str, ...]:
    """The names as they read back: distinct, without spaces around them."""
    catalog: Catalog = sets[0].truth.catalog
    stored = [storable_name(name) for name in catalog.classes]
    changed = [(old, new) for old, new in zip(catalog.classes, stored, strict=True) if old != new]
    if changed:
        old, new = changed[0]
        text = f"{plural(len(changed), 'class name changes', 'class names change')}, because XML cannot hold them: {old!r} is {new!r}"
        notes.append(Note("renamed_classes", text, values={"classes": len(changed)}))
    return distinct_names(stored, catalog.class_ids)


def _note_losses(sets: Sequence[ImageSet], names: Sequence[str], pixels: Pixels, notes: list[Note]) -> None:
    catalog: Catalog = sets[0].truth.catalog
    crowd, _ = count_flags(sets)
    if crowd:
        text = (
            f"{plural(crowd, 'crowd region is', 'crowd regions are')} written as difficult objects: VOC has no crowd regions, and one detection may match a "
            f"difficult object"
        )
        notes.append(Note("crowd_as_ignored", text, values={"objects": crowd}))
    small = sum(lost_boxes(one.truth, pixels) for one in sets)
    if small:
        text = (
            f"{plural(small, 'box is', 'boxes are')} at most one pixel wide or high and read back without size: VOC counts whole pixels and "
            f"includes the last one"
        )
        notes.append(Note("lost_boxes", text, values={"objects": small}))
    decimals = sum(int(np.count_nonzero((one.truth.boxes % 1 != 0).any(1))) for one in sets)
    if decimals:
        text = (
            f"{plural(decimals, 'box has', 'boxes have')} coordinates that are not whole numbers and are written as they are; readers that follow the "
            f"development kit may expect whole numbers"
        )
        notes.append(Note("decimal_boxes", text, values={"objects": decimals}))
    used = {label for one in sets for label in np.unique(one.truth.label).tolist()}
    unused = [names[label] for label in range(len(names)) if label not in used]
    if unused:
        text = f"{plural(len(unused), 'class has no object and is', 'classes have no object and are')} not written: {', '.join(unused[:5])}"
        notes.append(Note("lost_classes", text, values={"classes": len(unused)}))
    order = sorted(names[label] for label in used)
    kept = [label for label in range(len(names)) if label in used]
    note_class_ids(
        [catalog.class_ids[label] for label in kept],
        [order.index(names[label]) for label in kept],
        [names[label] for label in kept],
        notes,
    )
    note_image_ids(sets, notes)
    note_areas(sets, notes)
    note_columns(sets, notes)
