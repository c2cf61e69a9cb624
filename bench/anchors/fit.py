"""Search for priors that fit the training boxes of a data set better than a variant's current ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from torch import nn

from bench.anchors.boxes import Floats, InputBoxes, input_boxes, sample_boxes
from bench.data.types import Dataset, Split
from bench.process.progress import Progress
from bench.runs.detector import build_detector
from bench.settings.config import RunConfig
from bench.settings.toml import Tree, leaves, merge, nest
from detectors.anchor_fit import Fit, ShapeFit, feature_grids, prior_sizes
from detectors.assigners.overlap import OverlapAssigner
from detectors.config import Config
from detectors.prior_search import cluster, refine, search_rule, split_by_level
from detectors.priors import GridPriors
from detectors.registry import VARIANTS
from detectors.search_range import Choice, Range
from metrics.errors import InputError
from metrics.plurals import plural

Target = Literal["shapes", "rule"]

MAX_BOXES = 5000
"""The search uses a random sample of this many training boxes; the reported fit is measured on all."""

STEPS = 1000
"""Default number of changed shapes, or of settings of a rule, that are tried."""


class PriorFitter:
    """Fit of a variant's priors, under any settings, to the boxes of a data set.

    Built once for many settings: the feature maps and the boxes do not depend on the priors.

    Attributes:
        config: settings of the run.
        threshold: smallest IoU of a positive prior, see `positive_iou`.
        splits: train and val, with their boxes in the network's input.
        sizes: of each level (S, 2) width and height of the current priors, in pixels of the network's input.

    Raises:
        InputError: the variant's priors have no shapes to choose.
    """

    def __init__(self, config: RunConfig, dataset: Dataset) -> None:
        variant = VARIANTS[config.variant]
        if variant.priors is None or not variant.prior_settings:
            raise InputError(
                f"{config.variant}: its priors have no shapes to fit (points); "
                f"variants that have: {', '.join(variants_with_shapes())}"
            )
        self.config = config
        self._make = variant.priors
        self._prior_settings = variant.prior_settings
        detector: Any = build_detector(config, len(dataset.classes))
        self._grids = feature_grids(detector, config.image.size)
        self._strides: tuple[int, ...] = tuple(detector.neck.strides)
        self.threshold = positive_iou(detector)
        self.splits = {
            name: (dataset.splits[name], input_boxes(dataset.splits[name], config.image))
            for name in ("train", "val")
        }
        self._priors = self.priors(config.detector)
        self.sizes = self.sizes_of(config.detector)

    def priors(self, settings: Config) -> GridPriors:
        """Priors under these settings of the variant."""
        return self._make(settings, self._strides)

    def sizes_of(self, settings: Config) -> list[Floats]:
        """Of each level (S, 2) width and height of the priors under these settings of the variant."""
        return prior_sizes(self.priors(settings), self._grids, self.config.image.size)

    def changed(self, values: Mapping[str, Any]) -> Config:
        """The settings of the variant with some values replaced."""
        current: Config = self.config.detector
        return type(current).model_validate(current.model_dump() | dict(values))

    def on(self, boxes: Floats) -> ShapeFit:
        """Fit of priors of any shapes to (G, 4) boxes in the network's input."""
        return ShapeFit(boxes, self._priors, self._grids, self.config.image.size, self.threshold)

    @cached_property
    def fits(self) -> dict[str, ShapeFit]:
        """Fit of priors of any shapes to all boxes of each split."""
        return {name: self.on(inputs.boxes) for name, (_, inputs) in self.splits.items()}

    @property
    def takes_shapes(self) -> bool:
        """Whether the variant has a setting for explicit shapes."""
        return "shapes" in self._prior_settings

    def search(self, target: Target, steps: int, report: Callable[[Fit], None] | None = None) -> Tree:
        """Settings whose priors fit the training boxes better than the current ones, with as many priors.

        Args:
            target: `shapes` searches explicit shapes: clusters of the boxes or the current priors, whichever fit better,
                then refined. `rule` searches the other settings of the priors within their search ranges.
            steps: number of changed shapes, or of settings, that are tried.
            report: called with every fit.

        Raises:
            InputError: the variant does not support the target, or there are fewer different boxes than priors.
        """
        if target == "shapes" and not self.takes_shapes:
            raise InputError(
                f"--fit shapes: {self.config.variant} has no setting for explicit shapes; use --fit rule"
            )
        boxes = self.sample
        self._require_enough(boxes)
        measure = self.on(boxes)

        def objective(sizes: Sequence[Floats]) -> float:
            fit = measure(sizes)
            if report is not None:
                report(fit)
            return fit.objective

        if target == "shapes":
            return self._search_shapes(boxes[:, 2:] - boxes[:, :2], measure, objective, steps)
        space = self._rule_space()
        current = {name: getattr(self.config, name) for name in space}
        best, _ = search_rule(
            lambda values: objective(self.sizes_of(self.changed(values))),
            space,
            current,
            steps,
            self.config.seed,
        )
        return {name: float(f"{v:.4g}") if isinstance(v, float) else v for name, v in best.items()}

    @property
    def sample(self) -> Floats:
        """The training boxes on which `search` measures the fit."""
        return sample_boxes(self.splits["train"][1].boxes, MAX_BOXES, self.config.seed)

    def _search_shapes(
        self,
        shapes: Floats,
        measure: ShapeFit,
        objective: Callable[[Sequence[Floats]], float],
        steps: int,
    ) -> Tree:
        counts = self._priors.per_cell

        def by_level(priors: Floats) -> list[list[tuple[float, float]]]:
            return split_by_level(priors, self._strides, self.config.image.size, counts)

        def arrays(priors: Floats) -> list[Floats]:
            return [np.array(level) for level in by_level(priors)]

        seed = self.config.seed
        starts = (np.concatenate(self.sizes), cluster(shapes, sum(counts), seed))
        start = max(starts, key=lambda priors: measure(arrays(priors)).objective)
        best = refine(lambda priors: objective(arrays(priors)), start, shapes, seed, steps)
        return {"shapes": [[list(shape) for shape in level] for level in by_level(best)]}

    def _rule_space(self) -> dict[str, Range | Choice]:
        """Settings with a search range that change the priors but not their number."""
        space = {}
        for name in self._prior_settings:
            metadata = type(self.config.detector).model_fields[name].metadata
            mark = next((mark for mark in metadata if isinstance(mark, Range | Choice)), None)
            if mark is None:
                continue
            values = mark.options if isinstance(mark, Choice) else (mark.low, mark.high)
            priors = [self.priors(self.changed({name: value})) for value in values]
            same_number = all(other.per_cell == self._priors.per_cell for other in priors)
            if same_number and any(other.shapes != self._priors.shapes for other in priors):
                space[name] = mark
        if not space:
            shapes = " (its shapes are given; use --fit shapes, or remove them)" if self.takes_shapes else ""
            raise InputError(
                f"--fit rule: no setting of {self.config.variant} with a search range changes its priors{shapes}"
            )
        return space

    def _require_enough(self, boxes: Floats) -> None:
        different = len(np.unique((boxes[:, 2:] - boxes[:, :2]).round(3), axis=0))
        needed = sum(self._priors.per_cell)
        if different < needed:
            raise InputError(
                f"train: {plural(len(boxes), 'object')} of {plural(different, 'different shape')}, and {self.config.variant} has "
                f"{plural(needed, 'prior')} to fit; annotate more, or use fewer levels or ratios"
            )


@dataclass(frozen=True, slots=True, eq=False)
class AnchorFit:
    """Result of a search for priors.

    Attributes:
        config: settings at the start of the search.
        found: settings of the variant that make the better priors, by name.
        splits: train and val, with their boxes in the network's input.
        before, after: fit of the priors of `config` and of `found`, by split.
        sizes_before, sizes_after: of each level (S, 2) width and height of the priors, in pixels of the network's input.
        num_sampled: number of training boxes in the random sample that the search used.
    """

    config: RunConfig
    found: Tree
    splits: Mapping[str, tuple[Split, InputBoxes]]
    before: Mapping[str, Fit]
    after: Mapping[str, Fit]
    sizes_before: Sequence[Floats]
    sizes_after: Sequence[Floats]
    num_sampled: int

    def summary(self) -> str:
        """One line per split, with the number of priors and of sampled boxes in the first."""
        lines = []
        for name, (_, inputs) in self.splits.items():
            before, after = self.before[name], self.after[name]
            missed = f"{len(before.unreached):,} -> {len(after.unreached):,}"
            lines.append(
                f"{name}: mean best IoU {before.mean:.3f} -> {after.mean:.3f}, recall at IoU {before.threshold:g} "
                f"{before.recall:.3f} -> {after.recall:.3f}; not reached: {missed} of {plural(len(inputs), 'object')}"
            )
        per_cell = ", ".join(str(len(level)) for level in self.sizes_after)
        sampled = "" if self.num_sampled == len(self.splits["train"][1]) else " drawn at random"
        lines[0] += (
            f" ({self.config.variant}, {per_cell} priors per cell by level; searched on {plural(self.num_sampled, 'box')}"
            f"{sampled})"
        )
        lines[1] += " (not used for the search)"
        if self.after["val"].objective < self.before["val"].objective:
            lines.append(
                "val: the new priors fit worse than the current ones; the training boxes do not represent these"
            )
        return "\n".join(lines)

    def settings(self) -> Tree:
        """Settings for `run --config`: the variant, all settings that were given, the input size, and the priors."""
        tree: Tree = {"variant": self.config.variant}
        settings = self.config.tree()
        of_input = {path for path, _ in leaves({"image": settings["image"]})}  # the priors are in its pixels
        for path, value in leaves(settings):
            if self.config.is_given(path) or path in of_input:
                tree = merge(tree, nest(path.split("."), value))
        return merge(tree, self.found)


def fit_anchors(
    config: RunConfig,
    dataset: Dataset,
    target: Target | None = None,
    steps: int = STEPS,
    progress: Progress | None = None,
) -> AnchorFit:
    """Search better priors on training boxes, and measure both on all training and validation boxes.

    Args:
        config: settings of a variant whose priors have shapes; `seed` determines the result.
        dataset: the data set of `config`.
        target: see `PriorFitter.search`; None: `shapes` if the variant has that setting.
        steps: number of changed shapes, or of settings, that are tried.
        progress: display of the progress.

    Raises:
        InputError: the priors have no shapes, the variant does not support the target, or there are fewer different
            boxes than priors.
    """
    fitter = PriorFitter(config, dataset)
    target = target or ("shapes" if fitter.takes_shapes else "rule")
    with (progress or Progress()).stage(f"fitting priors of {config.variant}", steps) as stage:
        found = fitter.search(target, steps, lambda fit: stage.advance(recall=fit.recall, mean_iou=fit.mean))
    after = fitter.sizes_of(fitter.changed(found))
    return AnchorFit(
        config,
        found,
        fitter.splits,
        {name: fit(fitter.sizes) for name, fit in fitter.fits.items()},
        {name: fit(after) for name, fit in fitter.fits.items()},
        fitter.sizes,
        after,
        len(fitter.sample),
    )


def variants_with_shapes() -> list[str]:
    """Names of the variants whose priors have shapes to choose."""
    return [name for name in VARIANTS.names() if VARIANTS[name].prior_settings]


def positive_iou(detector: nn.Module) -> float:
    """Smallest IoU of a positive prior in a detector's assigner; 0.5 if the assigner has no such threshold."""
    assigner = getattr(detector, "assigner", None)
    return assigner.positive if isinstance(assigner, OverlapAssigner) else 0.5
