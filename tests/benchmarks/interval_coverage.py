"""Measure how often 95 % intervals contain the true value, on simulated test sets from known populations.

    python -m tests.benchmarks.interval_coverage --grid
    python -m tests.benchmarks.interval_coverage --sets 200 --world "equal, 100 images"

Each world of the grid has models to compare, or a model to compare on slices of the objects: how often the interval of the
difference (of the first and the last model or slice) contains the difference in the population; how often the interval of a value
contains its mean over test sets of that size, and the value in the population; and how often the comparison calls equal models, or
equally hard slices, different.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from metrics.compare import compare
from metrics.resampling.scale import Floats
from tests.benchmarks.interval_worlds import World, draw_runs, grid, true_values
from tests.benchmarks.slice_worlds import (
    SliceSimulation,
    SliceWorld,
    population_slices,
    simulate_slices,
    slice_grid,
)


@dataclass(frozen=True, eq=False)
class Simulation:
    """Comparisons of the models of a world on S test sets.

    Attributes:
        world: the world.
        values: measure to (S, 3) of the first model: lower bound, value, upper bound.
        differences: measure to (S, 3) of the first model minus the last: lower bound, difference, upper bound.
        decisive: (S,) whether the comparison calls at least one pair of models different by the first measure.
        too_few: (S,) whether it refuses a decision.
        rare_share: (S,) share of the mean over classes that rare classes carry.
        swap_p_values: (S,) p-values of the label swap; empty without permutations or with different numbers of seeds.
        seconds: spent.
    """

    world: World
    values: dict[str, Floats]
    differences: dict[str, Floats]
    decisive: NDArray[np.bool_]
    too_few: NDArray[np.bool_]
    rare_share: Floats
    swap_p_values: Floats
    seconds: float

    def difference_coverage(self, measure: str) -> float:
        """Share of intervals that contain the difference in the population."""
        first, last = (true_values(self.world, self.world.skills[index])[measure] for index in (0, -1))
        return coverage(self.differences[measure], first - last)

    def mean_coverage(self, measure: str) -> float:
        """Share of intervals that contain the mean value over test sets of this size."""
        return coverage(self.values[measure], float(np.nanmean(self.values[measure][:, 1])))

    def population_coverage(self, measure: str) -> float:
        """Share of intervals that contain the value in the population."""
        return coverage(self.values[measure], true_values(self.world, self.world.skills[0])[measure])


def simulate(
    world: World, sets: int, resamples: int = 400, permutations: int = 0, seed: int = 1
) -> Simulation:
    """Compare the models of a world on many test sets.

    Args:
        world: the world.
        sets: number of test sets.
        resamples: bootstrap replicates of each comparison.
        permutations: label swaps.
        seed: seed of the test sets.
    """
    start = time.perf_counter()
    rng = np.random.default_rng(seed)
    values, differences = defaultdict(list), defaultdict(list)
    decisive, too_few, rare, swap_p_values = [], [], [], []
    deciding, *others = world.measures
    first, last = world.models[0], world.models[-1]
    for number in range(sets):
        found = compare(
            draw_runs(rng, world),
            deciding,
            also=others,
            resamples=resamples,
            seed=number,
            groups=world.groups,
            permutations=permutations,
        )
        for name in world.measures:
            row, pair = found.standing(first, name), found.difference(first, last, name)
            values[name].append((row.ci_low, row.value, row.ci_high))
            interval = (pair.ci_low, pair.delta, pair.ci_high)
            if pair.model_a != first:
                interval = (-pair.ci_high, -pair.delta, -pair.ci_low)
            differences[name].append(interval)
        pairs = [row for row in found.pairwise if row.metric == deciding and row.test == "bootstrap"]
        decisive.append(any(row.decisive for row in pairs))
        too_few.append(pairs[0].too_few)
        rare.append(pairs[0].rare_share)
        swap_p_values += [row.p_raw for row in found.pairwise if row.test == "label swap"]
    return Simulation(
        world,
        {name: np.array(rows) for name, rows in values.items()},
        {name: np.array(rows) for name, rows in differences.items()},
        np.array(decisive),
        np.array(too_few),
        np.array(rare),
        np.array(swap_p_values),
        time.perf_counter() - start,
    )


def coverage(intervals: Floats, truth: float) -> float:
    """Share of (S, 3) intervals that contain a value; undefined intervals are left out."""
    defined = intervals[~np.isnan(intervals[:, 0])]
    return float(np.mean((defined[:, 0] <= truth) & (truth <= defined[:, 2])))


def standard_error(share: float, count: int) -> float:
    """Standard error of a share of this many cases."""
    return math.sqrt(share * (1 - share) / count)


def table_rows(simulation: Simulation) -> tuple[str, str]:
    """Return the rows of a world in the tables of differences and of values, in Markdown."""
    world, sets = simulation.world, len(simulation.decisive)
    differences = [f"{100 * simulation.difference_coverage(name):.1f}" for name in world.measures]
    values = [
        f"{100 * simulation.mean_coverage(name):.1f} ({100 * simulation.population_coverage(name):.1f})"
        for name in world.measures
    ]
    called = "refused" if simulation.too_few.all() else f"{100 * simulation.decisive.mean():.1f}"
    rare = f"{100 * simulation.rare_share.mean():.0f} %"
    return (
        f"| {' | '.join([world.name, str(sets), rare, *differences, called])} |",
        f"| {' | '.join([world.name, *values])} |",
    )


def main() -> None:
    """Run the simulations and print their tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--grid", action="store_true", help="run all worlds")
    parser.add_argument("--world", nargs="+", default=[], metavar="NAME", help="run these worlds")
    parser.add_argument("--sets", type=int, default=600, help="number of test sets of each world")
    parser.add_argument("--resamples", type=int, default=400, help="bootstrap replicates of each comparison")
    parser.add_argument("--processes", type=int, default=1, help="worlds simulated at the same time")
    args = parser.parse_args()
    worlds = [world for world in (*grid(), *slice_grid()) if args.grid or world.name in args.world]
    if not worlds:
        parser.error(
            "no such world; see python -m tests.benchmarks.interval_worlds and python -m tests.benchmarks.slice_worlds, or use --grid"
        )
    run = partial(_simulate_any, sets=args.sets, resamples=args.resamples)
    done: list[tuple[int, Simulation | SliceSimulation]] = []
    with multiprocessing.get_context("spawn").Pool(args.processes) as pool:
        for number, simulation in pool.imap_unordered(run, enumerate(worlds)):
            done.append((number, simulation))
            print(f"{simulation.seconds:.0f} s", *all_rows(simulation), sep="\n", flush=True)
    print_tables([simulation for _, simulation in sorted(done, key=lambda pair: pair[0])])


def _simulate_any(
    numbered: tuple[int, World | SliceWorld], sets: int, resamples: int
) -> tuple[int, Simulation | SliceSimulation]:
    number, world = numbered
    if isinstance(world, SliceWorld):
        return number, simulate_slices(world, sets, resamples)
    return number, simulate(world, sets, resamples)


def all_rows(simulation: Simulation | SliceSimulation) -> tuple[str, ...]:
    """Return the rows of a world in all tables."""
    return (slice_row(simulation),) if isinstance(simulation, SliceSimulation) else table_rows(simulation)


def print_tables(simulations: Sequence[Simulation | SliceSimulation]) -> None:
    """Print the tables of differences and of values in Markdown, for each list of measures, and that of slices."""
    by_measures: dict[tuple[str, ...], list[Simulation]] = defaultdict(list)
    slices = []
    for simulation in simulations:
        if isinstance(simulation, SliceSimulation):
            slices.append(simulation)
        else:
            by_measures[simulation.world.measures].append(simulation)
    for measures, group in by_measures.items():
        print_table(
            ["world", "sets", "rare classes", *measures, "called different"],
            [table_rows(one)[0] for one in group],
        )
        print_table(["world", *measures], [table_rows(one)[1] for one in group])
    if slices:
        heads = [
            "world",
            "sets",
            "rare classes",
            "difference",
            "first slice",
            "last slice",
            "called different",
        ]
        print_table(heads, [slice_row(one) for one in slices])
    sets = min(len(one.decisive) for one in simulations)
    print(f"\nstandard error of a share of 95 %: {100 * standard_error(0.95, sets):.1f}")


def print_table(heads: Sequence[str], rows: Sequence[str]) -> None:
    """Print a table in Markdown."""
    print(f"\n| {' | '.join(heads)} |\n|{' --- |' * len(heads)}")
    print("\n".join(rows))


def slice_row(simulation: SliceSimulation) -> str:
    """Return the row of a world of slices, in Markdown: coverage of the difference and of both values."""
    world = simulation.world
    first, last = population_slices(world)
    values = [
        f"{100 * coverage(rows, float(np.nanmean(rows[:, 1]))):.1f} ({100 * coverage(rows, truth):.1f})"
        for rows, truth in ((simulation.first, first), (simulation.last, last))
    ]
    cells = [
        world.name,
        str(len(simulation.decisive)),
        f"{100 * simulation.rare_share.mean():.0f} %",
        f"{100 * coverage(simulation.differences, first - last):.1f}",
        *values,
        f"{100 * simulation.decisive.mean():.1f}",
    ]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
