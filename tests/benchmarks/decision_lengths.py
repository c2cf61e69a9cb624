"""Measure what longer trainings bring to a decision between simulated models that learn at different speeds.

    python -m tests.benchmarks.decision_lengths --experiments 1000

The models and the noise are those of `tests.benchmarks.elimination`; here the true value of a model also depends on the number of epochs.
A decision has trained all models once, for a part of the time that was planned for it, and goes on by one of two rules:

- seeds: the look after this round eliminates; seeds are added while models cannot be told apart (what `bench decide` did before);
- longer: trainings become longer while there is time (what it does), by `bench.decide.rounds.longer_round`.

Prints in how many experiments
- the used model is the best one after whole trainings, with the default number of epochs;
- the used model is the best one after trainings of the length that the decision ended with;
- a wrong winner is declared: all others of the last round were eliminated, but one of them is better at its length, or as good;
- a best model of the last round, at its length, is eliminated in it;
and the mean number of epochs and of models of the last round.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.decide.models import MOST_EPOCHS
from bench.decide.rounds import FOR_ROUNDS, LONGER, Cost, longer_round
from metrics.designs.elimination import look_level
from tests.benchmarks.elimination import (
    FINAL_SEEDS,
    SEEDS,
    SHAPES,
    TEST_ERROR,
    VALIDATION_ERROR,
    Experiment,
    World,
    print_rates,
)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LengthWorld:
    """A decision after its planned round.

    Attributes:
        world: models with their values after whole trainings and longer ones, and the noise.
        slow: what each model loses with each halving of a whole training.
        first: epochs of the planned round, of all models.
        whole: default epochs.
        over_estimate: times as long as it takes was an epoch in the plan, which used `FOR_ROUNDS` of the time.
    """

    world: World
    slow: tuple[float, ...]
    first: int
    whole: int = 12
    over_estimate: float = 2.0

    @property
    def name(self) -> str:
        """Of the table."""
        return f"{self.world.name}, {self.first} of {self.whole} epochs, costs x {self.over_estimate:g}"

    def value(self, model: int, epochs: int) -> float:
        """True value of a model after this many epochs."""
        return self.world.values[model] - self.slow[model] * max(math.log2(self.whole / epochs), 0.0)


def _crossing() -> list[LengthWorld]:
    """The best model of whole trainings is the last one after a quarter of them."""
    world = World("3 cross", (0.5, 0.46, 0.42), **SHAPES)
    noisy = World("3 cross, 75 images", (0.5, 0.46, 0.42), rounds=1)
    five = World("5 cross", (0.5, 0.46, 0.46, 0.42, 0.42), **SHAPES)
    found = []
    for first, factor in ((3, 2.0), (3, 4.0), (6, 2.0), (6, 4.0)):
        found += [
            LengthWorld(each, slow[: len(each.values)], first, over_estimate=factor)
            for each, slow in (
                (world, (0.1, 0.05, 0.02)),
                (noisy, (0.1, 0.05, 0.02)),
                (five, (0.1, 0.05, 0.05, 0.02, 0.02)),
            )
        ]
    return found


WORLDS = (
    *_crossing(),
    *(
        LengthWorld(World(f"{models} equal", (0.5,) * models, rounds=1), (0.05,) * models, first, over_estimate=factor)
        for models in (2, 5)
        for first, factor in ((3, 4.0), (12, 4.0))
    ),
    LengthWorld(World("5 equal at the end", (0.5,) * 5, **SHAPES), (0.1, 0.08, 0.05, 0.02, 0.0), 3, over_estimate=4),
    LengthWorld(World("2, gap 5", (0.5, 0.45), rounds=1), (0.05,) * 2, 3, over_estimate=4),
    LengthWorld(World("5, gap 5", (0.5, *(0.45,) * 4), **SHAPES), (0.05,) * 5, 3, over_estimate=4),
)  # fmt: skip


class LengthExperiment(Experiment):
    """One decision that goes on after its planned round; an epoch of a model takes a second, and a run nothing else."""

    def __init__(self, about: LengthWorld, rng: np.random.Generator) -> None:
        super().__init__(about.world, rng)
        self.about = about
        self.models = list(range(len(about.world.values)))
        self.left = len(self.models) * SEEDS * about.first * about.over_estimate / FOR_ROUNDS
        self.looks = 0
        self._round(self.models, about.first)

    def value(self, model: int, halvings: int) -> float:
        """True value of a model after the present number of epochs."""
        return self.about.value(model, self.epochs)

    def decide(self, longer: bool) -> int:
        """Go on by one of the rules, look at the test images, and return the model to use."""
        while True:
            steps = [self._more_seeds]
            if longer:
                steps.insert(0 if self.epochs < self.about.whole else 1, self._longer)
            if not any(step() for step in steps):
                break
        if len(self.alive) > 1:
            tests = {model: self.trained[model][1] for model in self.alive}
            self.out |= self.look(tests, look_level(TEST_ERROR, 1, 1))
        return self.alive[0]

    @property
    def alive(self) -> list[int]:
        """Models of the present length that are not eliminated, best first."""
        return [model for model in self._ranked() if model in self.trained and model not in self.out]

    def _ranked(self) -> list[int]:
        found = sorted(self.trained, key=lambda model: -self.trained[model][0].mean())
        return found + [model for model in self.models if model not in self.trained]

    def _round(self, models: Sequence[int], epochs: int) -> None:
        self.epochs, self.seeds = epochs, 0
        self.out: set[int] = set()
        empty = np.empty((0, self.world.images))
        self.trained = dict.fromkeys(models, (empty, empty))
        self._train(list(models), SEEDS)

    def _train(self, models: Sequence[int], seeds: int) -> None:
        """Train up to this number of seeds, and look."""
        more = seeds - self.seeds
        self.left -= len(models) * more * self.epochs
        self.seeds = seeds
        for model in models:
            pairs = zip(self.trained[model], self.train(model, 0, more), strict=True)
            self.trained[model] = tuple(np.concatenate(pair) for pair in pairs)  # type: ignore[assignment]
        self.looks += 1
        level = look_level(VALIDATION_ERROR, self.looks)
        self.out |= self.look({model: self.trained[model][0] for model in models}, level)

    def _more_seeds(self) -> bool:
        alive, seeds = self.alive, next((each for each in FINAL_SEEDS if each > self.seeds), 0)
        if len(alive) < 2 or not seeds or len(alive) * (seeds - self.seeds) * self.epochs > self.left:
            return False
        self._train(alive, seeds)
        return True

    def _longer(self) -> bool:
        whole = self.about.whole
        names = [str(model) for model in self._ranked()]
        found = longer_round(
            names, dict.fromkeys(names, Cost(0, 1)), self.left, math.ceil(LONGER * self.epochs), whole, MOST_EPOCHS * whole
        )  # fmt: skip
        if found is None:
            return False
        self._round([int(name) for name in found[1]], found[0])
        return True


@dataclass(frozen=True)
class LengthRates:
    """Shares of experiments, and means; see the module's description."""

    best_used: float
    best_of_length: float
    wrong_winner: float
    best_eliminated: float
    epochs: float
    models: float


def length_rates(about: LengthWorld, longer: bool, experiments: int, seed: int = 0) -> LengthRates:
    """Simulate decisions by one of the rules."""
    rng = np.random.default_rng(seed)
    best = {model for model, value in enumerate(about.world.values) if value == max(about.world.values)}
    counts = np.zeros(6)
    for _ in range(experiments):
        experiment = LengthExperiment(about, rng)
        used = experiment.decide(longer)
        values = {model: about.value(model, experiment.epochs) for model in experiment.models}
        last = {model: values[model] for model in experiment.trained}
        others = set(last) - {used}
        best_of_last = {model for model, value in last.items() if value >= max(last.values()) - 1e-9}
        declared = experiment.out >= others
        counts += [
            used in best,
            values[used] >= max(values.values()) - 1e-9,
            declared and any(last[other] >= last[used] - 1e-9 for other in others),
            bool(experiment.out & best_of_last),
            experiment.epochs,
            len(last),
        ]
    return LengthRates(*(counts / experiments).tolist())


def main(arguments: Sequence[str] | None = None) -> None:
    def lines(about: LengthWorld, experiments: int, seed: int) -> Iterator[list[str]]:
        for longer in (False, True):
            found = length_rates(about, longer, experiments, seed)
            shares = (found.best_used, found.best_of_length, found.wrong_winner, found.best_eliminated)
            means = (found.epochs, found.models)
            rule = "longer" if longer else "seeds"
            yield [rule, *(f"{share:.1%}" for share in shares), *(f"{mean:.1f}" for mean in means)]

    heads = ("rule", "best used", "best of length", "wrong winner", "best eliminated", "epochs", "models")
    print_rates(__doc__.split("\n")[0], WORLDS, heads, lines, arguments)


if __name__ == "__main__":
    main()
