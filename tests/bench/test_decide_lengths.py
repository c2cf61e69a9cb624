"""The rounds of a decision, with trainings of known value and cost: longer ones as long as there is time."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_runs import tiny_sets

from bench.decide import decider, finals
from bench.decide.rounds import FOR_ROUNDS, LONGER, SEEDS, Cost, longer_round
from bench.decide.task import DecisionTask, Entrant
from bench.process.interrupts import Stopped
from bench.runs.context import RunContext
from bench.settings.resolution import open_entries
from reports.analysis.decisions import fates
from reports.records.decision import Decision, Look, PairRecord, PlannedRound, Standing
from reports.sections.decision_text import decision_sentences, finding, outcome_text
from tests.benchmarks.decision_lengths import WORLDS, length_rates

WHOLE = 6
FINALS_SECONDS = 60.0

COSTS = st.dictionaries(
    st.sampled_from("abcdefgh"), st.builds(Cost, st.floats(0.1, 20), st.floats(0.1, 60)), min_size=1
)


@given(COSTS, st.floats(0, 20_000), st.integers(1, 40), st.integers(1, 40), st.integers(1, 4))
def test_a_longer_round_is_of_most_models_and_then_of_most_epochs(costs, seconds, shortest, whole, times):
    ranked, longest = sorted(costs), whole * times

    def fits(count, epochs):
        took = SEEDS * sum(costs[name].of(epochs) for name in ranked[:count])
        return epochs <= longest and took <= (seconds if epochs <= whole else FOR_ROUNDS * seconds)

    allowed = [
        (count, epochs)
        for count in range(2, len(ranked) + 1)
        for epochs in range(shortest, longest + 1)
        if fits(count, epochs)
    ]
    found = longer_round(ranked, costs, seconds, shortest, whole, longest)
    best = max(allowed, default=None)
    assert found == (None if best is None else (best[1], ranked[: best[0]]))


@dataclass
class Curves:
    """A decision whose trainings reach known values in known times, and are told apart by 5 points.

    Attributes:
        values: of each model, by the number of epochs.
        estimate: seconds of an epoch, as measured before the first round.
        seconds: true seconds of an epoch, by the number of epochs.
        plan: epochs and number of models of each round.
        stop_at: number of the training that is interrupted.
    """

    values: dict[str, dict[int, float] | float]
    plan: tuple[tuple[int, int], ...]
    estimate: float = 10.0
    seconds: float | dict[int, float] = 10.0
    stop_at: int | None = None
    trained: int = 0

    @staticmethod
    def at(epochs: int, of: float | dict[int, float]) -> float:
        return of[max(known for known in of if known <= epochs)] if isinstance(of, dict) else of

    def prepare(self, task, ledger, models, progress, stop):
        def run():
            if not ledger.decision.plan:
                for name in self.values:
                    ledger.change(name, run_seconds=0.0, epoch_seconds=self.estimate)
                ledger.update(plan=tuple(PlannedRound(epochs=e, models=m) for e, m in self.plan))

        return SimpleNamespace(run=run)

    def run(self, config, *args):
        self.trained += 1
        if self.trained == self.stop_at:
            raise Stopped(2)
        seconds = config.train.epochs * self.at(config.train.epochs, self.seconds)
        name = f"{config.variant}-{config.train.epochs}-{config.seed}"
        return SimpleNamespace(
            result=SimpleNamespace(name=name, budget=SimpleNamespace(train_seconds=seconds))
        )

    def look(self, runs, split, *, final, epochs, level, rivals, number, spent, **rest):
        values = {name: self.at(epochs, self.values[name]) for name in runs}
        order = sorted(values, key=lambda name: -values[name])
        pairs = [
            PairRecord(
                better=one, worse=other, delta=values[one] - values[other], low=values[one] - values[other] - 0.05,
                high=1, p_value=0.1, images_se=0.01, seeds_se=0.01, more_seeds=None,
            )
            for at, one in enumerate(order)
            for other in order[at + 1 :]
        ]  # fmt: skip
        return Look(
            number=number, split=split, epochs=epochs, images=99, level=level, pair_level=level / rivals, final=final, spent_seconds=spent,
            standings=tuple(
                Standing(name=name, value=values[name], low=0, high=1, seeds=(values[name],) * len(runs[name]), runs=())
                for name in order
            ),
            pairs=tuple(pairs),
            eliminated=tuple(dict.fromkeys(pair.worse for pair in pairs if final and pair.low > 0)),
        )  # fmt: skip


class NoFinals(finals.Finals):
    """Finals that only choose."""

    @staticmethod
    def seconds(models, minutes):
        return FINALS_SECONDS

    def run(self, runs, configs):
        self._choose()
        (self.ledger.folder / "report.html").touch()
        return self.ledger.folder / "report.html"


@cache
def task_of(names: tuple[str, ...]) -> DecisionTask:
    sets = [text for text in tiny_sets("none") if "epochs" not in text]
    sources = {"data": None, "file": None, "sets": sets, "options": {}}
    dataset, configs = open_entries([(name, None) for name in names], sources)
    assert {config.train.epochs for config in configs} == {WHOLE}
    return DecisionTask(
        tuple(Entrant(config.variant, None, config) for config in configs), dataset, 1, Path()
    )


def decide(curves: Curves, seconds: float, folder: Path, finals: type = NoFinals) -> Decision:
    """A decision with this time for trainings."""
    task = replace(task_of(tuple(curves.values)), minutes=(FINALS_SECONDS + seconds) / 60, out=folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decider, "Finals", finals)
        patch.setattr("bench.decide.models.Finals", NoFinals)
        patch.setattr(decider, "Preparation", curves.prepare)
        patch.setattr(decider, "run", curves.run)
        patch.setattr(decider, "take_look", curves.look)
        patch.setattr("reports.records.decision.atomic_write", Path.write_text)  # faster
        return decider.decide(task, RunContext(page=False))[0]


def lengths(decision: Decision) -> list[tuple[int, int]]:
    """Epochs and number of models of each round."""
    return [(begun.epochs, len(begun.models)) for begun in decision.rounds]


SLOW = {"ssd": {1: 0.30, 6: 0.36}, "fcos": {1: 0.05, 6: 0.50}, "atss": {1: 0.02, 6: 0.30}}
"""FCOS learns slowly, and is the best in the end."""


def test_a_clear_decision_goes_on_with_longer_trainings_of_all_models_while_there_is_time(tmp_path):
    # An epoch takes a third of what the plan assumed, so that two thirds of the time are left after 4 epochs.
    curves = Curves(SLOW, ((4, 3),), estimate=10, seconds=10 / 3)
    decision = decide(curves, 3 * SEEDS * 4 * 10, tmp_path)
    assert lengths(decision) == [(4, 3), (6, 3)]
    short, long = decision.looks
    assert short.eliminated == ("fcos", "atss")
    assert long.eliminated == ("ssd", "atss")
    assert decision.used == "fcos"
    assert decision.decided
    assert [look.level for look in decision.looks] == pytest.approx([0.004, 0.004])
    assert short.set_aside == long.set_aside == ()
    text = " ".join(finding(decision))
    assert (
        "decided for trainings of 6 epochs: each of the 2 other models was shown to be worse than another one"
        in text
    )
    assert [outcome_text(decision, fate).split(" after ")[0] for fate in fates(decision)] == [
        "use this one",
        "eliminated in round 2",
        "eliminated in round 2",
    ]


def test_models_without_a_place_in_longer_trainings_are_not_called_eliminated_at_their_end(tmp_path):
    curves = Curves(SLOW, ((4, 3),))
    decision = decide(curves, 3 * SEEDS * 40 + 2 * SEEDS * 60 + 1, tmp_path)
    assert lengths(decision) == [(4, 3), (6, 2)]
    assert decision.rounds[-1].models == ("ssd", "fcos")
    assert {model.name: model.state for model in decision.models} == {
        "ssd": "eliminated",
        "fcos": "active",
        "atss": "set_aside",
    }
    assert not decision.decided
    text = " ".join(finding(decision))
    assert (
        "atss was worse after trainings of 4 epochs: 28.0 points below ssd, at least 23.0; for lack of time"
        in text
    )
    assert "Among the models with trainings of 6 epochs this is decided: ssd was shown" in text
    aside = next(fate for fate in fates(decision) if fate.name == "atss")
    assert outcome_text(decision, aside) == (
        "worse after trainings of 4 epochs: 28.0 points below ssd, at least 23.0; no time for longer trainings"
    )
    assert "Training atss for 6 epochs, too, would take about 2 minutes" in " ".join(
        decision_sentences(decision)
    )


def test_a_model_that_was_set_aside_is_trained_as_long_as_the_others_if_there_is_time(tmp_path):
    curves = Curves(SLOW, ((4, 3),), seconds={1: 10, 6: 5})
    decision = decide(curves, 3 * SEEDS * 40 + 2 * SEEDS * 60 + 1, tmp_path)
    assert [(begun.epochs, begun.models) for begun in decision.rounds] == [
        (4, ("ssd", "fcos", "atss")),
        (6, ("ssd", "fcos")),
        (6, ("fcos", "atss")),
    ]
    assert [look.eliminated for look in decision.looks] == [("fcos", "atss"), ("ssd",), ("atss",)]
    assert curves.trained == SEEDS * (3 + 2 + 1)
    assert decision.decided


def test_the_last_planned_round_is_of_all_models_if_there_is_time_by_then(tmp_path):
    values = {name: 0.3 - 0.01 * at for at, name in enumerate(("ssd", "fcos", "atss", "gfl", "retinanet"))}
    plan = ((2, 5), (4, 3), (8, 2))
    curves = Curves(values, plan, estimate=20, seconds={1: 20, 4: 5})
    decision = decide(curves, 20 * SEEDS * (10 + 12 + 16) + 500, tmp_path)
    assert lengths(decision) == [(2, 5), (4, 3), (10, 5), (15, 5)]
    assert [begun.planned for begun in decision.rounds] == [0, 1, 2, None]
    assert len(decision.looks[1].set_aside) == 0
    assert decision.looks[0].set_aside == ("gfl", "retinanet")
    assert {model.state for model in decision.models} == {"active"}


def test_more_minutes_bring_back_models_that_were_eliminated_after_shorter_trainings(tmp_path):
    first = decide(Curves(SLOW, ((4, 3),)), 3 * SEEDS * 40, tmp_path)
    assert first.used == "ssd"
    assert first.decided
    curves = Curves(SLOW, ((4, 3),))
    again = decide(curves, 3 * SEEDS * (40 + 120) + 1, tmp_path)
    assert lengths(again) == [(4, 3), (9, 3)]
    assert curves.trained == 3 * SEEDS  # only the longer ones
    assert again.looks[0] == first.looks[0]
    assert (again.used, again.decided) == ("fcos", True)


def test_a_continued_decision_that_is_stopped_before_its_page_is_not_finished(tmp_path):
    class Stopping(NoFinals):
        def run(self, runs, configs):
            self._choose()
            raise Stopped(2)

    def page():
        return next(tmp_path.glob("decision-*")) / "report.html"

    decide(Curves(SLOW, ((4, 3),)), 3 * SEEDS * 40, tmp_path)
    assert page().is_file()
    with pytest.raises(Stopped):
        decide(Curves(SLOW, ((4, 3),)), 3 * SEEDS * 160 + 1, tmp_path, Stopping)
    assert not page().is_file()
    assert decide(Curves(SLOW, ((4, 3),)), 3 * SEEDS * 160 + 1, tmp_path).used == "fcos"
    assert page().is_file()


@pytest.mark.parametrize("stop_at", [4, 7, 12])
def test_an_interrupted_decision_takes_the_same_rounds(tmp_path, stop_at):
    curves = Curves(SLOW, ((4, 3),), estimate=10, seconds=10 / 3)
    seconds = 3 * SEEDS * 4 * 10
    whole = decide(curves, seconds, tmp_path / "whole")
    stopped = Curves(SLOW, ((4, 3),), estimate=10, seconds=10 / 3, stop_at=stop_at)
    with pytest.raises(Stopped):
        decide(stopped, seconds, tmp_path / "stopped")
    found = decide(stopped, seconds, tmp_path / "stopped")
    assert lengths(found) == lengths(whole) == [(4, 3), (6, 3)]
    assert [look.eliminated for look in found.looks] == [look.eliminated for look in whole.looks]
    assert [model.state for model in found.models] == [model.state for model in whole.models]
    assert found.used == whole.used == "fcos"


@pytest.mark.parametrize("seed", range(8))
def test_whatever_models_learn_no_time_for_longer_trainings_is_left(tmp_path, seed):
    rng = np.random.default_rng(seed)
    factor, spare = rng.uniform(0.2, 3), rng.choice([0, rng.uniform(0, 4000)])
    curves = [dict(zip(rng.integers(1, 48, 4).tolist(), rng.random(4), strict=True)) for _ in range(4)]
    names = ("ssd", "fcos", "atss", "gfl")
    values = {name: {1: 0.0} | of for name, of in zip(names, curves, strict=True)}
    seconds = 10 * SEEDS * (4 * 2 + 2 * 4) + spare
    decision = decide(Curves(values, ((2, 4), (4, 2)), seconds=10 * factor), seconds, tmp_path)
    longest = decision.rounds[-1].epochs
    assert longest == max(epochs for epochs, _ in lengths(decision))
    more = math.ceil(LONGER * longest)
    left = seconds - decision.spent_seconds
    share = 1 if more <= WHOLE else FOR_ROUNDS
    assert (
        more > 4 * WHOLE or 2 * SEEDS * 10 * factor * more > share * left - 1
    )  # a second for the test itself
    if any(model.state == "set_aside" for model in decision.models):
        assert decision.rounds[-1].seeds * 10 * factor * longest > left - 1
    last = [look for look in decision.looks if look.epochs == longest]
    out = {name for look in last for name in look.eliminated}
    assert {model.name for model in decision.models if model.state == "eliminated"} == out
    assert decision.used == last[-1].standings[0].name
    assert sum(look.level for look in decision.looks if look.final) <= 0.025
    assert decision.looks[-1].final


def test_the_last_trainings_decide_where_no_time_for_longer_ones_is_left(tmp_path):
    curves = Curves(SLOW, ((2, 3), (4, 2)), seconds=30)
    decision = decide(curves, SEEDS * 10 * (6 + 8), tmp_path)
    assert lengths(decision) == [(2, 3), (2, 3)]
    assert curves.trained == 3 * SEEDS
    assert [look.eliminated for look in decision.looks] == [(), ("fcos", "atss")]
    assert [look.level for look in decision.looks if look.final] == [pytest.approx(0.004)]


def test_longer_trainings_find_the_best_of_simulated_models_whose_curves_cross():
    about = next(each for each in WORLDS if each.name.startswith("3 cross, 3 of 12 epochs, costs x 4"))
    before, after = (length_rates(about, longer, 40) for longer in (False, True))
    assert (before.epochs, after.epochs) == (3, 12)
    assert before.best_used <= 0.1  # the best one of whole trainings is the worst one after 3 epochs
    assert after.best_used >= 0.9
    assert after.wrong_winner == 0


def test_simulated_equal_models_are_not_told_apart_by_longer_trainings():
    about = next(each for each in WORLDS if each.name.startswith("5 equal, 3 of 12"))
    found = length_rates(about, True, 60)
    assert found.epochs == 12
    assert found.best_eliminated <= 0.15  # expected: at most 5%, with a standard error of 3%
    assert found.wrong_winner == 0
