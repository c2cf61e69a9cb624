"""One run by several processes (torchrun, accelerate launch): who writes, and how the others wait."""

from __future__ import annotations

import os


def count() -> int:
    """How many processes work on this run."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def leads() -> bool:
    """Whether this process is the one that writes files and talks; alone, it is."""
    return int(os.environ.get("RANK", "0")) == 0


def join(cpu: bool) -> None:
    """Meet the other processes, each with a device of its own; to be called before anything is computed.

    Args:
        cpu: no accelerator is used.
    """
    if count() > 1:
        from accelerate import PartialState

        # The first of these decides for the process; without `cpu` it takes a machine that has no GPU for one process.
        PartialState(cpu=cpu)


def wait() -> None:
    """Until all processes are here; they must have joined."""
    if count() > 1:
        from accelerate import PartialState

        PartialState().wait_for_everyone()
