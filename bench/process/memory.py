"""Memory of a device, as far as this process may use it."""

from __future__ import annotations

from pathlib import Path

import psutil
import torch

_UNIT = 2**28
"""Multiple to which memory is rounded: its total differs by a few megabytes between versions of a kernel or driver."""

_CONTROL_GROUP = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Files with the limit of a container, of either version of control groups."""


def device_memory(device: torch.device) -> int:
    """Bytes of memory of a GPU, or else of the machine, of which a container can have less; rounded to 256 MiB.

    It does not depend on what other programs use at the moment.
    """
    if device.type == "cuda":
        total = torch.cuda.get_device_properties(device).total_memory
    else:
        total = min([psutil.virtual_memory().total, *_limits()])
    return max(round(total / _UNIT), 1) * _UNIT


def _limits() -> list[int]:
    """Limits of this container in bytes."""
    limits = []
    for path in _CONTROL_GROUP:
        try:
            text = path.read_text().strip()
        except OSError:
            continue
        if text.isdecimal():  # otherwise "max"
            limits.append(int(text))
    return limits
