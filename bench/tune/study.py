"""Studies: trials that workers share, that can be stopped and continued, and of which each is finished once."""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner, NopPruner
from optuna.trial import FrozenTrial, Trial, TrialState

from bench.process.interrupts import Stopped, StopRequest
from bench.process.progress import Progress
from bench.runs.folders import slug
from bench.tune.objectives import Objectives
from bench.tune.retries import Orphans, WorkerLock, requeue, requeue_abandoned
from bench.tune.sampler import TPE
from bench.tune.search_space import Space
from bench.tune.storage import TIMEOUTS, StorageUnavailable, Timeouts, open_storage
from bench.tune.study_key import Direction, StudyKey, check_key
from bench.tune.trial_attributes import (
    DEFAULT,
    FOLDER,
    REASON,
    RETRY_OF,
    SUPERSEDED,
    SURPLUS,
    WORKER,
    counted,
)
from metrics.errors import PartialError
from metrics.plurals import plural
from reports.elements.formatting import truncate
from reports.records.trial import Scalar

ObjectiveFunction = Callable[[Trial, Mapping[str, Scalar], Path], tuple[float, ...]]
"""(trial, its settings by dotted path, its folder) -> value of each objective."""

_POLL_SECONDS = 0.5
_REASON_LENGTH = 500
_FEWEST_FOR_IMPORTANCES = 8


class Study:
    """The trials of one search space on one data set, in an Optuna study.

    Args:
        key: what the study depends on; names it unless `name` does.
        space: settings to tune.
        objectives: what to optimize.
        out: folder of all studies; this one gets a folder in it.
        storage: a database's URL; None for a journal file in the study's folder.
        name: of the study.
        seed: of the sampler.
        pruner: stops unpromising trials early; ignored where there are several objectives.
        first: settings to try right after the default ones.
        timeouts: of storage and workers.

    Raises:
        InputError: a study of this name has another key, or was not created by this version of `bench tune`.
        MachineError: the storage does not respond.
    """

    def __init__(
        self,
        key: StudyKey,
        space: Space,
        objectives: Objectives,
        out: Path,
        storage: str | None = None,
        name: str | None = None,
        seed: int = 0,
        pruner: BasePruner | None = None,
        first: Sequence[Mapping[str, Scalar]] = (),
        timeouts: Timeouts = TIMEOUTS,
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.space = space
        self.objectives = objectives
        self.name = name or key.name
        self.folder = out / slug(self.name)
        self.storage = open_storage(self.folder, storage, timeouts)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.lock = WorkerLock(self.folder)
        self._orphans = Orphans(timeouts.grace)
        self._current = -1
        directions: list[Direction] = [
            "maximize" if objective.higher else "minimize" for objective in objectives.each
        ]
        self.study = optuna.create_study(
            storage=self.storage,
            sampler=TPE(seed),
            pruner=NopPruner() if len(directions) > 1 or pruner is None else pruner,
            study_name=self.name,
            directions=directions,
            load_if_exists=True,
        )
        if check_key(self.study, self.name, key, directions):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)
                self.study.set_metric_names([objective.text for objective in objectives.each])
        self.study.enqueue_trial(space.defaults, user_attrs={DEFAULT: True}, skip_if_exists=True)
        for values in first:
            self.study.enqueue_trial({**space.defaults, **values}, skip_if_exists=True)

    def optimize(
        self,
        objective: ObjectiveFunction,
        trials: int,
        progress: Progress | None = None,
        stop: StopRequest | None = None,
    ) -> None:
        """Run trials until `trials` have been started by all workers together, and all of them are finished.

        A trial that raises, or whose value is not a number, fails with its reason as user attribute, and the study
        continues. A trial whose worker died is retried from its checkpoint.

        Args:
            objective: evaluates a trial.
            trials: number of trials in total, including those of earlier calls.
            progress: display.
            stop: checked between trials, and by objectives that check it themselves.

        Raises:
            Stopped: `stop` was requested; finished trials are saved, and the next call continues an interrupted training.
            MachineError: the storage became unavailable.
        """
        stop, progress = stop or StopRequest(), progress or Progress()
        with (
            progress.stage(truncate(f"tuning {self.name}", 40), trials) as stage,
            self.lock.hold(),
            stop.deferred(),
        ):
            done = self.num_finished()
            stage.resume(done)
            while self._has_next(trials, stop):
                if not self._run_one(lambda trial: self._evaluate(objective, trial, trials)):
                    progress.message(
                        f"trial {self._current}: this worker did not respond for too long; another one continues it"
                    )
                finished = self.num_finished()
                stage.advance(finished - done, **self._best_value())
                done = finished

    def _run_one(self, evaluate: Callable[[Trial], tuple[float, ...]]) -> bool:
        """Run one trial; False where another worker has taken it over in the meantime."""
        try:
            self.study.optimize(evaluate, n_trials=1, catch=(_TrialFailed,))
        except Exception as error:
            # Where storing the trial's state fails too, Optuna raises an UnboundLocalError of its own.
            cause: BaseException | None = error
            while cause is not None and not isinstance(cause, StorageUnavailable):
                cause = cause.__context__
            if cause is None and self._was_taken_over():
                return False
            raise cause or error from None
        return True

    def _was_taken_over(self) -> bool:
        """Whether another worker has failed the current trial: we would have given a reason."""
        trial = self.study.get_trials(deepcopy=False)[self._current]
        attributes = trial.user_attrs
        return trial.state == TrialState.FAIL and (SUPERSEDED in attributes or REASON not in attributes)

    def _has_next(self, trials: int, stop: StopRequest) -> bool:
        """Whether there is a trial to start; waits while other workers are running the last ones."""
        while stop.signum is None:
            requeue_abandoned(self.study, self.storage, self.storage.has_heartbeats, self.lock, self._orphans)
            known = self.study.get_trials(deepcopy=False)
            if any(trial.state == TrialState.WAITING for trial in known) or len(_originals(known)) < trials:
                return True
            if not any(trial.state == TrialState.RUNNING for trial in known):
                return False
            time.sleep(_POLL_SECONDS)
        return False

    def _evaluate(self, objective: ObjectiveFunction, trial: Trial, trials: int) -> tuple[float, ...]:
        self._current = trial.number
        if self.storage.has_heartbeats:
            # Before the worker's name: a trial with a worker but without a heartbeat would never be retried.
            self.storage.record_heartbeat(trial._trial_id)
        trial.set_user_attr(WORKER, self.lock.name)
        *earlier, frozen = self.study.get_trials(deepcopy=False)[: trial.number + 1]
        originals = _originals(earlier)
        if RETRY_OF not in frozen.user_attrs and (
            len(originals) >= trials or _is_queued_twice(frozen, originals)
        ):
            # Two workers started the last trial, or queued the default settings, at the same time.
            trial.set_user_attr(SURPLUS, True)
            trial.set_user_attr(REASON, "surplus: another worker started this trial first")
            raise _TrialFailed("surplus")
        folder = frozen.user_attrs.get(FOLDER) or f"{trial.number:05d}"
        trial.set_user_attr(FOLDER, folder)
        try:
            values = self.space.suggest(trial)
            return objective(trial, values, self.folder / "trials" / folder)
        except optuna.TrialPruned as pruned:
            if str(pruned):
                trial.set_user_attr(REASON, str(pruned)[:_REASON_LENGTH])
            raise
        except StorageUnavailable:
            raise
        except Stopped:
            current = self.study.get_trials(deepcopy=False)[trial.number]
            requeue(self.study, self.storage, current, "stopped")
            raise
        except Exception as error:
            trial.set_user_attr(REASON, f"{type(error).__name__}: {error}"[:_REASON_LENGTH])
            raise _TrialFailed from error

    def complete(self) -> list[FrozenTrial]:
        """Feasible trials with a value, best first by the first objective."""
        trials = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        sign = -1 if self.objectives.each[0].higher else 1
        return sorted(filter(is_feasible, trials), key=lambda trial: (sign * trial.values[0], trial.number))

    def default(self) -> FrozenTrial | None:
        """The trial with the default settings; None where it has no value."""
        return next(
            (t for t in self.complete() if t.user_attrs.get(DEFAULT) or t.params == self.space.defaults),
            None,
        )

    def best(self, count: int = 1) -> list[FrozenTrial]:
        """The best trials with different settings; with several objectives, those on the Pareto front.

        Raises:
            PartialError: no trial has a value, or none is feasible; with the last reason, or the trial closest to the limits.
        """
        trials = self.complete()
        if not trials:
            raise PartialError(f"study {self.name!r}: {self._why_none()}")
        if len(self.objectives.each) > 1:
            front = {trial.number for trial in self.study.best_trials}
            trials = [trial for trial in trials if trial.number in front]
        different: list[FrozenTrial] = []
        for trial in trials:
            if all(trial.params != other.params for other in different):
                different.append(trial)
        return different[:count]

    def _why_none(self) -> str:
        known = self.study.get_trials(deepcopy=False)
        over = [trial for trial in known if trial.state.is_finished() and not is_feasible(trial)]
        if over:
            nearest = min(over, key=lambda t: (sum(max(v, 0.0) for v in t.constraints.values()), t.number))
            return (
                f"no trial is within the limits; {plural(len(over), 'trial was', 'trials were')} measured, and the closest is trial {nearest.number}: "
                f"{nearest.user_attrs.get(REASON, '')}; raise the limit, or widen --space"
            )
        reasons = [trial.user_attrs.get(REASON) for trial in known if trial.state == TrialState.FAIL]
        last = next((reason for reason in reversed(reasons) if reason), "all trials were pruned")
        return f"no trial has a value; the last reason: {last}"

    def states(self) -> dict[str, int]:
        """How many of the requested trials are in each state, by its name in lower case."""
        known = counted(self.study.get_trials(deepcopy=False))
        return dict(Counter(trial.state.name.lower() for trial in known))

    def importances(self) -> dict[str, float]:
        """Importance of each setting for the first objective by PED-ANOVA (Watanabe et al. 2023); they sum to 1.

        That of a setting which has an effect only beside some values of another one is measured on the trials in which it has one,
        and multiplied by their share; it is left out if they are too few. Empty where there are too few trials, or all have the same
        value.
        """
        trials = self.complete()
        if len(trials) < _FEWEST_FOR_IMPORTANCES or len({trial.values[0] for trial in trials}) < 2:
            return {}
        if len(self.space) < 2:
            return {}
        sign = -1 if self.objectives.each[0].higher else 1
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # that low values must be better; they are
                warnings.simplefilter("ignore", ExperimentalWarning)
                amounts = self._amounts(trials, lambda trial: sign * trial.values[0])
        except (ValueError, RuntimeError):
            return {}
        total = sum(amounts.values())
        order = sorted(amounts, key=lambda path: (-amounts[path], path))
        return {path: amounts[path] / total for path in order} if total > 0 else {}

    def _amounts(
        self, trials: Sequence[FrozenTrial], target: Callable[[FrozenTrial], float]
    ) -> dict[str, float]:
        """Importance of each setting before they are divided by their sum."""
        groups = [[each.path for each in self.space if each.only_if is None]]
        groups += [[each.path] for each in self.space if each.only_if is not None]
        amounts: dict[str, float] = {}
        for paths in groups:
            having = [trial for trial in trials if trial.params.keys() >= set(paths)]
            if (
                not paths
                or len(having) < _FEWEST_FOR_IMPORTANCES
                or len({target(each) for each in having}) < 2
            ):
                continue
            found = optuna.importance.get_param_importances(
                self.study,
                evaluator=optuna.importance.PedAnovaImportanceEvaluator(),
                params=paths,
                target=target,
                normalize=False,
            )
            amounts |= {path: value * len(having) / len(trials) for path, value in found.items()}
        return amounts

    def num_finished(self) -> int:
        """How many of the requested trials are finished, in any state."""
        return sum(count for state, count in self.states().items() if state not in {"running", "waiting"})

    def _best_value(self) -> dict[str, float]:
        trials = self.complete()
        return {"best": trials[0].values[0]} if trials else {}


class _TrialFailed(Exception):
    """A trial has no value; its reason is stored. Any other exception ends the worker."""


def is_feasible(trial: FrozenTrial) -> bool:
    """Whether a trial is within all limits that were measured."""
    return all(value <= 0 for value in trial.constraints.values())


def _originals(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Trials without retries and surplus ones: each started trial once."""
    return [t for t in trials if RETRY_OF not in t.user_attrs and not t.user_attrs.get(SURPLUS)]


def _is_queued_twice(trial: FrozenTrial, earlier: Sequence[FrozenTrial]) -> bool:
    """Whether the same settings were queued for an earlier trial, too."""
    queued = trial.system_attrs.get("fixed_params")
    return queued is not None and any(other.system_attrs.get("fixed_params") == queued for other in earlier)
