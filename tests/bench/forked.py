"""Two processes of one run, forked from the tests' process, which has imported torch: a launcher would import it thrice."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path

import torch
from accelerate.state import AcceleratorState


def in_two_processes(work: Callable[[int], object], folder: Path) -> None:
    """Call `work` with the rank in two processes that are connected as a launcher connects them.

    Args:
        work: its exception or ``sys.exit`` ends its process with an exit code.
        folder: an empty or new folder where the processes meet.

    Raises:
        AssertionError: a process ended with another exit code than 0.
    """
    folder.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_connected, args=(rank, work, folder)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]


def _connected(rank: int, work: Callable[[int], object], folder: Path) -> None:
    torch.set_num_threads(1)  # the threads of the parent do not exist here
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    AcceleratorState._reset_state(reset_partial_state=True)  # the parent's, of a single process
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=2
    )
    work(rank)
    torch.distributed.destroy_process_group()
