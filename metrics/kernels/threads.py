"""How work is shared between cores: kernels release the interpreter's lock, so threads suffice."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def thread_count() -> int:
    """Cores that this process may use; the environment's NUMBA_NUM_THREADS, where set, is the limit."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = os.environ.get("NUMBA_NUM_THREADS", "")
    return max(1, min(available, int(limit))) if limit.isdigit() else available


def for_each(function: Callable[[T], R], tasks: Sequence[T], threads: int | None = None) -> list[R]:
    """``[function(task) for task in tasks]``, on all cores (or so many threads); the first task begins first."""
    threads = min(threads or thread_count(), len(tasks))
    if threads <= 1:
        return [function(task) for task in tasks]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(function, tasks))
