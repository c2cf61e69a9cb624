"""Do 95 % intervals hold the truth 95 times in 100? Draw many test sets from one world whose truth is known.

    python -m tests.benchmarks.interval_coverage --sets 1000 --images 100

Prints, for each measure, how often the interval of a difference holds the difference in the world (a test set so large
that it stands for it), how often that of a value holds the mean over test sets of the same size, and how often the value
in the world; and how often two models are called different, which should be seldom where they are equal.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
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
WORLD = 400_000
"""Images of the test set that stands for the world: its own error is a sixtieth of that of 100 images."""


@dataclass(frozen=True)
class Skill:
    """How good a model is.

    Attributes:
        finds: log odds of finding an object in an image of middling difficulty.
        looseness: how far boxes are off, as a part of their side.
        alarms: false alarms in an image.
    """

    finds: float = 1.2
    looseness: float = 0.08
    alarms: float = 1.5


@dataclass(frozen=True, eq=False)
class Images:
    """Objects in cells of a grid, so that none overlaps another, and how hard each image is for everyone."""

    truth: AnnotationTable
    difficulty: NDArray[np.float64]


def draw_images(rng: np.random.Generator, images: int) -> Images:
    """A test set: 1 to 9 objects in each image, of three classes, some harder to find than others."""
    counts = 1 + np.minimum(rng.poisson(2.0, images), 8)
    image = np.repeat(np.arange(images), counts)
    cell = np.concatenate([rng.permutation(9)[:count] for count in counts])
    side = rng.uniform(20, 90, len(image))
    boxes = np.stack([cell % 3 * 200.0, cell // 3 * 200.0, side, side], axis=1)
    catalog = Catalog.of(range(images), CLASSES)
    truth = AnnotationTable.of(catalog, image, rng.choice(len(CLASSES), len(image), p=SHARES), boxes)
    return Images(truth, rng.normal(0, 1, images))


def detect(rng: np.random.Generator, images: Images, skill: Skill) -> DetectionTable:
    """What a model finds: surer of what it places well, and of some of its false alarms."""
    truth = images.truth
    chance = 1 / (1 + np.exp(-(skill.finds - 0.8 * images.difficulty[truth.image])))
    found = np.flatnonzero(rng.random(len(truth)) < chance)
    off = rng.gamma(2.0, skill.looseness / 2, len(found))
    boxes = truth.xywh[found].copy()
    boxes[:, 0] += off * boxes[:, 2]
    alarms = rng.poisson(skill.alarms * np.exp(0.3 * images.difficulty))
    image = np.repeat(np.arange(len(alarms)), alarms)
    elsewhere = np.stack([rng.uniform(700, 900, len(image)), rng.uniform(0, 600, len(image))], axis=1)
    columns = zip(
        (truth.image[found], truth.label[found], boxes, rng.beta(4, 2, len(found)) * np.exp(-off)),
        (
            image,
            rng.choice(len(CLASSES), len(image), p=SHARES),
            np.column_stack([elsewhere, np.full((len(image), 2), 50.0)]),
            rng.beta(1.5, 3, len(image)),
        ),
        strict=True,
    )
    return DetectionTable(truth.catalog, *(np.concatenate(pair) for pair in columns))


@cache
def world_values(skill: Skill, seed: int = 0) -> dict[str, float]:
    """The measures of a model in the world."""
    rng = np.random.default_rng(seed)
    images = draw_images(rng, WORLD)
    names = ("average_precision", "average_recall", "operating_point", "localization_recall_precision")
    evaluation = evaluate(images.truth, detect(rng, images, skill), names)
    return {name: evaluation.value(name) for name in MEASURES}


@dataclass(frozen=True, eq=False)
class Simulated:
    """What was said of many test sets from one world.

    Attributes:
        values: measure to (S, 3) of one model: low, value, high.
        differences: measure to (S, 3) of both: low, difference, high.
        called: (S,) whether the verdict calls them different.
        swapped: (S,) p-values of the label swap; empty with several seeds.
    """

    values: dict[str, NDArray[np.float64]]
    differences: dict[str, NDArray[np.float64]]
    called: NDArray[np.bool_]
    swapped: NDArray[np.float64]


def simulate(
    sets: int,
    images: int,
    better: Skill,
    worse: Skill,
    measures: Sequence[str] = MEASURES,
    resamples: int = 500,
    seeds: int = 1,
    permutations: int = 200,
    seed: int = 1,
) -> Simulated:
    """Compare two models on many test sets.

    Args:
        sets: how many are drawn.
        images: in each.
        better: skill of one model.
        worse: skill of the other, perhaps the same.
        measures: the deciding one first.
        resamples: B.
        seeds: trainings of each model: each draws its own skill, 0.15 around the model's log odds.
        permutations: label swaps.
        seed: of the test sets.
    """
    rng = np.random.default_rng(seed)
    values, differences = defaultdict(list), defaultdict(list)
    called, swapped = [], []
    for number in range(sets):
        drawn = draw_images(rng, images)
        runs = {}
        for name, skill in (("one", better), ("other", worse)):
            spread = rng.normal(0, 0.15, seeds) if seeds > 1 else np.zeros(1)
            trained = [Skill(skill.finds + step, skill.looseness, skill.alarms) for step in spread]
            runs[name] = [(drawn.truth, detect(rng, drawn, each)) for each in trained]
        first, *others = measures
        found = compare(runs, first, also=others, resamples=resamples, seed=number, permutations=permutations)
        for name in measures:
            row, pair = found.standing("one", name), found.difference("one", "other", name)
            values[name].append((row.ci_low, row.value, row.ci_high))
            of = (pair.ci_low, pair.delta, pair.ci_high)
            differences[name].append(of if pair.model_a == "one" else tuple(-each for each in reversed(of)))
        called.append(found.difference("one", "other").decisive)
        swapped += [row.p_raw for row in found.pairwise if row.test == "label swap"]
    return Simulated(
        {name: np.array(rows) for name, rows in values.items()},
        {name: np.array(rows) for name, rows in differences.items()},
        np.array(called),
        np.array(swapped),
    )


def held(rows: NDArray[np.float64], truth: float) -> float:
    """The share of intervals (S, 3) that hold the truth."""
    return float(np.mean((rows[:, 0] <= truth) & (truth <= rows[:, 2])))


def main() -> None:
    """Run the simulations and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sets", type=int, default=1000)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--resamples", type=int, default=500)
    given = parser.parse_args()
    cases = {
        "equal models": (Skill(), Skill(), 1),
        "one finds more": (Skill(1.5), Skill(1.2), 1),
        "one places better, with more false alarms": (Skill(looseness=0.07, alarms=2.0), Skill(), 1),
        "recipes of three seeds": (Skill(1.5), Skill(1.2), 3),
    }
    for name, (better, worse, seeds) in cases.items():
        began = time.perf_counter()
        found = simulate(given.sets, given.images, better, worse, resamples=given.resamples, seeds=seeds)
        seconds = time.perf_counter() - began
        print(
            f"\n{name}: {given.sets} test sets of {given.images} images, {seconds:.0f} s; intervals that hold"
        )
        print(
            f"  {'':8} {'the difference':>16} {'the mean over such sets':>25} {'the value in the world':>25}"
        )
        ours, others = world_values(better), world_values(worse)
        for measure in MEASURES:
            rows = found.values[measure]
            shares = (
                held(found.differences[measure], ours[measure] - others[measure]),
                held(rows, float(rows[:, 1].mean())),
                held(rows, ours[measure]),
            )
            print(
                f"  {measure:8} {100 * shares[0]:14.1f} % {100 * shares[1]:23.1f} % {100 * shares[2]:23.1f} %"
            )
        low, high = binomtest(round(0.95 * given.sets), given.sets).proportion_ci(method="wilson")
        print(f"  95 % would show as {100 * low:.1f} to {100 * high:.1f} %")
        print(f"  called different: {100 * found.called.mean():.1f} %", end="")
        if len(found.swapped):
            print(f"; by label swap at 5 %: {100 * np.mean(found.swapped <= 0.05):.1f} %", end="")
        print(flush=True)


if __name__ == "__main__":
    main()
