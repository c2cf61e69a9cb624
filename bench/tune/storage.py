"""Storage of a study: a journal file for one machine, a database for several; calls that fail are retried."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.exceptions import ExperimentalWarning, StorageInternalError, UpdateFinishedTrialError
from optuna.storages import BaseStorage, RDBStorage, get_storage
from optuna.storages._heartbeat import BaseHeartbeat  # has no public alias

from bench.tune.journal import open_journal
from bench.tune.retries import queue_retry
from metrics.errors import InputError, MachineError
from metrics.messages import reason


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long workers and storage may be silent, in seconds.

    Attributes:
        heartbeat: interval at which a worker updates its heartbeat in a database.
        grace: a worker without a heartbeat for this long is considered dead, and its trial is queued again.
        waits: before each further attempt of a storage call that failed; after the last one the storage is unavailable.
    """

    heartbeat: int = 30
    grace: int = 120
    waits: tuple[float, ...] = (1.0, 4.0, 16.0)


TIMEOUTS = Timeouts()
"""Suitable for machines that are far apart."""


class StorageUnavailable(MachineError):
    """The storage does not respond. What was written to it is kept, and the trial in progress can be continued."""


def open_storage(folder: Path, url: str | None = None, timeouts: Timeouts = TIMEOUTS) -> RetryingStorage:
    """Open the journal file in a study's folder, or the database at `url`, with heartbeats.

    Args:
        folder: of the study.
        url: of a database, as SQLAlchemy takes it; None for the journal file.
        timeouts: of storage and workers.

    Raises:
        InputError: the URL names no database that can be used here, or a line of the journal is damaged.
        MachineError: the database does not respond, or the folder is not writable.
    """
    if url is None:
        return RetryingStorage(open_journal(folder / "journal.log"), timeouts.waits)
    check_storage_url(url)
    from sqlalchemy.exc import SQLAlchemyError

    try:
        return RetryingStorage(_connect(url, timeouts), timeouts.waits)
    except (SQLAlchemyError, StorageInternalError) as error:
        raise MachineError(
            f"--storage: the database does not respond ({_message(error)}); start it, or omit --storage to use a "
            "journal file"
        ) from None


def check_storage_url(url: str) -> None:
    """Check, without connecting, that a URL names a database whose driver is installed.

    Raises:
        InputError: it does not.
    """
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    try:
        make_url(url).get_dialect().import_dbapi()
    except (ArgumentError, NoSuchModuleError, ImportError, ValueError) as error:
        raise InputError(
            f"--storage: cannot be used ({_message(error)}); expected a URL such as "
            "postgresql+psycopg://user@host/database, with its driver installed"
        ) from None


def _connect(url: str, timeouts: Timeouts) -> RDBStorage:
    """Connect to a database; retried, since another machine may be creating the tables at this moment."""
    from sqlalchemy.exc import DBAPIError

    for wait in (*timeouts.waits, None):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)
                return RDBStorage(
                    url,
                    heartbeat_interval=timeouts.heartbeat,
                    grace_period=timeouts.grace,
                    heartbeat_stale_trial_callback=queue_retry,
                )
        except DBAPIError:
            if wait is None:
                raise
            time.sleep(wait)
    raise AssertionError("unreachable")


def _retrying(name: str) -> Any:
    """A method that makes the backend's call of the same name, with retries."""

    def method(self: RetryingStorage, *args: Any, **kwargs: Any) -> Any:
        return self._call(name, *args, **kwargs)

    method.__name__ = name
    return method


class RetryingStorage(BaseStorage, BaseHeartbeat):
    """A storage whose calls are retried where they fail for a reason that may be temporary.

    Only the call is repeated, not the work around it: a training whose value could not be written at once is not lost.
    A call raises `StorageUnavailable` when all attempts failed, and so do all later calls, at once. A heartbeat that
    cannot be written is skipped.

    Args:
        storage: a journal or a database.
        waits: seconds before each further attempt.
    """

    def __init__(self, storage: BaseStorage, waits: tuple[float, ...] = TIMEOUTS.waits) -> None:
        self._storage = storage
        self._backend = get_storage(storage)  # with Optuna's cache in front of a database
        self._waits = waits
        self._failure = ""

    def _call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        for attempt, wait in enumerate((*self._waits, None)):
            if self._failure:
                break
            try:
                return getattr(self._backend, name)(*args, **kwargs)
            except UpdateFinishedTrialError:
                if name == "set_trial_state_values" and attempt:
                    return True  # an earlier attempt succeeded, but its answer was lost
                raise
            except Exception as error:
                if not _may_be_temporary(error):
                    raise
                if wait is None:
                    self._failure = _message(error)
                else:
                    time.sleep(wait)
        raise StorageUnavailable(
            f"the study's storage does not respond ({self._failure}); finished trials are saved: "
            "run the same command again when it is back"
        )

    create_new_study = _retrying("create_new_study")
    delete_study = _retrying("delete_study")
    set_study_user_attr = _retrying("set_study_user_attr")
    set_study_system_attr = _retrying("set_study_system_attr")
    get_study_id_from_name = _retrying("get_study_id_from_name")
    get_study_name_from_id = _retrying("get_study_name_from_id")
    get_study_directions = _retrying("get_study_directions")
    get_study_user_attrs = _retrying("get_study_user_attrs")
    get_study_system_attrs = _retrying("get_study_system_attrs")
    get_all_studies = _retrying("get_all_studies")
    create_new_trial = _retrying("create_new_trial")
    set_trial_param = _retrying("set_trial_param")
    get_trial_id_from_study_id_trial_number = _retrying("get_trial_id_from_study_id_trial_number")
    set_trial_state_values = _retrying("set_trial_state_values")
    set_trial_intermediate_value = _retrying("set_trial_intermediate_value")
    set_trial_user_attr = _retrying("set_trial_user_attr")
    set_trial_system_attr = _retrying("set_trial_system_attr")
    get_trial = _retrying("get_trial")
    get_all_trials = _retrying("get_all_trials")
    get_best_trial = _retrying("get_best_trial")
    remove_session = _retrying("remove_session")
    _get_stale_trial_ids = _retrying("_get_stale_trial_ids")

    @property
    def has_heartbeats(self) -> bool:
        """Whether workers that died are recognized by missing heartbeats."""
        return self.get_heartbeat_interval() is not None

    def record_heartbeat(self, trial_id: int) -> None:
        """Update the heartbeat of a running trial, or skip it where the storage fails."""
        assert isinstance(self._backend, BaseHeartbeat)
        try:
            self._backend.record_heartbeat(trial_id)
        except Exception as error:
            if not _may_be_temporary(error):
                raise

    def get_heartbeat_interval(self) -> int | None:
        """Seconds between heartbeats; None for a journal file."""
        return self._backend.get_heartbeat_interval() if isinstance(self._backend, BaseHeartbeat) else None

    def get_heartbeat_stale_trial_callback(self) -> Callable[..., None] | None:
        """What Optuna calls with a trial that it failed for a missing heartbeat."""
        return queue_retry

    def close(self) -> None:
        """Close the connections to a database."""
        self.remove_session()
        if isinstance(self._storage, RDBStorage):
            self._storage.engine.dispose()


def _may_be_temporary(error: Exception) -> bool:
    """Whether the storage failed, rather than its user."""
    if isinstance(error, StorageInternalError | OSError):
        return True
    from sqlalchemy.exc import InterfaceError, InternalError, OperationalError

    return isinstance(error, OperationalError | InterfaceError | InternalError)


def _message(error: Exception) -> str:
    """First line of the message of `error`, or of its cause."""
    return reason(error.__cause__ or error)
