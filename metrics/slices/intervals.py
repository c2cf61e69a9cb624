"""Confidence intervals of slices of objects, and which slices of an axis differ decisively."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from metrics.compare.estimates import SeededEstimate, estimate_models, simultaneous_ends
from metrics.compare.groups import Groups, resolve_groups
from metrics.compare.inference import FEW_OBJECTS
from metrics.compare.paired_runs import Runs, pair_runs
from metrics.compare.pairwise import too_few_data
from metrics.compare.run_replicates import RunReplicates
from metrics.errors import InputError
from metrics.matching import Matches
from metrics.plurals import plural
from metrics.resampling.blocks import Block, Lanes, block_by_block, class_mean
from metrics.resampling.intervals import check_confidence
from metrics.resampling.run_rankings import RunRankings
from metrics.resampling.scale import UNIT, Scale
from metrics.resampling.statistics import COCO_LEVELS
from metrics.resampling.variance import ClassReplicates, class_units
from metrics.slices.axes import UNASSIGNED, Axis
from metrics.slices.subset import select_objects

Floats = NDArray[np.float64]

FEW_SLICE_IMAGES = 10
"""A slice whose objects are in fewer images has too few data: its objects are not independent."""


@dataclass(frozen=True, slots=True)
class SliceInterval:
    """A model's normalized average precision (``ap_n``) on one slice, a fraction; NaN where undefined.

    Attributes:
        model: name of the model.
        axis: name of the axis.
        value: name of the slice.
        objects: number of valid objects of the slice.
        images: number of images with such an object.
        ap_n: mean over seeds.
        ci_low, ci_high: confidence interval.
        too_few: whether the slice has fewer than 20 objects, or objects in fewer than 10 images.
    """

    model: str
    axis: str
    value: str
    objects: int
    images: int
    ap_n: float
    ci_low: float
    ci_high: float
    too_few: bool


@dataclass(frozen=True, slots=True)
class SliceDifference:
    """Difference in ``ap_n`` of a model between two slices of an axis that both have enough data.

    Attributes:
        model: name of the model.
        axis: name of the axis.
        high, low: names of the slices; the first has the higher value.
        delta: value of the first minus value of the second, at least 0.
        sim_low, sim_high: simultaneous confidence interval over all pairs of slices of the model.
        decisive: whether the interval excludes 0, and there are enough images, groups and objects.
    """

    model: str
    axis: str
    high: str
    low: str
    delta: float
    sim_low: float
    sim_high: float
    decisive: bool


@dataclass(frozen=True, eq=False, repr=False)
class SliceComparison:
    """Intervals of all slices of all models, and the differences between slices.

    Attributes:
        intervals: by model, axis and slice; slices without objects are left out.
        differences: of all pairs of slices of an axis that have enough data and a value; by model and axis.
    """

    intervals: tuple[SliceInterval, ...]
    differences: tuple[SliceDifference, ...]

    def __repr__(self) -> str:
        decisive = sum(row.decisive for row in self.differences)
        return f"SliceComparison({plural(len(self.intervals), 'value')}; {decisive} of {plural(len(self.differences), 'difference')} decisive)"

    def interval(self, model: str, axis: str, value: str) -> SliceInterval:
        """Return the row of a model, axis and slice.

        Raises:
            InputError: there is none.
        """
        for row in self.intervals:
            if (row.model, row.axis, row.value) == (model, axis, value):
                return row
        raise InputError(f"slices: no objects of {axis} {value!r} for {model!r}")

    def largest(self, model: str, axis: str) -> SliceDifference | None:
        """Return the largest decisive difference between two slices of an axis; None if none is decisive."""
        rows = [row for row in self.differences if (row.model, row.axis) == (model, axis) and row.decisive]
        return max(rows, key=lambda row: row.delta, default=None)


def compare_slices(
    runs: Runs,
    axes: Sequence[Axis],
    *,
    resamples: int = 1000,
    seed: int = 0,
    groups: Groups = None,
    image_columns: Mapping[str, Sequence[object]] | None = None,
    confidence: float = 0.95,
) -> SliceComparison:
    """Compute intervals of ``ap_n`` on slices from the resamples that `metrics.compare.compare` draws.

    A replicate equals `metrics.slices.measure_slices` on a data set in which each image occurs as often as it was drawn; a
    replicate without an object of the slice is left out.

    Args:
        runs: see `metrics.compare.compare`, as for the other arguments.
        axes: of objects, made from the ground truth of these runs.
        resamples: number of bootstrap replicates B.
        seed: of the random number generator.
        groups: groups of images that are resampled as a whole.
        image_columns: attributes of the images.
        confidence: level of all intervals.

    Raises:
        InputError: runs that cannot be compared, groups that do not fit the images, or an axis that is not of the objects.
    """
    check_confidence(confidence)
    paired = pair_runs(runs)
    unit, units, _ = resolve_groups(groups, image_columns, paired.image_ids, paired.kept)
    replicates = RunReplicates(paired, (), unit, units, resamples, seed)
    truth, valid = paired.truth, paired.first.valid & 1 == 1
    keys: list[tuple[str, str, NDArray[np.bool_]]] = []
    for axis in axes:
        if axis.target != "object" or len(axis.index) != len(truth):
            raise InputError(
                f"axis {axis.name!r}: expected an axis of the {plural(len(truth), 'object')} of these runs"
            )
        keys += [
            (axis.name, name, axis.index == number)
            for number, name in enumerate(axis.values)
            if ((axis.index == number) & valid).any()
        ]
    too_few = too_few_data(len(unit), int(valid.sum()), None if groups is None else units)
    weights = np.concatenate([np.ones((1, len(unit)), np.uint8), replicates.weights])
    labels, in_unit = paired.first.object_label, unit[truth.image]
    classes = len(paired.first.classes)
    samples = _Samples(
        [
            {
                model: _SliceReplicates.of(matches, chosen, weights)
                for model, matches in paired.matches.items()
            }
            for *_, chosen in keys
        ],
        [class_units(labels[chosen & valid], in_unit[chosen & valid], classes) for *_, chosen in keys],
        [len(np.unique(in_unit[chosen & valid])) for *_, chosen in keys],
        {model: replicates.shifts(model) for model in paired.matches},
        confidence,
    )
    intervals: list[SliceInterval] = []
    differences: list[SliceDifference] = []
    for model in paired.matches:
        rows = []
        for at, (axis_name, name, chosen) in enumerate(keys):
            images = truth.image[chosen & valid]
            count = len(np.unique(images))
            few = len(images) < FEW_OBJECTS or count < FEW_SLICE_IMAGES
            found = samples.values[at][model].interval(confidence)
            ends = (found.estimate, found.low, found.high)
            rows.append(SliceInterval(model, axis_name, name, len(images), count, *ends, few))
        intervals += rows
        differences += _differences(model, rows, samples, too_few)
    return SliceComparison(tuple(intervals), tuple(differences))


@dataclass(frozen=True, eq=False)
class _SliceReplicates:
    """Values of a model on one slice, on all images first and then on each resample.

    Attributes:
        values: (1 + B, S) of each seed.
        by_class: (1 + B, K) of each class, mean over seeds.
    """

    values: Floats
    by_class: Floats

    @classmethod
    def of(
        cls, runs: Sequence[Matches], chosen: NDArray[np.bool_], weights: NDArray[np.uint8]
    ) -> _SliceReplicates:
        values, by_class = zip(*(normalized_replicates(run, chosen, weights) for run in runs), strict=True)
        return cls(np.stack(values, axis=1), np.mean(by_class, axis=0))


@dataclass(frozen=True, eq=False)
class _Samples:
    """Values of all models on S slices.

    Attributes:
        slices: of each slice by model.
        class_units: of each slice (K,) number of resampling units with objects of each class.
        units: of each slice, number of resampling units with objects of it.
        shifts: by model (B,) shifts due to seeds.
        confidence: level of the intervals.
    """

    slices: Sequence[Mapping[str, _SliceReplicates]]
    class_units: Sequence[NDArray[np.int64]]
    units: Sequence[int]
    shifts: Mapping[str, Floats]
    confidence: float

    @cached_property
    def values(self) -> list[dict[str, SeededEstimate]]:
        """Of each slice by model."""
        return [
            estimate_models(
                {model: one.values for model, one in models.items()},
                self.shifts,
                units,
                Scale(UNIT),
                {model: self._classes(at, model) for model in models},
            )
            for at, (models, units) in enumerate(zip(self.slices, self.units, strict=True))
        ]

    def difference(self, model: str, a: int, b: int) -> SeededEstimate:
        """Difference of two slices of a model, paired by image and by seed; it depends on the units of the smaller slice."""
        first, second = self.slices[a], self.slices[b]
        table = {name: first[name].values - second[name].values for name in first}
        units = min(self.units[a], self.units[b])
        classes = {name: self._classes(a, name).beside(self._classes(b, name)) for name in first}
        return estimate_models(table, self.shifts, units, Scale(UNIT).of_difference, classes)[model]

    def _classes(self, at: int, model: str) -> ClassReplicates:
        by_class = self.slices[at][model].by_class
        return ClassReplicates(by_class[0], by_class[1:], self.class_units[at])


def normalized_replicates(
    matches: Matches, chosen: NDArray[np.bool_], weights: NDArray[np.uint8]
) -> tuple[Floats, Floats]:
    """Compute ``ap_n`` of a slice under each row of weights.

    Args:
        matches: of the whole data set.
        chosen: (G,) whether each object is in the slice.
        weights: (B, I) how often each image counts, at most 255.

    Returns:
        (B,) mean over the classes with a valid object of the slice that counts, NaN where there is none; and (B, K) value of
        each class, NaN where it has no such object.
    """
    rule, classes = matches.rule, len(matches.classes)
    valid = np.flatnonzero(matches.valid & 1)
    objects = np.zeros((classes, weights.shape[1]))  # valid objects of the whole data set
    np.add.at(objects, (matches.object_label[valid], matches.truth.image[valid]), 1.0)

    def measure(block: Block, lanes: int) -> tuple[Lanes, Lanes]:
        ranking = block.rankings.at(rule.iou_thresholds[0], rule.areas[0], rule.max_dets[-1])
        counts = objects @ block.weights.astype(np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            per_class = counts.sum(axis=0) / (counts > 0).sum(axis=0)
            scale = per_class / block.positives(ranking)
        by_class = block.envelope(ranking, COCO_LEVELS, scale).mean(axis=1)
        return class_mean(by_class)[:lanes], by_class[:, :lanes].T

    rankings = RunRankings(select_objects(matches, chosen))
    values, by_class = zip(*block_by_block(rankings, weights, measure), strict=True)
    return np.concatenate(values), np.concatenate(by_class)


def _differences(
    model: str, rows: Sequence[SliceInterval], samples: _Samples, too_few: bool
) -> list[SliceDifference]:
    """All pairs of slices of an axis that have enough data and a value."""
    usable = [
        at
        for at, row in enumerate(rows)
        if not row.too_few and row.value != UNASSIGNED and not np.isnan(row.ap_n)
    ]
    pairs = [(a, b) for a, b in combinations(usable, 2) if rows[a].axis == rows[b].axis]
    if not pairs:
        return []
    pairs = [(a, b) if rows[a].ap_n >= rows[b].ap_n else (b, a) for a, b in pairs]
    deltas = [samples.difference(model, a, b) for a, b in pairs]
    intervals = [delta.interval(samples.confidence) for delta in deltas]
    return [
        SliceDifference(
            model,
            rows[a].axis,
            rows[a].value,
            rows[b].value,
            interval.estimate,
            low,
            high,
            bool(not too_few and low > 0),
        )
        for (a, b), interval, (low, high) in zip(
            pairs, intervals, simultaneous_ends(deltas, intervals, samples.confidence), strict=True
        )
    ]
