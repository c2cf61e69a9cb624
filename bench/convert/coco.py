"""COCO: ``annotations/instances_<split>.json``, and the images of each split in ``images/<split>``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bench.convert.image_set import ImageSet
from bench.convert.written import WrittenFiles, count_flags, with_file_names
from metrics.formats.coco import truth_json
from metrics.notes import Note
from metrics.plurals import plural


def coco_files(sets: Sequence[ImageSet]) -> WrittenFiles:
    """Write annotations as they are: boxes, areas and ids to the last bit.

    Image ids that are strings become the numbers 1, 2, ... in their order, as the format requires. Ignored objects become
    crowd regions, the only objects of COCO that need not be detected.
    """
    written = WrittenFiles()
    named = with_file_names(sets, by_stem=False, together=False, notes=written.notes)
    _, ignored = count_flags(named)
    if ignored:
        text = (
            f"{plural(ignored, 'ignored object is', 'ignored objects are')} (as VOC's difficult ones) written as crowd regions (iscrowd and ignore): COCO has no "
            f"ignored objects, and any number of detections may match a crowd region"
        )
        written.notes.append(Note("ignored_as_crowd", text, values={"objects": ignored}))
    strings = [one for one in named if any(isinstance(i, str) for i in one.truth.catalog.image_ids)]
    if strings:
        count = sum(len(one.pictures) for one in strings)
        text = f"{plural(count, 'image gets', 'images get')} the numbers 1, 2, ... as ids: ids of the format are numbers"
        written.notes.append(Note("image_ids", text, values={"images": count}))
    first = 1
    for one in named:
        folder = "images" if one.purpose is None else f"images/{one.purpose}"
        table, catalog = one.truth, one.truth.catalog
        if one in strings:
            ids = tuple(range(first, first + len(catalog.image_ids)))
            first += len(ids)
            catalog = replace(catalog, image_ids=ids)
        table = replace(table, catalog=catalog, crowd=table.crowd | table.ignored)
        file = "instances.json" if one.purpose is None else f"instances_{one.purpose}.json"
        written.texts[f"annotations/{file}"] = truth_json(table)
        written.pictures.extend(
            (picture, f"{folder}/{name}")
            for picture, name in zip(one.pictures, catalog.file_names, strict=True)
        )
    return written
