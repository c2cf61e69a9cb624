"""Do 95 % intervals hold the truth 95 times in 100? Draw many test sets from one world whose truth is known.

    python tests/benchmarks/coverage.py --sets 1000 --images 100

Prints, for each measure, how often its interval holds the value of a test set so large that it is the world, how often
the interval of a difference does, and how often two models that are equal in the world are called different.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from metrics.compare import compare
from metrics.evaluate import evaluate
from metrics.tables import AnnotationTable, Catalog, DetectionTable

CLASSES = ("common", "middling", "rare")
SHARES = (0.6, 0.3, 0.1)
MEASURES = ("ap", "ap50", "ar_100", "f1", "olrp")
WORLD = 60_000
"""Images of the test set that stands for the world: its own error is a fortieth of that of 40 images."""


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


def world_values(skill: Skill, seed: int = 0) -> dict[str, float]:
    """The measures of a model in the world."""
    rng = np.random.default_rng(seed)
    images = draw_images(rng, WORLD)
    names = ("average_precision", "average_recall", "operating_point", "localization_recall_precision")
    evaluation = evaluate(images.truth, detect(rng, images, skill), names)
    return {name: evaluation.value(name) for name in MEASURES}


def simulate(
    sets: int, images: int, better: Skill, worse: Skill, resamples: int = 500, seed: int = 1, seeds: int = 1
) -> dict[str, float]:
    """Shares of test sets.

    Args:
        sets: how many are drawn.
        images: in each.
        better: skill of one model.
        worse: skill of the other, perhaps the same.
        resamples: B.
        seed: of all draws.
        seeds: trainings of each model: each draws its own skill, 0.15 around the model's log odds.

    Returns:
        ``<measure>`` and ``<measure> difference``: whose interval holds the world's value; ``called different`` and
        ``swapped``: by verdict and by label swap, at 5 %.
    """
    rng = np.random.default_rng(seed)
    values, others = world_values(better), world_values(worse)
    held: dict[str, list[bool]] = defaultdict(list)
    for number in range(sets):
        drawn = draw_images(rng, images)
        runs = {}
        for name, skill in (("one", better), ("other", worse)):
            spread = rng.normal(0, 0.15, seeds) if seeds > 1 else np.zeros(1)
            trained = [Skill(skill.finds + step, skill.looseness, skill.alarms) for step in spread]
            runs[name] = [(drawn.truth, detect(rng, drawn, each)) for each in trained]
        found = compare(
            runs,
            MEASURES[0],
            also=MEASURES[1:],
            resamples=resamples,
            seed=number,
            permutations=200 if seeds == 1 else 0,
        )
        for name in MEASURES:
            row = found.standing("one", name)
            held[name].append(row.ci_low <= values[name] <= row.ci_high)
            pair = found.difference("one", "other", name)
            sign = 1 if pair.model_a == "one" else -1
            held[f"{name} difference"].append(
                pair.ci_low <= sign * (values[name] - others[name]) <= pair.ci_high
            )
        held["called different"].append(found.difference("one", "other").decisive)
        held["swapped"] += [row.p_raw <= 0.05 for row in found.pairwise if row.test == "label swap"]
    return {name: float(np.mean(of)) for name, of in held.items() if of}


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
        shares = simulate(given.sets, given.images, better, worse, given.resamples, seeds=seeds)
        seconds = time.perf_counter() - began
        print(f"\n{name}: {given.sets} test sets of {given.images} images, {seconds:.0f} s")
        for what, share in shares.items():
            low, high = binomtest(round(share * given.sets), given.sets).proportion_ci(method="wilson")
            print(f"  {what:<20} {100 * share:5.1f} %  [{100 * low:.1f}, {100 * high:.1f}]")


if __name__ == "__main__":
    main()
