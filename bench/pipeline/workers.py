"""Worker processes that load samples: their errors arrive unchanged, and work continues without them if they fail."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import shutil
import signal
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset, Sampler, get_worker_info

from metrics.errors import DetbenchError, InputError, InputNote, MachineError, PartialError
from metrics.plurals import plural

SHARED_MEMORY = Path("/dev/shm")
"""Through which workers send batches."""

PATIENCE = 120.0
"""Seconds without a batch after which workers are considered stuck."""

_POLL = 2.0
"""Seconds after which a wait for a batch is interrupted, to see whether the workers are alive."""

_PREFETCHED = 2

_NO_BATCH = (RuntimeError, OSError, EOFError)
"""What torch raises if workers fail, or give no batch within `_POLL`; errors of samples arrive as values."""

S = TypeVar("S")
B = TypeVar("B")


def default_workers() -> int:
    """One process per processor that this process may use, which a container can limit; at most 8."""
    if hasattr(os, "sched_getaffinity"):
        return min(len(os.sched_getaffinity(0)), 8)
    return min(os.cpu_count() or 1, 8)


class WorkerBatches(Generic[S, B]):
    """Batches of a data set, loaded by worker processes.

    An error of a sample is raised here as it was raised in the worker. If a worker is killed or stuck, or if there is too
    little shared memory, the remaining batches are loaded in this process, which is reported; they are the same batches.

    Args:
        samples: by the items of `order`.
        order: items of each remaining batch. It must know how many batches the caller has received.
        collate: makes a batch of samples.
        workers: number of processes; 0 loads in this process.
        batch_bytes: size of a batch.
    """

    def __init__(
        self,
        samples: Dataset[S],
        order: Sampler[list[Any]],
        collate: Callable[[Sequence[S]], B],
        workers: int,
        batch_bytes: int,
    ) -> None:
        self._samples = _Caught(samples)
        self._order = order
        self._collate = _Collate(collate)
        needed = workers * _PREFETCHED * batch_bytes
        if workers and needed > _free_shared_memory():
            _report(
                f"{SHARED_MEMORY}: {_free_shared_memory() / 1e6:.0f} MB free, and {plural(workers, 'worker needs', 'workers need')} about "
                f"{needed / 1e6:.0f}; images are loaded without workers. Enlarge it (docker run --shm-size), or lower workers"
            )
            workers = 0
        self._processes: list[BaseProcess] = []
        self._batches = self._make(workers)

    @property
    def workers(self) -> int:
        """Number of processes in use."""
        return self._batches.num_workers

    def __iter__(self) -> Iterator[B]:
        batches = self._start()
        waiting_since = time.monotonic()
        while True:
            try:
                batch = next(batches)
            except StopIteration:
                return
            except _NO_BATCH:
                if not self.workers:
                    raise
                ended = next((process for process in self._processes if not process.is_alive()), None)
                if ended is None and time.monotonic() - waiting_since < PATIENCE:
                    continue
                problem = (
                    f"gave no batch for {PATIENCE:.0f} s"
                    if ended is None
                    else f"ended with exit code {ended.exitcode}"
                )
                _report(f"a process that loads images {problem}; continuing without such processes")
                self._batches = self._make(0)
                batches = self._start()
                continue
            if isinstance(batch, _Failure):
                raise batch.error
            yield batch
            waiting_since = time.monotonic()

    def _start(self) -> Iterator[Any]:
        """An iterator over the remaining batches; its processes are started at the first call."""
        others = set(multiprocessing.active_children())
        with _without_child_signals():
            batches = iter(self._batches)
        self._processes += [child for child in multiprocessing.active_children() if child not in others]
        return batches

    def _make(self, workers: int) -> DataLoader[Any]:
        return DataLoader(
            self._samples,
            batch_sampler=self._order,
            num_workers=workers,
            collate_fn=self._collate,
            persistent_workers=workers > 0,
            prefetch_factor=_PREFETCHED if workers else None,
            timeout=_POLL if workers else 0,
            # With its own generator, making an iterator does not advance torch's global one, as resuming would.
            generator=torch.Generator(),
        )


@dataclass(frozen=True, slots=True)
class _Failure:
    """The error of a sample, in place of the sample."""

    error: Exception


class _Caught(Dataset[S | _Failure]):
    """A data set that returns errors instead of raising them: torch would raise another error with a traceback as its text."""

    def __init__(self, samples: Dataset[S]) -> None:
        self._samples = samples

    def __getitem__(self, item: Any) -> S | _Failure:
        try:
            return self._samples[item]
        except Exception as error:
            return _Failure(_portable(error) if get_worker_info() else error)


class _Collate(Generic[S, B]):
    """`collate`, or the first failure of the samples."""

    def __init__(self, collate: Callable[[Sequence[S]], B]) -> None:
        self._collate = collate

    def __call__(self, samples: Sequence[S | _Failure]) -> B | _Failure:
        failed = next((sample for sample in samples if isinstance(sample, _Failure)), None)
        return failed or self._collate(samples)  # type: ignore[arg-type]


@contextmanager
def _without_child_signals() -> Iterator[None]:
    """Keep torch from raising errors out of a signal handler: they would hit whatever this process is doing then."""
    if not hasattr(signal, "SIGCHLD") or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGCHLD)
    yield
    after = signal.getsignal(signal.SIGCHLD)
    if getattr(after, "__module__", "") == "torch.utils.data._utils.signal_handling":
        signal.signal(signal.SIGCHLD, signal.SIG_DFL if before in (None, after) else before)


def _portable(error: Exception) -> Exception:
    """An error that another process can raise: itself, if pickle restores it, otherwise the closest error of ours."""
    if not isinstance(error, DetbenchError):
        error.add_note("in a worker process:\n" + "".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        ours = (kind for kind in _ERRORS if isinstance(error, kind))
        return next(ours, RuntimeError)(str(error))
    return error


_ERRORS: tuple[type[Exception], ...] = (InputError, MachineError, PartialError)


def _free_shared_memory() -> float:
    """Free bytes; infinite where the system has no such folder."""
    return shutil.disk_usage(SHARED_MEMORY).free if SHARED_MEMORY.is_dir() else float("inf")


def _report(text: str) -> None:
    warnings.warn(InputNote(text), stacklevel=2)
