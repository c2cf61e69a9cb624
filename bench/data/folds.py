"""Folds for cross-validation: all images of a data set divided so that each is tested once, and subsets of training images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bench.data.splits import Indices, unit_positions
from bench.data.stratification import first_images, stratified_parts
from bench.data.types import SPLITS, DataOptions
from metrics.errors import InputError
from metrics.notes import Note, report
from metrics.plurals import agree, listed_counts, plural
from metrics.tables import AnnotationTable


def divide_fold(
    truth: AnnotationTable, names: Sequence[str], units: NDArray[np.intp], options: DataOptions, val: float
) -> dict[str, Indices]:
    """The images of train, val and test of one fold, which is reported.

    The folds, and val among the images of the other folds, are stratified by class; see `stratified_parts`.

    Args:
        truth: of I images.
        names: of the images, or their groups.
        units: (I,) number of the unit of each image, from 0; a unit is in one split.
        options: have `folds` and `fold`.
        val: share of val among the images that are not tested, in (0, 1).

    Raises:
        InputError: there are too few units.
    """
    assert options.folds is not None
    assert options.fold is not None
    count, images = int(units.max(initial=-1)) + 1, len(names)
    if count < max(options.folds, 3):
        what = (
            plural(count, "group of images", "groups of images") if count < images else plural(count, "image")
        )
        raise InputError(
            f"data.folds={options.folds}: the data set has {what}, too few for this number of folds and for train and val"
        )
    positions = unit_positions(names, units, options.seed)
    fold = stratified_parts(truth, (1,) * options.folds, positions, units)
    test = np.flatnonzero(fold == options.fold - 1)
    rest = np.flatnonzero(fold != options.fold - 1)
    if len(np.unique(units[rest])) < 2:
        raise InputError(
            f"data.folds={options.folds}: all images outside of fold {options.fold} are one group, so that val cannot be drawn "
            "from them; use more folds or a finer grouping"
        )
    kept, renumbered = np.unique(units[rest], return_inverse=True)
    part = stratified_parts(truth.select(rest), (1 - val, val), positions[kept], renumbered)
    indices = {"train": rest[part == 0], "val": rest[part == 1], "test": test}
    counts = {name: len(indices[name]) for name in SPLITS}
    listed = listed_counts(counts)
    text = f"fold {options.fold} of {options.folds} of all {plural(images, 'image')}, stratified by class with seed {options.seed}: {listed}"
    report(Note("fold", text, str(options.fold), counts))
    return indices


def limit_training(truth: AnnotationTable, names: Sequence[str], options: DataOptions) -> Indices:
    """The training images that `train_images` leaves, which are reported.

    Args:
        truth: of the training images.
        names: of these images.
        options: have `train_images`.

    Raises:
        InputError: there are fewer images.
    """
    wanted = options.train_images
    assert wanted is not None
    if wanted > len(names):
        raise InputError(
            f"data.train_images={wanted}: there {agree(len(names), 'is', 'are')} {plural(len(names), 'training image')}; use at most {len(names)}, or leave the setting "
            "out to use all of them"
        )
    text = f"train: {wanted} of {plural(len(names), 'image')}, stratified by class with seed {options.seed}"
    report(Note("train_images", text, "train", {"images": wanted, "of": len(names)}))
    return first_images(truth, names, wanted, options.seed)
