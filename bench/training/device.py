"""Device of a run, and accelerate on it."""

from __future__ import annotations

import os

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from bench.process import distributed
from bench.settings.config import EntryConfig, RunConfig
from metrics.errors import MachineError
from metrics.messages import reason


def pick_device(name: str) -> torch.device:
    """The device `name`; ``auto`` is an accelerator if there is one, otherwise the CPU.

    Raises:
        MachineError: this machine has no such device.
    """
    if name == "auto":
        name = torch.accelerator.current_accelerator().type if torch.accelerator.is_available() else "cpu"  # type: ignore[union-attr]
    try:
        device = torch.device(name)
        if distributed.num_processes() == 1:  # several processes would all allocate on the first device
            torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        devices = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
        raise MachineError(
            f"device {name!r} cannot be used ({reason(error)}); available: {', '.join(['cpu', *devices])}"
        ) from None
    return device


def make_accelerator(device: str, precision: str) -> Accelerator:
    """Accelerate for one run; consecutive runs of one process can differ in device and precision."""
    chosen = pick_device(device)
    if distributed.num_processes() == 1:
        AcceleratorState._reset_state(reset_partial_state=True)
    if chosen.type == "cuda" and chosen.index is not None:
        torch.cuda.set_device(chosen)
    return Accelerator(cpu=chosen.type == "cpu", mixed_precision=precision)


def configure_torch(config: EntryConfig) -> None:
    """Set the number of threads, and which algorithms torch may use, for all that follows in this process."""
    if config.threads:
        torch.set_num_threads(config.threads)
    deterministic = isinstance(config, RunConfig) and config.deterministic
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(deterministic, warn_only=True)
    torch.backends.cudnn.deterministic = deterministic
    # Searching for the fastest convolution pays off if all images have the same size.
    torch.backends.cudnn.benchmark = isinstance(config, RunConfig) and not deterministic
