"""Images and objects of a data set that is to be written elsewhere, from what runs open."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

from bench.convert.image_set import ImageSet, Picture
from bench.data.images import read_header
from bench.data.types import Dataset, Split

_THREADS = 8


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
    sets = [_on_disk(split, root) if split.files else _drawn(split) for split in different.values()]
    return [replace(sets[0], purpose=None)] if len(sets) < len(dataset.splits) else sets


def _on_disk(split: Split, root: Path | None) -> ImageSet:
    with ThreadPoolExecutor(_THREADS) as pool:
        headers = list(pool.map(read_header, split.files))
    catalog = split.truth.catalog
    sizes: Sequence[list[int]] = catalog.sizes.tolist()
    pictures = [
        Picture(
            _name(file, root),
            file,
            orientation=header.orientation,
            stored_boxes=tuple(size) == header.stored != header.upright,
            written=written,
        )
        for file, header, size, written in zip(split.files, headers, sizes, catalog.file_names, strict=True)
    ]
    return ImageSet(split.name, split.truth, tuple(pictures))


def _drawn(split: Split) -> ImageSet:
    digits = len(str(max(len(split) - 1, 0)))
    names = [f"{split.name}_{k:0{digits}}.png" for k in range(len(split))]
    pictures = [Picture(name, None, draw=partial(split.load, k)) for k, name in enumerate(names)]
    return ImageSet(split.name, split.truth, tuple(pictures))


def _root(path: Path | None) -> Path | None:
    """The folder that names of images are relative to; None if there is no single one."""
    if path is None or path.suffix.lower() == ".toml":
        return None
    return path.resolve() if path.is_dir() else path.resolve().parent


def _name(file: Path, root: Path | None) -> str:
    """The path of an image in its data set, or else below the working folder."""
    absolute = Path(os.path.abspath(file))
    for base in (root, Path.cwd()):
        if base is not None and absolute.is_relative_to(base):
            return absolute.relative_to(base).as_posix()
    return absolute.as_posix()
