"""Measure the error rates and the power of successive elimination on simulated models with known truth.

    python -m tests.benchmarks.elimination --experiments 1000

A value is the mean over images of what a training of a model reaches on each image: its true value, an effect of the seed, and
effects of model and image, of which a part is the same in all rounds, and of seed and image. The procedure is that of `bench
decide`: rounds of two seeds with a quarter and half of the longest schedule, of which each keeps half of the models, and which
eliminate nothing; a round with the longest schedule; more seeds for the models that are left; and a look at other images. Worlds of
one round begin with the longest schedule.

Prints in how many experiments
- a wrong winner is declared: all other models of the last round were eliminated, but one of them is better or as good;
- a best model is eliminated, of several equally good ones any of them; or is set aside without having been eliminated;
- the right winner is declared, of the models of the last round or of all models;
- a best model is used;
and the mean loss of the used model, in percentage points.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from metrics.compare.estimates import SeededEstimate, estimate_models
from metrics.designs.elimination import eliminated, look_level, pair_tests
from metrics.resampling.scale import Scale

Floats = NDArray[np.float64]

RESAMPLES = 200
VALIDATION_ERROR = TEST_ERROR = 0.025
SEEDS = 2
FINAL_SEEDS = (4, 6)


@dataclass(frozen=True)
class World:
    """Models with known values, and what causes differences between two trainings of equal ones.

    Attributes:
        name: of the world; gaps are in percentage points.
        values: true value of each model with the whole budget, the best first.
        images: of validation and of test.
        image_sd: standard deviation of the effects of model and image.
        seed_sd: of the effect of a seed.
        unsteady: times as large is the effect of a seed for the first model.
        seed_image_sd: of the effects of seed and image.
        order_sd: of the change of a model's true value with each halving of the budget, beyond that of all models.
        failures: probability of a training that fails, and loses 0.2.
        rounds: 3, or 1 if there is time for the longest schedule of all models.
    """

    name: str
    values: tuple[float, ...]
    images: int = 75
    image_sd: float = 0.15
    seed_sd: float = 0.01
    unsteady: float = 1.0
    seed_image_sd: float = 0.15
    order_sd: float = 0.0
    failures: float = 0.0
    rounds: int = 3


GAPS = (0.01, 0.03, 0.05, 0.1)
STEPS = tuple(0.5 - 0.03 * k for k in range(5))

SHAPES: dict[str, Any] = {
    "images": 150,
    "image_sd": 0.075,
    "seed_sd": 0.007,
    "seed_image_sd": 0.07,
    "rounds": 1,
}
"""Measured on `shapes` with three seeds of ssd, fcos and retinanet."""

WORLDS = (
    World("2 equal", (0.5, 0.5), rounds=1),
    World("5 equal", (0.5,) * 5, rounds=1),
    World("10 equal", (0.5,) * 10, rounds=1),
    World("5 equal, seeds vary by 4 points", (0.5,) * 5, seed_sd=0.04, rounds=1),
    World("2 equal, seeds of one vary 10 times as much", (0.5,) * 2, seed_sd=0.005, unsteady=10, rounds=1),
    World("5 equal, seeds of one vary 10 times as much", (0.5,) * 5, seed_sd=0.005, unsteady=10, rounds=1),
    World("5 equal, variances of shapes", (0.5,) * 5, **SHAPES),
    World("5 equal, 300 images", (0.5,) * 5, images=300, rounds=1),
    World("5 equal, 5% of trainings fail", (0.5,) * 5, failures=0.05, rounds=1),
    World("2 equal, 5% of trainings fail", (0.5,) * 2, failures=0.05, rounds=1),
    World("5 equal, three rounds", (0.5,) * 5),
    World("5 equal, three rounds, order changes", (0.5,) * 5, order_sd=0.05),
    *(World(f"2, gap {100 * gap:g}", (0.5, 0.5 - gap), rounds=1) for gap in GAPS),
    *(World(f"2, gap {100 * gap:g}, 300 images", (0.5, 0.5 - gap), images=300, rounds=1) for gap in GAPS),
    *(World(f"5, gap {100 * gap:g}", (0.5, *(0.5 - gap,) * 4), rounds=1) for gap in GAPS),
    *(World(f"5, gap {100 * gap:g}, three rounds", (0.5, *(0.5 - gap,) * 4)) for gap in GAPS),
    *(
        World(f"5, gap {100 * gap:g}, variances of shapes", (0.5, *(0.5 - gap,) * 4), **SHAPES)
        for gap in GAPS
    ),
    World("5, steps of 3", STEPS, rounds=1),
    World("5, steps of 3, three rounds", STEPS),
    World("5, steps of 3, three rounds, order changes", STEPS, order_sd=0.05),
)


@dataclass
class Outcome:
    """What an experiment found: the used model, and those that were eliminated or set aside."""

    used: int
    finalists: set[int]
    eliminated: set[int]
    aside: set[int]


class Experiment:
    """One experiment in a world."""

    def __init__(self, world: World, rng: np.random.Generator) -> None:
        self.world = world
        self.rng = rng
        models, images = len(world.values), world.images
        shape = (models, images)
        self.lasting = rng.normal(0, world.image_sd * np.sqrt(0.5), shape)
        self.on_test = rng.normal(0, world.image_sd, shape)
        self.weights = rng.multinomial(images, np.full(images, 1 / images), RESAMPLES) / images
        steps = rng.normal(0, world.order_sd, (3, models))
        self.budget_effects = np.cumsum(steps, axis=0) * [[0], [1], [1]]  # by number of halvings

    def value(self, model: int, halvings: int) -> float:
        """True value of a model after so many halvings of the longest schedule."""
        return self.world.values[model] + (self.budget_effects[halvings, model] if halvings else 0.0)

    def train(self, model: int, halvings: int, seeds: int) -> tuple[Floats, Floats]:
        """(S, I) values of new seeds on each image of validation and of test."""
        world, rng = self.world, self.rng
        value = self.value(model, halvings)
        sd = world.seed_sd * (1.0 if model else world.unsteady)
        shift = rng.normal(0, sd, seeds) - 0.2 * (rng.random(seeds) < world.failures)
        of_round = rng.normal(0, world.image_sd * np.sqrt(0.5), world.images)
        noise = rng.normal(0, world.seed_image_sd, (2, seeds, world.images))
        learned = value + shift[:, None]
        return learned + self.lasting[model] + of_round + noise[0], learned + self.on_test[model] + noise[1]

    def estimates(self, values: dict[int, Floats]) -> dict[str, SeededEstimate]:
        tables = {
            str(model): np.concatenate([of.mean(1)[None], self.weights @ of.T])
            for model, of in values.items()
        }
        unshifted = {name: np.zeros(RESAMPLES) for name in tables}
        return estimate_models(tables, unshifted, self.world.images, Scale(None))

    def run(self) -> Outcome:
        world = self.world
        models = len(world.values)
        alive, out, aside = list(range(models)), set[int](), set[int]()
        halves = ((2, max(-(-models // 2), 2)), (1, max(-(-models // 4), 2)))
        for halvings, keep in halves[: world.rounds - 1]:
            means = {model: self.train(model, halvings, SEEDS)[0].mean() for model in alive}
            ranked = sorted(alive, key=lambda model: -means[model])
            alive, aside = ranked[:keep], aside | set(ranked[keep:])
        finalists = set(alive)
        trained = {model: self.train(model, 0, SEEDS) for model in alive}
        for number, seeds in enumerate((SEEDS, *FINAL_SEEDS), 1):
            for model in alive:
                more = self.train(model, 0, seeds - len(trained[model][0]))
                pairs = zip(trained[model], more, strict=True)
                trained[model] = tuple(np.concatenate(pair) for pair in pairs)  # type: ignore[assignment]
            found = self.look(
                {model: trained[model][0] for model in alive}, look_level(VALIDATION_ERROR, number)
            )
            out |= found
            alive = [model for model in alive if model not in found]
            if len(alive) == 1:
                break
        alive = sorted(alive, key=lambda model: -trained[model][0].mean())
        if len(alive) > 1:
            tests = {model: trained[model][1] for model in alive}
            found = self.look(tests, look_level(TEST_ERROR, 1, 1))
            out |= found
            alive = [model for model in alive if model not in found]
        return Outcome(alive[0], finalists, out, aside)

    def look(self, values: dict[int, Floats], level: float) -> set[int]:
        """Models that a look eliminates."""
        tests = pair_tests(self.estimates(values), level / max(len(self.world.values) - 1, 1))
        return {int(name) for name in eliminated(tests)}


@dataclass(frozen=True)
class Rates:
    """Shares of experiments; see the module's description. `loss` is a mean, as a fraction."""

    wrong_winner: float
    best_eliminated: float
    best_aside: float
    winner: float
    winner_of_all: float
    best_used: float
    loss: float


def rates(world: World, experiments: int, seed: int = 0) -> Rates:
    """Simulate experiments in a world."""
    rng = np.random.default_rng(seed)
    best = max(world.values)
    of_best = {model for model, value in enumerate(world.values) if value == best}
    counts = np.zeros(7)
    for _ in range(experiments):
        outcome = Experiment(world, rng).run()
        used, others = outcome.used, outcome.finalists - {outcome.used}
        value = world.values[used]
        declared = bool(outcome.eliminated >= others and (others or outcome.eliminated))
        wrong = declared and any(world.values[other] >= value for other in others | outcome.eliminated)
        right = declared and not wrong
        counts += [
            wrong,
            bool(outcome.eliminated & of_best),
            bool(outcome.aside & of_best),
            right,
            right and not outcome.aside,
            used in of_best,
            best - value,
        ]
    return Rates(*(counts / experiments).tolist())


class Named(Protocol):
    """A simulated world."""

    @property
    def name(self) -> str: ...


W = TypeVar("W", bound=Named)


def print_rates(
    description: str,
    worlds: Sequence[W],
    heads: Sequence[str],
    lines: Callable[[W, int, int], Iterator[list[str]]],
    arguments: Sequence[str] | None = None,
) -> None:
    """Print a table of rates in worlds, of which the command line chooses.

    Args:
        description: of the command.
        worlds: to choose from.
        heads: of the columns after the name of the world.
        lines: cells of the lines of a world, from the number of experiments and the seed.
        arguments: of the command line.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--experiments", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--world", help="only worlds whose name contains this")
    given = parser.parse_args(arguments)
    print(f"{'world':44s} {'  '.join(heads)}")
    for world in worlds:
        if given.world is None or given.world in world.name:
            for cells in lines(world, given.experiments, given.seed):
                columns = "  ".join(text.rjust(len(head)) for text, head in zip(cells, heads, strict=True))
                print(f"{world.name:44s} {columns}", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    def lines(world: World, experiments: int, seed: int) -> Iterator[list[str]]:
        found = rates(world, experiments, seed)
        shares = (
            found.wrong_winner,
            found.best_eliminated,
            found.best_aside,
            found.winner,
            found.winner_of_all,
            found.best_used,
        )
        yield [*(f"{share:.1%}" for share in shares), f"{100 * found.loss:.2f}"]

    heads = ("wrong winner", "best eliminated", "best aside", "winner", "of all", "best used", "loss")
    print_rates(__doc__.split("\n")[0], WORLDS, heads, lines, arguments)


if __name__ == "__main__":
    main()
