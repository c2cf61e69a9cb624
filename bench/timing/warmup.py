"""Warming up until the times stand still: caches, algorithms and clocks find their place in the first iterations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

LEAST = 10
MOST = 200
WINDOW = 20
TOLERANCE = 0.02


@dataclass(frozen=True, slots=True)
class WarmUp:
    """How a warm-up went.

    Attributes:
        iterations: how many there were.
        stable: whether the times stood still at the end; if not, `MOST` iterations were not enough.
        first_ns: nanoseconds of the very first, which pays for what is made once.
    """

    iterations: int
    stable: bool
    first_ns: int


def warm_up(step: Callable[[], int], enough: Callable[[], bool] = lambda: False) -> WarmUp:
    """Repeat `step` until its times stand still, or 200 times.

    They stand still when the median of the later half of the last 20 iterations (of all, while there are fewer)
    differs by less than 2 % from that of the earlier half; not before 10 iterations.

    Args:
        step: does one iteration and gives its nanoseconds.
        enough: asked after each iteration from the tenth on; true ends the warm-up as it is.
    """
    times: list[int] = []
    while True:
        times.append(step())
        if len(times) < LEAST:
            continue
        if _still(times):
            return WarmUp(len(times), True, times[0])
        if len(times) >= MOST or enough():
            return WarmUp(len(times), False, times[0])


def _still(times: list[int]) -> bool:
    half = min(len(times), WINDOW) // 2
    before, after = median(times[-2 * half : -half]), median(times[-half:])
    return abs(after - before) < TOLERANCE * before
