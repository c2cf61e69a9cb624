"""Micro-batches: how many images of a batch pass through the network at once, chosen by measured memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import cycle, islice

import torch
from accelerate import Accelerator
from torch import nn

from bench.data.types import Split
from bench.pipeline.loader import Batch
from bench.process import distributed
from bench.process.memory import device_memory
from bench.settings.config import RunConfig
from bench.training.allocation import AllocationPeak
from bench.training.checkpoint import Position
from bench.training.gradient import unchanged_state
from bench.training.trial_pass import trial_batch, trial_pass
from metrics.errors import is_out_of_memory

GPU_SHARE = 0.8
"""Share of a GPU's memory that a pass may take, with weights and the state of the optimizer; fragments take the rest."""

CPU_SHARE = 0.5
"""The same of a machine's memory, in which other programs, cached images and the system live, too."""

_STATES = 4
"""Tensors of the size of the weights that a training keeps: weights, two moments of the optimizer, running average."""


def choose_parts(
    network: nn.Module,
    split: Split,
    config: RunConfig,
    accelerator: Accelerator,
    position: Position,
    batch: int,
) -> None:
    """Number of parts into which batches are divided by ``train.micro_batch``, written into `position` with what was measured.

    Args:
        network: that is trained; unchanged.
        split: training images.
        config: settings of the run.
        accelerator: of the run.
        position: at the start of the training.
        batch: images of the largest batch in one process.
    """
    setting = config.train.micro_batch
    if setting is None or not batch:
        return
    if setting != "auto":
        images = setting
    else:
        weights = sum(parameter.nbytes for parameter in network.parameters())
        limit = memory_limit(accelerator.device) - _STATES * weights

        def measure_all() -> dict[int, int]:
            whole = trial_batch(split, config, batch, largest=True)
            return measure(batch, limit, lambda size: pass_bytes(network, _of_size(whole, size), accelerator))

        position.pass_bytes = distributed.from_main(measure_all)
        fitting = [size for size, peak in position.pass_bytes.items() if peak <= limit]
        images = max(fitting, default=sizes_of(batch)[0])
    position.parts = -(-batch // images)


def memory_limit(device: torch.device) -> int:
    """Bytes that the training of one process may take. They depend on the machine, not on what else it does."""
    if device.type == "cuda":
        return int(GPU_SHARE * device_memory(device))
    return int(CPU_SHARE * device_memory(device) / int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def sizes_of(batch: int) -> list[int]:
    """Images of a part, ascending, if a batch is divided into 1, 2, 4, ... equal parts; at least two, which BatchNorm needs."""
    sizes = {-(-batch // 2**k) for k in range(batch.bit_length())}
    return sorted(size for size in sizes if size > 1 or batch == 1)


def measure(batch: int, limit: float, measure_size: Callable[[int], int | None]) -> dict[int, int]:
    """Measure the sizes of `sizes_of` in turn, up to the first that does not fit, or will not as far as the smaller ones tell.

    Args:
        batch: images of a whole batch.
        limit: bytes.
        measure_size: bytes of a pass by its number of images; None if memory is not sufficient.

    Returns:
        Bytes by number of images; the last one can exceed the limit.
    """
    measured: dict[int, int] = {}
    for size in sizes_of(batch):
        if len(measured) > 1 and _expected(measured, size) > limit:
            break
        peak = measure_size(size)
        if peak is None:
            break
        measured[size] = peak
        if peak > limit:
            break
    return measured


def pass_bytes(network: nn.Module, batch: Batch, accelerator: Accelerator) -> int | None:
    """Peak memory of a forward and backward pass, without what was there before; None if it was not sufficient.

    On a GPU it is that of torch's allocator, otherwise that of the tensors.
    """
    device = accelerator.device
    on_gpu = device.type == "cuda"
    mode = network.training
    before = 0
    peak = AllocationPeak([*network.parameters(), *network.buffers()])
    if on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
    try:
        with unchanged_state(network, device):
            network.train()
            torch.manual_seed(0)  # which anchors are drawn changes the memory a little
            if on_gpu:
                trial_pass(network, batch, device, accelerator.autocast())
            else:
                with peak:
                    trial_pass(network, batch, device, accelerator.autocast())
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        network.zero_grad()
        return None
    finally:
        network.train(mode)
        if on_gpu:
            torch.cuda.empty_cache()
    return torch.cuda.max_memory_allocated(device) - before if on_gpu else peak.peak


def _expected(measured: Mapping[int, int], size: int) -> float:
    """Bytes of a pass with `size` images, in line with the last two measurements."""
    (one, before), (other, after) = list(measured.items())[-2:]
    return after + (size - other) * (after - before) / (other - one)


def _of_size(batch: Batch, size: int) -> Batch:
    """A batch with this number of the images, repeated if there are fewer."""
    rows = list(islice(cycle(range(len(batch))), size))
    return replace(
        batch,
        images=batch.images[rows],
        targets=[batch.targets[row] for row in rows],
        index=batch.index[rows],
    )
