"""Studies: named by their cause, shared by workers, stopped and gone on with at will."""

from __future__ import annotations

import json
import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner, NopPruner
from optuna.samplers import TPESampler
from optuna.study import Study as OptunaStudy
from optuna.trial import FrozenTrial, Trial, TrialState

from bench.process.interrupts import Stopped, StopRequest
from bench.process.progress import Progress
from bench.runs.folders import digest, slug
from bench.tune.objectives import Objectives
from bench.tune.spaces import Scalar, Space
from bench.tune.storage import (
    PATIENCE,
    Lease,
    Orphans,
    Patience,
    StorageGone,
    is_retry,
    open_storage,
    reclaim,
    release,
)
from metrics.errors import InputError, PartialError

Objective = Callable[[Trial, Mapping[str, Scalar], Path], tuple[float, ...]]
"""From a trial, its settings by dotted path and a folder of its own to the value of each objective."""

_SURPLUS = "surplus"
_WAIT_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Cause:
    """What makes two studies one.

    Attributes:
        variant: the detector's name.
        data: name of the data set.
        stage: ``train`` or ``nms``.
        facts: plain values whose change makes another study: space, fingerprint of the data, settings, objectives.
    """

    variant: str
    data: str
    stage: str
    facts: Mapping[str, Any]

    @property
    def name(self) -> str:
        """``<variant>-<data>-<stage>-<digest>``."""
        return f"{slug(self.variant)}-{slug(self.data)}-{self.stage}-{digest(dict(self.facts))}"


class Study:
    """Trials of one space on one data set.

    Args:
        cause: what the study is of; names it where `name` does not.
        space: settings to be tuned.
        objectives: what is sought.
        out: the folder of studies; the study has one of its own in it.
        storage: a database's URL; None keeps a journal file in the study's folder.
        name: of the study; a study of that name with another cause is refused.
        seed: of the sampler. One worker draws the same trials with the same seed, also when it was stopped in between;
            of several each draws its own, because each trial's number is handed out once.
        pruner: of trials that go badly; without effect where there are several objectives.
        first: settings to be tried right after the untuned ones.
        patience: with storage and other workers.

    Raises:
        InputError: a study of this name has another cause; what differs is named. Or it was not made by `bench tune`.
        MachineError: the storage does not answer.
    """

    def __init__(
        self,
        cause: Cause,
        space: Space,
        objectives: Objectives,
        out: Path,
        storage: str | None = None,
        name: str | None = None,
        seed: int = 0,
        pruner: BasePruner | None = None,
        first: Sequence[Mapping[str, Scalar]] = (),
        patience: Patience = PATIENCE,
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.space = space
        self.objectives = objectives
        self.name = name or cause.name
        self.folder = out / slug(self.name)
        self.storage = open_storage(self.folder, storage, patience)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.lease = Lease(self.folder)
        self._orphans = Orphans(patience.grace)
        self._in_hand = -1
        several = len(objectives.each) > 1
        self.study = optuna.create_study(
            storage=self.storage,
            sampler=TPE(seed),
            pruner=NopPruner() if several or pruner is None else pruner,
            study_name=self.name,
            directions=["maximize" if objective.higher else "minimize" for objective in objectives.each],
            load_if_exists=True,
        )
        self._check(cause)
        self.study.enqueue_trial(space.defaults, user_attrs={"default": True}, skip_if_exists=True)
        for values in first:
            self.study.enqueue_trial({**space.defaults, **values}, skip_if_exists=True)

    def _check(self, cause: Cause) -> None:
        begun = self.study.get_trials(deepcopy=False)  # before the cause, which stands there before any trial
        known = self.study.user_attrs.get("cause")
        mine = json.loads(json.dumps({"variant": cause.variant, "stage": cause.stage, **cause.facts}))
        was = [direction.name.lower() for direction in self.study.directions]
        wanted = ["maximize" if objective.higher else "minimize" for objective in self.objectives.each]
        if known is None and was != wanted:
            raise InputError(
                f"study {self.name!r}: was made to {' and '.join(was)}, and this one has to {' and '.join(wanted)}; "
                "give this one another name with --study"
            )
        if known is None:
            if begun:
                raise InputError(
                    f"study {self.name!r}: has trials, and was not made by bench tune; "
                    "give this one another name with --study"
                )
            self.study.set_user_attr("cause", mine)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)
                self.study.set_metric_names([objective.text for objective in self.objectives.each])
            return
        for fact in sorted({*known, *mine}):
            if known.get(fact) != mine.get(fact):
                theirs, ours = known.get(fact), mine.get(fact)
                if isinstance(theirs, dict) and isinstance(ours, dict):
                    key = min(key for key in {*theirs, *ours} if theirs.get(key) != ours.get(key))
                    fact, theirs, ours = f"{fact}, {key}", theirs.get(key), ours.get(key)
                raise InputError(
                    f"study {self.name!r}: was made with another {fact}: {_brief(theirs)} there, {_brief(ours)} here; "
                    "give this one another name with --study, or none"
                )

    def optimize(
        self,
        objective: Objective,
        trials: int,
        progress: Progress | None = None,
        stop: StopRequest | None = None,
    ) -> None:
        """Work on the study until `trials` trials were begun by whatever workers, and all of them are finished.

        A trial that raises, or whose value is not a number, is FAIL, with its reason as user attribute ``reason``, and
        the study goes on. A trial of a worker that is gone is done again, from where it stopped.

        Args:
            objective: the value of a trial.
            trials: how many there shall be in all, those of earlier calls counted.
            progress: where to show how far it is.
            stop: looked at after each trial, and by those that look at it themselves.

        Raises:
            Stopped: `stop` was asked for; all finished trials are kept, and a training that was broken off goes on
                with the next call.
            MachineError: the storage is gone for good.
        """
        stop, progress = stop or StopRequest(), progress or Progress()
        with (
            progress.stage(f"tuning {self.name}"[:40], trials) as stage,
            self.lease.held(),
            stop.deferred(),
        ):
            done = self._done()
            stage.resume(done)
            while self._next(trials, stop):
                if not self._one(lambda trial: self._evaluate(objective, trial, trials)):
                    progress.message(
                        f"trial {self._in_hand}: this worker was silent for too long; another goes on with it"
                    )
                now = self._done()
                stage.advance(now - done, **self._best())
                done = now

    def _one(self, evaluate: Callable[[Trial], tuple[float, ...]]) -> bool:
        """Do one trial; False where others went on with it meanwhile."""
        try:
            self.study.optimize(evaluate, n_trials=1, catch=(_Failed,))
        except Exception as error:
            # Where the storage fails in the end, too, Optuna stumbles over a variable of its own.
            cause: BaseException | None = error
            while cause is not None and not isinstance(cause, StorageGone):
                cause = cause.__context__
            if cause is None and self._taken_over():
                return False
            raise cause or error from None
        return True

    def _taken_over(self) -> bool:
        """Whether others have taken this worker for dead, and its trial with it: it failed, and we have not said why."""
        trial = self.study.get_trials(deepcopy=False)[self._in_hand]
        return trial.state == TrialState.FAIL and "reason" not in trial.user_attrs

    def _next(self, trials: int, stop: StopRequest) -> bool:
        """Whether there is a trial to begin; waits while other workers have the last ones in hand."""
        while stop.signum is None:
            reclaim(self.study, self.storage, self.lease, self._orphans)
            known = self.study.get_trials(deepcopy=False)
            if any(trial.state == TrialState.WAITING for trial in known) or len(_slots(known)) < trials:
                return True
            if not any(trial.state == TrialState.RUNNING for trial in known):
                return False
            time.sleep(_WAIT_SECONDS)
        return False

    def _evaluate(self, objective: Objective, trial: Trial, trials: int) -> tuple[float, ...]:
        self._in_hand = trial.number
        trial.set_user_attr("worker", self.lease.name)
        *earlier, mine = self.study.get_trials(deepcopy=False)[: trial.number + 1]
        before = _slots(earlier)
        if not is_retry(mine) and (len(before) >= trials or _is_queued_twice(mine, before)):
            # Two workers began, or queued the untuned settings, at the same moment: one of the trials is not asked for.
            trial.set_user_attr(_SURPLUS, True)
            trial.set_user_attr("reason", "surplus: another worker was there first")
            raise _Failed("surplus")
        folder = trial.user_attrs.get("folder") or f"{trial.number:05d}"
        trial.set_user_attr("folder", folder)
        try:
            values = self.space.suggest(trial)
            return objective(trial, values, self.folder / "trials" / folder)
        except optuna.TrialPruned as pruned:
            if str(pruned):
                trial.set_user_attr("reason", str(pruned)[:500])
            raise
        except StorageGone:
            raise
        except Stopped as stopped:
            release(self.study, self.study.get_trials(deepcopy=False)[trial.number], "stopped")
            raise stopped
        except Exception as error:
            trial.set_user_attr("reason", f"{type(error).__name__}: {error}"[:500])
            raise _Failed from error

    def finished(self) -> list[FrozenTrial]:
        """Trials that have a value and keep all limits, the best first; of several objectives by the first."""
        complete = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        sign = -1 if self.objectives.each[0].higher else 1
        feasible = [trial for trial in complete if is_feasible(trial)]
        return sorted(feasible, key=lambda trial: (sign * trial.values[0], trial.number))

    def default(self) -> FrozenTrial | None:
        """The trial of the untuned settings; None where it has no value."""
        return next(
            (t for t in self.finished() if t.user_attrs.get("default") or t.params == self.space.defaults),
            None,
        )

    def best(self, count: int = 1) -> list[FrozenTrial]:
        """The best trials, of different settings; of several objectives those that no other surpasses in all.

        Raises:
            PartialError: none has a value, or none keeps the limits; the last reason, or the nearest trial, is told.
        """
        finished = self.finished()
        if not finished:
            raise PartialError(f"study {self.name!r}: {self._why_none()}")
        if len(self.objectives.each) > 1:
            front = {trial.number for trial in self.study.best_trials}
            finished = [trial for trial in finished if trial.number in front]
        different: list[FrozenTrial] = []
        for trial in finished:
            if all(trial.params != other.params for other in different):
                different.append(trial)
        return different[:count]

    def _why_none(self) -> str:
        known = self.study.get_trials(deepcopy=False)
        over = [trial for trial in known if trial.state.is_finished() and not is_feasible(trial)]
        if over:
            nearest = min(over, key=lambda t: (sum(max(v, 0.0) for v in t.constraints.values()), t.number))
            counted = f"{len(over)} trials were measured" if len(over) > 1 else "one trial was measured"
            return (
                f"no trial keeps the limits; {counted}, and the nearest is trial {nearest.number}: "
                f"{nearest.user_attrs.get('reason', '')}; raise the limit, or widen --space"
            )
        reasons = [trial.user_attrs.get("reason") for trial in known if trial.state == TrialState.FAIL]
        last = next((reason for reason in reversed(reasons) if reason), "all were pruned")
        return f"no trial has a value; the last reason: {last}"

    def states(self) -> dict[str, int]:
        """How many trials ended how; what was put back into the queue and surplus are left out."""
        counts: dict[str, int] = {}
        known = self.study.get_trials(deepcopy=False)
        replaced = {number for trial in known for number in trial.system_attrs.get("retry_history", [])}
        for trial in known:
            if not trial.user_attrs.get(_SURPLUS) and not _given_up(trial) and trial.number not in replaced:
                counts[trial.state.name.lower()] = counts.get(trial.state.name.lower(), 0) + 1
        return counts

    def importances(self) -> dict[str, float]:
        """How much each setting matters, by PED-ANOVA (Watanabe et al. 2023), for the first objective; they sum to 1.

        Empty where there are too few trials to say, or nothing made a difference.
        """
        complete = self.finished()
        if len(complete) < 8 or len({trial.values[0] for trial in complete}) < 2 or len(self.space) < 2:
            return {}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # that the target must be low; it is
                return optuna.importance.get_param_importances(
                    self.study,
                    evaluator=optuna.importance.PedAnovaImportanceEvaluator(),
                    target=lambda trial: trial.values[0] * (-1 if self.objectives.each[0].higher else 1),
                )
        except (ValueError, RuntimeError):
            return {}

    def _done(self) -> int:
        states = self.states()
        return sum(count for state, count in states.items() if state not in {"running", "waiting"})

    def _best(self) -> dict[str, float]:
        finished = self.finished()
        return {"best": finished[0].values[0]} if finished else {}


class _Failed(Exception):
    """A trial has no value; its reason is told. Anything else that is raised ends the worker."""


class TPE(TPESampler):
    """TPE whose draws for a trial depend on the seed and the trial's number, and on nothing that went before.

    The storage hands out each number once. So workers with the same seed draw differently, on however many machines, and
    a study that was stopped goes on with the draws that it would have made.
    """

    def __init__(self, seed: int) -> None:
        super().__init__(seed=seed)
        self._seed = seed

    def before_trial(self, study: OptunaStudy, trial: FrozenTrial) -> None:
        one, other = np.random.SeedSequence([self._seed, trial.number]).generate_state(2)
        self._rng.rng.seed(one)
        self._random_sampler._rng.rng.seed(other)
        super().before_trial(study, trial)


def is_feasible(trial: FrozenTrial) -> bool:
    """Whether a trial keeps all limits that were measured."""
    return all(value <= 0 for value in trial.constraints.values())


def _slots(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Trials that were asked for: one that stands in for another takes no place of its own."""
    return [trial for trial in trials if not is_retry(trial) and not trial.user_attrs.get(_SURPLUS)]


def _is_queued_twice(trial: FrozenTrial, before: Sequence[FrozenTrial]) -> bool:
    """Whether the very settings that were queued for a trial were queued for an earlier one, too."""
    queued = trial.system_attrs.get("fixed_params")
    return queued is not None and any(other.system_attrs.get("fixed_params") == queued for other in before)


def _given_up(trial: FrozenTrial) -> bool:
    return str(trial.user_attrs.get("reason", "")).endswith("another trial goes on with it")


def _brief(value: Any) -> str:
    text = str(value)
    if isinstance(value, float) and math.isfinite(value):
        text = f"{value:g}"
    return text if len(text) <= 80 else f"{text[:77]}..."
