"""What a data set is, whatever format it came from, and what a format must offer to be one that users can name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from detectors.config import Config
from metrics.errors import InputError
from metrics.formats.layouts import DataLayout
from metrics.registry import Registry
from metrics.tables import AnnotationTable

SPLITS = ("train", "val", "test")


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """The images of one purpose, and the truth about them.

    Attributes:
        name: ``train``, ``val`` or ``test``.
        truth: what is there, in pixels of the image as `load` gives it.
        load: index of an image in ``truth.catalog.image_ids`` to (H, W, 3) uint8 RGB. Safe to call from several
            processes. The array may be a view of memory that is kept: it must not be written to.
        fingerprint: sha256 hex of the truth and of which images these are.
        in_memory: `load` costs next to nothing, so that worker processes would only be in the way.
    """

    name: str
    truth: AnnotationTable
    load: Callable[[int], NDArray[np.uint8]]
    fingerprint: str
    in_memory: bool = False

    def __len__(self) -> int:
        return len(self.truth.catalog.image_ids)


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Images and truth, divided into train, val and test; the three share classes and no image.

    Attributes:
        name: a short name for tables and folders: ``shapes``, or the name of the data set's folder.
        format: the name of its format in `DATASETS`.
        path: the folder or file that was opened; None for images that are drawn.
        splits: by name, in the order train, val, test.
        fingerprint: sha256 hex of all splits' fingerprints.
        notes: what a user should know of how the data was read: splits that were made here, objects that were
            dropped, images that were left out. What was also warned of is repeated here.
        defaults: settings of a run that suit this data better than the general ones, by dotted path
            (``{"image.size": (128, 128)}``).
    """

    name: str
    format: str
    path: Path | None
    splits: Mapping[str, Split]
    fingerprint: str
    notes: list[str] = field(default_factory=list)
    defaults: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if tuple(self.splits) != SPLITS:
            raise ValueError(f"Dataset.splits: expected {', '.join(SPLITS)}, got {', '.join(self.splits)}")

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of their labels."""
        return self.splits["train"].truth.catalog.classes


class DataOptions(Config):
    """What can be set of any data set."""

    seed: int = Field(default=0, ge=0, lt=2**63)
    """Decides what is drawn, or which images fall into which split; apart from a run's seed, so that runs with
    different seeds are tested on the same images."""


@dataclass(frozen=True, slots=True)
class DatasetFormat:
    """A data set format that a user can name: its settings, detection and opening.

    Attributes:
        name: what is typed; the name of its file in `bench.datasets`.
        summary: one line for `bench list`.
        source: the paper or page that describes the format.
        options: its settings; their names are the keyword arguments of `open_dataset`.
        open: open a data set from its path, its annotation files (what `layout` found) and the settings.
        layout: the files that the format is detected by; None if the images are drawn and there are no files.
        defaults: as `Dataset.defaults`, known before anything is opened.
    """

    name: str
    summary: str
    source: str
    options: type[DataOptions]
    open: Callable[[Path | None, Sequence[Path], Any], Dataset]
    layout: DataLayout | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict)


DATASETS: Registry[DatasetFormat] = Registry("dataset", "bench.datasets")


def require_objects(split: Split) -> Split:
    """The split itself, or an `InputError` where it holds no image or no object that can be measured.

    Average precision of nothing is not defined: better said before training than after.
    """
    if len(split) == 0:
        raise InputError(
            f"{split.name}: the split has no image; give it some, or let the data set be divided anew"
        )
    truth = split.truth
    counted = ~(truth.crowd | truth.ignored)
    if not counted.any():
        ignored = f" ({len(counted)} are crowd or ignored)" if len(counted) else ""
        raise InputError(
            f"{split.name}: none of its {len(split)} images has an annotated object{ignored}, so that average "
            f"precision is not defined; annotate some, or let the data set be divided anew"
        )
    return split
