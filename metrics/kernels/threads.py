"""Sharing of work between cores, by threads: kernels release the interpreter's lock."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")
R = TypeVar("R")

WORTH_SHARING = 4096
"""Fewer boxes than this are matched before a second thread has started."""


def thread_count() -> int:
    """Number of cores that this process may use, at most ``NUMBA_NUM_THREADS`` of the environment."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = os.environ.get("NUMBA_NUM_THREADS", "")
    return max(1, min(available, int(limit))) if limit.isdigit() else available


def for_each(function: Callable[[T], R], tasks: Sequence[T], threads: int | None = None) -> list[R]:
    """``[function(task) for task in tasks]``, on all cores or on this many threads; the first task starts first."""
    threads = min(threads or thread_count(), len(tasks))
    if threads <= 1:
        return [function(task) for task in tasks]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(function, tasks))


def deal(sizes: NDArray[np.int64]) -> list[NDArray[np.int32]]:
    """Divide tasks of these sizes between the threads, largest first: the indices of each thread's tasks."""
    threads = thread_count() if sizes.sum() > WORTH_SHARING else 1
    falling = np.argsort(-sizes, kind="stable").astype(np.int32)
    return [np.ascontiguousarray(falling[turn::threads]) for turn in range(min(threads, len(falling)))]
