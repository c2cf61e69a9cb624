"""Precision of a training that is chosen by measurement: bfloat16 where steps are faster with it, float32 elsewhere."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from typing import Literal, cast

import torch
from torch import nn

from bench.data.types import Split
from bench.pipeline.loader import Batch
from bench.process import distributed
from bench.settings.config import RunConfig
from bench.settings.sections import Precision
from bench.training.checkpoint import Position
from bench.training.device import pick_device
from bench.training.seeding import seed_batch
from bench.training.trial_pass import trial_batch, trial_pass
from metrics.errors import is_out_of_memory

Timed = Literal["no", "bf16"]

GAIN = 1.1
"""Steps with bf16 must be this many times as fast as with float32, because it rounds to eight bits."""

ROUNDS = 3
"""Timed steps with each precision, in turn, after one that is not timed; the fastest counts."""

MOST_IMAGES = 8
"""Images of a timed step, if a batch has as many."""


def training_precision(detector: nn.Module, split: Split, config: RunConfig, position: Position) -> Precision:
    """Precision of a training: that of the settings, or for ``auto`` the faster one, which `position` keeps when resumed.

    Args:
        detector: before its training; unchanged.
        split: training images.
        config: settings of the run.
        position: of the training; with ``auto``, the choice and the seconds of a step are written into it.

    Raises:
        MachineError: the device does not exist.
    """
    if config.train.precision != "auto":
        return config.train.precision
    if not position.precision:
        seconds = distributed.from_main(lambda: step_seconds(detector, split, config))
        position.precision, position.precision_seconds = faster(seconds), seconds
    return cast(Precision, position.precision)


def faster(seconds: Mapping[str, float]) -> Timed:
    """``bf16`` if its steps are at least `GAIN` times as fast, otherwise ``no``, also where nothing was measured."""
    return "bf16" if seconds and seconds["no"] >= GAIN * seconds["bf16"] else "no"


def step_seconds(detector: nn.Module, split: Split, config: RunConfig) -> dict[str, float]:
    """Seconds of a forward and backward pass with each precision, on a copy of the detector.

    Returns:
        The fastest of `ROUNDS` passes by precision, in processor time on a CPU; empty if the device has no bfloat16, memory is short, or there are no images.
    """
    device = pick_device(config.device)
    if not len(split) or not _has_bfloat16(device):
        return {}
    images = min(config.train.batch, MOST_IMAGES)
    batch = trial_batch(split, config, images)
    network = copy.deepcopy(detector).to(device).train()
    best: dict[str, float] = {}
    try:
        for turn in range(ROUNDS + 1):
            for precision in ("no", "bf16"):
                seed_batch(config.seed, 0, 0)
                seconds = _time_pass(network, batch, device, precision == "bf16")
                if turn:
                    best[precision] = min(seconds, best.get(precision, seconds))
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return {}
    return best


def _time_pass(network: nn.Module, batch: Batch, device: torch.device, low: bool) -> float:
    """Seconds of a forward and backward pass."""
    batch = batch.to(device)
    began = _now(device)
    trial_pass(network, batch, device, torch.autocast(device.type, dtype=torch.bfloat16, enabled=low))
    return _now(device) - began


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.perf_counter()
    return time.process_time()  # of all threads; other processes do not change it


def _has_bfloat16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16; on a processor that only emulates it, the measurement shows that it is slower."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
