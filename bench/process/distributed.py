"""One run in several processes (torchrun, accelerate launch): which process writes, and how the others wait."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar, cast

from bench.process.locks import LockHeld
from metrics.errors import MachineError

T = TypeVar("T")


def num_processes() -> int:
    """Number of processes that work on this run."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main_process() -> bool:
    """Whether this process writes files and shows progress; always true for a single process."""
    return int(os.environ.get("RANK", "0")) == 0


def initialize(cpu: bool) -> None:
    """Connect to the other processes and choose this process's device, before anything is computed.

    Args:
        cpu: no accelerator is used.
    """
    if num_processes() > 1:
        from accelerate import PartialState

        # The first PartialState decides for the process; without `cpu`, on a machine without GPU, it assumes one process.
        PartialState(cpu=cpu)


def wait_for_everyone() -> None:
    """Block until all processes are here; `initialize` must have been called."""
    if num_processes() > 1:
        from accelerate import PartialState

        PartialState().wait_for_everyone()


def from_main(compute: Callable[[], T]) -> T:
    """The value of `compute`, which only the main process calls, in every process.

    Raises:
        LockHeld: `compute` raised it; it is raised in every process.
        MachineError: in the other processes, if `compute` raised another error, which the main process raises.
    """
    if num_processes() == 1:
        return compute()
    from accelerate.utils import broadcast_object_list

    outcome: list[object] = [None, None]
    error: Exception | None = None
    if is_main_process():
        try:
            outcome[0] = compute()
        except Exception as raised:
            error = raised
            held = isinstance(raised, LockHeld)
            outcome[1] = raised if held else MachineError(f"stopped by the main process: {raised}")
    broadcast_object_list(outcome)
    if error is not None:
        raise error
    if isinstance(outcome[1], MachineError):
        raise outcome[1]
    return cast(T, outcome[0])
