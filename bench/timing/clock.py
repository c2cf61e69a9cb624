"""The clock that times: monotonic, in nanoseconds, read only when the device has done what it was told."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Clock:
    """When it is, and how to wait for a device.

    Attributes:
        read: nanoseconds since some moment; never goes back, and stands still while the machine is suspended.
        synchronize: returns when the device has finished all that it was given.
        asynchronous: whether the device works while Python goes on, so that `synchronize` waits for anything at all.
    """

    read: Callable[[], int] = time.perf_counter_ns
    synchronize: Callable[[], None] = lambda: None
    asynchronous: bool = False

    def now(self) -> int:
        """Nanoseconds, when all that was begun is done."""
        self.synchronize()
        return self.read()


def clock_of(device: torch.device | str) -> Clock:
    """The clock for work on `device`."""
    device = torch.device(device)
    if device.type == "cuda":
        return Clock(synchronize=lambda: torch.cuda.synchronize(device), asynchronous=True)
    if device.type == "mps":
        return Clock(synchronize=torch.mps.synchronize, asynchronous=True)
    return Clock()
