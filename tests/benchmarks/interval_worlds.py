"""Simulated worlds with known truth for `interval_coverage`: images, objects and models whose skill is set.

    python -m tests.benchmarks.interval_worlds

Prints the worlds of the grid.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from metrics.match_rule import MatchRule
from metrics.matching import Matches, match
from metrics.resampling import RunRankings, named_statistic
from metrics.resampling.replicates import weigh
from metrics.tables import AnnotationTable, Catalog, DetectionTable

SLOTS = 12
"""Most objects in an image; each has a place of its own, so that none overlap."""

POPULATION_IMAGES = 100_000
"""Images of a test set that represents the population, with equally frequent classes: its standard error is a hundredth of
that of a test set of 10 images."""

MEASURES = ("ap", "ap50", "ar_100", "f1", "olrp")
SLICES = ("ap", "ap_small", "ap_medium", "ap_large", "olrp_large")

NODES, NODE_WEIGHTS = np.polynomial.hermite_e.hermegauss(5)
"""Points and weights of Gauss-Hermite quadrature, for the mean over trainings."""


@dataclass(frozen=True)
class Skill:
    """Quality of a model.

    Attributes:
        recall_log_odds: log odds of detecting an object in an image of average difficulty.
        box_error: mean shift of a box, relative to its side.
        false_alarms: mean number of false positives per image.
    """

    recall_log_odds: float = 1.2
    box_error: float = 0.08
    false_alarms: float = 1.5


@dataclass(frozen=True)
class World:
    """A population of images, and models to compare on samples of it.

    Attributes:
        name: of the world.
        images: images of a test set.
        shares: relative frequency of each class, of objects and of false positives.
        skills: of each model; the first and the last are compared.
        seeds: number of trainings of each model.
        seed_spread: standard deviation of the log odds of recall between trainings of a model with several seeds.
        group_size: images of a group, which share a difficulty; 1 for independent images.
        measures: short names of the measures to compare.
    """

    name: str
    images: int
    shares: tuple[float, ...]
    skills: tuple[Skill, ...]
    seeds: tuple[int, ...] = (1, 1)
    seed_spread: float = 0.15
    group_size: int = 1
    measures: tuple[str, ...] = MEASURES

    @property
    def equal(self) -> bool:
        """Whether all models are equally good."""
        return len(set(self.skills)) == 1

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models."""
        return tuple(f"m{index}" for index in range(len(self.skills)))

    @property
    def groups(self) -> list[int] | None:
        """Group of each image; None for independent images."""
        return None if self.group_size == 1 else [image // self.group_size for image in range(self.images)]


@dataclass(frozen=True, eq=False)
class Sample:
    """Ground truth of a test set, and its difficulty for all models.

    Attributes:
        truth: ground truth.
        difficulty: (I,) of each image.
        handicap: (G,) by which the log odds of detecting an object are lower.
    """

    truth: AnnotationTable
    difficulty: NDArray[np.float64]
    handicap: NDArray[np.float64]


@cache
def _catalog(images: int, classes: int) -> Catalog:
    return Catalog.of(range(images), [f"c{index}" for index in range(classes)])


def draw_sample(
    rng: np.random.Generator, images: int, shares: Sequence[float], group_size: int = 1
) -> Sample:
    """Draw images with 1 to `SLOTS` objects each, of sides between 16 and 160 pixels.

    Args:
        rng: random number generator.
        images: number of images.
        shares: relative frequency of each class.
        group_size: images of a group; half of the variance of their difficulty is that of the group.
    """
    counts = 1 + np.minimum(rng.poisson(2.0, images), SLOTS - 1)
    image = np.repeat(np.arange(images), counts)
    slot = np.arange(len(image)) - np.repeat(np.cumsum(counts) - counts, counts)
    side = 16 * 10 ** rng.uniform(0, 1, len(image))
    boxes = np.stack([slot * 400.0, np.zeros(len(image)), side, side], axis=1)
    catalog = _catalog(images, len(shares))
    label = rng.choice(len(shares), len(image), p=np.array(shares) / np.sum(shares))
    difficulty = rng.normal(0, 1, images)
    if group_size > 1:
        groups = -(-images // group_size)
        difficulty = np.sqrt(0.5) * (difficulty + np.repeat(rng.normal(0, 1, groups), group_size)[:images])
    return Sample(AnnotationTable.of(catalog, image, label, boxes), difficulty, np.zeros(len(image)))


def detect(rng: np.random.Generator, sample: Sample, skill: Skill, shares: Sequence[float]) -> DetectionTable:
    """Draw the detections of a model; well-localized ones have higher scores, and so do some false positives.

    Args:
        rng: random number generator.
        sample: the test set.
        skill: of the model.
        shares: relative frequency of the classes of false positives.
    """
    truth = sample.truth
    log_odds = skill.recall_log_odds - 0.8 * sample.difficulty[truth.image] - sample.handicap
    chance = 1 / (1 + np.exp(-log_odds))
    detected = np.flatnonzero(rng.random(len(truth)) < chance)
    shift = rng.gamma(2.0, skill.box_error / 2, len(detected))
    boxes = truth.xywh[detected]
    boxes[:, 0] += shift * boxes[:, 2]
    alarms = rng.poisson(skill.false_alarms * np.exp(0.3 * sample.difficulty))
    image = np.repeat(np.arange(len(alarms)), alarms)
    side = 16 * 10 ** rng.uniform(0, 1, len(image))
    corners = np.stack([rng.uniform(0, 4000, len(image)), rng.uniform(500, 900, len(image))], axis=1)
    scores = rng.beta(4, 2, len(detected)) * np.exp(-shift)
    true_positives = (truth.image[detected], truth.label[detected], boxes, scores)
    false_positives = (
        image,
        rng.choice(len(shares), len(image), p=np.array(shares) / np.sum(shares)),
        np.column_stack([corners, side, side]),
        rng.beta(1.5, 3, len(image)),
    )
    columns = zip(true_positives, false_positives, strict=True)
    return DetectionTable(truth.catalog, *(np.concatenate(pair) for pair in columns))


def draw_runs(rng: np.random.Generator, world: World) -> dict[str, list[Matches]]:
    """Draw a test set and the matches of every training of every model on it."""
    return draw_runs_on(rng, world, draw_sample(rng, world.images, world.shares, world.group_size))


def draw_runs_on(rng: np.random.Generator, world: World, sample: Sample) -> dict[str, list[Matches]]:
    """Draw the matches of every training of every model on a test set."""
    runs = {}
    for model, skill, seeds in zip(world.models, world.skills, world.seeds, strict=True):
        several = max(world.seeds) > 1  # a model with a single seed beside others was trained as they were
        steps = rng.normal(0, world.seed_spread, seeds) if several else np.zeros(seeds)
        trained = [replace(skill, recall_log_odds=skill.recall_log_odds + step) for step in steps]
        runs[model] = [match(sample.truth, detect(rng, sample, one, world.shares)) for one in trained]
    return runs


@cache
def population_values(skill: Skill, shares: tuple[float, ...], measures: tuple[str, ...]) -> dict[str, float]:
    """Return the measures of a model in the population.

    False positives occur in proportion to objects, so the value of a class does not depend on its share: the test set that
    represents the population has equally frequent classes.
    """
    rng = np.random.default_rng(0)
    even = (1.0,) * min(len(shares), 2)
    sample = draw_sample(rng, POPULATION_IMAGES, even)
    matches = match(sample.truth, detect(rng, sample, skill, even))
    statistics = [named_statistic(name, MatchRule()) for name in measures]
    rows = np.ones((1, POPULATION_IMAGES), np.uint8)
    found = weigh(RunRankings(matches), rows, statistics)
    return {name: float(values[0]) for name, (values, _) in zip(measures, found, strict=True)}


def true_values(world: World, skill: Skill) -> dict[str, float]:
    """Return the measures of a model of the world in the population, in the mean over trainings."""
    if max(world.seeds) == 1:
        return population_values(skill, world.shares, world.measures)
    shares = NODE_WEIGHTS / NODE_WEIGHTS.sum()
    trained = [
        population_values(
            replace(skill, recall_log_odds=skill.recall_log_odds + world.seed_spread * float(node)),
            world.shares,
            world.measures,
        )
        for node in NODES
    ]
    return {
        name: float(sum(share * values[name] for share, values in zip(shares, trained, strict=True)))
        for name in world.measures
    }


def grid() -> list[World]:
    """Return the worlds in which coverage is measured: class frequencies, images, seeds, models, slices and groups."""
    even, rare = (1.0, 1.0, 1.0), (100.0, 10.0, 1.0)
    base, better = Skill(), Skill(1.8, 0.07)
    same, differ = (base, base), (better, base)
    worlds = [World(f"equal, {n} images", n, even, same) for n in (20, 50, 100, 500)]
    worlds += [World(f"equal, {n} images, classes 100:10:1", n, rare, same) for n in (20, 50, 100, 500)]
    worlds += [
        World("equal, 60 images, classes 10:4:1:1", 60, (10.0, 4.0, 1.0, 1.0), same),
        World("equal, 72 images, classes 200:3:3", 72, (200.0, 3.0, 3.0), same),
        World("equal, 50 images, 20 classes", 50, (1.0,) * 20, same),
    ]
    worlds += [World(f"different, {n} images", n, even, differ) for n in (20, 100, 500)]
    worlds += [World(f"different, {n} images, classes 100:10:1", n, rare, differ) for n in (50, 100, 500)]
    worlds += [
        World("different, 72 images, classes 200:3:3", 72, (200.0, 3.0, 3.0), differ),
        World("better boxes, more false positives, 100 images", 100, even, (Skill(1.2, 0.07, 2.0), base)),
        World("slices, 100 images", 100, (3.0, 1.0), differ, measures=SLICES),
        World("slices, 500 images, classes 20:1", 500, (20.0, 1.0), differ, measures=SLICES),
        World("25 groups of 8 images", 200, even, differ, group_size=8),
        World("equal, 40 groups of 5, classes 100:10:1", 200, rare, same, group_size=5),
        World("5 equal models, 100 images", 100, even, (base,) * 5, (1,) * 5),
        World("5 equal models, 100 images, classes 100:10:1", 100, rare, (base,) * 5, (1,) * 5),
    ]
    for spread, kind in ((0.15, "seeds"), (0.6, "dominant seeds")):
        worlds += [
            World(f"equal, {a} and {b} {kind}", 100, (3.0, 1.0), same, (a, b), spread)
            for a, b in ((2, 2), (3, 3), (5, 5), (1, 3))
        ]
    worlds += [
        World("different, 3 and 3 seeds, 60 images", 60, (10.0, 4.0, 1.0, 1.0), differ, (3, 3)),
        World("5 equal models of 3 seeds", 100, (3.0, 1.0), (base,) * 5, (3,) * 5),
    ]
    return worlds


def main() -> None:
    """Print the worlds of the grid."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    for world in grid():
        print(world)


if __name__ == "__main__":
    main()
