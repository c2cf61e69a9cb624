"""COCO data sets: one JSON file of images, annotations and categories, or one per split, and the images."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from bench.data.annotated_images import AnnotatedImages
from bench.data.division import require_distinct_purposes
from bench.data.folder_options import FolderOptions
from bench.data.groups import field_of_groups
from bench.data.image_masks import ImageMask, Masks
from bench.data.object_masks import ObjectMasks
from bench.data.split_folders import split_folders
from bench.data.types import DATASETS, DatasetFormat
from bench.data.unannotated import report_unannotated
from metrics.errors import InputError
from metrics.formats import coco, coco_masks
from metrics.formats.image_paths import find_image_files
from metrics.formats.layouts import LAYOUTS, coco_files_beside
from metrics.formats.purpose import parse_purpose
from metrics.formats.untrusted import read_json
from metrics.notes import Note, report
from metrics.plurals import plural
from metrics.protocols import chosen_protocol
from metrics.tables import AnnotationTable

_ANNOTATION_FOLDERS = {"annotations", "annotation", "labels"}
"""Folders of annotation files, whose images are in the folder above."""


class CocoOptions(FolderOptions):
    """Options of a COCO data set."""


def _read(path: Path, files: Sequence[Path], options: CocoOptions) -> list[AnnotatedImages]:
    parts: list[AnnotatedImages] = []
    files_of_parts: list[Path] = []
    for file in files:
        truth = coco.read_truth(file)
        truth = _with_field(truth, file, field_of_groups(options.groups))
        part = _with_images(path, file, truth, options, None if len(files) == 1 else _purpose(path, file))
        parts += _parts(part, file)
        files_of_parts += [file] * (len(parts) - len(files_of_parts))
    require_distinct_purposes(parts, path, files_of_parts)
    _report_protocol(path, parts)
    report_unannotated(path, parts)
    if path.is_dir():
        _report_files_beside(files)
    if len(parts) > 1 and any(part.purpose is None for part in parts):
        names = ", ".join(file.name for file in files)
        raise InputError(
            f"{path}: cannot tell the splits of {names} apart; name the files train, val and test"
        )
    return parts


def _report_files_beside(files: Sequence[Path]) -> None:
    """Report annotation files that are not read because others are called ``instances_*.json``."""
    if beside := coco_files_beside(files):
        names = ", ".join(file.name for file in beside[:5]) + (", ..." if len(beside) > 5 else "")
        text = (
            f"{files[0].parent}: {plural(len(beside), 'annotation file is', 'annotation files are')} not read, because others are called "
            f"instances_*.json: {names}; to use one, give its path"
        )
        report(Note("files_beside", text, str(files[0].parent), {"files": len(beside)}))


def _report_protocol(path: Path, parts: Sequence[AnnotatedImages]) -> None:
    """Report that runs are evaluated by COCO's rules, where the ground truth asks for those of another benchmark."""
    name = next((name for part in parts if (name := chosen_protocol(part.truth))), None)
    if name is not None:
        text = (
            f"{path}: images have verified classes (neg_category_ids, not_exhaustive_category_ids), but runs are evaluated by COCO's "
            f"rules; for those of {name!r} pass a run's truth.parquet and detections.parquet to python -m metrics"
        )
        report(Note("protocol", text, name))


def _purpose(path: Path, file: Path) -> str | None:
    """Purpose by the name of the file, or else of its folder: ``valid/_annotations.coco.json``."""
    folders = file.relative_to(path).parts[:-1] if file.is_relative_to(path) else (file.parent.name,)
    names = (file.stem, *reversed(folders))
    return next((purpose for name in names if (purpose := parse_purpose(name)) is not None), None)


def _with_field(truth: AnnotationTable, file: Path, name: str | None) -> AnnotationTable:
    """The truth with a field of the file's images as an image column; unchanged if no image has it."""
    catalog = truth.catalog
    if name is None or name in catalog.image_columns:
        return truth
    values = {image["id"]: image.get(name) for image in read_json(file)["images"]}
    column = tuple(
        None if (value := values.get(image)) is None else str(value) for image in catalog.image_ids
    )
    if not any(column):
        return truth
    return replace(truth, catalog=replace(catalog, image_columns={**catalog.image_columns, name: column}))


def _with_images(
    path: Path, file: Path, truth: AnnotationTable, options: CocoOptions, purpose_of_file: str | None
) -> AnnotatedImages:
    if options.images is not None:
        root = Path(options.images)
        folders = [root]
    else:
        root = path if path.is_dir() else file.parent
        if path.is_file() and file.parent.name.lower() in _ANNOTATION_FOLDERS:
            root = file.parent.parent
        split = file.stem.removeprefix("instances_")
        bases = [file.parent, file.parent.parent, *([path] if path.is_dir() else [])]
        names = ["", "images", split, f"images/{split}", "JPEGImages", "data", "train", "val", "test"]
        own = [folder for base in bases for folder in split_folders(base, _purpose(path, file))]
        folders = [*own, *(base / name for base in bases for name in names)]
    paths = find_image_files(truth.catalog.file_names, folders, root, file.name)
    return AnnotatedImages(purpose_of_file, truth, paths, masks=_masks(file, truth))


def _masks(file: Path, truth: AnnotationTable) -> Masks:
    """Masks of all images if an annotation of the file has one; the file is parsed again when they are needed."""
    if not coco_masks.has_masks(file):
        return None
    catalog = truth.catalog
    source = ObjectMasks(partial(coco_masks.read_masks, file, catalog.class_ids))
    values = tuple(range(1, len(catalog.classes) + 1))
    return tuple(ImageMask(source, identity, values) for identity in catalog.image_ids)


def _parts(part: AnnotatedImages, file: Path) -> list[AnnotatedImages]:
    """The splits of a single file whose images have a field ``split``; otherwise all of its images."""
    if part.purpose is not None:
        return [part]
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as text:
        if text.find(b'"split"') < 0:
            return [part]
    given = {image["id"]: parse_purpose(str(image.get("split", ""))) for image in read_json(file)["images"]}
    of_image = [given[image_id] for image_id in part.truth.catalog.image_ids]
    if not any(of_image):
        return [part]
    if not all(of_image):
        raise InputError(
            f"{file}: {plural(of_image.count(None), 'image has', 'images have')} no field 'split', but others have; add it to all images"
        )
    return [
        replace(part.select([k for k, name in enumerate(of_image) if name == chosen]), purpose=chosen)
        for chosen in dict.fromkeys(of_image)
    ]


DATASETS.register(
    "coco",
    DatasetFormat(
        name="coco",
        summary="JSON annotations, for all images or for each split",
        source="Lin et al. 2014, arXiv:1405.0312; cocodataset.org/#format-data",
        options=CocoOptions,
        read=_read,
        layout=LAYOUTS["coco"],
    ),
)
