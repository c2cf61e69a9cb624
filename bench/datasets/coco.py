"""COCO: one JSON file of images, annotations and categories, or one for each split, and the images beside it."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench.data.files import find_images
from bench.data.folder import FolderOptions, Source, assemble, only
from bench.data.splits import purpose
from bench.data.types import DATASETS, Dataset, DatasetFormat
from metrics.errors import InputError
from metrics.formats import coco
from metrics.formats.layouts import LAYOUTS
from metrics.formats.untrusted import read_json
from metrics.tables import AnnotationTable


class CocoOptions(FolderOptions):
    """Settings of a COCO data set."""


def _open(path: Path | None, files: Sequence[Path], options: CocoOptions) -> Dataset:
    assert path is not None
    sources: list[Source] = []
    notes: list[str] = []
    for file in files:
        truth = coco.read_truth(file)
        notes.append(f"{file.name}: {len(truth.catalog.image_ids)} images, {len(truth)} objects")
        source = _with_images(path, file, truth, options, None if len(files) == 1 else _purpose(path, file))
        sources += _parts(source, file)
    only(sources, path)
    if len(sources) > 1 and any(source.purpose is None for source in sources):
        names = ", ".join(file.name for file in files)
        raise InputError(f"{path}: cannot tell which of {names} is for what; name them train, val and test")
    return assemble("coco", path, sources, options, notes)


def _purpose(path: Path, file: Path) -> str | None:
    """By the file's name, or else by that of its folder: ``valid/_annotations.coco.json``."""
    return purpose(file.stem) or (purpose(file.parent.name) if file.parent != path else None)


def _with_images(
    path: Path, file: Path, truth: AnnotationTable, options: CocoOptions, purpose_of_file: str | None
) -> Source:
    if options.images is not None:
        folders = [Path(options.images)]
    else:
        split = file.stem.removeprefix("instances_")
        bases = [file.parent, file.parent.parent, *([path] if path.is_dir() else [])]
        names = ["", "images", split, f"images/{split}", "JPEGImages", "data", "train", "val", "test"]
        folders = [base / name for base in bases for name in names]
    found = find_images(truth.catalog.file_names, folders, file.name)
    return Source(purpose_of_file, truth, found.paths)


def _parts(source: Source, file: Path) -> list[Source]:
    """The splits that a single file gives its images in a field ``split``; the source itself where there is none."""
    if source.purpose is not None:
        return [source]
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as text:
        if text.find(b'"split"') < 0:
            return [source]
    given = {image["id"]: purpose(str(image.get("split", ""))) for image in read_json(file)["images"]}
    of_image = [given[image_id] for image_id in source.truth.catalog.image_ids]
    if not any(of_image):
        return [source]
    if not all(of_image):
        raise InputError(
            f"{file}: {of_image.count(None)} images have no split, others have; give all of them one"
        )
    return [
        replace(source.select([k for k, name in enumerate(of_image) if name == chosen]), purpose=chosen)
        for chosen in dict.fromkeys(of_image)
    ]


DATASETS.register(
    "coco",
    DatasetFormat(
        name="coco",
        summary="JSON annotations, for all images or for each split",
        source="Lin et al. 2014, arXiv:1405.0312; cocodataset.org/#format-data",
        options=CocoOptions,
        open=_open,
        layout=LAYOUTS["coco"],
    ),
)
