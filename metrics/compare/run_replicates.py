"""All runs of a comparison under the same resamples, with both levels of chance."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from metrics.compare.paired_runs import PairedRuns
from metrics.compare.seeds import SeededEstimate, combine_seeds, seed_draws
from metrics.resampling.blocks import Replicates, RunRankings, Statistic, leave_out, replicate
from metrics.resampling.weights import unit_weights

Floats = NDArray[np.float64]

COARSEST = 1000
"""Leave-one-out of more units goes by parts of about equal size: their skewness, all that BCa asks, is the same."""


@dataclass(frozen=True, eq=False)
class RunReplicates:
    """Runs, what is measured of them, and how images are drawn.

    Attributes:
        paired: the runs.
        statistics: the deciding one first; no two of one name.
        unit: (I,) index of each image's unit.
        units: U.
        resamples: B.
        seed: of all draws.
    """

    paired: PairedRuns
    statistics: tuple[Statistic, ...]
    unit: NDArray[np.intp]
    units: int
    resamples: int
    seed: int

    @cached_property
    def rankings(self) -> dict[str, list[RunRankings]]:
        """Of each model, one for each of its seeds."""
        return {model: [RunRankings(one) for one in of] for model, of in self.paired.matches.items()}

    @cached_property
    def weights(self) -> NDArray[np.uint8]:
        """(B, I) how often each image counts in each resample."""
        return unit_weights(self.unit, self.resamples, self.seed)

    @cached_property
    def replicates(self) -> dict[str, list[list[Replicates]]]:
        """Of each model, for each of its seeds, for each statistic; under the same weights for all."""
        return {
            model: [replicate(rankings, self.weights, self.statistics) for rankings in of]
            for model, of in self.rankings.items()
        }

    @cached_property
    def without(self) -> dict[str, list[Floats]]:
        """Of each model, for each statistic: (U,) its mean over seeds without each unit, or part of the units."""
        unit = self.unit if self.units <= COARSEST else self.unit % COARSEST
        return {
            model: [
                np.asarray(np.mean([values for values, _ in of_seeds], axis=0))
                for of_seeds in zip(
                    *(leave_out(rankings, unit, self.statistics) for rankings in of), strict=True
                )
            ]
            for model, of in self.rankings.items()
        }

    def index(self, statistic: Statistic) -> int:
        """Place of a statistic among those that are measured."""
        return self.statistics.index(statistic)

    def seed_values(self, model: str, statistic: Statistic, label: int | None = None) -> tuple[float, ...]:
        """A model's number of each seed, of all classes together or of one."""
        runs = [of[self.index(statistic)] for of in self.replicates[model]]
        return tuple(float(run.estimate if label is None else run.class_estimate[label]) for run in runs)

    def level(self, model: str, statistic: Statistic, label: int | None = None) -> SeededEstimate:
        """A model's number with both levels of chance, of all classes together or of one."""
        runs = [of[self.index(statistic)] for of in self.replicates[model]]
        values = [run.values if label is None else run.class_values[:, label] for run in runs]
        estimates = np.array(self.seed_values(model, statistic, label))
        return combine_seeds(estimates, np.stack(values, axis=1), self.draws[model])

    def order(self, statistic: Statistic) -> list[str]:
        """Models, best first; NaN last, ties by name."""
        sign = -1.0 if statistic.better == "higher" else 1.0
        values = {model: sign * self.level(model, statistic).estimate for model in self.paired.matches}
        return sorted(values, key=lambda model: (np.isnan(values[model]), values[model], model))

    @cached_property
    def draws(self) -> dict[str, Floats]:
        """Of each model (B, S): see `metrics.compare.seeds.seed_draws`."""
        return {
            model: seed_draws(model, len(of), self.resamples, self.seed)
            for model, of in self.paired.matches.items()
        }
