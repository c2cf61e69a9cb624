"""Disk space of a run."""

from __future__ import annotations

from pathlib import Path
from shutil import disk_usage

from torch import nn

_SPARE_BYTES = 64 * 2**20


def weights_bytes(network: nn.Module) -> int:
    """Size of a network's parameters."""
    return sum(parameter.numel() * parameter.element_size() for parameter in network.parameters())


def training_bytes(network: nn.Module) -> int:
    """Space that the run of a network needs while it trains.

    Two checkpoints (the old one stays until the new one is written) of weights, their average and two moments each; best
    weights; final weights; something for tables and the page.
    """
    return (2 * 4 + 2) * weights_bytes(network) + _SPARE_BYTES


def free_bytes(folder: Path) -> int:
    """Free space where a folder is, or will be."""
    existing = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    return disk_usage(existing).free
