"""Measure how often 95 % intervals contain the true value, on simulated test sets from a known population.

    python -m tests.benchmarks.interval_coverage --sets 1000 --images 100

Prints for each measure how often the interval of a difference contains the difference in the population (a very large
test set), and how often the interval of a value contains the mean over test sets of the same size and the value in the
population; and how often the comparison calls two models different, which should be rare for equal models.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from metrics.compare import compare
from metrics.evaluator import evaluate
from metrics.tables import AnnotationTable, Catalog, DetectionTable

CLASSES = ("common", "middling", "rare")
SHARES = (0.6, 0.3, 0.1)
MEASURES = ("ap", "ap50", "ar_100", "f1", "olrp")
POPULATION = 400_000
"""Images of the test set that represents the population: its error is a sixtieth of that of 100 images."""


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


@dataclass(frozen=True, eq=False)
class Sample:
    """Objects in the cells of a grid, so that none overlap, and the difficulty of each image for all models."""

    truth: AnnotationTable
    difficulty: NDArray[np.float64]


def draw_sample(rng: np.random.Generator, images: int) -> Sample:
    """Draw images with 1 to 9 objects of three classes each."""
    counts = 1 + np.minimum(rng.poisson(2.0, images), 8)
    image = np.repeat(np.arange(images), counts)
    cell = np.concatenate([rng.permutation(9)[:count] for count in counts])
    side = rng.uniform(20, 90, len(image))
    boxes = np.stack([cell % 3 * 200.0, cell // 3 * 200.0, side, side], axis=1)
    catalog = Catalog.of(range(images), CLASSES)
    truth = AnnotationTable.of(catalog, image, rng.choice(len(CLASSES), len(image), p=SHARES), boxes)
    return Sample(truth, rng.normal(0, 1, images))


def detect(rng: np.random.Generator, sample: Sample, skill: Skill) -> DetectionTable:
    """Draw the detections of a model; well-localized ones have higher scores, and so do some false positives."""
    truth = sample.truth
    chance = 1 / (1 + np.exp(-(skill.recall_log_odds - 0.8 * sample.difficulty[truth.image])))
    detected = np.flatnonzero(rng.random(len(truth)) < chance)
    shift = rng.gamma(2.0, skill.box_error / 2, len(detected))
    boxes = truth.xywh[detected].copy()
    boxes[:, 0] += shift * boxes[:, 2]
    alarms = rng.poisson(skill.false_alarms * np.exp(0.3 * sample.difficulty))
    image = np.repeat(np.arange(len(alarms)), alarms)
    corners = np.stack([rng.uniform(700, 900, len(image)), rng.uniform(0, 600, len(image))], axis=1)
    scores = rng.beta(4, 2, len(detected)) * np.exp(-shift)
    true_positives = (truth.image[detected], truth.label[detected], boxes, scores)
    false_positives = (
        image,
        rng.choice(len(CLASSES), len(image), p=SHARES),
        np.column_stack([corners, np.full((len(image), 2), 50.0)]),
        rng.beta(1.5, 3, len(image)),
    )
    columns = zip(true_positives, false_positives, strict=True)
    return DetectionTable(truth.catalog, *(np.concatenate(pair) for pair in columns))


@cache
def population_values(skill: Skill, seed: int = 0) -> dict[str, float]:
    """Return the measures of a model in the population."""
    rng = np.random.default_rng(seed)
    sample = draw_sample(rng, POPULATION)
    names = ("average_precision", "average_recall", "operating_point", "localization_recall_precision")
    evaluation = evaluate(sample.truth, detect(rng, sample, skill), names)
    return {name: evaluation.value(name) for name in MEASURES}


@dataclass(frozen=True, eq=False)
class Simulation:
    """Comparisons of two models on S test sets.

    Attributes:
        values: measure to (S, 3) of one model: lower bound, value, upper bound.
        differences: measure to (S, 3): lower bound, difference, upper bound.
        decisive: (S,) whether the comparison calls the models different.
        swap_p_values: (S,) p-values of the label swap; empty with several seeds.
    """

    values: dict[str, NDArray[np.float64]]
    differences: dict[str, NDArray[np.float64]]
    decisive: NDArray[np.bool_]
    swap_p_values: NDArray[np.float64]


def simulate(
    sets: int,
    images: int,
    skills: tuple[Skill, Skill],
    measures: Sequence[str] = MEASURES,
    resamples: int = 500,
    seeds: int = 1,
    permutations: int = 200,
    seed: int = 1,
) -> Simulation:
    """Compare two models on many test sets.

    Args:
        sets: number of test sets.
        images: number of images in each.
        skills: the models; values are those of the first, differences are first minus second.
        measures: the deciding one first.
        resamples: bootstrap replicates of each comparison.
        seeds: trainings of each model; their log odds of recall vary with a standard deviation of 0.15.
        permutations: label swaps.
        seed: seed of the test sets.
    """
    rng = np.random.default_rng(seed)
    values, differences = defaultdict(list), defaultdict(list)
    decisive, swap_p_values = [], []
    for number in range(sets):
        sample = draw_sample(rng, images)
        runs = {}
        for name, skill in zip("ab", skills, strict=True):
            noise = rng.normal(0, 0.15, seeds) if seeds > 1 else np.zeros(1)
            trained = [replace(skill, recall_log_odds=skill.recall_log_odds + step) for step in noise]
            runs[name] = [(sample.truth, detect(rng, sample, model)) for model in trained]
        first, *others = measures
        comparison = compare(
            runs, first, also=others, resamples=resamples, seed=number, permutations=permutations
        )
        for name in measures:
            row, pair = comparison.standing("a", name), comparison.difference("a", "b", name)
            values[name].append((row.ci_low, row.value, row.ci_high))
            interval = (pair.ci_low, pair.delta, pair.ci_high)
            if pair.model_a != "a":
                interval = (-pair.ci_high, -pair.delta, -pair.ci_low)
            differences[name].append(interval)
        decisive.append(comparison.difference("a", "b").decisive)
        swap_p_values += [row.p_raw for row in comparison.pairwise if row.test == "label swap"]
    return Simulation(
        {name: np.array(rows) for name, rows in values.items()},
        {name: np.array(rows) for name, rows in differences.items()},
        np.array(decisive),
        np.array(swap_p_values),
    )


def coverage(intervals: NDArray[np.float64], truth: float) -> float:
    """Share of (S, 3) intervals that contain a value."""
    return float(np.mean((intervals[:, 0] <= truth) & (truth <= intervals[:, 2])))


def main() -> None:
    """Run the simulations and print a table for each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", type=int, default=1000, help="number of test sets")
    parser.add_argument("--images", type=int, default=100, help="number of images in each test set")
    parser.add_argument("--resamples", type=int, default=500, help="bootstrap replicates of each comparison")
    args = parser.parse_args()
    cases = {
        "equal models": (Skill(), Skill(), 1),
        "higher recall": (Skill(1.5), Skill(1.2), 1),
        "better boxes, more false positives": (Skill(box_error=0.07, false_alarms=2.0), Skill(), 1),
        "recipes of three seeds": (Skill(1.5), Skill(1.2), 3),
    }
    for name, (first, second, seeds) in cases.items():
        start = time.perf_counter()
        simulation = simulate(args.sets, args.images, (first, second), resamples=args.resamples, seeds=seeds)
        seconds = time.perf_counter() - start
        print(f"\n{name}: {args.sets} test sets of {args.images} images, {seconds:.0f} s")
        print("share of intervals that contain")
        print(f"  {'':8} {'the difference':>16} {'the mean over test sets':>25} {'the population value':>25}")
        first_values, second_values = population_values(first), population_values(second)
        for measure in MEASURES:
            values, difference = simulation.values[measure], first_values[measure] - second_values[measure]
            shares = (
                coverage(simulation.differences[measure], difference),
                coverage(values, float(values[:, 1].mean())),
                coverage(values, first_values[measure]),
            )
            of_difference, of_mean, of_population = (100 * share for share in shares)
            print(f"  {measure:8} {of_difference:14.1f} % {of_mean:23.1f} % {of_population:23.1f} %")
        low, high = binomtest(round(0.95 * args.sets), args.sets).proportion_ci(method="wilson")
        print(f"  expected by chance for 95 %: {100 * low:.1f} to {100 * high:.1f} %")
        print(f"  called different: {100 * simulation.decisive.mean():.1f} %", end="")
        if len(simulation.swap_p_values):
            print(f"; by label swap at 5 %: {100 * np.mean(simulation.swap_p_values <= 0.05):.1f} %", end="")
        print(flush=True)


if __name__ == "__main__":
    main()
