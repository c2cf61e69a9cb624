"""Bootstrap replicates of all runs of a comparison, from the same resamples of the images."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from metrics.compare.estimates import SeededEstimate, best_first
from metrics.compare.paired_runs import PairedRuns
from metrics.compare.seeds import seed_variances, standard_shifts
from metrics.resampling.replicates import Replicates, Statistic, replicate
from metrics.resampling.run_rankings import RunRankings
from metrics.resampling.scale import Scale
from metrics.resampling.variance import ClassReplicates, SeedVariance, class_units
from metrics.resampling.weights import unit_weights

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RunReplicates:
    """Runs, the statistics to compute, and how the images are resampled.

    Attributes:
        paired: the runs.
        statistics: the deciding one first; their names differ.
        unit: (I,) resampling unit of each image.
        units: U.
        resamples: B.
        seed: of the random number generator.
    """

    paired: PairedRuns
    statistics: tuple[Statistic, ...]
    unit: NDArray[np.intp]
    units: int
    resamples: int
    seed: int

    @cached_property
    def rankings(self) -> dict[str, list[RunRankings]]:
        """By model, one per seed."""
        return {model: [RunRankings(one) for one in runs] for model, runs in self.paired.matches.items()}

    @cached_property
    def weights(self) -> NDArray[np.uint8]:
        """(B, I) multiplicity of each image in each resample."""
        return unit_weights(self.unit, self.resamples, self.seed)

    @cached_property
    def replicates(self) -> dict[str, list[list[Replicates]]]:
        """By model, per seed, per statistic."""
        return {
            model: [replicate(rankings, self.weights, self.statistics) for rankings in runs]
            for model, runs in self.rankings.items()
        }

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.paired.first.classes

    def index(self, statistic: Statistic) -> int:
        """Return the index of a statistic in `statistics`."""
        return self.statistics.index(statistic)

    def seed_values(self, model: str, statistic: Statistic, label: int | None = None) -> tuple[float, ...]:
        """Return the value of each seed of a model, over all classes or for one class."""
        runs = [by_statistic[self.index(statistic)] for by_statistic in self.replicates[model]]
        return tuple(float(run.estimate if label is None else run.class_estimate[label]) for run in runs)

    def estimate(self, model: str, statistic: Statistic, label: int | None = None) -> SeededEstimate:
        """Return a model's value with its replicates over images and seeds, over all classes or for one class."""
        seeds = self._seed_variances(statistic, label)[model]
        runs = [by_statistic[self.index(statistic)] for by_statistic in self.replicates[model]]
        images = np.mean([_values(run, label) for run in runs], axis=0)
        class_units = self.class_units(statistic)
        classes = None
        if label is None and not statistic.pooled:
            classes = ClassReplicates(
                np.mean([run.class_estimate for run in runs], axis=0),
                np.mean([run.class_values for run in runs], axis=0),
                class_units,
            )
        return SeededEstimate(
            float(np.mean(self.seed_values(model, statistic, label))),
            images,
            np.sqrt(seeds.learned) * self.shifts(model),
            (seeds,),
            self.units if label is None else int(class_units[label]),
            classes,
            Scale(statistic.bounds),
        )

    def shifts(self, model: str) -> Floats:
        """Return (B,) see `metrics.compare.seeds.standard_shifts`."""
        return standard_shifts(model, self.resamples, self.seed)

    def class_units(self, statistic: Statistic) -> NDArray[np.int64]:
        """Return (K,) the number of resampling units with objects of each class that are valid for a statistic."""
        units: NDArray[np.int64] = self._class_units[self._area(statistic)]
        return units

    def class_objects(self, statistic: Statistic) -> NDArray[np.int64]:
        """Return (K,) the number of objects of each class that are valid for a statistic."""
        objects: NDArray[np.int64] = self.paired.first.positives[self._area(statistic)]
        return objects

    def order(self, statistic: Statistic) -> list[str]:
        """Return the models, best first; NaN last, ties by name."""
        values = {model: float(np.mean(self.seed_values(model, statistic))) for model in self.paired.matches}
        return best_first(values, statistic.better)

    def _seed_variances(self, statistic: Statistic, label: int | None) -> dict[str, SeedVariance]:
        """By model, cached."""
        key = (self.index(statistic), label)
        if key not in self._cached_variances:
            values = []
            for runs in self.replicates.values():
                values.append(np.stack([_values(run[key[0]], label) for run in runs], axis=1))
            estimates = [np.array(self.seed_values(model, statistic, label)) for model in self.replicates]
            variances = seed_variances(estimates, values)
            self._cached_variances[key] = dict(zip(self.replicates, variances, strict=True))
        return self._cached_variances[key]

    def _area(self, statistic: Statistic) -> int:
        """Index of the area range of a statistic."""
        return 0 if statistic.area is None else self.paired.rule.area_index(statistic.area)

    @cached_property
    def _class_units(self) -> NDArray[np.int64]:
        """(A, K) see `class_units`."""
        first = self.paired.first
        in_unit = self.unit[first.truth.image]
        valid = [(first.valid >> area) & 1 == 1 for area in range(len(self.paired.rule.areas))]
        return np.stack(
            [class_units(first.object_label[rows], in_unit[rows], len(first.classes)) for rows in valid]
        )

    @cached_property
    def _cached_variances(self) -> dict[tuple[int, int | None], dict[str, SeedVariance]]:
        return {}


def _values(run: Replicates, label: int | None) -> Floats:
    """(B,) values over all classes or for one class."""
    return run.values if label is None else run.class_values[:, label]
