"""Where trials are kept: a journal file for one machine, a database for many; and trials whose worker is gone."""

from __future__ import annotations

import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import optuna
from optuna.exceptions import ExperimentalWarning, StorageInternalError, UpdateFinishedTrialError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState, create_trial

from metrics.errors import InputError, MachineError

HEARTBEAT_SECONDS = 30
GRACE_SECONDS = 120

RETRY = "retry_of"
"""On a trial that goes on with another's settings, in its folder: the other's number."""

R = TypeVar("R")


def open_storage(folder: Path, url: str | None = None) -> BaseStorage:
    """The journal file of a study's folder, or the database at `url` (as SQLAlchemy writes it), with heartbeats.

    Raises:
        InputError: the URL names no kind of database that can be used here.
        MachineError: the database does not answer, or the folder cannot be written to.
    """
    if url is None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return JournalStorage(JournalFileBackend(str(folder / "journal.log")))
        except OSError as error:
            raise MachineError(
                f"{folder}: cannot be written to ({error.strerror}); choose another folder with --out"
            ) from None
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        try:
            return RDBStorage(
                url,
                heartbeat_interval=HEARTBEAT_SECONDS,
                grace_period=GRACE_SECONDS,
                heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(),
            )
        except (ArgumentError, NoSuchModuleError, ImportError) as error:
            reason = str(error).split("\n")[0]
            raise InputError(
                f"--storage: cannot be used ({reason}); expected a URL such as "
                "postgresql+psycopg://user@host/database, and its driver installed"
            ) from None
        except (SQLAlchemyError, StorageInternalError) as error:
            reason = str(error).strip().split("\n")[0]
            raise MachineError(
                f"--storage: the database does not answer ({reason}); start it, or leave --storage out for a journal file"
            ) from None


def patiently(action: Callable[[], R], waits: tuple[float, ...] = (1, 4, 16)) -> R:
    """What `action` returns, tried again where a database fails in between.

    Args:
        action: may be begun anew.
        waits: seconds before each further attempt.

    Raises:
        MachineError: it failed each time.
    """
    for wait in (*waits, None):
        try:
            return action()
        except StorageInternalError as error:
            if wait is None:
                reason = str(error).strip().split("\n")[0]
                raise MachineError(
                    f"--storage: the database is gone ({reason}); what was finished is saved: the same command goes on"
                ) from None
            time.sleep(wait)
    raise AssertionError("unreachable")


class Lease:
    """A worker's word that it lives: a lock on a file, which the system gives back when the process ends, however.

    Args:
        folder: of the study; all workers see it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "workers"
        self.name = uuid.uuid4().hex

    @contextmanager
    def held(self) -> Iterator[None]:
        """While the block runs, `is_held` says so to every other process."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / self.name
        with path.open("w") as file:
            _lock(file.fileno())
            try:
                yield
            finally:
                path.unlink(missing_ok=True)

    def is_held(self, name: str) -> bool:
        """Whether the worker of that name lives, or nobody can tell."""
        if name == self.name:
            return True
        try:
            with (self._folder / name).open("r+") as file:
                return not _lock(file.fileno())
        except FileNotFoundError:
            return False


def reclaim(study: optuna.Study, storage: BaseStorage, lease: Lease) -> list[int]:
    """Put the running trials of workers that are gone back into the queue; their numbers.

    The old trial is FAIL, with the reason; a new one has its settings and its folder, so that a training goes on from
    its checkpoint. A database's heartbeats tell who is gone; beside a journal file the workers' leases do.
    """
    if isinstance(storage, RDBStorage):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            optuna.storages.fail_stale_trials(study)
        return []
    gone = []
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        owner = trial.user_attrs.get("worker")
        if owner is None or lease.is_held(owner):
            continue
        if release(study, trial, "its worker is gone"):
            gone.append(trial.number)
    return gone


def release(study: optuna.Study, trial: FrozenTrial, reason: str) -> bool:
    """Fail a running trial and queue another in its place; False where somebody else did so first."""
    storage = study._storage
    try:
        storage.set_trial_user_attr(trial._trial_id, "reason", f"{reason}; another trial goes on with it")
        if not storage.set_trial_state_values(trial._trial_id, state=TrialState.FAIL):
            return False
    except UpdateFinishedTrialError:
        return False
    attrs = {name: value for name, value in trial.user_attrs.items() if name in {"folder"}}
    first = trial.user_attrs.get(RETRY, trial.number)
    study.add_trial(
        create_trial(
            state=TrialState.WAITING,
            params=trial.params,
            distributions=trial.distributions,
            user_attrs={**attrs, RETRY: first},
            system_attrs={"fixed_params": trial.params},
        )
    )
    return True


def is_retry(trial: FrozenTrial) -> bool:
    """Whether a trial stands in for another whose worker was gone."""
    return RETRY in trial.user_attrs or "failed_trial" in trial.system_attrs


def _lock(descriptor: int) -> bool:
    """Take the lock of an open file, if nobody has it; where there are no locks, nobody can tell: not taken."""
    try:
        import fcntl
    except ImportError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
