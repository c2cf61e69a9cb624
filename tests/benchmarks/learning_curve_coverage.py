"""Measure how often intervals of learning curves contain the true value, and how often an unreachable level is promised.

    python -m tests.benchmarks.learning_curve_coverage --experiments 1000

Simulated models follow a power law over the number of training images. Each seed at each size has noise of its own, and all sizes
share the noise of the test images. Replicates have the variance of the images, which a bootstrap knows well, and the variance between
seeds as estimated from the seeds of all sizes. Prints for each world the coverage of 95 % intervals of the value at the largest
size, at twice and at four times as many images, of the gain by doubling, and of the number of images until a level.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metrics.designs.learning_curve import LearningCurve, PowerLaw, learning_curve

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class World:
    """A law and its noise.

    Attributes:
        name: for the table.
        law: the true curve.
        level: a value whose number of images is asked for.
        sizes: numbers of training images.
        seeds: at each size.
        of_seed: standard deviation between seeds.
        of_images: standard deviation due to the test images.
    """

    name: str
    law: PowerLaw
    level: float
    sizes: tuple[int, ...] = (50, 100, 200, 400)
    seeds: int = 3
    of_seed: float = 0.01
    of_images: float = 0.01


WORLDS = (
    World("slow", PowerLaw(0.95, 1.5, 0.3), 0.75),
    World("usual", PowerLaw(0.9, 2.5, 0.5), 0.8),
    World("saturated", PowerLaw(0.8, 10.0, 1.0), 0.79),
    World("usual, 6 sizes", PowerLaw(0.9, 2.5, 0.5), 0.8, sizes=(25, 50, 100, 200, 400, 800)),
    World("usual, noisy seeds", PowerLaw(0.9, 2.5, 0.5), 0.8, of_seed=0.03),
    World("unreachable", PowerLaw(0.75, 2.5, 0.5), 0.9),
)


def draw_curve(rng: np.random.Generator, world: World, replicates: int = 200) -> LearningCurve:
    """Draw the values of an experiment, and fit them."""
    sizes = np.array(world.sizes, float)
    noise = rng.normal(0, world.of_seed, (world.seeds, len(sizes)))
    seeds = world.law.at(sizes) + noise + rng.normal(0, world.of_images)
    of_seed = np.sqrt(seeds.var(0, ddof=1).mean() / world.seeds)
    images = rng.normal(0, world.of_images, (replicates, 1))
    drawn = seeds.mean(0) + images + rng.normal(0, of_seed, (replicates, len(sizes)))
    return learning_curve(sizes, np.clip(seeds.mean(0), 0, 1), np.clip(drawn, 0, 1), seeds_vary=True)


def covered(curve: LearningCurve, world: World) -> dict[str, float]:
    """Whether each interval contains the true value; NaN where the curve is not extrapolated."""
    largest = float(world.sizes[-1])
    found = {}
    for name, images in (("N", largest), ("2N", 2 * largest), ("4N", 4 * largest)):
        if images > curve.limit:
            found[name] = np.nan
            continue
        estimate = curve.at(images)
        found[name] = float(estimate.low <= world.law.at(images) <= estimate.high)
    if curve.unsupported:
        return found | {"gain": np.nan, "until": np.nan, "promised": np.nan}
    gain, true_gain = curve.gain(largest, 2 * largest), world.law.at(2 * largest) - world.law.at(largest)
    until, truth = curve.images_until(world.level), world.law.images_until(world.level)
    truth = truth if truth <= curve.limit else np.inf
    return found | {
        "gain": float(gain.low <= true_gain <= gain.high),
        "until": float(until.low <= truth <= until.high),
        "promised": float(np.isfinite(until.high) and not np.isfinite(truth)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--experiments", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    names = ("N", "2N", "4N", "gain", "until", "promised")
    print(f"{'world':20s}" + "".join(f"{name:>10s}" for name in names) + f"{'refused':>10s}")
    for world in WORLDS:
        rng = np.random.default_rng(given.seed)
        found = [covered(draw_curve(rng, world), world) for _ in range(given.experiments)]
        shares = [np.nanmean([each[name] for each in found]) for name in names]
        refused = np.mean([np.isnan(each["2N"]) for each in found])
        print(f"{world.name:20s}" + "".join(f"{share:10.1%}" for share in [*shares, refused]))


if __name__ == "__main__":
    main()
