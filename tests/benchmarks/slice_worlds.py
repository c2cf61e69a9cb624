"""Simulated worlds whose objects are in two slices, for `interval_coverage`, which compares the slices.

    python -m tests.benchmarks.slice_worlds

Prints the worlds of the grid.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from metrics.matching import Matches
from metrics.resampling.scale import Floats
from metrics.slices import Axis, compare_slices, measure_slices
from tests.benchmarks.interval_worlds import Skill, World, draw_runs_on, draw_sample

AXIS = "part"
FIRST, LAST = "first", "last"

POPULATION_IMAGES = 100_000
"""Images of a test set that represents the population."""


@dataclass(frozen=True)
class SliceWorld:
    """A world with one model, whose objects are at random in one of two slices.

    Attributes:
        world: the population of images, and the model.
        share: of the objects that are in the first slice.
        handicap: by which the log odds of detecting an object of the first slice are lower.
    """

    world: World
    share: float = 0.5
    handicap: float = 0.0

    @property
    def name(self) -> str:
        """Name of the world."""
        return self.world.name


@dataclass(frozen=True, eq=False)
class SliceSimulation:
    """Comparisons of two slices on S test sets.

    Attributes:
        world: the world.
        first, last: (S, 3) of each slice: lower bound, ``ap_n``, upper bound.
        differences: (S, 3) of the first slice minus the last; NaN where a slice has too few data.
        decisive: (S,) whether the slices are called different; False where there are too few data.
        compared: (S,) whether both slices have enough data.
        rare_share: (S,) share of the mean over classes that classes with fewer than 20 objects in the first slice carry.
        seconds: spent.
    """

    world: SliceWorld
    first: Floats
    last: Floats
    differences: Floats
    decisive: NDArray[np.bool_]
    compared: NDArray[np.bool_]
    rare_share: Floats
    seconds: float


def draw_slices(rng: np.random.Generator, sliced: SliceWorld) -> tuple[dict[str, list[Matches]], Axis]:
    """Draw a test set, the matches of every training on it, and the slice of each object."""
    world = sliced.world
    sample = draw_sample(rng, world.images, world.shares, world.group_size)
    last = rng.random(len(sample.truth)) >= sliced.share
    sample = replace(sample, handicap=np.where(last, 0.0, sliced.handicap))
    return draw_runs_on(rng, world, sample), Axis(AXIS, "object", (FIRST, LAST), last.astype(np.int32))


@cache
def population_slices(sliced: SliceWorld) -> tuple[float, float]:
    """Return ``ap_n`` of both slices in the population, for models with one training."""
    world = replace(sliced.world, images=POPULATION_IMAGES, group_size=1)
    runs, axis = draw_slices(np.random.default_rng(0), replace(sliced, world=world))
    table = measure_slices(runs[world.models[0]][0], [axis], measures=())
    return table.value("ap_n", AXIS, FIRST), table.value("ap_n", AXIS, LAST)


def simulate_slices(sliced: SliceWorld, sets: int, resamples: int = 400, seed: int = 1) -> SliceSimulation:
    """Compare the slices of a world on many test sets.

    Args:
        sliced: the world.
        sets: number of test sets.
        resamples: bootstrap replicates of each comparison.
        seed: seed of the test sets.
    """
    start = time.perf_counter()
    rng = np.random.default_rng(seed)
    model = sliced.world.models[0]
    nan = (np.nan, np.nan, np.nan)
    first, last, differences, decisive, compared, rare = [], [], [], [], [], []
    for number in range(sets):
        runs, axis = draw_slices(rng, sliced)
        found = compare_slices(runs, [axis], resamples=resamples, seed=number, groups=sliced.world.groups)
        for rows, name in ((first, FIRST), (last, LAST)):
            row = found.interval(model, AXIS, name)
            rows.append((row.ci_low, row.ap_n, row.ci_high))
        pairs = [row for row in found.differences if row.model == model]
        compared.append(bool(pairs))
        decisive.append(any(row.decisive for row in pairs))
        interval = nan
        for row in pairs:
            sign = 1.0 if row.high == FIRST else -1.0
            low, high = sorted((sign * row.sim_low, sign * row.sim_high))
            interval = (low, sign * row.delta, high)
        differences.append(interval)
        truth = runs[model][0].truth
        objects = np.bincount(truth.label[axis.index == 0], minlength=len(sliced.world.shares))
        rare.append(np.mean(objects[objects > 0] < 20))
    return SliceSimulation(
        sliced,
        np.array(first),
        np.array(last),
        np.array(differences),
        np.array(decisive),
        np.array(compared),
        np.array(rare),
        time.perf_counter() - start,
    )


def slice_grid() -> list[SliceWorld]:
    """Return the worlds in which coverage of slices is measured: shares, class frequencies, images, groups, seeds."""
    even, rare = (1.0, 1.0, 1.0), (100.0, 10.0, 1.0)

    def world(name: str, images: int, shares: tuple[float, ...], seeds: int = 1, group: int = 1) -> World:
        return World(f"slices {name}", images, shares, (Skill(),), (seeds,), group_size=group)

    return [
        SliceWorld(world("1:1, 60 images", 60, even)),
        SliceWorld(world("1:4, 100 images", 100, even), 0.2),
        SliceWorld(world("1:4, 500 images", 500, even), 0.2),
        SliceWorld(world("1:4, first harder, 100 images", 100, even), 0.2, 1.0),
        SliceWorld(world("1:1, 100 images, classes 100:10:1", 100, rare)),
        SliceWorld(world("1:4, 100 images, classes 100:10:1", 100, rare), 0.2),
        SliceWorld(world("1:4, 500 images, classes 100:10:1", 500, rare), 0.2),
        SliceWorld(world("1:1, 72 images, classes 200:3:3", 72, (200.0, 3.0, 3.0))),
        SliceWorld(world("1:4, 40 groups of 5", 200, even, group=5), 0.2),
        SliceWorld(world("1:1, 40 groups of 5, classes 100:10:1", 200, rare, group=5)),
        SliceWorld(world("1:1, 3 seeds, 100 images", 100, even, seeds=3)),
    ]


def main() -> None:
    """Print the worlds of the grid."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    for world in slice_grid():
        print(world)


if __name__ == "__main__":
    main()
