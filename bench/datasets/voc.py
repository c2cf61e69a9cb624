"""Pascal VOC data sets: one XML file per image; splits are lists in ``ImageSets/Main``, or folders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.data.annotated_images import AnnotatedImages
from bench.data.checks import report_unreadable
from bench.data.class_images import find_class_images
from bench.data.division import require_distinct_purposes
from bench.data.folder_options import FolderOptions
from bench.data.types import DATASETS, DatasetFormat
from bench.data.unannotated import report_unannotated
from metrics.formats import voc
from metrics.formats.image_paths import find_annotated
from metrics.formats.layouts import LAYOUTS, voc_folder
from metrics.formats.voc import Pixels
from metrics.formats.voc_splits import VOCPart, find_parts
from metrics.notes import Note, report
from metrics.tables import AnnotationTable

_CONVENTIONS = {
    "inclusive": "box coordinates count pixels from 1, the last one included, as in VOC; difficult objects are ignored",
    "edges": "box coordinates are read as edges, counted from 0; difficult objects are ignored",
}


class VocOptions(FolderOptions):
    """Options of a Pascal VOC data set."""

    pixels: Pixels = "inclusive"
    """Meaning of coordinates. inclusive: pixels, counted from 1, the last one included, as in VOC; edges: coordinates of
    edges, counted from 0, as some tools write them into the same XML."""


def _read(path: Path, files: Sequence[Path], options: VocOptions) -> list[AnnotatedImages]:
    root = voc_folder(path)
    files = voc.without_turned_twins(files)
    listed = find_parts(root, files)
    for part in listed:
        folder = files[0].parent.name
        problems = {
            k: f"{part.name} names {name!r}, but {folder} has no {name}.xml" for k, name in part.missing
        }
        report_unreadable(problems, part.count, part.purpose or root.name, options)
    sources = [
        _with_images(root, part, truth, options)
        for part, truth in zip(listed, _read_tables(listed, options.pixels), strict=True)
    ]
    require_distinct_purposes(sources, path)
    report_unannotated(root, sources, {file.stem for file in files})
    report(Note("pixel_convention", _CONVENTIONS[options.pixels], options.pixels))
    return sources


def _read_tables(listed: Sequence[VOCPart], pixels: Pixels) -> list[AnnotationTable]:
    """Ground truth of each part, with the classes of all parts."""
    tables = [voc.read_truth(part.files, pixels=pixels) for part in listed]
    classes = tuple(sorted({name for table in tables for name in table.catalog.classes}))
    ids = tuple(range(len(classes)))
    unified = []
    for table in tables:
        labels = np.array([classes.index(name) for name in table.catalog.classes], np.int32)
        catalog = replace(table.catalog, classes=classes, class_ids=ids)
        unified.append(replace(table, catalog=catalog, label=labels[table.label]))
    return unified


def _with_images(root: Path, part: VOCPart, truth: AnnotationTable, options: VocOptions) -> AnnotatedImages:
    if options.images is not None:
        folders = [Path(options.images)]
    else:
        beside = part.files[0].parent if part.files else root
        folders = [
            base / name
            for base in (root, beside, beside.parent, root.parent)
            for name in ("JPEGImages", "images", "data")
        ]
        folders += [beside, root]
    xml_of = {identity: file for file, identity in voc.image_ids(part.files).items()}
    written = [
        (xml_of[str(identity)].relative_to(root).with_suffix("").as_posix(), name)
        for identity, name in zip(truth.catalog.image_ids, truth.catalog.file_names, strict=True)
    ]
    what = part.purpose or root.name
    stems = [stem.removeprefix("Annotations/") for stem, _ in written]
    masks = find_class_images(root, stems, truth.catalog.classes, what)
    return AnnotatedImages(part.purpose, truth, find_annotated(written, folders, what), masks=masks)


DATASETS.register(
    "voc",
    DatasetFormat(
        name="voc",
        summary="XML annotations and lists of images (Pascal VOC)",
        source="Everingham et al. 2010, IJCV 88(2)",
        options=VocOptions,
        read=_read,
        layout=LAYOUTS["voc"],
    ),
)
