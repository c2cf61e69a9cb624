"""Trials whose worker died or was stopped: they fail, and a retry continues them in the same folder."""

from __future__ import annotations

import time
import uuid
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import optuna
from optuna.exceptions import ExperimentalWarning, UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from bench.process.locks import hold, is_held
from bench.tune.trial_attributes import DEFAULT, FOLDER, MEASURED, REASON, RETRY_OF, SUPERSEDED, WORKER


class WorkerLock:
    """A locked file that shows that this worker is alive; the system releases it however the process ends.

    Args:
        folder: of the study, which all workers see.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "workers"
        self.name = uuid.uuid4().hex

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Hold the lock while the block runs."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / self.name
        with hold(path):
            try:
                yield
            finally:
                path.unlink(missing_ok=True)

    def is_held(self, name: str) -> bool:
        """Whether the worker `name` is alive; True where the system has no locks."""
        if name == self.name:
            return True
        path = self._folder / name
        return path.exists() and is_held(path) is not False


class Orphans:
    """Running trials without a worker: it died, or lost the database, right after it started them.

    Args:
        grace: seconds, by this machine's clock, after which a trial without a worker is an orphan.
    """

    def __init__(self, grace: float) -> None:
        self._grace = grace
        self._first_seen: dict[int, float] = {}

    def among(self, running: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        """The orphans among the running trials; to be called repeatedly."""
        now = time.monotonic()
        unowned = [trial for trial in running if WORKER not in trial.user_attrs]
        self._first_seen = {trial.number: self._first_seen.get(trial.number, now) for trial in unowned}
        return [trial for trial in unowned if now - self._first_seen[trial.number] > self._grace]


def requeue_abandoned(
    study: optuna.Study, storage: BaseStorage, heartbeats: bool, lock: WorkerLock, orphans: Orphans
) -> list[int]:
    """Fail the running trials of dead workers and queue retries.

    Args:
        study: whose trials.
        storage: of the study.
        heartbeats: whether dead workers are recognized by missing heartbeats, rather than by their locks.
        lock: of this worker.
        orphans: of this worker.

    Returns:
        Numbers of the trials that this call failed; without those that Optuna failed for a missing heartbeat.
    """
    if heartbeats:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            optuna.storages.fail_stale_trials(study)
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    abandoned = orphans.among(running)
    if not heartbeats:
        abandoned += [t for t in running if WORKER in t.user_attrs and not lock.is_held(t.user_attrs[WORKER])]
    return [trial.number for trial in abandoned if requeue(study, storage, trial, "its worker died")]


def requeue(study: optuna.Study, storage: BaseStorage, trial: FrozenTrial, reason: str) -> bool:
    """Fail a running trial and queue a retry; False where another worker has already done so."""
    study_id = storage.get_study_id_from_name(study.study_name)
    trial_id = storage.get_trial_id_from_study_id_trial_number(study_id, trial.number)
    try:
        storage.set_trial_user_attr(trial_id, SUPERSEDED, True)
        storage.set_trial_user_attr(trial_id, REASON, f"{reason}; another trial continues it")
        if not storage.set_trial_state_values(trial_id, state=TrialState.FAIL):
            return False
    except UpdateFinishedTrialError:
        return False
    queue_retry(study, trial)
    return True


def queue_retry(study: optuna.Study, trial: FrozenTrial) -> None:
    """Queue a trial with the settings and the folder of a failed one; also Optuna's callback for missing heartbeats."""
    inherited = {
        name: trial.user_attrs[name] for name in (DEFAULT, FOLDER, MEASURED) if name in trial.user_attrs
    }
    study.add_trial(
        create_trial(
            state=TrialState.WAITING,
            params=trial.params,
            distributions=trial.distributions,
            user_attrs={**inherited, RETRY_OF: trial.number},
            system_attrs={"fixed_params": {**trial.system_attrs.get("fixed_params", {}), **trial.params}},
        )
    )
