"""How well priors fit the boxes of a data set, and better priors: clustered, or sought among a rule's settings."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from detectors.priors import GridPriors
from detectors.search_range import Choice, Range
from detectors.types import DenseOutput
from metrics.errors import InputError
from metrics.iou import box_iou

Floats = NDArray[np.float64]

SIZES = {"small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, math.inf)}
"""COCO's sizes of objects, by area in square pixels of the network's input; the lower end belongs to a size."""

_AT_ONCE = 2**25

_BLOCK = 2**13
"""Objects whose columns fit into a processor's cache together."""


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """How well a set of priors fits G objects.

    Attributes:
        best_iou: (G,) of each object, its IoU with the prior that overlaps it most.
        level: (G,) the feature level of that prior, 0 the finest.
        area: (G,) of the objects, in square pixels of the network's input.
        threshold: IoU from which on the assigner gives a prior to an object.
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
        """Share of objects that some prior overlaps at the threshold or more; NaN without objects."""
        return _mean(self.best_iou >= self.threshold)

    @property
    def worth(self) -> float:
        """Recall plus mean: recall is what the assigner needs, and the mean leads the way there."""
        return self.recall + self.mean

    @property
    def unreached(self) -> NDArray[np.int64]:
        """Places of the objects that no prior overlaps at the threshold, the worst first.

        An assigner that does not force a best prior on each object never teaches these.
        """
        missed = np.flatnonzero(self.best_iou < self.threshold)
        return missed[np.argsort(self.best_iou[missed], kind="stable")]

    def rows(self) -> list[dict[str, Any]]:
        """``group``, ``objects``, ``mean_iou``, ``recall``: of all objects, by size, and by the best prior's level."""
        groups = {"all": np.ones(len(self.area), dtype=bool)}
        for name, (low, high) in SIZES.items():
            groups[name] = (self.area >= low) & (self.area < high)
        for level in range(len(self.levels)):
            groups[f"level {level}"] = self.level == level
        return [
            {
                "group": name,
                "objects": int(of.sum()),
                "mean_iou": _mean(self.best_iou[of]),
                "recall": _mean(self.best_iou[of] >= self.threshold),
            }
            for name, of in groups.items()
        ]


def measure_fit(boxes: Floats, priors: Tensor, levels: Sequence[int], threshold: float = 0.5) -> Fit:
    """The best IoU of each object over all priors, wherever the priors stand in the image.

    Args:
        boxes: (G, 4) xyxy in pixels of the network's input.
        priors: (A, 4) xyxy, level by level.
        levels: number of priors of each level; they sum to A.
        threshold: IoU at which the assigner takes a prior as positive.

    Raises:
        InputError: boxes that are not (G, 4), or levels that do not sum to the priors.
    """
    boxes = np.asarray(boxes, dtype=np.float64)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise InputError(f"boxes: expected shape (G, 4), got {boxes.shape}")
    if sum(levels) != len(priors):
        raise InputError(f"levels: {tuple(levels)} sum to {sum(levels)}, but there are {len(priors)} priors")
    best, which = np.zeros(len(boxes)), np.zeros(len(boxes), dtype=np.int64)
    at_once = max(1, _AT_ONCE // max(1, len(priors)))
    for start in range(0, len(boxes), at_once):
        part = torch.from_numpy(boxes[start : start + at_once]).float()
        iou, prior = box_iou(part, priors.cpu().float()).max(dim=1)
        best[start : start + at_once], which[start : start + at_once] = iou.numpy(), prior.numpy()
    level = np.searchsorted(np.cumsum(levels), which, side="right")
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return Fit(best, level.astype(np.int64), area, threshold, tuple(levels))


class Grids:
    """Objects held against priors of whatever shapes around the cells of a detector's feature maps.

    Priors of one shape stand on a grid, and of two boxes of given sides the overlap falls with the distance of their
    centres in x and in y. So of each shape and level only the cell that is nearest to an object's centre has to be
    looked at: the result is that of `measure_fit`, for a thousandth of its work. Distances stay the same whatever
    the shapes are, and are computed once.

    Args:
        boxes: (G, 4) xyxy in pixels of the network's input.
        priors: any priors of the detector; only where they stand matters.
        grids: (rows, columns) of each level's feature map, finest first; see `grids_of`.
        image_size: (height, width) of the network's input.
        threshold: IoU at which the assigner takes a prior as positive.
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
        self._sides = (boxes[:, 2:] - boxes[:, :2]).T
        self._area = self._sides.prod(axis=0)
        self._threshold = threshold
        self._cells = [rows * columns for rows, columns in grids]
        self._away = []
        for level, (_, columns) in zip(_levels(priors, grids, image_size), grids, strict=True):
            middle = (level[:, 0, :2] + level[:, 0, 2:]) / 2
            x, y = middle[:columns, 0], middle[::columns, 1]
            self._away.append(np.stack([_to_nearest(centres[0], x), _to_nearest(centres[1], y)]))

    def __call__(self, shapes: Sequence[Floats]) -> Fit:
        """How well priors of these (width, height) in pixels fit, given for each level as (S, 2)."""
        best, which = np.zeros(len(self._area)), np.zeros(len(self._area), dtype=np.int64)
        for start in range(0, len(best), _BLOCK):
            block = slice(start, start + _BLOCK)
            best[block], which[block] = self._best(shapes, block)
        counts = tuple(cells * len(sides) for cells, sides in zip(self._cells, shapes, strict=True))
        return Fit(best, which, self._area, self._threshold, counts)

    def _best(self, shapes: Sequence[Floats], block: slice) -> tuple[Floats, NDArray[np.int64]]:
        objects, area = self._sides[:, block], self._area[block]
        best, which = np.zeros(len(area)), np.zeros(len(area), dtype=np.int64)
        for level, (away, sides) in enumerate(zip(self._away, shapes, strict=True)):
            for width, height in np.asarray(sides).tolist():
                common = _shared(objects[0], width, away[0, block]) * _shared(
                    objects[1], height, away[1, block]
                )
                iou = common / (area + width * height - common)
                which[iou > best] = level
                np.maximum(best, iou, out=best)
        return best, which


@torch.no_grad()
def grids_of(detector: nn.Module, image_size: tuple[int, int]) -> list[tuple[int, int]]:
    """(rows, columns) of each level's feature map of a dense detector, for images of (height, width).

    Raises:
        InputError: the detector is not one that is made of backbone, neck and priors.
    """
    backbone, neck = getattr(detector, "backbone", None), getattr(detector, "neck", None)
    if not isinstance(getattr(detector, "priors", None), GridPriors) or backbone is None or neck is None:
        raise InputError(f"{type(detector).__name__}: not a dense detector, so it has no priors")
    training, device = detector.training, next(detector.parameters()).device
    features = neck(backbone.eval()(torch.zeros(1, 3, *image_size, device=device)))
    detector.train(training)
    return [(feature.shape[2], feature.shape[3]) for feature in features]


def sides_of(
    priors: GridPriors, grids: Sequence[tuple[int, int]], image_size: tuple[int, int]
) -> list[Floats]:
    """For each level (S, 2) width and height of its priors, in pixels of the network's input."""
    return [level[0, :, 2:] - level[0, :, :2] for level in _levels(priors, grids, image_size)]


@torch.no_grad()
def priors_of(detector: nn.Module, image_size: tuple[int, int]) -> tuple[Tensor, tuple[int, ...]]:
    """The priors (A, 4) of a dense detector for images of (height, width), and how many each level has."""
    training = detector.training
    device = next(detector.parameters()).device
    output = detector.eval()(torch.zeros(1, 3, *image_size, device=device))
    detector.train(training)
    if not isinstance(output, DenseOutput):
        raise InputError(f"{type(detector).__name__}: not a dense detector, so it has no priors")
    return output.priors, output.levels


def shape_iou(a: Floats, b: Floats) -> Floats:
    """(N, M) IoU of boxes with one centre, from their (width, height): (N, 2) and (M, 2), all positive."""
    shared = np.minimum(a[:, None], b[None]).prod(axis=2)
    union = a.prod(axis=1)[:, None] + b.prod(axis=1)[None] - shared
    ratio: Floats = shared / union
    return ratio


def cluster(shapes: Floats, k: int, seed: int = 0, rounds: int = 100) -> Floats:
    """k-means of box shapes with 1 - IoU as distance (Redmon and Farhadi 2017, section 2, dimension clusters).

    Started by k-means++ (each next centre drawn by its distance from those before), so that a few rounds settle.

    Args:
        shapes: (G, 2) width and height of the objects, positive.
        k: clusters; no more than there are different shapes.
        seed: of the start.
        rounds: at most so many.

    Returns:
        (k, 2) width and height, the smallest area first; a cluster's is the geometric mean of its members'.

    Raises:
        InputError: fewer than k different shapes, or a shape without width or height.
    """
    shapes = np.asarray(shapes, dtype=np.float64)
    if not (shapes > 0).all():
        raise InputError("shapes: widths and heights must be above 0; leave out boxes without area")
    different = len(np.unique(shapes, axis=0))
    if different < k:
        raise InputError(f"k: {k} clusters of {different} different shapes; ask for at most {different}")
    draw = np.random.default_rng(seed)
    centres = shapes[draw.integers(len(shapes))][None]
    while len(centres) < k:
        away = (1 - shape_iou(shapes, centres).max(axis=1)).clip(min=0)
        centres = np.concatenate([centres, shapes[draw.choice(len(shapes), p=away / away.sum())][None]])
    owner = np.full(len(shapes), -1)
    for _ in range(rounds):
        nearest = shape_iou(shapes, centres).argmax(axis=1)
        if (nearest == owner).all():
            break
        owner = nearest
        logs = [
            np.log(shapes[owner == c]).mean(axis=0) if (owner == c).any() else np.log(centres[c])
            for c in range(k)
        ]
        centres = np.exp(np.stack(logs))
    ordered: Floats = centres[np.argsort(centres.prod(axis=1), kind="stable")]
    return ordered


def refine(
    worth: Callable[[Floats], float], start: Floats, shapes: Floats, seed: int = 0, steps: int = 1000
) -> Floats:
    """Better prior shapes by random changes, each kept if it makes the fit better.

    Four times in five a few sides change, less and less; else one prior takes the sides of an object, which brings
    back those that no object needs.

    Args:
        worth: how good (k, 2) shapes are, for example `Fit.worth`; higher is better.
        start: (k, 2) the shapes to begin with, for example `cluster`'s.
        shapes: (G, 2) width and height of the objects, positive.
        seed: of the changes.
        steps: how many are tried.

    Returns:
        (k, 2), never worth less than `start`, the smallest area first.
    """
    draw = np.random.default_rng(seed)
    kept, value = start.copy(), worth(start)
    share = min(0.5, 4 / start.size)  # of many changes at once some are always for the worse
    for step in range(steps):
        if draw.random() < 0.2:
            changed = kept.copy()
            changed[draw.integers(len(kept))] = shapes[draw.integers(len(shapes))]
        else:
            spread = 0.6 * (1 - step / steps) + 0.01
            chosen = draw.random(kept.shape) < share
            changed = kept * np.exp(draw.normal(scale=spread, size=kept.shape) * chosen)
        if (now := worth(changed)) > value:
            kept, value = changed, now
    return kept[np.argsort(kept.prod(axis=1), kind="stable")]


def by_level(
    shapes: Floats,
    strides: Sequence[int],
    image_size: tuple[int, int],
    each: Sequence[int] = (),
) -> list[list[tuple[float, float]]]:
    """Prior shapes shared out over feature levels, small ones to fine levels.

    Args:
        shapes: (k, 2) width and height in pixels, the smallest area first.
        strides: of the levels.
        image_size: (height, width); no shape may be larger.
        each: how many every level gets, k in all; none given: as many at every level.

    Returns:
        For each level (width, height), rounded to a tenth of a pixel, which is the least: what the setting `shapes`
        takes.

    Raises:
        InputError: shapes that cannot be shared out evenly (RetinaNet's head has as many at every level).
    """
    if not each:
        even, left = divmod(len(shapes), len(strides))
        if left or not even:
            raise InputError(
                f"{len(shapes)} shapes for {len(strides)} levels; ask for a multiple, "
                f"such as {len(strides) * max(1, even)}"
            )
        each = [even] * len(strides)
    height, width = image_size
    limited = np.minimum(shapes, [width, height]).round(1).clip(min=0.1)
    levels = np.split(limited, np.cumsum(each)[:-1])
    return [[(float(w), float(h)) for w, h in level] for level in levels]


def search(
    worth: Callable[[dict[str, Any]], float],
    space: Mapping[str, Range | Choice],
    start: Mapping[str, Any],
    trials: int = 200,
    seed: int = 0,
) -> tuple[dict[str, Any], float]:
    """The best of many settings of a rule for priors: first anywhere in the space, then nearer and nearer the best.

    Args:
        worth: how good settings are; higher is better.
        space: where to look, by the setting's name.
        start: what they are now: the first trial, so that the result is never worse.
        trials: how many are tried.
        seed: of the draws.

    Returns:
        The best settings and what they are worth; the earliest of equals.
    """
    draw = np.random.default_rng(seed)
    best, value = dict(start), worth(dict(start))
    for trial in range(1, trials):
        reach = 1.0 if trial < trials // 2 else 0.25 * (1 - trial / trials) + 0.02
        tried = {name: _draw(part, best[name], reach, draw) for name, part in space.items()}
        if (now := worth({**start, **tried})) > value:
            best, value = {**start, **tried}, now
    return best, value


def _draw(space: Range | Choice, now: Any, reach: float, draw: np.random.Generator) -> Any:
    """Anything of the space if `reach` is 1; else near `now`, within that share of the range."""
    if isinstance(space, Choice):
        return space.options[draw.integers(len(space.options))] if draw.random() < max(reach, 0.2) else now
    low, high = (math.log(space.low), math.log(space.high)) if space.log else (space.low, space.high)
    middle = math.log(now) if space.log else now
    half = (high - low) * reach
    value = draw.uniform(max(low, middle - half), min(high, middle + half))
    return float(min(space.high, max(space.low, math.exp(value) if space.log else value)))


def _levels(
    priors: GridPriors, grids: Sequence[tuple[int, int]], image_size: tuple[int, int]
) -> list[Floats]:
    """For each level (cells, S, 4) its priors."""
    made = priors(grids, image_size).double().numpy()
    counts = [rows * columns * each for (rows, columns), each in zip(grids, priors.per_cell, strict=True)]
    parts = np.split(made, np.cumsum(counts)[:-1])
    return [part.reshape(-1, each, 4) for part, each in zip(parts, priors.per_cell, strict=True)]


def _shared(sides: Floats, side: float, away: Floats) -> Floats:
    """How long a stretch of `sides` and one of `side` share whose middles are `away` from each other."""
    shared: Floats = np.minimum(np.minimum(sides, side), (sides + side) / 2 - away)
    return shared.clip(min=0)


def _to_nearest(values: Floats, places: Floats) -> Floats:
    """(G,) how far each value is from the nearest of (P,) rising places."""
    after = np.searchsorted(places, values).clip(max=len(places) - 1)
    before = (after - 1).clip(min=0)
    nearest: Floats = np.minimum(np.abs(values - places[before]), np.abs(values - places[after]))
    return nearest


def _mean(values: NDArray[Any]) -> float:
    return float(values.mean()) if len(values) else math.nan
