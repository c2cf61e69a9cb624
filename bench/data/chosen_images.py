"""Splits of images that are chosen from other splits, for data sets that are drawn and for pooled folds."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.data.annotated_images import AnnotatedImages
from bench.data.folds import divide_fold, limit_training
from bench.data.splits import Indices
from bench.data.types import SPLITS, DataOptions, Dataset, Split, require_objects
from bench.data.union import unite_images

Loader = Callable[[int], NDArray[np.uint8]]


def pool_splits(splits: Sequence[Split], name: str) -> Split:
    """The images of several splits, whose ids are distinct, as one split, sorted by id.

    Its fingerprint stands for the splits in their order. Objects are in the order of the images, so that the truth does not
    depend on how the images were divided.

    Args:
        splits: at least one.
        name: of the split.
    """
    # Paths only carry the order of the images here: a drawn image has none.
    pieces = [AnnotatedImages(None, split.truth, split.files or (Path(),) * len(split)) for split in splits]
    united, order = unite_images(pieces, None)
    sizes = [len(split) for split in splits]
    number = np.repeat(np.arange(len(splits)), sizes)[order]
    index = np.concatenate([np.arange(size) for size in sizes])[order]
    label_maps = [split.label_maps for split in splits]
    digest = hashlib.sha256(" ".join([name, *(split.fingerprint for split in splits)]).encode())
    return Split(
        name,
        united.truth.take(np.argsort(united.truth.image, kind="stable")),
        _ChosenImages(tuple(split.load for split in splits), number, index),
        digest.hexdigest(),
        in_memory=all(split.in_memory for split in splits),
        files=united.paths if all(split.files for split in splits) else (),
        label_maps=_ChosenImages(tuple(each for each in label_maps if each), number, index)
        if all(label_maps)
        else None,
    )


def select_images(split: Split, indices: Indices, name: str) -> Split:
    """Some images of a split as a split of their own, in the order of `indices`."""
    digest = hashlib.sha256(f"{name} {split.fingerprint}".encode())
    digest.update(indices.astype("<i8").tobytes())
    first = np.zeros(len(indices), np.intp)
    return replace(
        split,
        name=name,
        truth=split.truth.select(indices),
        load=_ChosenImages((split.load,), first, indices),
        fingerprint=digest.hexdigest(),
        files=tuple(split.files[index] for index in indices) if split.files else (),
        label_maps=None if split.label_maps is None else _ChosenImages((split.label_maps,), first, indices),
    )


def divide_drawn(dataset: Dataset, options: DataOptions) -> Dataset:
    """A data set that is drawn, with the splits of `folds` and the training images of `train_images`, if they are set.

    Args:
        dataset: as it is without these options.
        options: of the data set.
    """
    if options.folds is None and options.train_images is None:
        return dataset  # without drawing its images
    if options.folds is None and options.train_images == len(dataset.splits["train"]):
        return dataset
    splits = dict(dataset.splits)
    if options.folds is not None:
        val = len(splits["val"]) / (len(splits["train"]) + len(splits["val"]))
        pooled = pool_splits([splits[name] for name in SPLITS], "all")
        parts = divide_fold(pooled.truth, _names(pooled), np.arange(len(pooled)), options, val)
        splits = {name: select_images(pooled, parts[name], name) for name in SPLITS}
    if options.train_images is not None and options.train_images != len(splits["train"]):
        train = splits["train"]
        splits["train"] = select_images(train, limit_training(train.truth, _names(train), options), "train")
    splits = {name: require_objects(split) for name, split in splits.items()}
    fingerprint = hashlib.sha256(" ".join(split.fingerprint for split in splits.values()).encode())
    return replace(dataset, splits=splits, fingerprint=fingerprint.hexdigest())


def _names(split: Split) -> list[str]:
    return [str(image) for image in split.truth.catalog.image_ids]


@dataclass(frozen=True, slots=True, eq=False)
class _ChosenImages:
    """Loads image i: number `index[i]` of the split `split[i]`. Can be sent to other processes."""

    loaders: tuple[Loader, ...]
    split: NDArray[np.intp]
    index: NDArray[np.intp]

    def __call__(self, index: int) -> NDArray[np.uint8]:
        load: Loader = self.loaders[int(self.split[index])]
        return load(int(self.index[index]))
