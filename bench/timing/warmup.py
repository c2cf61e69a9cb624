"""Warm-up: repeat until times are stable, because caches, algorithms and clock rates change in the first iterations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

MIN_ITERATIONS = 10
MAX_ITERATIONS = 200
WINDOW = 20
TOLERANCE = 0.02


@dataclass(frozen=True, slots=True)
class WarmUp:
    """Result of a warm-up.

    Attributes:
        iterations: number of iterations.
        stable: whether the times were stable at the end.
        first_ns: nanoseconds of the first iteration, which includes one-time work.
    """

    iterations: int
    stable: bool
    first_ns: int


def warm_up(step: Callable[[], int], is_over: Callable[[], bool] = lambda: False) -> WarmUp:
    """Repeat `step` until its times are stable, or 200 times.

    Times are stable if the median of the later half of the last 20 iterations (of all, if there are fewer) differs by less
    than 2 % from that of the earlier half. There are at least 10 iterations.

    Args:
        step: one iteration; returns its nanoseconds.
        is_over: called after each iteration from the tenth on; True ends the warm-up.
    """
    times: list[int] = []
    while True:
        times.append(step())
        if len(times) < MIN_ITERATIONS:
            continue
        if _is_stable(times):
            return WarmUp(len(times), True, times[0])
        if len(times) >= MAX_ITERATIONS or is_over():
            return WarmUp(len(times), False, times[0])


def _is_stable(times: list[int]) -> bool:
    half = min(len(times), WINDOW) // 2
    before, after = median(times[-2 * half : -half]), median(times[-half:])
    return abs(after - before) < TOLERANCE * before
