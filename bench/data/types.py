"""Data sets, their splits and options, and the formats that they are read from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from bench.data.annotated_images import AnnotatedImages
from detectors.config import Config
from metrics.errors import InputError
from metrics.formats.layouts import DataLayout
from metrics.notes import Note
from metrics.pixel_labels import IGNORED
from metrics.plurals import agree, plural
from metrics.registry import Registry
from metrics.tables import AnnotationTable

SPLITS = ("train", "val", "test")

MAX_MASK_CLASSES = IGNORED - 1
"""Largest number of classes in a label map, which consists of bytes."""


@dataclass(frozen=True, slots=True)
class MaskFacts:
    """What is known of the masks of a split once they have been read.

    Attributes:
        images: number of images with a mask; the label map of any other image is ignored everywhere.
        notes: what is ignored or missing in label maps.
        fingerprint: sha256 hex of everything that the label maps are drawn from, except for the size of images; empty if the
            split's fingerprint stands for it.
    """

    images: int
    notes: tuple[str, ...] = ()
    fingerprint: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Images of one split and their ground truth.

    Attributes:
        name: ``train``, ``val`` or ``test``.
        truth: ground truth, in pixels of the image that `load` returns.
        load: load an image by its index in ``truth.catalog.image_ids`` as (H, W, 3) uint8 RGB. May be called from
            several processes. The array may be a view of shared memory and must not be modified.
        fingerprint: sha256 hex of the ground truth and of the contents of the image files, or of the settings of drawn images.
        in_memory: `load` is nearly free, so that worker processes would only add overhead.
        files: the file of each image; empty for images that are drawn.
        label_maps: load the label map of an image by its index, as `load` does: (H, W) uint8, 0 is background, 1 + label a
            class, 255 is ignored. None if the data set has no masks.
        describe_masks: read what the label maps are drawn from, and describe it; None without masks, and where there is nothing
            to tell.
        spare_bytes: of memory in which a loader may keep images of the split at the size of the network's input.
    """

    name: str
    truth: AnnotationTable
    load: Callable[[int], NDArray[np.uint8]]
    fingerprint: str
    in_memory: bool = False
    files: tuple[Path, ...] = ()
    label_maps: Callable[[int], NDArray[np.uint8]] | None = None
    describe_masks: Callable[[], MaskFacts] | None = None
    spare_bytes: int = 0

    def __len__(self) -> int:
        return len(self.truth.catalog.image_ids)


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Images and ground truth in splits train, val and test, which share the same classes.

    Attributes:
        name: short name for tables and folders: ``shapes``, or that of the folder; see `DataOptions.name`.
        format: name of its format in `DATASETS`.
        path: the folder or file that was opened; None for images that are drawn, and for several parts.
        splits: by name, in the order train, val, test.
        fingerprint: sha256 hex of the splits' fingerprints and of which images share a group.
        notes: how the data was read: splits that were made, objects that were dropped, images that were left out.
            Warnings are included.
        defaults: settings that suit this data better than the general defaults, by dotted path
            (``{"image.size": (128, 128)}``).
        mask_fingerprint: read the masks of all splits and return sha256 hex of their contents, which `fingerprint` leaves out because
            only some variants use them; None without masks, and where `fingerprint` stands for them.
        leaked: number of images of val and of test that are also in an earlier split, or of which another image of their
            group is.
    """

    name: str
    format: str
    path: Path | None
    splits: Mapping[str, Split]
    fingerprint: str
    notes: list[Note] = field(default_factory=list)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    leaked: Mapping[str, int] = field(default_factory=dict)
    mask_fingerprint: Callable[[], str] | None = None

    def __post_init__(self) -> None:
        if tuple(self.splits) != SPLITS:
            raise ValueError(f"Dataset.splits: expected {', '.join(SPLITS)}, got {', '.join(self.splits)}")

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of their labels."""
        return self.splits["train"].truth.catalog.classes


class DataOptions(Config):
    """Options of every data set."""

    name: Annotated[str, Field(min_length=1)] | None = None
    """Name of the data set in tables and folders; by default from its path."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Seed of drawn images, or of the splits; independent of a run's seed, so that runs with different seeds are tested
    on the same images."""
    folds: Annotated[int, Field(ge=2)] | None = None
    """Number of folds for cross-validation, stratified by class: all images of the data set, whatever their split, are
    divided into this many folds by `seed`; groups and equal images stay in one fold."""
    fold: Annotated[int, Field(ge=1)] | None = None
    """The fold that is the test split, from 1; val is drawn from the other folds, the rest is train. `bench run --folds`
    runs all of them."""
    train_images: Annotated[int, Field(ge=1)] | None = None
    """Use only this many training images, stratified by class and chosen by `seed`; a smaller number is a subset of a larger
    one. none: all."""

    @model_validator(mode="after")
    def _fold_of_folds(self) -> Self:
        if (self.folds is None) != (self.fold is None):
            given, other = ("folds", "fold") if self.fold is None else ("fold", "folds")
            raise ValueError(
                f"{given} is set and {other} is not; set both, or use `bench run --folds`, which sets them for each fold"
            )
        if self.folds is not None and self.fold is not None and self.fold > self.folds:
            raise ValueError(
                f"fold is {self.fold}, but there {agree(self.folds, 'is', 'are')} {plural(self.folds, 'fold')}, from 1"
            )
        return self


@dataclass(frozen=True, slots=True)
class DatasetFormat:
    """A data set format that a user can name: its settings, detection and opening.

    Attributes:
        name: its name on the command line; the name of its file in `bench.datasets`.
        summary: one line for `bench list`.
        source: paper or page that describes the format.
        options: its options; their names are keyword arguments of `open_dataset`.
        read: read the images of each split, or all images without a split, from the path of the data set, its annotation
            files (what `layout` found) and the options. `bench.data.opening` does the rest: it checks the image files,
            unites classes, makes splits and looks for leakage.
        layout: the files that the format is detected by.
        draw: for images that are drawn, instead of `read` and `layout`: make the data set from the options.
        defaults: see `Dataset.defaults`; known before a data set is opened.
    """

    name: str
    summary: str
    source: str
    options: type[DataOptions]
    read: Callable[[Path, Sequence[Path], Any], Sequence[AnnotatedImages]] | None = None
    layout: DataLayout | None = None
    draw: Callable[[Any], Dataset] | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.read is None) != (self.layout is None) or (self.read is None) == (self.draw is None):
            raise ValueError(f"DatasetFormat {self.name}: expected read and layout, or draw")


DATASETS: Registry[DatasetFormat] = Registry("dataset", "bench.datasets")


def require_label_maps(split: Split) -> Split:
    """Return the split, which must have label maps.

    Raises:
        InputError: the data set has no masks, so that a network cannot learn from pixels, or too many classes.
    """
    classes = len(split.truth.catalog.classes)
    if classes > MAX_MASK_CLASSES:
        raise InputError(
            f"{split.name}: {plural(classes, 'class')}, but a label map holds at most {MAX_MASK_CLASSES}; use some of them with "
            "--set data.classes=..."
        )
    if split.label_maps is None:
        raise InputError(
            f"{split.name}: the data set has boxes but no masks, which this variant learns from; use data with masks "
            "(docs/data.md, section Masks), or a variant that learns from boxes"
        )
    return split


def require_objects(split: Split) -> Split:
    """Return the split, which must have an image and a valid object.

    Raises:
        InputError: it has none, so that average precision is undefined; better reported before training than after.
    """
    if len(split) == 0:
        raise InputError(
            f"{split.name}: the split has no images; add some, or remove the split so that one is made"
        )
    truth = split.truth
    valid = ~(truth.crowd | truth.ignored)
    if not valid.any():
        ignored = f" ({len(valid):,} are crowd or ignored)" if len(valid) else ""
        raise InputError(
            f"{split.name}: no image of {len(split):,} has a valid object{ignored}, so average "
            f"precision is undefined; annotate some, or remove the split so that one is made"
        )
    return split
