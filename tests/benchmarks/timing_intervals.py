"""Measure how often intervals of speed contain the true value, and how often equally fast models are called different.

    python -m tests.benchmarks.timing_intervals --sets 2000

Simulated timings: processes differ by a shared factor (the state of the machine) and a factor of each model (such as its
memory layout), rounds drift, images differ, and single passes are noisy, some of them delayed. Prints for each number of
processes and models, and each spread of the models' own factors between processes (standard deviation),

- how often any two of the equally fast models are called different (at most 5 %);
- the smallest difference between two of the models that is found in 80 % of timings;
- how often the 95 % intervals of p50, p99 and images per second of a model contain the true value.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from reports.analysis.process_intervals import Estimate, geometric_mean, mean_ratio
from reports.analysis.timing_statistics import process_percentiles, throughput

Floats = NDArray[np.float64]

SHARED = 0.02
"""Standard deviation between processes of the factor that all models share."""
ROUNDS = 6
DRIFT = 0.01
IMAGES = 0.06
NOISE = 0.03
DELAYED, DELAY = 0.02, 0.15
"""Share of delayed passes and mean delay, as a logarithm."""
BOUND = 0.8


@dataclass(frozen=True)
class World:
    """Amount of timing, and what differs.

    Attributes:
        models: number of equally fast models.
        processes: number of fresh processes.
        spread: standard deviation between processes of each model's own factor.
        passes: passes of each model in each process.
    """

    models: int
    processes: int
    spread: float
    passes: int = 200


def draw_passes(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Draw logarithms of the time of passes in a typical process, in order: (..., n)."""
    *outer, passes = shape
    drift = np.repeat(rng.normal(0, DRIFT, (*outer, ROUNDS)), math.ceil(passes / ROUNDS), axis=-1)
    delays = np.where(rng.random(shape) < DELAYED, rng.exponential(DELAY, shape), 0.0)
    return rng.normal(0, math.hypot(IMAGES, NOISE), shape) + drift[..., :passes] + delays


def draw_timing(rng: np.random.Generator, world: World) -> Floats:
    """Draw times in ms: (models, processes, passes)."""
    own = rng.normal(0, world.spread, (world.models, world.processes, 1))
    shared = rng.normal(0, SHARED, (world.processes, 1))
    times: Floats = 10 * np.exp(
        own + shared + draw_passes(rng, (world.models, world.processes, world.passes))
    )
    return times


@cache
def true_values() -> tuple[float, float, float]:
    """Return p50, p99 and images per second in a typical process."""
    ms = 10 * np.exp(draw_passes(np.random.default_rng(0), (200, 10_000)))
    # Rounds drift within a process, so that its percentiles vary; their geometric means are those of a typical process.
    logs = np.log(np.quantile(ms, [0.5, 0.99], axis=-1)).mean(axis=-1)
    return (
        float(np.exp(logs[0])),
        float(np.exp(logs[1])),
        float(np.exp(np.log(1000 / ms.mean(axis=-1)).mean())),
    )


def medians_of(times: Floats) -> Floats:
    """Return the median of each process of each model: (models, processes)."""
    processes = times.shape[1]
    process = np.repeat(np.arange(processes), times.shape[2])
    return np.stack([process_percentiles(of.reshape(-1), process, 0.5) for of in times])


def called_different(medians: Floats) -> bool:
    """Whether the interval of any ratio of two models excludes 1; (models, processes) timed in turn."""
    pairs = list(combinations(range(len(medians)), 2))
    ratios = (mean_ratio(medians[a], medians[b], True, len(pairs)) for a, b in pairs)
    return any(not _contains(ratio, 1.0) for ratio in ratios)


@dataclass(frozen=True)
class Result:
    """Shares of simulated timings.

    Attributes:
        different: in which any two of the equal models are called different.
        detectable: smallest relative difference between two models that is found in 80 % of timings.
        p50, p99, rate: in which the interval of a model contains the true value.
    """

    different: float
    detectable: float
    p50: float
    p99: float
    rate: float


def simulate(world: World, sets: int, seed: int = 1) -> Result:
    """Draw and evaluate `sets` timings."""
    rng = np.random.default_rng(seed)
    true_p50, true_p99, true_rate = true_values()
    process = np.repeat(np.arange(world.processes), world.passes)
    pairs = world.models * (world.models - 1) // 2
    different, found, halves = 0, np.zeros(3), np.empty((sets, 2))
    for number in range(sets):
        times = draw_timing(rng, world)
        medians = medians_of(times)
        different += called_different(medians)
        ratio = mean_ratio(medians[0], medians[1], True, pairs)
        assert ratio.high is not None
        halves[number] = math.log(ratio.value), math.log(ratio.high / ratio.value)
        first = times[0].reshape(-1)
        p99 = geometric_mean(process_percentiles(first, process, 0.99))
        rate = throughput(1, first / 1000, process)
        found += [
            _contains(geometric_mean(medians[0]), true_p50), _contains(p99, true_p99), _contains(rate, true_rate),
        ]  # fmt: skip
    # A true difference d shifts the logarithm of the ratio and leaves its interval as wide.
    detectable = float(np.expm1(np.quantile(halves[:, 1] - halves[:, 0], BOUND)))
    return Result(different / sets, detectable, *(found / sets).tolist())


def worlds(
    models: Sequence[int] = (2, 5), processes: Sequence[int] = (2, 3, 5, 10), passes: int = 200
) -> Iterator[World]:
    """All combinations with the spreads 1, 2 and 3 %."""
    for count in models:
        for number in processes:
            for spread in (0.01, 0.02, 0.03):
                yield World(count, number, spread, passes)


def _contains(interval: Estimate, value: float) -> bool:
    assert interval.low is not None
    assert interval.high is not None
    return interval.low <= value <= interval.high


def main() -> None:
    """Print a row for each world."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", type=int, default=2000, help="number of timings in each world")
    parser.add_argument("--passes", type=int, default=200, help="passes of each model in each process")
    args = parser.parse_args()
    print("models  processes  spread  called different  detectable difference   p50    p99   images/s")
    for world in worlds(passes=args.passes):
        result = simulate(world, args.sets)
        print(
            f"{world.models:6}  {world.processes:9}  {world.spread:5.0%}  {result.different:15.1%}  "
            f"{min(result.detectable, 99.0):21.1%}  {result.p50:5.1%}  {result.p99:5.1%}  {result.rate:5.1%}",
            flush=True,
        )


if __name__ == "__main__":
    main()
