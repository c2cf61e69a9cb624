"""One run in several processes (torchrun, accelerate launch): which process writes, and how the others wait."""

from __future__ import annotations

import os


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
