"""Measure how often 95 % intervals of label maps contain the true value, on simulated test sets from known populations.

    python -m tests.benchmarks.mask_coverage
    python -m tests.benchmarks.mask_coverage --sets 100 --world "equal, 100 images"

The counts of an image are drawn without pixels: areas of the classes, and binomial numbers of hits and of false positives,
whose rates have a part that the models share (the difficulty of the image or of its group), one of the model's own, and one of
its seed. The measures in the population are ratios of expected areas.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metrics.compare import compare_masks
from metrics.mask_counts import MaskCounts
from tests.benchmarks.interval_coverage import coverage, standard_error

Floats = NDArray[np.float64]

PIXELS = 20_000
AREA = 400.0
"""Mean area of a class in an image that has it."""
HIT, FALSE = 1.2, -4.0
"""Log odds that a pixel of a class is found, and that one of the background is taken for a class."""
SHARED, OWN = 0.6, 0.5
"""Standard deviations of these log odds between images: of all models together, and of each model."""


@dataclass(frozen=True, slots=True)
class MaskWorld:
    """A population of images, and models with known quality.

    Attributes:
        name: of the world.
        images: number of images of a test set.
        presence: probability that an image has each class, besides the background.
        gains: by model, what is added to the log odds of hits and subtracted from those of false positives.
        seeds: number of seeds of each model.
        seed_deviation: standard deviation of the gain between seeds.
        group: images of a group, which share their difficulty.
        measures: the deciding one first.
    """

    name: str
    images: int
    presence: tuple[float, ...]
    gains: tuple[float, ...]
    seeds: int = 1
    seed_deviation: float = 0.0
    group: int = 1
    measures: tuple[str, ...] = ("miou", "mdice", "pixel_accuracy")

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models."""
        return tuple(f"m{number}" for number in range(len(self.gains)))

    def population(self, gain: float) -> dict[str, float]:
        """The measures in the population of images and seeds of a model with this gain."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(20 if self.seed_deviation else 1)
        values = [self._of_seed(gain + self.seed_deviation * node) for node in nodes]
        weights = weights / weights.sum()
        return {
            name: float(sum(w * each[name] for w, each in zip(weights, values, strict=True)))
            for name in values[0]
        }

    def _of_seed(self, gain: float) -> dict[str, float]:
        areas = AREA * np.array(self.presence)
        background = PIXELS - areas.sum()
        hits, false = areas * _mean_sigmoid(HIT + gain), background * _mean_sigmoid(FALSE - gain) / len(areas)
        truth = np.r_[background, areas]
        intersection = np.r_[background - false * len(areas), hits]
        predicted = np.r_[PIXELS - (hits + false).sum(), hits + false]
        return {
            "miou": float(np.mean(intersection / (truth + predicted - intersection))),
            "mdice": float(np.mean(2 * intersection / (truth + predicted))),
            "pixel_accuracy": float(intersection.sum() / PIXELS),
        }


def draw_counts(rng: np.random.Generator, world: MaskWorld) -> dict[str, MaskCounts | list[MaskCounts]]:
    """Draw a test set and the counts of all models on it; of a model with one seed, its counts."""
    images, classes = world.images, len(world.presence)
    groups = -(-images // world.group)
    difficulty = np.repeat(rng.normal(0, SHARED, groups), world.group)[:images]
    has = rng.random((images, classes)) < world.presence
    areas = np.where(has, rng.poisson(AREA / 2 * rng.gamma(2.0, size=(images, classes))), 0)
    background = PIXELS - areas.sum(axis=1)
    assert background.min() > 0
    truth = np.c_[background, areas]
    runs: dict[str, MaskCounts | list[MaskCounts]] = {}
    for model, mean in zip(world.models, world.gains, strict=True):
        made = []
        own = rng.normal(0, OWN, images)
        for _ in range(world.seeds):
            gain = mean + world.seed_deviation * rng.normal()
            hits = rng.binomial(areas, _sigmoid(HIT + gain + difficulty + own)[:, None])
            count = rng.binomial(background, _sigmoid(FALSE - gain + difficulty + own))
            false = rng.multinomial(count, [1 / classes] * classes)
            found = hits + false
            predicted = np.c_[PIXELS - found.sum(axis=1), found]
            intersection = np.c_[background - count, hits]
            names = ("background", *(f"c{k}" for k in range(classes)))
            made.append(MaskCounts(names, intersection, truth, predicted, np.full(images, PIXELS)))
        runs[model] = made[0] if world.seeds == 1 else made
    return runs


@dataclass(frozen=True, eq=False)
class MaskSimulation:
    """Comparisons of the models of a world on S test sets.

    Attributes:
        world: the world.
        values: measure to (S, 3) of the first model: lower bound, value, upper bound.
        differences: measure to (S, 3) of the first model minus the last.
        decisive: (S,) whether at least one pair of models is called different by the first measure.
        too_few: (S,) whether a decision is refused.
        seconds: spent.
    """

    world: MaskWorld
    values: dict[str, Floats]
    differences: dict[str, Floats]
    decisive: NDArray[np.bool_]
    too_few: NDArray[np.bool_]
    seconds: float

    def difference_coverage(self, measure: str) -> float:
        """Share of intervals that contain the difference in the population."""
        first, last = (self.world.population(self.world.gains[index])[measure] for index in (0, -1))
        return coverage(self.differences[measure], first - last)

    def population_coverage(self, measure: str) -> float:
        """Share of intervals that contain the value in the population."""
        return coverage(self.values[measure], self.world.population(self.world.gains[0])[measure])


def simulate(world: MaskWorld, sets: int, resamples: int = 300, seed: int = 1) -> MaskSimulation:
    """Compare the models of a world on this number of test sets."""
    start = time.perf_counter()
    rng = np.random.default_rng(seed)
    first, last = world.models[0], world.models[-1]
    values: dict[str, list[tuple[float, ...]]] = {name: [] for name in world.measures}
    differences: dict[str, list[tuple[float, ...]]] = {name: [] for name in world.measures}
    decisive, too_few = [], []
    groups = None if world.group == 1 else (np.arange(world.images) // world.group).tolist()
    for number in range(sets):
        found = compare_masks(
            draw_counts(rng, world),
            world.measures[0],
            also=world.measures[1:],
            resamples=resamples,
            seed=number,
            groups=groups,
        )
        for name in world.measures:
            row, pair = found.standing(first, name), found.difference(first, last, name)
            values[name].append((row.ci_low, row.value, row.ci_high))
            interval = (pair.ci_low, pair.delta, pair.ci_high)
            if pair.model_a != first:
                interval = (-pair.ci_high, -pair.delta, -pair.ci_low)
            differences[name].append(interval)
        pairs = [row for row in found.pairwise if row.metric == world.measures[0]]
        decisive.append(any(row.decisive for row in pairs))
        too_few.append(pairs[0].too_few)
    return MaskSimulation(
        world,
        {name: np.array(rows) for name, rows in values.items()},
        {name: np.array(rows) for name, rows in differences.items()},
        np.array(decisive),
        np.array(too_few),
        time.perf_counter() - start,
    )


def grid() -> list[MaskWorld]:
    """The worlds of docs/statistics.md."""
    common, rare = (0.8, 0.5, 0.4), (0.8, 0.3, 0.05)
    equal, different = (0.0, 0.0), (0.4, 0.0)
    return [
        MaskWorld("equal, 20 images", 20, common, equal),
        MaskWorld("equal, 50 images", 50, common, equal),
        MaskWorld("equal, 100 images", 100, common, equal),
        MaskWorld("equal, 500 images", 500, common, equal),
        MaskWorld("equal, 100 images, a rare class", 100, rare, equal),
        MaskWorld("different, 100 images", 100, common, different),
        MaskWorld("different, 100 images, a rare class", 100, rare, different),
        MaskWorld("equal, 40 groups of 5", 200, common, equal, group=5),
        MaskWorld("5 equal models, 100 images", 100, common, (0.0,) * 5),
        MaskWorld("equal, 3 and 3 seeds, 100 images", 100, common, equal, seeds=3, seed_deviation=0.1),
        MaskWorld(
            "equal, 3 and 3 dominant seeds, 100 images", 100, common, equal, seeds=3, seed_deviation=0.5
        ),
    ]


def table_row(found: MaskSimulation) -> str:
    """Return the row of a world in Markdown."""
    world = found.world
    cells = [
        f"{100 * found.difference_coverage(name):.1f} ({100 * found.population_coverage(name):.1f})"
        for name in world.measures
    ]
    called = "refused" if found.too_few.all() else f"{100 * found.decisive.mean():.1f}"
    return f"| {' | '.join([world.name, str(len(found.decisive)), *cells, called])} |"


def _sigmoid(log_odds: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-log_odds)))


def _mean_sigmoid(log_odds: float) -> float:
    """Expected rate over images."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    deviation = math.hypot(SHARED, OWN)
    return float((weights * _sigmoid(log_odds + deviation * nodes)).sum() / weights.sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=300)
    parser.add_argument("--resamples", type=int, default=300)
    parser.add_argument("--world", action="append", choices=[world.name for world in grid()], metavar="NAME")
    given = parser.parse_args()
    print("| world | sets | mIoU | Dice | pixel accuracy | called different |")
    print("| --- | --- | --- | --- | --- | --- |")
    for world in grid():
        if not given.world or world.name in given.world:
            found = simulate(world, given.sets, given.resamples)
            print(table_row(found), f"<!-- {found.seconds:.0f} s -->", flush=True)
    print(f"standard error of 95 %: {100 * standard_error(0.95, given.sets):.1f}")


if __name__ == "__main__":
    main()
