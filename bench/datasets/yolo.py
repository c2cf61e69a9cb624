"""YOLO: a YAML file of splits and class names, and a text file of boxes for each image; or a folder of these."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from bench.data.files import image_files
from bench.data.folder import FolderOptions, Source, assemble, image_headers, refuse_or_leave_out
from bench.data.images import Header
from bench.data.types import DATASETS, Dataset, DatasetFormat
from metrics.errors import InputError
from metrics.formats import yolo
from metrics.formats.layouts import LAYOUTS, YAML_SUFFIXES
from metrics.formats.untrusted import read_text
from metrics.tables import AnnotationTable


class YoloOptions(FolderOptions):
    """Settings of a YOLO data set."""

    labels: str | None = None
    """The folder of the text files, where it is neither ``labels`` for ``images`` nor that of the images."""


def _open(path: Path | None, files: Sequence[Path], options: YoloOptions) -> Dataset:
    assert path is not None
    (file,) = files
    if file.suffix.lower() in YAML_SUFFIXES:
        if options.images is not None:
            raise InputError(f"{file}: says where its images are; correct it there, not by data.images")
        description = yolo.read_yaml(file)
        parts: list[tuple[str | None, list[Path]]] = list(description.splits.items())
        names: Sequence[str] = description.names
    else:
        names = [line.strip() for line in read_text(file).splitlines() if line.strip()]
        parts = [(None, _images_beside(path, options))]
    sources = [_source(purpose, images, names, path, options) for purpose, images in parts]
    notes = [f"{s.purpose or 'all'}: {len(s.paths)} images, {len(s.truth)} objects" for s in sources]
    return assemble("yolo", path, sources, options, notes)


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


def _source(
    purpose: str | None, images: Sequence[Path], names: Sequence[str], path: Path, options: YoloOptions
) -> Source:
    """Coordinates are parts of an image's sides, so that its header must be read to know a box."""
    looking = options.model_copy(update={"check": "header"}) if options.check == "exists" else options
    headers, problems = image_headers(images, looking)
    refuse_or_leave_out(problems, len(images), purpose or "images", options)
    whole = {image: header for image, header in zip(images, headers, strict=True) if header is not None}
    sizes = [header.upright for header in whole.values()]
    truth = yolo.read_truth(list(whole), sizes, names, _labels_folder(list(whole), path, options))
    paths = _in_the_tables_order(list(whole), truth)
    of_image: list[Header] = [whole[image] for image in paths]
    return Source(purpose, truth, tuple(paths), tuple(of_image))


def _labels_folder(images: Sequence[Path], path: Path, options: YoloOptions) -> Path | None:
    """None where labels are in the usual place; Darknet's exports have them in ``obj_train_data``."""
    if options.labels is not None:
        folder = Path(options.labels)
        if not folder.is_dir():
            raise InputError(f"data.labels: {folder} is no folder")
        return folder
    root = path if path.is_dir() else path.parent
    if any(yolo.label_path(image).is_file() for image in images):
        return None
    candidates = [root / "labels", root / "obj_train_data", *sorted({image.parent for image in images}), root]
    return next(
        (c for c in candidates if any((c / f"{image.stem}.txt").is_file() for image in images)),
        None,
    )


def _in_the_tables_order(images: Sequence[Path], truth: AnnotationTable) -> list[Path]:
    """The table's file names are relative to the images' common folder."""
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
