"""YOLO data sets: a YAML file or a list of class names, and one text file of boxes per image."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from bench.data.checks import AnnotatedImages, FolderOptions, read_headers, report_unreadable
from bench.data.files import image_files
from bench.data.folder import assemble_dataset
from bench.data.types import DATASETS, Dataset, DatasetFormat
from metrics.errors import InputError
from metrics.formats import yolo
from metrics.formats.layouts import LAYOUTS, YAML_SUFFIXES
from metrics.formats.untrusted import read_text
from metrics.tables import AnnotationTable


class YoloOptions(FolderOptions):
    """Options of a YOLO data set."""

    labels: str | None = None
    """Folder of the text files, if it is neither ``labels`` beside ``images`` nor the folder of the images."""


def _open(path: Path | None, files: Sequence[Path], options: YoloOptions) -> Dataset:
    assert path is not None
    (file,) = files
    if file.suffix.lower() in YAML_SUFFIXES:
        if options.images is not None:
            raise InputError(
                f"{file}: names the folders of its images; correct them there, not with data.images"
            )
        description = yolo.read_yaml(file)
        by_purpose: list[tuple[str | None, list[Path]]] = list(description.splits.items())
        names: Sequence[str] = description.names
    else:
        names = [line.strip() for line in read_text(file).splitlines() if line.strip()]
        by_purpose = [(None, _images_beside(path, options))]
    parts = [_read_part(purpose, images, names, path, options) for purpose, images in by_purpose]
    notes = [f"{s.purpose or 'all'}: {len(s.paths)} images, {len(s.truth)} objects" for s in parts]
    return assemble_dataset("yolo", path, parts, options, notes)


def _images_beside(path: Path, options: YoloOptions) -> list[Path]:
    given = [Path(options.images)] if options.images is not None else []
    for folder in given or [path / "images", path / "obj_train_data", path]:
        images = image_files(folder, recursive=True) if folder.is_dir() else []
        if images:
            return images
    raise InputError(
        f"{path}: no images in {given[0] if given else 'images, obj_train_data or the folder itself'}; "
        f"set data.images to the folder that holds them"
    )


def _read_part(
    purpose: str | None, images: Sequence[Path], names: Sequence[str], path: Path, options: YoloOptions
) -> AnnotatedImages:
    """Read the boxes of one split. They are fractions of the image's sides, so that each header must be read."""
    header_options = options.model_copy(update={"check": "header"}) if options.check == "exists" else options
    headers, problems = read_headers(images, header_options)
    report_unreadable(problems, len(images), purpose or "images", options)
    readable = {image: header for image, header in zip(images, headers, strict=True) if header is not None}
    sizes = [header.upright for header in readable.values()]
    truth = yolo.read_truth(list(readable), sizes, names, _labels_folder(list(readable), path, options))
    paths = _table_order(list(readable), truth)
    return AnnotatedImages(purpose, truth, tuple(paths), tuple(readable[image] for image in paths))


def _labels_folder(images: Sequence[Path], path: Path, options: YoloOptions) -> Path | None:
    """Folder of the text files; None if they are in the usual place. Darknet exports use ``obj_train_data``."""
    if options.labels is not None:
        folder = Path(options.labels)
        if not folder.is_dir():
            raise InputError(f"data.labels: {folder}: no such folder")
        return folder
    root = path if path.is_dir() else path.parent
    if any(yolo.label_path(image).is_file() for image in images):
        return None
    candidates = [root / "labels", root / "obj_train_data", *sorted({image.parent for image in images}), root]
    return next(
        (c for c in candidates if any((c / f"{image.stem}.txt").is_file() for image in images)),
        None,
    )


def _table_order(images: Sequence[Path], truth: AnnotationTable) -> list[Path]:
    """Image files in the order of the table, whose file names are relative to the images' common folder."""
    if not images:
        return []
    common = Path(os.path.commonpath([image.parent for image in images]))
    return [common / name for name in truth.catalog.file_names]


DATASETS.register(
    "yolo",
    DatasetFormat(
        name="yolo",
        summary="YAML description and a text file of boxes for each image",
        source="docs.ultralytics.com/datasets/detect",
        options=YoloOptions,
        open=_open,
        layout=LAYOUTS["yolo"],
    ),
)
