"""How well priors fit the boxes of a data set: the best IoU of each object."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from detectors.priors import GridPriors
from detectors.types import DenseOutput, TwoStageOutput
from metrics.errors import InputError
from metrics.iou import box_iou
from metrics.plurals import agree, plural

Floats = NDArray[np.float64]

SIZES = {"small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, math.inf)}
"""COCO's object sizes: range of the area in square pixels of the network's input, upper end excluded."""

_CHUNK = 2**25
"""Largest number of IoU values in memory."""

_BLOCK = 2**13
"""Number of objects whose columns fit into a processor's cache together."""


GroupKind = Literal["all", "size", "level", "class"]


class FitRow(NamedTuple):
    """How well priors fit a group of objects.

    Attributes:
        kind: what the objects of the group have in common: nothing, their size, the level of their best prior, or their class.
        group: name of the group: ``all``, a size, ``level 0``, ``class car``.
        objects: number of objects.
        mean_iou: mean of the best IoU; NaN without objects.
        recall: fraction of objects whose best IoU reaches the threshold; NaN without objects.
    """

    kind: GroupKind
    group: str
    objects: int
    mean_iou: float
    recall: float


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """How well a set of priors fits G objects.

    Attributes:
        best_iou: (G,) highest IoU of each object with any prior.
        level: (G,) feature level of that prior, 0 is the finest.
        area: (G,) of the objects, in square pixels of the network's input.
        threshold: smallest IoU of a positive prior.
        levels: number of priors of each level.
    """

    best_iou: Floats
    level: NDArray[np.int64]
    area: Floats
    threshold: float
    levels: tuple[int, ...]

    @property
    def mean(self) -> float:
        """Mean of the best IoU; NaN without objects."""
        return _mean(self.best_iou)

    @property
    def recall(self) -> float:
        """Fraction of objects whose best IoU reaches the threshold; NaN without objects."""
        return _mean(self.best_iou >= self.threshold)

    @property
    def objective(self) -> float:
        """Recall plus mean IoU, in [0, 2]: the assigner needs recall, and the mean guides the search towards it."""
        return self.recall + self.mean

    @property
    def unreached(self) -> NDArray[np.int64]:
        """Indices of the objects whose best IoU is below the threshold, worst first.

        Without forced matches no prior is trained on them.
        """
        missed = np.flatnonzero(self.best_iou < self.threshold)
        return missed[np.argsort(self.best_iou[missed], kind="stable")]

    def rows(self) -> list[FitRow]:
        """Fit of all objects, by object size, and by level of the best prior."""
        rows = [self.row("all", "all", np.ones(len(self.area), dtype=np.bool_))]
        for name, (low, high) in SIZES.items():
            rows.append(self.row("size", name, (self.area >= low) & (self.area < high)))
        for level in range(len(self.levels)):
            rows.append(self.row("level", f"level {level}", self.level == level))
        return rows

    def row(self, kind: GroupKind, group: str, members: NDArray[np.bool_]) -> FitRow:
        """Fit of the objects for which (G,) `members` is True."""
        best = self.best_iou[members]
        return FitRow(kind, group, len(best), _mean(best), _mean(best >= self.threshold))


def measure_fit(boxes: Floats, priors: Tensor, levels: Sequence[int], threshold: float = 0.5) -> Fit:
    """Compare every object with every prior, at the prior's position in the image.

    Args:
        boxes: (G, 4) xyxy in pixels of the network's input.
        priors: (A, 4) xyxy, level by level.
        levels: number of priors of each level; they sum to A.
        threshold: smallest IoU of a positive prior.

    Raises:
        InputError: `boxes` is not (G, 4), or `levels` does not sum to A.
    """
    boxes = np.asarray(boxes, dtype=np.float64)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise InputError(f"boxes: expected shape (G, 4), got {boxes.shape}")
    if sum(levels) != len(priors):
        raise InputError(
            f"levels: {tuple(levels)} sum to {sum(levels)}, but there {agree(len(priors), 'is', 'are')} {plural(len(priors), 'prior')}"
        )
    best, nearest = np.zeros(len(boxes)), np.zeros(len(boxes), dtype=np.int64)
    chunk = max(1, _CHUNK // max(1, len(priors)))
    for start in range(0, len(boxes), chunk):
        part = torch.from_numpy(boxes[start : start + chunk]).float()
        iou, prior = box_iou(part, priors.cpu().float()).max(dim=1)
        best[start : start + chunk], nearest[start : start + chunk] = iou.numpy(), prior.numpy()
    level = np.searchsorted(np.cumsum(levels), nearest, side="right")
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return Fit(best, level.astype(np.int64), area, threshold, tuple(levels))


class ShapeFit:
    """Fit of priors of any shapes on the feature maps of one detector to the same objects.

    Priors of one shape stand on a grid, and the IoU of two boxes of given sizes decreases with the distance of their
    centres in x and in y. For each shape and level only the cell nearest to an object's centre therefore matters: the
    result equals `measure_fit` at a thousandth of the work. The distances do not depend on the shapes and are computed
    once.

    Args:
        boxes: (G, 4) xyxy in pixels of the network's input.
        priors: any priors of the detector; only their positions matter.
        grids: (rows, columns) of each level's feature map, finest first; see `feature_grids`.
        image_size: (height, width) of the network's input.
        threshold: smallest IoU of a positive prior.
    """

    def __init__(
        self,
        boxes: Floats,
        priors: GridPriors,
        grids: Sequence[tuple[int, int]],
        image_size: tuple[int, int],
        threshold: float = 0.5,
    ) -> None:
        centres = ((boxes[:, :2] + boxes[:, 2:]) / 2).T
        self._sizes = (boxes[:, 2:] - boxes[:, :2]).T
        self._area = self._sizes.prod(axis=0)
        self._threshold = threshold
        self._cells = [rows * columns for rows, columns in grids]
        self._distances = []
        for level, (_, columns) in zip(_priors_by_cell(priors, grids, image_size), grids, strict=True):
            cells = (level[:, 0, :2] + level[:, 0, 2:]) / 2
            x, y = cells[:columns, 0], cells[::columns, 1]
            self._distances.append(np.stack([_nearest(centres[0], x), _nearest(centres[1], y)]))

    def __call__(self, shapes: Sequence[Floats]) -> Fit:
        """Fit of priors with these (width, height) in pixels, an (S, 2) array for each level."""
        best, level = np.zeros(len(self._area)), np.zeros(len(self._area), dtype=np.int64)
        for start in range(0, len(best), _BLOCK):
            block = slice(start, start + _BLOCK)
            best[block], level[block] = self._best(shapes, block)
        counts = tuple(cells * len(sizes) for cells, sizes in zip(self._cells, shapes, strict=True))
        return Fit(best, level, self._area, self._threshold, counts)

    def _best(self, shapes: Sequence[Floats], block: slice) -> tuple[Floats, NDArray[np.int64]]:
        sizes, area = self._sizes[:, block], self._area[block]
        best, best_level = np.zeros(len(area)), np.zeros(len(area), dtype=np.int64)
        for level, (distances, level_shapes) in enumerate(zip(self._distances, shapes, strict=True)):
            for width, height in np.asarray(level_shapes).tolist():
                intersection = _intersection(sizes[0], width, distances[0, block]) * _intersection(
                    sizes[1], height, distances[1, block]
                )
                iou = intersection / (area + width * height - intersection)
                best_level[iou > best] = level
                np.maximum(best, iou, out=best)
        return best, best_level


@torch.no_grad()
def feature_grids(detector: nn.Module, image_size: tuple[int, int]) -> list[tuple[int, int]]:
    """(rows, columns) of each level's feature map of a dense detector, for images of (height, width).

    Raises:
        InputError: the detector has no backbone, neck and priors.
    """
    backbone, neck = getattr(detector, "backbone", None), getattr(detector, "neck", None)
    if not isinstance(getattr(detector, "priors", None), GridPriors) or backbone is None or neck is None:
        raise InputError(f"{type(detector).__name__}: not a dense or two-stage detector, so it has no priors")
    training, device = detector.training, next(detector.parameters()).device
    features = neck(backbone.eval()(torch.zeros(1, 3, *image_size, device=device)))
    detector.train(training)
    return [(feature.shape[2], feature.shape[3]) for feature in features]


def prior_sizes(
    priors: GridPriors, grids: Sequence[tuple[int, int]], image_size: tuple[int, int]
) -> list[Floats]:
    """For each level (S, 2) width and height of its priors, in pixels of the network's input."""
    return [level[0, :, 2:] - level[0, :, :2] for level in _priors_by_cell(priors, grids, image_size)]


@torch.no_grad()
def detector_priors(detector: nn.Module, image_size: tuple[int, int]) -> tuple[Tensor, tuple[int, ...]]:
    """Priors (A, 4) of a dense or two-stage detector for images of (height, width), and their number at each level."""
    training = detector.training
    device = next(detector.parameters()).device
    output = detector.eval()(torch.zeros(1, 3, *image_size, device=device))
    detector.train(training)
    if isinstance(output, TwoStageOutput):
        output = output.proposals
    if not isinstance(output, DenseOutput):
        raise InputError(f"{type(detector).__name__}: not a dense or two-stage detector, so it has no priors")
    return output.priors, output.levels


def _priors_by_cell(
    priors: GridPriors, grids: Sequence[tuple[int, int]], image_size: tuple[int, int]
) -> list[Floats]:
    """For each level its priors (cells, S, 4)."""
    boxes = priors(grids, image_size).double().numpy()
    counts = [rows * columns * each for (rows, columns), each in zip(grids, priors.per_cell, strict=True)]
    parts = np.split(boxes, np.cumsum(counts)[:-1])
    return [part.reshape(-1, each, 4) for part, each in zip(parts, priors.per_cell, strict=True)]


def _intersection(lengths: Floats, length: float, distances: Floats) -> Floats:
    """Length of the intersection of intervals, from their lengths and the distances of their centres."""
    shared: Floats = np.minimum(np.minimum(lengths, length), (lengths + length) / 2 - distances)
    return shared.clip(min=0)


def _nearest(values: Floats, points: Floats) -> Floats:
    """(G,) distance of each value from the nearest of the (P,) increasing points."""
    after = np.searchsorted(points, values).clip(max=len(points) - 1)
    before = (after - 1).clip(min=0)
    nearest: Floats = np.minimum(np.abs(values - points[before]), np.abs(values - points[after]))
    return nearest


def _mean(values: NDArray[Any]) -> float:
    return float(values.mean()) if len(values) else math.nan
