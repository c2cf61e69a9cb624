"""YOLO data sets: a YAML file or a list of class names, and one text file of boxes per image."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bench.data.annotated_images import AnnotatedImages
from bench.data.checks import read_headers, report_unreadable
from bench.data.folder_options import FolderOptions
from bench.data.image_masks import ImageMask, Masks
from bench.data.object_masks import ObjectMasks
from bench.data.types import DATASETS, DatasetFormat
from metrics.errors import InputError
from metrics.formats import yolo
from metrics.formats.layouts import LAYOUTS
from metrics.formats.mask_objects import MaskObject
from metrics.formats.yolo_description import YOLODescription, read_description
from metrics.formats.yolo_labels import find_labels
from metrics.real_path import real_path
from metrics.tables import AnnotationTable


class YoloOptions(FolderOptions):
    """Options of a YOLO data set."""

    PATHS: ClassVar[tuple[str, ...]] = ("labels",)

    labels: str | None = None
    """Folder of the text files, if it is neither ``labels`` beside ``images`` nor the folder of the images."""


def _read(path: Path, files: Sequence[Path], options: YoloOptions) -> list[AnnotatedImages]:
    (file,) = files
    description = read_description(file, _folder(options.images, "data.images"))
    roots = (description.root, description.beside)
    labels = find_labels(description.splits.values(), roots, _folder(options.labels, "data.labels"))
    return [
        _read_part(purpose, images, description, labels, options)
        for purpose, images in description.splits.items()
    ]


def _folder(given: str | None, setting: str) -> Path | None:
    if given is None:
        return None
    if not Path(given).is_dir():
        raise InputError(f"{setting}: {given}: no such folder")
    return real_path(given)


def _read_part(
    purpose: str | None,
    images: Sequence[Path],
    description: YOLODescription,
    labels: Mapping[Path, Path],
    options: YoloOptions,
) -> AnnotatedImages:
    """Read the boxes of one split. They are fractions of the image's sides, so that each header must be read."""
    header_options = options.model_copy(update={"check": "header"}) if options.check == "exists" else options
    headers, problems = read_headers(images, header_options)
    report_unreadable(problems, len(images), purpose or "images", options)
    readable = {image: header for image, header in zip(images, headers, strict=True) if header is not None}
    sizes = [header.upright for header in readable.values()]
    truth, polygons = yolo.read_objects(
        list(readable), sizes, description.names, labels, description.keypoints
    )
    paths = _table_order(list(readable), truth)
    in_order = tuple(readable[image] for image in paths)
    return AnnotatedImages(purpose, truth, tuple(paths), in_order, _masks(truth, polygons))


def _masks(truth: AnnotationTable, polygons: Sequence[NDArray[np.float64] | None]) -> Masks:
    """Masks of all images if an object has a polygon."""
    if all(points is None for points in polygons):
        return None
    source = ObjectMasks(partial(_objects, truth, polygons))
    values = tuple(range(1, len(truth.catalog.classes) + 1))
    return tuple(ImageMask(source, index, values) for index in range(len(truth.catalog.image_ids)))


def _objects(
    truth: AnnotationTable, polygons: Sequence[NDArray[np.float64] | None]
) -> dict[int, list[MaskObject]]:
    """The objects of each image, by its index."""
    objects: dict[int, list[MaskObject]] = {}
    columns = (truth.image.tolist(), truth.label.tolist(), truth.xywh.tolist(), polygons)
    for image, label, (x, y, w, h), points in zip(*columns, strict=True):
        height, width = truth.catalog.sizes[image].tolist()
        in_pixels = () if points is None else (points * (width, height),)
        objects.setdefault(image, []).append(MaskObject(label, False, (x, y, w, h), in_pixels))
    return objects


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
        read=_read,
        layout=LAYOUTS["yolo"],
    ),
)
