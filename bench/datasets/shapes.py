"""`shapes`: a data set of coloured, textured shapes among clutter, drawn from a seed; the same bytes on every machine."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.data.shapes_scene import ShapesConfig, draw_image, draw_label_map
from bench.data.types import DATASETS, SPLITS, Dataset, DatasetFormat, Split, require_objects
from metrics.notes import Note
from metrics.plurals import plural
from metrics.tables import AnnotationTable, Catalog

DRAWING_VERSION = 1
"""Increased whenever the same settings draw other bytes, because results on the two are not comparable."""

_KEEP_IN_MEMORY = 1 << 30
"""Bytes; the images of a larger split are drawn again each time."""


class _DrawnSplits(Mapping[str, Split]):
    """The three splits, each drawn on first access."""

    def __init__(self, config: ShapesConfig) -> None:
        self._config = config
        self._drawn: dict[str, Split] = {}

    def __getitem__(self, name: str) -> Split:
        if name not in SPLITS:
            raise KeyError(name)
        if name not in self._drawn:
            self._drawn[name] = require_objects(_draw_split(self._config, name))
        return self._drawn[name]

    def __iter__(self) -> Iterator[str]:
        return iter(SPLITS)

    def __len__(self) -> int:
        return len(SPLITS)


def _draw_split(config: ShapesConfig, name: str) -> Split:
    count = int(getattr(config, name))
    height, width = config.size
    keep = count * height * width * 3 <= _KEEP_IN_MEMORY
    planes = np.empty((count if keep else 0, 3, height, width), dtype=np.uint8)
    rows: list[tuple[int, int, int, int, int, int, bool]] = []
    for index in range(count):
        image, objects, _ = draw_image(config, name, index)
        if keep:
            planes[index] = image.transpose(2, 0, 1)
        rows += [(index, item.label, *item.box, config.ignores(item)) for item in objects if item.visible > 0]
    table = np.array(rows, dtype=np.int64).reshape(-1, 7)
    xywh = table[:, 2:6].astype(np.float64)
    xywh[:, 2:] -= xywh[:, :2]
    catalog = Catalog.of(
        [f"{name}-{index:06d}" for index in range(count)],
        config.classes,
        np.tile(np.array([height, width], dtype=np.int32), (count, 1)),
    )
    truth = AnnotationTable.of(
        catalog, table[:, 0].astype(np.int32), table[:, 1].astype(np.int32), xywh, ignored=table[:, 6] > 0
    )
    load: Callable[[int], NDArray[np.uint8]] = _StoredImages(planes) if keep else _RedrawnImages(config, name)
    return Split(
        name,
        truth,
        load,
        _fingerprint(config, name),
        in_memory=keep,
        label_maps=_DrawnLabelMaps(config, name, count if keep else 0),
    )


@dataclass(frozen=True, slots=True)
class _StoredImages:
    planes: NDArray[np.uint8]

    def __call__(self, index: int) -> NDArray[np.uint8]:
        image: NDArray[np.uint8] = self.planes[index]
        return image.transpose(1, 2, 0)


@dataclass(frozen=True, slots=True)
class _RedrawnImages:
    config: ShapesConfig
    split: str

    def __call__(self, index: int) -> NDArray[np.uint8]:
        return draw_image(self.config, self.split, index).pixels


class _DrawnLabelMaps:
    """Label map of image i; the first `kept` ones are drawn once, when they are needed."""

    def __init__(self, config: ShapesConfig, split: str, kept: int) -> None:
        self._config = config
        self._split = split
        self._maps = np.zeros((kept, *config.size), dtype=np.uint8)  # takes no memory before it is written
        self._drawn = np.zeros(kept, dtype=np.bool_)

    def __call__(self, index: int) -> NDArray[np.uint8]:
        if index >= len(self._drawn):
            return draw_label_map(self._config, self._split, index)
        if not self._drawn[index]:
            self._maps[index] = draw_label_map(self._config, self._split, index)
            self._drawn[index] = True
        label_map: NDArray[np.uint8] = self._maps[index]
        return label_map


def _fingerprint(config: ShapesConfig, what: str) -> str:
    """Hash of the settings and the version of the drawing, which determine the images without drawing them."""
    drawn = config.model_dump_json(exclude={"name", "folds", "fold", "train_images"})
    description = f"shapes {DRAWING_VERSION} {what} {drawn}"
    return hashlib.sha256(description.encode()).hexdigest()


def _draw(options: ShapesConfig) -> Dataset:
    shares = f"{options.train} train, {options.val} val and {plural(options.test, 'test image')}"
    text = f"shapes: {shares} of {options.size[0]}x{options.size[1]} pixels, drawn from seed {options.seed}"
    return Dataset(
        name=options.name or "shapes",
        format="shapes",
        path=None,
        splits=_DrawnSplits(options),
        fingerprint=_fingerprint(options, "all"),
        notes=[Note("drawn", text, "shapes", {"seed": options.seed})],
        defaults={**_DEFAULTS, "image.size": options.size},
    )


# Images already have all scales and colours, so further augmentation costs time and adds little.
_DEFAULTS: dict[str, Any] = {
    "image.size": (128, 128),
    "augment.flip": 0.5,
    "augment.flip_vertical": 0.5,
    "augment.zoom_out": 0.0,
    "augment.iou_crop": 0.0,
    "augment.photometric": 0.0,
    "train.epochs": 6,
    "train.weight_decay": 0.05,
}

DATASETS.register(
    "shapes",
    DatasetFormat(
        name="shapes",
        summary="coloured, textured shapes among clutter, drawn from a seed",
        source="drawn by bench.datasets.shapes",
        options=ShapesConfig,
        draw=_draw,
        defaults=_DEFAULTS,
    ),
)
