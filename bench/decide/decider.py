"""A decision: which of several models to use, found within a given time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bench.decide.finals import PAGE, Finals
from bench.decide.ledger import Ledger
from bench.decide.looks import take_look
from bench.decide.models import Models
from bench.decide.preparation import Preparation
from bench.decide.rounds import LONGER, SEEDS, longer_round, next_round
from bench.decide.task import DecisionTask, check_task
from bench.process.locks import hold
from bench.runs.context import RunContext
from bench.runs.folders import is_done
from bench.runs.naming import run_name
from bench.runs.run import run
from metrics.designs.elimination import LOOKS, look_level
from metrics.errors import InputError, PartialError
from metrics.match_rule import MatchRule
from metrics.plurals import plural
from reports.records.decision import BegunRound, Decision, DecisionModel
from reports.records.run import RunFolder

_LOCK = ".decision-lock"
"""Another name than that of a run's lock, which means that the machine is busy."""


def decide(task: DecisionTask, context: RunContext) -> tuple[Decision, Path]:
    """Decide, or continue an interrupted decision, or one that is given more time.

    Returns:
        The record, and the page.

    Raises:
        InputError: fewer than two models, no validation or test images, or the time is not enough for one round.
        PartialError: the trainings of all models but one failed, or all exceed a limit.
        MachineError: another process works on the same decision.
        Stopped: stopped by a signal; the same call continues.
    """
    check_task(task)
    task.folder.mkdir(parents=True, exist_ok=True)
    with hold(task.folder / _LOCK):
        return _Decider(task, replace(context, page=False)).run()


class _Decider:
    def __init__(self, task: DecisionTask, context: RunContext) -> None:
        self.task = task
        self.context = context
        self.progress = context.progress
        self.dataset = task.dataset
        self.done: dict[str, RunFolder] = {}
        first = task.entrants[0].config
        self.rule = MatchRule(max_dets=first.evaluate.max_dets)
        self.ledger = Ledger(
            task.folder,
            Decision(
                data=self.dataset.name,
                fingerprint=self.dataset.fingerprint,
                measure=task.measure,
                minutes=task.minutes,
                seeds=SEEDS,
                full_epochs=max(1, *(entrant.config.train.epochs for entrant in task.entrants)),
                models=tuple(
                    DecisionModel(name=entrant.name, variant=entrant.config.variant, preset=entrant.preset)
                    for entrant in task.entrants
                ),
            ),
        )
        self.models = Models(task, self.ledger, self.progress)

    @property
    def decision(self) -> Decision:
        """The record."""
        return self.ledger.decision

    def run(self) -> tuple[Decision, Path]:
        page = self.task.folder / PAGE
        if self.decision.used and page.is_file():
            self.progress.message(f"{self.task.folder.name}: finished; a larger --minutes continues it")
            return self.decision, page
        with self.progress.overall("decision", 60 * self.decision.minutes, self.decision.spent_seconds):
            Preparation(self.task, self.ledger, self.models, self.progress, self.context.stop).run()
            runs = self._rounds()
            configs = {name: self.models.config(name, self.decision.rounds[-1].epochs) for name in runs}
            page = Finals(self.task.out, self.ledger, self.dataset, self.context, self.rule).run(
                runs, configs
            )
        return self.decision, page

    def _rounds(self) -> dict[str, list[RunFolder]]:
        """All rounds, planned ones and those after them; the runs of the models that are left."""
        while True:
            rounds = self.decision.rounds
            if len(rounds) == len(self.decision.looks_at("val")):
                begun = self._next()
                if begun is None:
                    break
                dropped = self.ledger.begin(begun)
                if dropped:
                    self.progress.message(f"set aside for lack of time: {', '.join(dropped)}")
            current = self.decision.rounds[-1]
            runs = self._train(current.models, current.epochs, current.seeds)
            self._look(runs, current.epochs)
        last = self.decision.rounds[-1]
        left = [name for name in self._ranked(self.decision.active) if name in last.models]
        return self._train(left, last.epochs, last.seeds)

    def _next(self) -> BegunRound | None:
        """The next round; None if nothing can be learned in the time that is left."""
        plan, rounds = self.decision.plan, self.decision.rounds
        number = 1 + max((each.planned for each in rounds if each.planned is not None), default=-1)
        if number < len(plan):
            return self._planned(number)
        if rounds[-1].epochs < self.decision.full_epochs:  # an order after shorter trainings says little
            return self._longer() or self._wider() or self._with_more_seeds()
        return self._wider() or self._with_more_seeds() or self._longer()

    def _planned(self, number: int) -> BegunRound:
        """A round of the plan, as far as the time allows; the last one is of all models, and longer, if there is time by now."""
        plan, ranked = self.decision.plan, self._ranked(self.decision.active)
        found: tuple[int, list[str]] | None
        if number == 0:
            found = plan[0].epochs, ranked
        else:
            if len(ranked) == 1:
                number = len(plan) - 1  # alone, it needs only its whole schedule
            found = self._lengthened(plan[-1].epochs) if number == len(plan) - 1 else None
            if found is None or len(found[1]) < len(self.decision.trainable):
                seconds = self.ledger.left - self.models.reserved(ranked)
                found = next_round(plan[number:], ranked, self.models.costs, seconds)
        last = self.decision.rounds[-1].epochs if number else 0
        if found is None or found[0] <= last:
            self.progress.message("no time is left for longer trainings: those of the last round decide")
            number, found = len(plan) - 1, (last, ranked)
        epochs, chosen = found
        self.progress.message(
            f"round {number + 1} of {len(plan)}: {', '.join(chosen)}; {plural(epochs, 'epoch')}, {SEEDS} seeds"
        )
        return BegunRound(planned=number, epochs=epochs, seeds=SEEDS, models=tuple(chosen))

    def _longer(self) -> BegunRound | None:
        """A round of longer trainings, also of models that were eliminated or set aside after shorter ones."""
        found = self._lengthened(math.ceil(LONGER * self.decision.rounds[-1].epochs))
        if found is None:
            return None
        epochs, chosen = found
        self.progress.message(
            f"there is time for longer trainings: {', '.join(chosen)}; {plural(epochs, 'epoch')}, {SEEDS} seeds"
        )
        return BegunRound(planned=None, epochs=epochs, seeds=SEEDS, models=tuple(chosen))

    def _wider(self) -> BegunRound | None:
        """A round that trains models that were set aside for as long as the others, as many as there is time for."""
        last, costs = self.decision.rounds[-1], self.models.costs
        left = self._ranked(self.decision.active)
        aside = [
            name
            for name in self._ranked(self.decision.trainable)
            if self.decision.model(name).state == "set_aside"
        ]
        seconds = self.ledger.left - self.models.reserved([*left, *aside])
        while aside and last.seeds * sum(costs[name].of(last.epochs) for name in aside) > seconds:
            aside.pop()
        if not aside:
            return None
        self.progress.message(
            f"there is time for {', '.join(aside)} after all; {plural(last.epochs, 'epoch')}, {plural(last.seeds, 'seed')}"
        )
        return BegunRound(planned=None, epochs=last.epochs, seeds=last.seeds, models=(*left, *aside))

    def _lengthened(self, shortest: int) -> tuple[int, list[str]] | None:
        """Epochs and models of longer trainings, if there is time for at least this many epochs of two models."""
        names = self._ranked(self.decision.trainable)
        seconds = self.ledger.left - self.models.reserved(names)
        whole, longest = self.decision.full_epochs, self.models.most_epochs
        return longer_round(names, self.models.costs, seconds, shortest, whole, longest)

    def _with_more_seeds(self) -> BegunRound | None:
        """A round with more seeds of the models that cannot be told apart, if that can help and there is time."""
        last, looks = self.decision.rounds[-1], self.decision.looks_at("val")
        names = [name for name in self._ranked(self.decision.active) if looks[-1].standing(name)]
        # A command with more time, after a look at the test images, may take as many looks again.
        if len(names) < 2 or sum(look.final for look in looks) >= LOOKS * (
            1 + len(self.decision.looks_at("test"))
        ):
            return None
        needed = [pair.more_seeds for pair in looks[-1].pairs if {pair.better, pair.worse} <= set(names)]
        helpful = [factor for factor in needed if factor is not None]
        if looks[-1].too_few or not helpful:
            self.progress.message("more seeds on the same validation images would not decide: none are added")
            return None
        costs = self.models.costs
        per_seed = sum(costs[name].of(last.epochs) for name in names)
        affordable = int((self.ledger.left - self.models.reserved(names)) / per_seed)
        if affordable < 1:
            return None
        more = min(affordable, max(1, math.ceil(last.seeds * (max(helpful) - 1))))
        self.progress.message(
            f"{plural(more, 'more seed')} of {', '.join(names)}, which cannot be told apart yet"
        )
        return BegunRound(planned=None, epochs=last.epochs, seeds=last.seeds + more, models=tuple(names))

    def _ranked(self, names: Sequence[str]) -> list[str]:
        """Some models, best first: by the last look that each took part in, those of later looks before others."""
        looks = self.decision.looks_at("val")
        order = dict.fromkeys(each.name for look in reversed(looks) for each in look.standings)
        return [name for name in order or names if name in names]

    def _train(self, names: Sequence[str], epochs: int, seeds: int) -> dict[str, list[RunFolder]]:
        """Runs of each model with each seed; models whose training fails are left out."""
        runs: dict[str, list[RunFolder]] = {name: [] for name in names}
        for seed in range(seeds):  # all models once before any second time
            for name in names:
                if self.decision.model(name).state == "failed":
                    continue
                try:
                    runs[name].append(self._run(name, epochs, seed))
                except (InputError, PartialError) as error:
                    self.models.fail(name, error)
        kept = {name: of for name, of in runs.items() if len(of) == seeds}
        if not kept:
            raise PartialError("the trainings of all models failed; see the messages above")
        return kept

    def _run(self, name: str, epochs: int, seed: int) -> RunFolder:
        config = self.models.config(name, epochs)
        config = config.with_seed(config.seed + seed)
        subject = run_name(config, self.dataset)
        if subject in self.done:
            return self.done[subject]
        if is_done(self.task.out / subject) and not self.ledger.has("training", subject):
            self.progress.message(f"{subject}: reusing the finished run")
            self.done[subject] = RunFolder.open(self.task.out / subject)
            return self.done[subject]
        finished = is_done(self.task.out / subject)
        with self.ledger.spend("training", subject):
            done = run(config, self.task.out, self.dataset, self.context)
        trained = done.result.budget.train_seconds or 0.0
        self.ledger.at_least("training", subject, trained)
        if not finished:
            self._correct(name, epochs, subject)
        self.done[subject] = done
        return done

    def _correct(self, name: str, epochs: int, subject: str) -> None:
        """Correct the measured cost of a model by the time that a run took."""
        took = sum(
            each.seconds for each in self.decision.spent if (each.step, each.subject) == ("training", subject)
        )
        model = self.decision.model(name)
        ratio = took / (model.run_seconds + model.epoch_seconds * epochs)
        self.ledger.change(
            name,
            run_seconds=model.run_seconds * ratio,
            epoch_seconds=model.epoch_seconds * ratio,
        )

    def _look(self, runs: Mapping[str, Sequence[RunFolder]], epochs: int) -> None:
        looks, current = self.decision.looks_at("val"), self.decision.rounds[-1]
        final = current.planned in (None, len(self.decision.plan) - 1)
        before = sum(look.final for look in looks)
        look = take_look(
            runs,
            "val",
            number=len(looks) + 1,
            measure=self.task.measure,
            level=look_level(self.decision.error / 2, before + 1),
            rivals=len(self.task.entrants) - 1,
            final=final,
            epochs=epochs,
            spent=self.decision.spent_seconds,
            rule=self.rule,
        )
        self.ledger.add_look(look)
        values = ", ".join(f"{each.name} {100 * (each.value or 0):.1f}" for each in look.standings)
        self.progress.message(f"{self.task.measure} on validation images: {values}")
        for name in look.eliminated:
            pair = look.eliminating(name)
            assert pair is not None
            self.progress.message(
                f"worse after {plural(epochs, 'epoch')}: {name}, {100 * pair.delta:.1f} points below {pair.better} (at least {100 * (pair.low or 0):.1f})"
            )
