"""The anchors stage: how well a variant's priors fit the boxes that the network sees, without training anything."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from optuna.trial import Trial

from bench.config import RunConfig, settings
from bench.data.types import Split
from bench.loader import ImageConfig, place
from bench.run import build_detector
from bench.tune.objectives import Objective, Objectives
from bench.tune.spaces import Mark, as_text, configured, marks
from detectors.anchor_fit import SIZES, by_level, cluster
from detectors.priors import GridPriors
from detectors.registry import VARIANTS
from detectors.space import Choice
from metrics.errors import InputError
from metrics.matching import MatchRule

Floats = NDArray[np.float64]
Shapes = list[list[tuple[float, float]]]

FIT = Objectives(
    (Objective("recall + mean_iou", (("recall", 1.0), ("mean_iou", 1.0)), True),), (), MatchRule()
)
"""What the stage seeks: recall is what the assigner needs, and the mean of the best IoUs leads the way there."""

MOST_BOXES = 20_000
"""From so many boxes on, trials look at as many that are drawn at random."""

_FEW_BOXES = 5_000
"""So many boxes shapes are clustered from: the centres of more are the same."""

_SPREADS = (0.6, 0.8, 1.25, 1.6)
"""Powers to which all ratios are raised: narrower and wider families of as many priors."""

_STRUCTURE = ("levels",)
"""What `make_priors` reads too, but decides on the network."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """How some settings' priors fit the boxes of a split.

    Attributes:
        name: whose settings: ``default``, ``trial 17``.
        split: whose boxes.
        group: ``all``, or a size of objects by their area in the network's input; see `detectors.anchor_fit.SIZES`.
        objects: how many.
        recall: share of them that some prior overlaps at the assigner's threshold or more; NaN without objects.
        mean_iou: mean of each object's best IoU; NaN without objects.
    """

    name: str
    split: str
    group: str
    objects: int
    recall: float
    mean_iou: float


class Anchors:
    """The priors that settings describe, held against boxes; a trial takes milliseconds.

    Built once: feature maps and boxes stay the same whatever the priors are.

    Args:
        config: the settings that tuning starts from.
        splits: ``train``, whose boxes are fitted, and others that are only told of. Boxes are those of the images as
            they are, not augmented.
        classes: how many.

    Attributes:
        threshold: IoU from which on the variant's assigner gives a prior to an object; 0.5 where it has none.

    Raises:
        InputError: the variant has no priors with a shape, or there is no box to fit them to.
    """

    def __init__(self, config: RunConfig, splits: Mapping[str, Split], classes: int) -> None:
        self.config = config
        if not has_shapes(config.variant):
            able = [name for name in VARIANTS.names() if has_shapes(name)]
            raise InputError(
                f"--space anchors: variant {config.variant!r} has no shapes of priors to fit; "
                f"variants that have: {', '.join(able)}"
            )
        self._make = sys.modules[VARIANTS[config.variant].build.__module__].make_priors
        detector: Any = build_detector(config, classes).eval()
        self._strides = tuple(detector.neck.strides)
        self._grids = _grids(detector, config.image.size)
        assigner = detector.assigner
        self.threshold: float = getattr(assigner, "positive", 0.5)
        self._boxes = {name: boxes_at_input(split, config.image) for name, split in splits.items()}
        if not len(self._boxes["train"]):
            raise InputError("--space anchors: the training split has no box to fit priors to")
        self._some = _drawn(self._boxes["train"], MOST_BOXES)

    def __call__(self, trial: Trial, values: Mapping[str, Any]) -> tuple[float]:
        """Recall plus mean best IoU on the training boxes; both stay on the trial."""
        best = self.best_iou(values, self._some)
        recall, mean = float((best >= self.threshold).mean()), float(best.mean())
        trial.set_user_attr("recall", recall)
        trial.set_user_attr("mean_iou", mean)
        return (recall + mean,)

    def priors(self, values: Mapping[str, Any]) -> GridPriors:
        """The priors under some settings, given by dotted path.

        Raises:
            InputError: the settings make none: a count of levels that does not fit, for example.
        """
        try:
            made: GridPriors = self._make(configured(self.config, values).detector, self._strides)
        except ValueError as error:
            raise InputError(str(error)) from None
        return made

    def best_iou(self, values: Mapping[str, Any], boxes: Floats) -> Floats:
        """(G,) of each of (G, 4) boxes xyxy in the network's input, its IoU with the prior that overlaps it most."""
        return best_shape(boxes, self.priors(values), self._grids, self.config.image.size)[0]

    def fitted(self, name: str, values: Mapping[str, Any]) -> list[Fitted]:
        """How some settings fit, on every split, of all objects and by size."""
        rows = []
        for split, boxes in self._boxes.items():
            best = self.best_iou(values, boxes)
            area = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
            for group, (low, high) in {"all": (0.0, math.inf), **SIZES}.items():
                of = best[(area >= low) & (area < high)]
                recall = float((of >= self.threshold).mean()) if len(of) else math.nan
                mean = float(of.mean()) if len(of) else math.nan
                rows.append(Fitted(name, split, group, len(of), recall, mean))
        return rows

    def settings(self) -> dict[str, Mark | None]:
        """The variant's settings of priors, by dotted path, and where to look: for `bench.tune.spaces.space_of`.

        Beside what the variant's author marked: ratios drawn together and apart, and explicit shapes that follow the
        training boxes, as many as the rule gives.
        """
        read = _read_by(self._make, self.config.detector, self._strides)
        known, marked = settings(type(self.config)), marks(self.config)
        found: dict[str, Mark | None] = {
            path: marked.get(path) for path in known if path in read and path not in _STRUCTURE
        }
        if "ratios" in found and found["ratios"] is None:
            options = [as_text(self.config.get("ratios"))]
            options += [as_text(_spread(self.config.get("ratios"), power)) for power in _SPREADS]
            found["ratios"] = Choice(*dict.fromkeys(options)) if len(set(options)) > 1 else None
        if "shapes" in found and not self.config.get("shapes"):
            shapes = ["", *dict.fromkeys(as_text(shapes) for shapes in self._shapes())]
            found["shapes"] = Choice(*shapes) if len(shapes) > 1 else None
        return found

    def _shapes(self) -> list[Shapes]:
        """Explicit shapes for each level: the rule's, and clusters shared out over the levels, both settled.

        None where the levels have different numbers, which the setting does not take everywhere.
        """
        priors, boxes = self.priors({}), _drawn(self._boxes["train"], _FEW_BOXES)
        each, size = priors.per_cell, self.config.image.size
        if len(set(each)) > 1:
            return []
        starts: list[Shapes] = [_by_level(_shapes_in_pixels(priors, self._grids, size), each)]
        sides = boxes[:, 2:] - boxes[:, :2]
        if len(np.unique(sides, axis=0)) >= sum(each):
            starts.append(by_level(cluster(sides, sum(each)), self._strides, size))
        return [self._settled(start, boxes) for start in starts]

    def _settled(self, shapes: Shapes, boxes: Floats, rounds: int = 20) -> Shapes:
        """k-means where priors stand on their grids: each object joins the shape that overlaps it most in its place.

        Each shape becomes the geometric mean of its members', for as long as that makes the fit better.
        """
        each = tuple(len(level) for level in shapes)
        kept, worth = shapes, -1.0
        for _ in range(rounds):
            best, which = best_shape(
                boxes, self.priors({"shapes": as_text(shapes)}), self._grids, self.config.image.size
            )
            value = float((best >= self.threshold).mean() + best.mean())
            if value <= worth:
                break
            kept, worth = shapes, value
            sides = np.array([shape for level in shapes for shape in level])
            for shape in np.unique(which):
                member = boxes[which == shape]
                sides[shape] = np.exp(np.log(member[:, 2:] - member[:, :2]).mean(axis=0))
            shapes = _by_level(sides, each)
        return kept


def has_shapes(variant: str) -> bool:
    """Whether a variant's file has ``make_priors(config, strides)``, which says that its priors have shapes to choose."""
    return hasattr(sys.modules[VARIANTS[variant].build.__module__], "make_priors")


def boxes_at_input(split: Split, image: ImageConfig) -> Floats:
    """(G, 4) xyxy of a split's objects in pixels of the network's input, as training sees them without augmentation.

    Crowds, ignored objects and boxes without area, or wholly outside their image, are no targets and left out; the
    others are cut off at the image's border. An image whose size the annotations do not tell is read.
    """
    truth = split.truth
    sizes = truth.catalog.sizes.astype(np.int64).copy()
    for index in np.unique(truth.image[(sizes[truth.image] == 0).any(axis=1)]):
        sizes[index] = split.load(int(index)).shape[:2]
    limits = sizes[truth.image][:, [1, 0, 1, 0]]
    corners = np.concatenate([truth.xywh[:, :2], truth.xywh[:, :2] + truth.xywh[:, 2:]], axis=1)
    corners = np.minimum(corners.clip(min=0), limits)
    taught = ~truth.crowd & ~truth.ignored & (corners[:, 2:] > corners[:, :2]).all(axis=1)
    different, which = np.unique(sizes, axis=0, return_inverse=True)
    scale, offset = np.ones((len(different), 4)), np.zeros((len(different), 4))
    for row, (height, width) in enumerate(different.tolist()):
        if height and width:
            (new_height, new_width), (top, left) = place((height, width), image)
            scale[row] = [new_width / width, new_height / height] * 2
            offset[row] = [left, top] * 2
    of = which.reshape(-1)[truth.image]
    placed: Floats = (corners * scale[of] + offset[of])[taught]
    return placed


def best_shape(
    boxes: Floats, priors: GridPriors, grids: Sequence[tuple[int, int]], image_size: tuple[int, int]
) -> tuple[Floats, NDArray[np.int64]]:
    """Of each object its IoU with the prior that overlaps it most: what `measure_fit` finds, in a thousandth of the time.

    Priors of one shape stand on a grid, and of two boxes of given sides the overlap falls with the distance of their
    centres in x and in y. So of each shape and level only the cell nearest to the object's centre has to be looked at.

    Args:
        boxes: (G, 4) xyxy in pixels of the network's input.
        priors: of all levels.
        grids: (rows, columns) of each level's feature map.
        image_size: (height, width) of the network's input.

    Returns:
        (G,) IoU, and (G,) which shape that prior has, counted level by level.
    """
    made = priors(grids, image_size).double().numpy()
    centre, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).T
    area = sides.prod(axis=0)
    best, which = np.zeros(len(boxes)), np.zeros(len(boxes), dtype=np.int64)
    start = number = 0
    for (rows, columns), each in zip(grids, priors.per_cell, strict=True):
        level = made[start : start + rows * columns * each].reshape(rows, columns, each, 4)
        start += rows * columns * each
        middle = (level[:, :, 0, :2] + level[:, :, 0, 2:]) / 2
        away = np.stack([_nearest(centre[:, 0], middle[0, :, 0]), _nearest(centre[:, 1], middle[:, 0, 1])])
        for shape in (level[0, 0, :, 2:] - level[0, 0, :, :2])[:, :, None]:
            shared = np.minimum(np.minimum(sides, shape), (sides + shape) / 2 - away)
            common = shared.clip(min=0).prod(axis=0)
            iou = common / (area + shape.prod() - common)
            which[iou > best] = number
            np.maximum(best, iou, out=best)
            number += 1
    return best, which


def _shapes_in_pixels(
    priors: GridPriors, grids: Sequence[tuple[int, int]], image_size: tuple[int, int]
) -> Floats:
    """(K, 2) width and height of each shape, level by level."""
    made, start, sides = priors(grids, image_size).double().numpy(), 0, []
    for (rows, columns), each in zip(grids, priors.per_cell, strict=True):
        sides.append(made[start : start + each, 2:] - made[start : start + each, :2])
        start += rows * columns * each
    return np.concatenate(sides)


def _by_level(sides: Floats, each: Sequence[int]) -> Shapes:
    parts = np.split(sides.round(1).clip(min=0.1), np.cumsum(each)[:-1])
    return [[(float(width), float(height)) for width, height in part] for part in parts]


def _nearest(values: Floats, places: Floats) -> Floats:
    """(G,) how far each value is from the nearest of (P,) rising places."""
    right = np.searchsorted(places, values).clip(1, max(len(places) - 1, 1))
    left = right - 1
    right = right.clip(max=len(places) - 1)
    nearest: Floats = np.minimum(np.abs(values - places[left]), np.abs(values - places[right]))
    return nearest


@torch.no_grad()
def _grids(detector: Any, image_size: tuple[int, int]) -> list[tuple[int, int]]:
    features: Sequence[torch.Tensor] = detector.neck(detector.backbone(torch.zeros(1, 3, *image_size)))
    return [(feature.shape[2], feature.shape[3]) for feature in features]


def _drawn(boxes: Floats, most: int) -> Floats:
    """At most so many of the boxes; always the same ones."""
    if len(boxes) <= most:
        return boxes
    return boxes[np.sort(np.random.default_rng(0).choice(len(boxes), most, replace=False))]


def _spread(ratios: Sequence[Any], power: float) -> list[Any]:
    """Ratios, or lists of them, raised to a power: 1 stays 1, and pairs r and 1/r stay pairs."""
    return [
        _spread(ratio, power) if isinstance(ratio, Sequence) else round(ratio**power, 3) for ratio in ratios
    ]


def _read_by(make: Any, config: Any, strides: Sequence[int]) -> set[str]:
    """Names of the settings that `make_priors` looks at."""
    read: set[str] = set()

    class Watched:
        def __getattr__(self, name: str) -> Any:
            read.add(name)
            return getattr(config, name)

    make(Watched(), strides)
    return read
