"""Where trials are kept: a journal file for one machine, a database for many; and trials whose worker is gone."""

from __future__ import annotations

import functools
import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning, StorageInternalError, UpdateFinishedTrialError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState, create_trial

from metrics.errors import InputError, MachineError


@dataclass(frozen=True, slots=True)
class Patience:
    """How long silence is borne; all in seconds.

    Attributes:
        heartbeat: so often a worker tells a database that it lives.
        grace: a worker that was silent so long counts as dead, and its trial is queued again.
        waits: before a storage that failed is asked again, and again; then it is given up.
    """

    heartbeat: int = 30
    grace: int = 120
    waits: tuple[float, ...] = (1.0, 4.0, 16.0)


PATIENCE = Patience()
"""For machines far apart."""

RETRY = "retry_of"
"""On a trial that goes on with another's settings, in its folder: the other's number."""


def open_storage(folder: Path, url: str | None = None, patience: Patience = PATIENCE) -> BaseStorage:
    """The journal file of a study's folder, or the database at `url` (as SQLAlchemy writes it), with heartbeats.

    Args:
        folder: of the study.
        url: of a database; None for the journal file.
        patience: with storage and other workers.

    Raises:
        InputError: the URL names no kind of database that can be used here.
        MachineError: the database does not answer, or the folder cannot be written to.
    """
    if url is None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return patient(JournalStorage(JournalFileBackend(str(folder / "journal.log"))), patience.waits)
        except OSError as error:
            raise MachineError(
                f"{folder}: cannot be written to ({error.strerror}); choose another folder with --out"
            ) from None
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

    try:
        return patient(_database(url, patience), patience.waits)
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        raise InputError(
            f"--storage: cannot be used ({_reason(error)}); expected a URL such as "
            "postgresql+psycopg://user@host/database, and its driver installed"
        ) from None
    except (SQLAlchemyError, StorageInternalError) as error:
        raise MachineError(
            f"--storage: the database does not answer ({_reason(error)}); start it, or leave --storage out for a journal "
            "file"
        ) from None


def _database(url: str, patience: Patience) -> RDBStorage:
    """The database, asked again where it does not answer, or where another machine is making the tables just now."""
    from sqlalchemy.exc import DBAPIError

    for wait in (*patience.waits, None):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)
                return RDBStorage(
                    url,
                    heartbeat_interval=patience.heartbeat,
                    grace_period=patience.grace,
                    heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(),
                )
        except DBAPIError:
            if wait is None:
                raise
            time.sleep(wait)
    raise AssertionError("unreachable")


class StorageGone(MachineError):
    """The storage does not answer any more. Whatever was told it is saved; a trial in hand is not lost, but goes on."""


def patient(storage: BaseStorage, waits: tuple[float, ...] = PATIENCE.waits) -> BaseStorage:
    """The same storage, each of whose calls is made again where it fails for a reason that may pass.

    Only the call is repeated, never the work around it: a training whose value could not be written at once is not lost.

    Args:
        storage: a journal or a database; its methods are replaced.
        waits: seconds before each further attempt.

    Returns:
        `storage`. Its calls raise `StorageGone` when all attempts failed; from then on at once. Only heartbeats never do:
        one that could not be told is left out, and the next may be heard.
    """
    gone: list[str] = []

    def patiently(call: Callable[..., Any], name: str) -> Callable[..., Any]:
        @functools.wraps(call)
        def again(*args: Any, **kwargs: Any) -> Any:
            for attempt, wait in enumerate((*waits, None)):
                try:
                    if not gone:
                        return call(*args, **kwargs)
                except UpdateFinishedTrialError:
                    if name == "set_trial_state_values" and attempt:
                        return True  # an earlier attempt was heard, though its answer was lost
                    raise
                except Exception as error:
                    if not _may_pass(error):
                        raise
                    if name == "record_heartbeat":
                        return None
                    if wait is None:
                        gone.append(_reason(error))
                if gone or wait is None:
                    break
                time.sleep(wait)
            if name == "record_heartbeat":
                return None
            raise StorageGone(
                f"the study's storage is gone ({gone[0]}); what was finished is saved: "
                "the same command goes on when it is back"
            )

        return again

    public = {name for name in dir(BaseStorage) if not name.startswith("_")}
    for name in sorted(public | _MORE_CALLS):
        call = getattr(storage, name, None)
        if call is not None:
            setattr(storage, name, patiently(call, name))
    return storage


_MORE_CALLS = {
    "record_heartbeat",
    "_get_stale_trial_ids",
    "_create_new_trial",
    "_get_trials",
    "_set_trial_param",
    "_get_best_trial_id",
}
"""What Optuna's cache in front of a database asks of it, beside what every storage is asked."""


def _may_pass(error: Exception) -> bool:
    """Whether a storage failed, and not its user."""
    if isinstance(error, StorageInternalError | OSError):
        return True
    from sqlalchemy.exc import InterfaceError, InternalError, OperationalError

    return isinstance(error, OperationalError | InterfaceError | InternalError)


def _reason(error: Exception) -> str:
    told = error.__cause__ or error
    return str(told).strip().split("\n")[0] or type(told).__name__


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


class Orphans:
    """Running trials that nobody owns: their worker was killed, or lost the database, right after it began them.

    Args:
        grace: seconds for which a trial must have had no owner; by this machine's clock.
    """

    def __init__(self, grace: float) -> None:
        self._grace = grace
        self._seen: dict[int, float] = {}

    def among(self, running: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        """Those of `running` that have been without an owner for long enough; to be asked again and again."""
        now = time.monotonic()
        lonely = [trial for trial in running if "worker" not in trial.user_attrs]
        self._seen = {trial.number: self._seen.get(trial.number, now) for trial in lonely}
        return [trial for trial in lonely if now - self._seen[trial.number] > self._grace]


def reclaim(study: optuna.Study, storage: BaseStorage, lease: Lease, orphans: Orphans) -> list[int]:
    """Put the running trials of workers that are gone back into the queue; their numbers, where we did it.

    The old trial is FAIL, with the reason; a new one has its settings and its folder, so that a training goes on from
    its checkpoint. A database's heartbeats tell who is gone; beside a journal file the workers' leases do.
    """
    if isinstance(storage, RDBStorage):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            optuna.storages.fail_stale_trials(study)
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    gone = orphans.among(running)
    if not isinstance(storage, RDBStorage):
        gone += [t for t in running if "worker" in t.user_attrs and not lease.is_held(t.user_attrs["worker"])]
    return [trial.number for trial in gone if release(study, trial, "its worker is gone")]


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
