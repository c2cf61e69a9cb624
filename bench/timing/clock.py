"""Monotonic clock in nanoseconds that waits for the device before it is read."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Clock:
    """A clock and the device it waits for.

    Attributes:
        read: nanoseconds since an arbitrary start; monotonic, does not advance while the machine is suspended.
        synchronize: blocks until the device has finished all queued work.
        asynchronous: whether the device works in parallel to Python, so that `synchronize` has an effect.
    """

    read: Callable[[], int] = time.perf_counter_ns
    synchronize: Callable[[], None] = lambda: None
    asynchronous: bool = False

    def now(self) -> int:
        """Nanoseconds after all queued work has finished."""
        self.synchronize()
        return self.read()


def clock_of(device: torch.device | str) -> Clock:
    """Clock for work on `device`."""
    device = torch.device(device)
    if device.type == "cuda":
        return Clock(synchronize=lambda: torch.cuda.synchronize(device), asynchronous=True)
    if device.type == "mps":
        return Clock(synchronize=torch.mps.synchronize, asynchronous=True)
    return Clock()
