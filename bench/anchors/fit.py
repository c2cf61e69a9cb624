"""How well a variant's priors fit the boxes of a data set, as the network sees them, and priors that fit better."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench.data.types import Dataset, Split
from bench.pipeline.loader import ImageConfig, place, trainable
from bench.process.progress import Progress
from bench.runs.detector import build_detector
from bench.settings.config import RunConfig
from bench.settings.toml import Tree, leaves, merge, nest
from detectors.anchor_fit import Fit, Grids, by_level, cluster, grids_of, refine, search, sides_of
from detectors.priors import GridPriors
from detectors.registry import VARIANTS
from detectors.search_range import Choice, Range
from metrics.errors import InputError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Seek = Literal["shapes", "rule"]

MOST = 5000
"""The search looks at so many objects, drawn at random; what is told is measured on all."""

STEPS = 1000
"""Changes of shapes that are tried, or settings of a rule."""


@dataclass(frozen=True, slots=True, eq=False)
class SeenBoxes:
    """The objects of a split that training uses, as the network sees them without augmentation.

    Attributes:
        boxes: (G, 4) xyxy in pixels of the network's input.
        labels: (G,) class indices.
        rows: (G,) where each is in the split's truth.
    """

    boxes: Floats
    labels: Integers
    rows: Integers

    def __len__(self) -> int:
        return len(self.labels)


def boxes_seen(split: Split, image: ImageConfig) -> SeenBoxes:
    """A split's objects after its images were brought to the size of the network's input.

    An image whose size the annotations do not tell is read.
    """
    objects, _ = trainable(split)
    truth = split.truth
    of = truth.image[objects.rows]
    sizes = truth.catalog.sizes.astype(np.int64).copy()
    shown = np.bincount(of, minlength=len(split)) > 0
    for index in np.flatnonzero(shown & (sizes == 0).any(axis=1)):
        sizes[index] = split.load(int(index)).shape[:2]
    sizes[~shown] = 1  # may be unknown, and no object asks
    different, which = np.unique(sizes, axis=0, return_inverse=True)
    scale, offset = np.empty((len(different), 4)), np.empty((len(different), 4))
    for row, (height, width) in enumerate(different.tolist()):
        (new_height, new_width), (top, left) = place((height, width), image)
        scale[row] = [new_width / width, new_height / height] * 2
        offset[row] = [left, top] * 2
    which = which.reshape(-1)[of]
    boxes = objects.boxes.astype(np.float64) * scale[which] + offset[which]
    return SeenBoxes(boxes, objects.labels, objects.rows)


@dataclass(frozen=True, slots=True, eq=False)
class AnchorFit:
    """What was found.

    Attributes:
        config: the settings that the search began with.
        found: settings of the variant that make the better priors, by name.
        splits: train and val, with their boxes as the network sees them.
        before, after: of each split, how the priors of `config` and those of `found` fit.
        sides_before, sides_after: of each level (S, 2) width and height of the priors, in pixels of the network's
            input.
        sought_on: so many training objects, drawn at random, the search looked at.
    """

    config: RunConfig
    found: Tree
    splits: Mapping[str, tuple[Split, SeenBoxes]]
    before: Mapping[str, Fit]
    after: Mapping[str, Fit]
    sides_before: Sequence[Floats]
    sides_after: Sequence[Floats]
    sought_on: int

    def summary(self) -> str:
        """The finding, a line for each split; the first also says how many priors there are, and on what they were sought."""
        told = []
        for name, (_, seen) in self.splits.items():
            now, found = self.before[name], self.after[name]
            missed = f"{len(now.unreached):,} -> {len(found.unreached):,}"
            told.append(
                f"{name}: mean best IoU {now.mean:.3f} -> {found.mean:.3f}, recall at IoU {now.threshold:g} "
                f"{now.recall:.3f} -> {found.recall:.3f}; no prior reaches {missed} of {len(seen):,} objects"
            )
        each = ", ".join(str(len(level)) for level in self.sides_after)
        drawn = "" if self.sought_on == len(self.splits["train"][1]) else " drawn at random"
        told[0] += (
            f" ({self.config.variant}, {each} priors a cell by level; sought on {self.sought_on:,}{drawn})"
        )
        told[1] += " (not fitted to these)"
        if self.after["val"].worth < self.before["val"].worth:
            told.append(
                "val: the found priors fit worse than those of now; the training boxes are no guide to these"
            )
        return "\n".join(told)

    def settings(self) -> Tree:
        """What a file for ``run --config`` has to say: the variant, all that was given, the input's size, the priors."""
        tree: Tree = {"variant": self.config.variant}
        for path, value in leaves(self.config.tree()):
            given = not self.config.origin(path).startswith(("default", "variant ", "data set "))
            if given or path.startswith("image."):  # sizes in pixels are those of this input
                tree = merge(tree, nest(path.split("."), value))
        return merge(tree, self.found)


def fit_anchors(
    config: RunConfig,
    dataset: Dataset,
    seek: Seek | None = None,
    steps: int = STEPS,
    progress: Progress | None = None,
) -> AnchorFit:
    """Measure a variant's priors on training and validation boxes, and seek better ones on training boxes alone.

    As many priors are sought as there are. Shapes: k-means of the training boxes by IoU, shared out over the levels by
    size, or the priors of now, whichever fits better; then small changes of all sides, each kept if the priors fit no
    worse where they stand. Rule: the variant's marked settings that move its priors without changing their number.

    Args:
        config: of a variant with priors of several shapes; ``seed`` decides draws and changes.
        dataset: that of `config`.
        seek: ``shapes`` for each level, or settings of the variant's ``rule``; None: shapes where it takes them.
        steps: how many changes, or settings of the rule, are tried.
        progress: where to show how far it is.

    Raises:
        InputError: the variant's priors have no shape or cannot be sought so, or fewer different boxes than priors.
    """
    rule = _Rule(config)
    seek = seek or ("shapes" if rule.takes_shapes else "rule")
    if seek == "shapes" and not rule.takes_shapes:
        raise InputError(f"--seek shapes: {config.variant} takes no shapes of priors; use --seek rule")
    detector = build_detector(config, len(dataset.classes))
    size = config.image.size
    grids = grids_of(detector, size)
    network: Any = detector
    strides: tuple[int, ...] = network.neck.strides
    splits = {
        name: (dataset.splits[name], boxes_seen(dataset.splits[name], config.image))
        for name in ("train", "val")
    }
    now = rule.make({}, strides)
    threshold = positive_iou(detector)

    def held(boxes: Floats) -> Grids:
        return Grids(boxes, now, grids, size, threshold)

    train = splits["train"][1]
    drawn = drawn_from(train.boxes, MOST, config.seed)
    _require_enough(drawn, sum(now.per_cell), config.variant)
    measure = held(drawn)
    sides_before = sides_of(now, grids, size)
    with (progress or Progress()).stage(f"seeking priors of {config.variant}", steps) as stage:

        def tell(fit: Fit) -> float:
            stage.advance(recall=fit.recall, mean_iou=fit.mean)
            return fit.worth

        if seek == "shapes":
            sought = _Shapes(measure, strides, size, now.per_cell)
            found = sought.seek(drawn, np.concatenate(sides_before), config.seed, steps, tell)
        else:
            space = rule.space(strides)
            best, _ = search(
                lambda given: tell(measure(sides_of(rule.make(given, strides), grids, size))),
                space,
                {name: getattr(config, name) for name in space},
                steps,
                config.seed,
            )
            found = {name: float(f"{v:.4g}") if isinstance(v, float) else v for name, v in best.items()}
    sides_after = sides_of(rule.make(found, strides), grids, size)
    fits = {name: held(seen.boxes) for name, (_, seen) in splits.items()}
    return AnchorFit(
        config,
        found,
        splits,
        {name: fit(sides_before) for name, fit in fits.items()},
        {name: fit(sides_after) for name, fit in fits.items()},
        sides_before,
        sides_after,
        len(drawn),
    )


class _Rule:
    """A variant's ``make_priors(config, strides)``, which its file has where its priors have shapes to choose."""

    def __init__(self, config: RunConfig) -> None:
        self._config = config
        make = rule_of(config.variant)
        if make is None:
            raise InputError(
                f"{config.variant}: has points, or priors of one shape, so there is nothing to fit; "
                f"variants with priors to fit: {', '.join(variants_to_fit())}"
            )
        self._make = make
        self._own = config.detector

    def make(self, given: Mapping[str, Any], strides: Sequence[int]) -> GridPriors:
        """The priors under these settings instead of the configuration's own."""
        settings = self._own.model_dump() | given
        return self._make(type(self._own).model_validate(settings), strides)

    @property
    def takes_shapes(self) -> bool:
        """Whether the variant has a setting for explicit shapes."""
        return "shapes" in type(self._own).model_fields

    def space(self, strides: Sequence[int]) -> dict[str, Range | Choice]:
        """The marked settings that move the priors and leave their number."""
        now = self.make({}, strides)
        found = {}
        for name, field in type(self._own).model_fields.items():
            mark = next((mark for mark in field.metadata if isinstance(mark, Range | Choice)), None)
            if mark is None:
                continue
            others = mark.options if isinstance(mark, Choice) else (mark.low, mark.high)
            made = [self.make({name: value}, strides) for value in others]
            if all(m.per_cell == now.per_cell for m in made) and any(m.shapes != now.shapes for m in made):
                found[name] = mark
        if not found:
            shapes = " (its shapes are given; seek shapes, or take them out)" if self.takes_shapes else ""
            raise InputError(
                f"--seek rule: no marked setting of {self._config.variant} moves its priors{shapes}"
            )
        return found


def rule_of(variant: str) -> Callable[[Any, Sequence[int]], GridPriors] | None:
    """The ``make_priors(config, strides)`` of a variant's file; None where its priors have no shapes to choose."""
    make: Callable[[Any, Sequence[int]], GridPriors] | None = getattr(
        sys.modules[VARIANTS[variant].build.__module__], "make_priors", None
    )
    return make


def variants_to_fit() -> list[str]:
    """Names of the variants whose priors have shapes to choose."""
    return [name for name in VARIANTS.names() if rule_of(name) is not None]


def positive_iou(detector: Any) -> float:
    """IoU from which on a detector's assigner gives a prior to an object; 0.5 where it has none."""
    return float(getattr(detector.assigner, "positive", 0.5))


def drawn_from(boxes: Floats, most: int, seed: int) -> Floats:
    """(G, 4) boxes, or where there are more than `most` so many of them, drawn at random, in their order."""
    if len(boxes) <= most:
        return boxes
    return boxes[np.sort(np.random.default_rng(seed).choice(len(boxes), most, replace=False))]


@dataclass(frozen=True, slots=True, eq=False)
class _Shapes:
    """Explicit shapes, judged where they stand: the smallest belong to the finest level."""

    measure: Grids
    strides: Sequence[int]
    image_size: tuple[int, int]
    each: Sequence[int]

    def seek(self, boxes: Floats, now: Floats, seed: int, steps: int, tell: Callable[[Fit], float]) -> Tree:
        sides = boxes[:, 2:] - boxes[:, :2]
        clusters = cluster(sides, sum(self.each), seed)
        start = max((now, clusters), key=lambda shapes: self._fit(shapes).worth)
        best = refine(lambda shapes: tell(self._fit(shapes)), start, sides, seed, steps)
        return {"shapes": [[list(shape) for shape in level] for level in self._by_level(best)]}

    def _fit(self, shapes: Floats) -> Fit:
        return self.measure([np.array(level) for level in self._by_level(shapes)])

    def _by_level(self, shapes: Floats) -> list[list[tuple[float, float]]]:
        ordered = shapes[np.argsort(shapes.prod(axis=1), kind="stable")]
        return by_level(ordered, self.strides, self.image_size, self.each)


def _require_enough(boxes: Floats, priors: int, variant: str) -> None:
    different = len(np.unique((boxes[:, 2:] - boxes[:, :2]).round(3), axis=0))
    if different < priors:
        raise InputError(
            f"train: {len(boxes)} objects of {different} different shapes, and {variant} has {priors} priors to fit; "
            "annotate more, or give it fewer levels or ratios"
        )
