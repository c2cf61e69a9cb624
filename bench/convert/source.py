"""Images and objects of a data set that is to be written elsewhere: with its own splits, or those that runs use."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from bench.convert.image_set import ImageSet, Picture
from bench.data.checks import check_images
from bench.data.folder_options import FolderOptions
from bench.data.images import read_header
from bench.data.location import DataLocation, validated_options
from bench.data.opening import noted, open_located, read_located
from bench.data.types import Dataset, Split
from metrics.errors import InputError
from metrics.notes import Note
from metrics.real_path import real_path
from metrics.tables import AnnotationTable

_THREADS = 8


Splits = Literal["kept", "made"]
"""Which splits are written: those that the data set has, or those of runs, where missing ones are made."""


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A data set that was read to be written elsewhere.

    Attributes:
        sets: the images of each split, all with the same classes; every image's size is known.
        notes: how it was read.
    """

    sets: list[ImageSet]
    notes: list[Note]


def read_source(location: DataLocation, options: Mapping[str, Any], splits: Splits = "kept") -> Source:
    """Read a data set that `locate_data` found, with the header of every image.

    Splits are also made where the options make some or change them (``data.splits=drawn``, ``data.leaks=dropped``, ``data.folds``, ``data.train_images``), and for
    images that are drawn.

    Args:
        location: the data set.
        options: all options, as for `open_located`.
        splits: which splits.

    Raises:
        InputError: as `open_located`; or some images have a split and others none. A split without objects is no error
            where splits are kept.
    """
    if options.get("check") == "exists":  # sizes and orientations are needed
        options = {**options, "check": "header"}
    checked = validated_options(location.format, options)
    kept = (
        isinstance(checked, FolderOptions)
        and (checked.splits, checked.leaks) == ("given", "kept")
        and checked.folds is None
        and checked.train_images is None
    )
    if splits == "made" or not kept:
        dataset = open_located(location, options)
        return Source(image_sets(dataset), dataset.notes)
    assert isinstance(checked, FolderOptions)
    sets, notes = noted(lambda: _given_sets(location, checked))
    return Source(sets, notes)


def image_sets(dataset: Dataset) -> list[ImageSet]:
    """The splits of a data set as sets of images; every image's header is read.

    Splits that are the same images (of data sets with fewer images than splits) are one set without a split.

    Args:
        dataset: opened with the sizes of its images (``data.check=header`` or ``whole``).
    """
    different: dict[object, Split] = {}
    for name, split in dataset.splits.items():
        different.setdefault(split.files or name, split)
    root = _root(dataset.path)
    sets = [
        _on_disk(split.name, split.truth, split.files, root) if split.files else _drawn(split)
        for split in different.values()
    ]
    return [replace(sets[0], purpose=None)] if len(sets) < len(dataset.splits) else sets


def _given_sets(location: DataLocation, options: FolderOptions) -> list[ImageSet]:
    images, own = read_located(location, options)
    parts = {part.purpose: part for part in images} | own
    if None in parts and len(parts) > 1:
        named = ", ".join(str(name) for name in parts if name)
        raise InputError(
            f"some images have no split, but others are in {named}; write the splits that runs make: --splits made"
        )
    root = _root(location.path)
    checked = {purpose: check_images(part, options).images for purpose, part in parts.items()}
    return [_on_disk(purpose, part.truth, part.paths, root) for purpose, part in checked.items()]


def _on_disk(
    purpose: str | None, truth: AnnotationTable, files: Sequence[Path], root: Path | None
) -> ImageSet:
    with ThreadPoolExecutor(_THREADS) as pool:
        headers = list(pool.map(read_header, files))
    sizes: Sequence[list[int]] = truth.catalog.sizes.tolist()
    pictures = [
        Picture(
            _name(file, root),
            file,
            orientation=header.orientation,
            stored_boxes=tuple(size) == header.stored != header.upright,
            written=written,
        )
        for file, header, size, written in zip(files, headers, sizes, truth.catalog.file_names, strict=True)
    ]
    return ImageSet(purpose, truth, tuple(pictures))


def _drawn(split: Split) -> ImageSet:
    digits = len(str(max(len(split) - 1, 0)))
    names = [f"{split.name}_{k:0{digits}}.png" for k in range(len(split))]
    pictures = [Picture(name, None, draw=partial(split.load, k)) for k, name in enumerate(names)]
    return ImageSet(split.name, split.truth, tuple(pictures))


def _root(path: Path | None) -> Path | None:
    """The folder that names of images are relative to; None if there is no single one."""
    if path is None or path.suffix.lower() == ".toml":
        return None
    return real_path(path) if path.is_dir() else real_path(path).parent


def _name(file: Path, root: Path | None) -> str:
    """The path of an image in its data set, or else below the working folder."""
    absolute = Path(os.path.abspath(file))
    for base in (root, Path.cwd()):
        if base is not None and absolute.is_relative_to(base):
            return absolute.relative_to(base).as_posix()
    return absolute.as_posix()
