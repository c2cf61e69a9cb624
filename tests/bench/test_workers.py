"""Processes that load images: their errors are the same as without them, and none of their deaths changes a batch."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_data import split_of

from bench.data.types import Split
from bench.pipeline import workers as workers_module
from bench.pipeline.augment_settings import AugmentConfig
from bench.pipeline.input_settings import ImageConfig
from bench.pipeline.loader import make_loader
from metrics.errors import InputError, InputNote, MachineError

IMAGE = ImageConfig(size=(32, 32))
COUNT = 12


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def split_with(load: Callable[[int], None]) -> Split:
    """A split that calls `load` before it loads an image."""
    split = split_of([np.full((32, 32, 3), 10 * i, dtype=np.uint8) for i in range(COUNT)], [])
    original = split.load

    def loaded(index: int) -> np.ndarray:
        load(index)
        return original(index)

    return replace(split, load=loaded)


def batches(split: Split, workers: int, epochs: int = 2) -> list[bytes]:
    loader = make_loader(split, IMAGE, AugmentConfig(), 2, seed=3, workers=workers, shuffle=True)
    return [batch.images.numpy().tobytes() for _ in range(epochs) for batch in loader]


class Odd(InputError):
    """An error that cannot be unpickled."""

    def __init__(self, one: str, other: str) -> None:
        super().__init__(f"{one} and {other}")


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    "error",
    [
        InputError("a.jpg: damaged"),
        MachineError("a.jpg: no permission"),
        Odd("a", "b"),
        ZeroDivisionError("x"),
    ],
)
def test_fault_63_an_error_of_a_worker_is_the_error_itself(workers, error):
    def fail(index: int) -> None:
        if index == 7:
            raise error

    with pytest.raises(InputError if isinstance(error, Odd) else type(error)) as raised:
        batches(split_with(fail), workers)
    assert str(raised.value) == str(error)


def killed(index: int) -> None:
    if index == 7 and torch.utils.data.get_worker_info():
        os.kill(os.getpid(), signal.SIGKILL)


def ended(index: int) -> None:
    if index == 7 and torch.utils.data.get_worker_info():
        os._exit(0)


def stuck(index: int) -> None:
    if index == 7 and torch.utils.data.get_worker_info():
        time.sleep(600)


@pytest.mark.parametrize("fault", [killed, ended, stuck])
def test_fault_64_the_batches_are_the_same_if_workers_fail(fault, monkeypatch):
    expected = batches(split_with(lambda index: None), 0)
    problem = {
        killed: "ended with exit code -9",
        ended: "ended with exit code 0",
        stuck: "gave no batch for 1 s",
    }
    monkeypatch.setattr(workers_module, "PATIENCE", 1.0 if fault is stuck else 120.0)
    with pytest.warns(
        InputNote, match=f"a process that loads images {problem[fault]}; continuing without"
    ) as notes:
        assert batches(split_with(fault), 2) == expected
    assert len(notes) == 1


def test_fault_64_a_worker_that_is_killed_interrupts_nothing_else():
    loader = make_loader(split_with(lambda index: None), IMAGE, None, 2, workers=2)
    others = set(multiprocessing.active_children())
    remaining = iter(loader)
    next(remaining)
    for child in multiprocessing.active_children():
        if child not in others:
            child.kill()
            child.join()
    time.sleep(0.1)  # a handler of SIGCHLD would raise here
    with pytest.warns(InputNote, match="exit code -9"):
        assert len(list(remaining)) == COUNT // 2 - 1


def test_fault_64_too_little_shared_memory_is_noticed_before_anything_waits_for_it(monkeypatch):
    split = split_with(lambda index: None)
    monkeypatch.setattr(workers_module, "_free_shared_memory", lambda: 1000.0)
    with pytest.warns(InputNote, match=r"/dev/shm: 0 MB free, and 2 workers need about 0; .*--shm-size"):
        assert batches(split, 2) == batches(split, 0)


def test_a_slow_image_is_waited_for(monkeypatch):
    monkeypatch.setattr(workers_module, "_POLL", 0.3)
    assert batches(split_with(lambda index: time.sleep(1.5 * (index == 7))), 2, epochs=1) == batches(
        split_with(lambda index: None), 0, epochs=1
    )
