"""Comparison of models by their label maps: which is better by mIoU, Dice or pixel accuracy, and with what confidence.

The measures are ratios of areas summed over images, so a resample of the images needs no label map: its areas are the counts
of each image times how often it was drawn. The resamples, intervals and p-values are those of `metrics.compare.compare`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from metrics import pixel_measures
from metrics.compare.comparison import Comparison
from metrics.compare.estimates import SeededEstimate, best_first, estimate_models
from metrics.compare.groups import Groups, resolve_groups
from metrics.compare.inference import FEW_OBJECTS, ComparisonRows
from metrics.compare.pairwise import too_few_data
from metrics.compare.rows import Method, Subject
from metrics.compare.seeds import standard_shifts
from metrics.compare.verdict import Verdict, reliability_notes
from metrics.errors import InputError
from metrics.mask_counts import MaskCounts
from metrics.notes import Note
from metrics.pixel_measures import CLASS_MEASURES, PixelAreas
from metrics.plurals import agree, plural
from metrics.registry import did_you_mean
from metrics.resampling.intervals import check_confidence
from metrics.resampling.scale import UNIT, Scale
from metrics.resampling.variance import ClassReplicates
from metrics.resampling.weights import unit_weights
from metrics.tables import ImageId

Floats = NDArray[np.float64]

MaskRuns = Mapping[str, MaskCounts | Sequence[MaskCounts]]
"""By model: the counts of one run, or of one run per training seed."""

DEFAULT_MEASURES = ("mdice", "pixel_accuracy", "pixel_precision", "pixel_recall", "pixel_specificity")
"""Measures of a comparison besides mIoU."""

_ROWS = 128
"""Resamples that are summed at once, so that their weights as float64 stay small."""


@dataclass(frozen=True, slots=True)
class MaskStatistic:
    """A measure of label maps, higher is better.

    Attributes:
        name: short name: ``miou``.
        of_classes: areas (..., K) to values (..., K); NaN where undefined.
        of_all: areas to values (...) over all classes; by default the mean over the classes for which it is defined.
    """

    name: str
    of_classes: Callable[[PixelAreas], Floats]
    of_all: Callable[[PixelAreas], Floats] | None = None

    @property
    def better(self) -> Literal["higher", "lower"]:
        """Direction."""
        return "higher"

    @property
    def pooled(self) -> bool:
        """Whether the value over all classes is not their mean."""
        return self.of_all is not None

    def overall(self, areas: PixelAreas) -> Floats:
        """Values (...) over all classes of areas (..., K)."""
        return _mean_of_defined(self.of_classes(areas)) if self.of_all is None else self.of_all(areas)

    @classmethod
    def named(cls, name: str) -> MaskStatistic:
        """The measure with a short name of `metrics.pixel_measures.CLASS_MEASURES`.

        Raises:
            InputError: no such name; the message suggests the closest one.
        """
        if name not in CLASS_MEASURES:
            hint = did_you_mean(name, CLASS_MEASURES) or f"; known: {', '.join(CLASS_MEASURES)}"
            raise InputError(f"measure: no value {name!r} of label maps{hint}")
        return cls(
            name, CLASS_MEASURES[name], pixel_measures.pixel_accuracy if name == "pixel_accuracy" else None
        )


def compare_masks(
    runs: MaskRuns,
    measure: str | MaskStatistic = "miou",
    *,
    also: Sequence[str] = DEFAULT_MEASURES,
    resamples: int = 1000,
    seed: int = 0,
    image_ids: Sequence[ImageId] | None = None,
    groups: Groups = None,
    image_columns: Mapping[str, Sequence[object]] | None = None,
    confidence: float = 0.95,
) -> Comparison:
    """Compare models by their label maps of the same images.

    A class is in the rows of single classes if the ground truth has it; `objects` is there the number of images that have it.
    Images without compared pixels (without a mask, or ignored everywhere) are left out. There is no permutation test.

    Args:
        runs: by model the counts of each seed.
        measure: the deciding measure: a short name of `metrics.pixel_measures.CLASS_MEASURES`, or any statistic of areas.
        also: additional measures for the leaderboard and the pairs.
        resamples: number of bootstrap replicates B.
        seed: of the random number generator; with the same images and groups, the resamples are those of `compare`.
        image_ids: of the I images; by default their indices.
        groups: see `metrics.compare.compare`.
        image_columns: attributes of the images, one value per image.
        confidence: level of all intervals.

    Raises:
        InputError: no runs, no compared pixels, runs on different classes or masks, an unknown measure, or groups that do not
            fit the images.

    Warns:
        InputWarning: one of `image_columns` seems to group dependent images, but `groups` is not given.
    """
    check_confidence(confidence)
    statistics = tuple(
        each if isinstance(each, MaskStatistic) else MaskStatistic.named(each)
        for each in dict.fromkeys((measure, *also))
    )
    by_model = {
        model: (given,) if isinstance(given, MaskCounts) else tuple(given) for model, given in runs.items()
    }
    first = check_mask_runs(by_model)
    total = len(first.pixels)
    kept = np.flatnonzero(first.pixels > 0)
    if not len(kept):
        raise InputError("compare_masks: no image has a pixel to compare; evaluate on images with masks")
    ids: Sequence[ImageId] = range(total) if image_ids is None else image_ids
    if len(ids) != total:
        raise InputError(f"image_ids: expected one for each of {plural(total, 'image')}, got {len(ids)}")
    unit, units, notes = resolve_groups(groups, image_columns, [ids[index] for index in kept.tolist()], kept)
    if len(kept) < total:
        text = f"{total - len(kept):,} of {plural(total, 'image')} {agree(total - len(kept), 'has no mask and is', 'have no mask and are')} left out"
        notes.append(Note("no_masks", text, values={"left_out": total - len(kept), "images": total}))
    counts = {model: tuple(run.select(kept) for run in given) for model, given in by_model.items()}
    replicates = MaskReplicates(counts, statistics, unit, units, resamples, seed)
    deciding = statistics[0]
    models = replicates.order(deciding)
    method = Method(
        resamples=resamples,
        seed=seed,
        confidence=confidence,
        images=len(kept),
        units=units,
        unit="image" if groups is None else "group",
        permutations=0,
    )
    too_few = too_few_data(len(kept), FEW_OBJECTS, None if groups is None else units)
    rows = ComparisonRows(replicates, models, confidence, too_few)
    differences = {each.name: rows.differences(each) for each in statistics}
    standings = {each.name: rows.standings(each, differences[each.name]) for each in statistics}
    of_classes = [rows.class_rows(each) for each in statistics]
    seeds = {model: len(given) for model, given in counts.items()}
    deciding_classes = of_classes[0][0]
    notes += reliability_notes(
        seeds, len(kept), method, too_few, deciding_classes, rows.rare_share(deciding), counted="image"
    )
    compared: Subject = "training recipes" if min(seeds.values()) > 1 else "single runs"
    return Comparison(
        models=tuple(models),
        measure=deciding.name,
        measures=tuple(each.name for each in statistics),
        verdict=Verdict.of(standings[deciding.name], differences[deciding.name], method, too_few, compared),
        notes=tuple(notes),
        compared=compared,
        leaderboard=tuple(row for each in standings.values() for row in each),
        pairwise=tuple(row for each in differences.values() for row in each),
        class_values=tuple(row for values, _ in of_classes for row in values),
        class_pairs=tuple(row for _, pairs in of_classes for row in pairs),
        method=method,
        replicates=MappingProxyType(
            {
                each.name: MappingProxyType(
                    {model: replicates.estimate(model, each).replicates for model in models}
                )
                for each in statistics
            }
        ),
    )


def check_mask_runs(runs: Mapping[str, Sequence[MaskCounts]]) -> MaskCounts:
    """Return the counts of the first run, with whose classes and masks all others must agree.

    Raises:
        InputError: no runs, or runs on different classes, images or masks.
    """
    every = [(model, run) for model, given in runs.items() for run in given]
    empty = [model for model, given in runs.items() if not given]
    if not every or empty:
        raise InputError(
            f"compare_masks: {empty[0]} has no runs; remove it"
            if empty
            else "compare_masks: no runs were given"
        )
    first_model, first = every[0]
    for model, run in every[1:]:
        if run.classes != first.classes:
            differing = (
                ", ".join(map(repr, sorted({*run.classes} ^ {*first.classes})[:5])) or "in another order"
            )
            raise InputError(
                f"compare_masks: {first_model} and {model} have label maps of different classes ({differing}); evaluate both on "
                "the same data set"
            )
        if len(run.pixels) != len(first.pixels):
            raise InputError(
                f"compare_masks: {first_model} has {plural(len(first.pixels), 'image')}, {model} {len(run.pixels):,}; evaluate both on the "
                "same images"
            )
        other = (run.truth != first.truth).any(axis=1) | (run.pixels != first.pixels)
        if other.any():
            raise InputError(
                f"compare_masks: {first_model} and {model} were measured on different masks in {np.count_nonzero(other):,} of "
                f"{plural(len(other), 'image')}; run one of them again on the same masks"
            )
    return first


@dataclass(frozen=True, eq=False)
class MaskReplicates:
    """Counts of all runs, and the measures of the same resamples of their images.

    Attributes:
        counts: by model, one per seed; of the same images, each with compared pixels.
        statistics: the deciding one first.
        unit: (I,) resampling unit of each image.
        units: U.
        resamples: B.
        seed: of the random number generator.
    """

    counts: Mapping[str, Sequence[MaskCounts]]
    statistics: tuple[MaskStatistic, ...]
    unit: NDArray[np.intp]
    units: int
    resamples: int
    seed: int

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the K classes."""
        return self._first.classes

    @cached_property
    def areas(self) -> dict[str, list[PixelAreas]]:
        """By model and seed the areas (1 + B, K) of all images, then of each resample."""
        weights = unit_weights(self.unit, self.resamples, self.seed)
        weights = np.concatenate([np.ones((1, len(self.unit)), np.uint8), weights])
        return {model: [_resampled(run, weights) for run in runs] for model, runs in self.counts.items()}

    def order(self, statistic: MaskStatistic) -> list[str]:
        """Return the models, best first; NaN last, ties by name."""
        values = {model: float(np.mean(self.seed_values(model, statistic))) for model in self.counts}
        return best_first(values, statistic.better)

    def class_objects(self, statistic: MaskStatistic) -> NDArray[np.int64]:
        """Return (K,) the number of images whose ground truth has each class."""
        return np.asarray((self._first.truth > 0).sum(axis=0), np.int64)

    def seed_values(
        self, model: str, statistic: MaskStatistic, label: int | None = None
    ) -> tuple[float, ...]:
        """Return the value of each seed of a model, over all classes or for one class."""
        return tuple(self._table(model, statistic, label)[0].tolist())

    def estimate(self, model: str, statistic: MaskStatistic, label: int | None = None) -> SeededEstimate:
        """Return a model's value with its replicates over images and seeds, over all classes or for one class."""
        key = (statistic.name, label)
        if key not in self._estimates:
            units = self.units if label is None else int(self._class_units[label])
            self._estimates[key] = estimate_models(
                {name: self._table(name, statistic, label) for name in self.counts},
                {name: standard_shifts(name, self.resamples, self.seed) for name in self.counts},
                units,
                Scale(UNIT),
                None
                if label is not None or statistic.pooled
                else {name: self._parts(name, statistic) for name in self.counts},
            )
        return self._estimates[key][model]

    def _values(self, model: str, statistic: MaskStatistic) -> list[Floats]:
        """Of each seed (1 + B, K) values of the classes, cached."""
        key = (model, statistic.name)
        if key not in self._cached_values:
            self._cached_values[key] = [statistic.of_classes(areas) for areas in self.areas[model]]
        return self._cached_values[key]

    def _table(self, model: str, statistic: MaskStatistic, label: int | None) -> Floats:
        """(1 + B, S) value of each seed on all images, then on each resample; over all classes or of one class."""
        if label is not None:
            columns = [values[:, label] for values in self._values(model, statistic)]
        elif statistic.pooled:
            columns = [statistic.overall(areas) for areas in self.areas[model]]
        else:
            columns = [_mean_of_defined(values) for values in self._values(model, statistic)]
        return np.stack(columns, axis=1)

    def _parts(self, model: str, statistic: MaskStatistic) -> ClassReplicates:
        """Values of classes whose plain mean is the mean over the classes for which the measure is defined, which may differ
        between runs: a class that a run alone predicts has a value only there.

        Only the classes of the ground truth are parts: another class has IoU, Dice and precision 0 wherever it is predicted,
        which the images do not change, and no recall. By specificity every class is a part, measured on all images.
        """
        everywhere = statistic.of_classes is pixel_measures.specificity
        present = self._first.truth.sum(axis=0) > 0
        labels = np.arange(len(present)) if everywhere else np.flatnonzero(present)
        runs = []
        for values in self._values(model, statistic):
            defined = ~np.isnan(values[0])
            share = len(labels) / max(int(defined.sum()), 1)
            runs.append(np.where(defined[labels], share * values[:, labels], 0.0))
        mean = np.mean(runs, axis=0)
        units = np.full(len(labels), self.units) if everywhere else self._class_units[labels]
        return ClassReplicates(mean[0], mean[1:], units)

    @property
    def _first(self) -> MaskCounts:
        return next(iter(self.counts.values()))[0]

    @cached_property
    def _class_units(self) -> NDArray[np.int64]:
        """(K,) number of resampling units whose ground truth has each class."""
        has = np.zeros((self.units, len(self.classes)), np.bool_)
        np.logical_or.at(has, self.unit, self._first.truth > 0)
        return np.asarray(has.sum(axis=0), np.int64)

    @cached_property
    def _cached_values(self) -> dict[tuple[str, str], list[Floats]]:
        return {}

    @cached_property
    def _estimates(self) -> dict[tuple[str, int | None], dict[str, SeededEstimate]]:
        return {}


def _resampled(counts: MaskCounts, weights: NDArray[np.uint8]) -> PixelAreas:
    """Areas (B, K) under each row of weights (B, I); exact, because float64 holds integers below 2^53."""
    columns = np.concatenate(
        [counts.intersection, counts.truth, counts.predicted, counts.pixels[:, None]], axis=1
    ).astype(np.float64)
    sums = np.concatenate(
        [
            weights[start : start + _ROWS].astype(np.float64) @ columns
            for start in range(0, len(weights), _ROWS)
        ]
    )
    classes = len(counts.classes)
    return PixelAreas(*np.split(sums, [classes, 2 * classes, 3 * classes], axis=1))


def _mean_of_defined(values: Floats) -> Floats:
    """(...) mean over the classes (..., K) that are not NaN; NaN without any."""
    defined = ~np.isnan(values)
    sums = np.where(defined, values, 0.0).sum(axis=-1)
    means: Floats = np.divide(
        sums, defined.sum(axis=-1), out=np.full(sums.shape, np.nan), where=defined.any(axis=-1)
    )
    return means
