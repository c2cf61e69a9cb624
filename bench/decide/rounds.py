"""The rounds of a decision: how many epochs each one trains, and which models."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from metrics.errors import InputError
from metrics.plurals import plural
from reports.records.decision import PlannedRound

SEEDS = 2
"""Seeds of each model in a round: the fewest with which the variance between seeds is measured."""

FOR_ROUNDS = 0.75
"""Share of the time for trainings that whole schedules may take; the rest is for more seeds."""

MOST_ROUNDS = 3

LONGER = 1.5
"""Smallest multiple of the epochs so far for which models are trained again."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Time of a run in seconds.

    Attributes:
        run: without its epochs.
        epoch: of one epoch.
    """

    run: float
    epoch: float

    def of(self, epochs: int) -> float:
        """Time of a run of this many epochs."""
        return self.run + self.epoch * epochs


def plan_rounds(
    costs: Mapping[str, Cost], seconds: float, epochs: int, reserved: float = 0.0, spent: float = 0.0
) -> list[PlannedRound]:
    """Plan rounds of successive halving: each trains the best half of the models of the one before for twice as many epochs.

    Every training has a whole schedule of its own, whose learning rate falls to its end; later rounds train from the start again. The plan has the
    longest last schedule that there is time for, and of the plans with it the one with the fewest rounds, because differences
    after short trainings need not be those after long ones.

    Args:
        costs: of each model.
        seconds: time for everything, also for what is done already.
        epochs: of the longest schedule.
        reserved: time that is needed after the last round.
        spent: time that was spent.

    Raises:
        InputError: the time is not enough for one round of one epoch; the message says how much would be.

    Source: Karnin, Koren and Somekh 2013, "Almost optimal exploration in multi-armed bandits" (sequential halving).
    """
    count = len(costs)
    most = min(MOST_ROUNDS, max(1, math.ceil(math.log2(count)))) if count > 1 else 1
    available = seconds - reserved - spent
    for share in (FOR_ROUNDS, 1.0):
        for longest in range(epochs, 0, -1):
            for number in range(1, most + 1):
                plan = _ladder(count, longest, number)
                if plan and _cost(plan, costs) <= share * available:
                    return plan
    least = spent + reserved + 1.1 * _cost(_ladder(count, 1, 1), costs)
    raise InputError(
        f"--minutes {seconds / 60:g}: not enough for {plural(count, 'model')}; one epoch of each with {SEEDS} seeds, the test and the page take about "
        f"{plural(math.ceil(least / 60), 'minute')} here; give more, or name fewer models with --variant or --preset"
    )


def next_round(
    planned: Sequence[PlannedRound], ranked: Sequence[str], costs: Mapping[str, Cost], seconds: float
) -> tuple[int, list[str]] | None:
    """Fit the next planned round to the time that is left.

    Args:
        planned: the next round and those after it.
        ranked: models that may take part, best first.
        costs: of each model, as far as is known now.
        seconds: time left for trainings.

    Returns:
        Epochs and models of the round: at least as many models as planned, and more if there is time for these and the later
        rounds; or fewer, but at least two; and then fewer epochs. None if even one epoch of two models takes too long.
    """
    this, *later = planned

    def cost(count: int, epochs: int) -> float:
        return SEEDS * sum(costs[name].of(epochs) for name in ranked[:count])

    rest = sum(cost(each.models, each.epochs) for each in later)
    count = len(ranked)
    while count > this.models and cost(count, this.epochs) + rest > FOR_ROUNDS * seconds:
        count -= 1
    while count > 2 and cost(count, this.epochs) + rest > seconds:
        count -= 1
    for epochs in range(this.epochs, 0, -1):
        if cost(count, epochs) <= seconds:
            return epochs, list(ranked[:count])
    return None


def longer_round(
    ranked: Sequence[str], costs: Mapping[str, Cost], seconds: float, shortest: int, whole: int, longest: int
) -> tuple[int, list[str]] | None:
    """Plan a round of longer trainings, of as many models as there is time for, and then of as many epochs.

    Args:
        ranked: models that may take part, best first.
        costs: of each model.
        seconds: time left for trainings.
        shortest: fewest epochs that are worth a round.
        whole: epochs of the settings; for more than these, only part of the time is used, and the rest is for more seeds.
        longest: most epochs.

    Returns:
        Epochs and models of the round; None if there is no time for two models.
    """
    for count in range(len(ranked), 1, -1):
        run = SEEDS * sum(costs[name].run for name in ranked[:count])
        epoch = SEEDS * sum(costs[name].epoch for name in ranked[:count])
        of_share, of_all = (int((share * seconds - run) / epoch) for share in (FOR_ROUNDS, 1.0))
        epochs = max(min(of_share, longest), min(of_all, whole))
        if epochs >= shortest:
            return epochs, list(ranked[:count])
    return None


def _ladder(count: int, epochs: int, rounds: int) -> list[PlannedRound]:
    """Rounds that end with `epochs`; empty if the first one would have less than one epoch."""
    if epochs < 2 ** (rounds - 1):
        return []
    return [
        PlannedRound(
            epochs=max(1, round(epochs / 2 ** (rounds - 1 - k))),
            models=max(math.ceil(count / 2**k), min(count, 2)),
        )
        for k in range(rounds)
    ]


def _cost(plan: Sequence[PlannedRound], costs: Mapping[str, Cost]) -> float:
    """Time of all rounds, with models of mean cost in those that not all of them reach."""
    mean = Cost(
        sum(cost.run for cost in costs.values()) / len(costs),
        sum(cost.epoch for cost in costs.values()) / len(costs),
    )
    return sum(SEEDS * each.models * mean.of(each.epochs) for each in plan)
