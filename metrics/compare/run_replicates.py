"""Bootstrap replicates of all runs of a comparison, from the same resamples of the images."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from metrics.compare.paired_runs import PairedRuns
from metrics.compare.seeds import SeededEstimate, combine_seeds, seed_weights
from metrics.resampling.replicates import Replicates, Statistic, leave_out, replicate
from metrics.resampling.run_rankings import RunRankings
from metrics.resampling.weights import unit_weights

Floats = NDArray[np.float64]

MAX_JACKKNIFE_UNITS = 1000
"""With more units the jackknife leaves out that many blocks of about equal size; BCa needs only their skewness."""


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
    def seed_weights(self) -> dict[str, Floats]:
        """By model (B, S): see `metrics.compare.seeds.seed_weights`."""
        return {
            model: seed_weights(model, len(runs), self.resamples, self.seed)
            for model, runs in self.paired.matches.items()
        }

    @cached_property
    def replicates(self) -> dict[str, list[list[Replicates]]]:
        """By model, per seed, per statistic."""
        return {
            model: [replicate(rankings, self.weights, self.statistics) for rankings in runs]
            for model, runs in self.rankings.items()
        }

    @cached_property
    def jackknife(self) -> dict[str, list[Floats]]:
        """By model, per statistic: (U,) the mean over seeds with each unit (or block of units) left out."""
        unit = self.unit if self.units <= MAX_JACKKNIFE_UNITS else self.unit % MAX_JACKKNIFE_UNITS
        return {
            model: [
                np.asarray(np.mean([values for values, _ in by_seed], axis=0))
                for by_seed in zip(*(leave_out(one, unit, self.statistics) for one in runs), strict=True)
            ]
            for model, runs in self.rankings.items()
        }

    def index(self, statistic: Statistic) -> int:
        """Return the index of a statistic in `statistics`."""
        return self.statistics.index(statistic)

    def seed_values(self, model: str, statistic: Statistic, label: int | None = None) -> tuple[float, ...]:
        """Return the value of each seed of a model, over all classes or for one class."""
        runs = [by_statistic[self.index(statistic)] for by_statistic in self.replicates[model]]
        return tuple(float(run.estimate if label is None else run.class_estimate[label]) for run in runs)

    def estimate(self, model: str, statistic: Statistic, label: int | None = None) -> SeededEstimate:
        """Return a model's value with its replicates over images and seeds, over all classes or for one class."""
        runs = [by_statistic[self.index(statistic)] for by_statistic in self.replicates[model]]
        values = [run.values if label is None else run.class_values[:, label] for run in runs]
        estimates = np.array(self.seed_values(model, statistic, label))
        return combine_seeds(estimates, np.stack(values, axis=1), self.seed_weights[model])

    def order(self, statistic: Statistic) -> list[str]:
        """Return the models, best first; NaN last, ties by name."""
        sign = -1.0 if statistic.better == "higher" else 1.0
        values = {model: sign * self.estimate(model, statistic).value for model in self.paired.matches}
        return sorted(values, key=lambda model: (np.isnan(values[model]), values[model], model))
