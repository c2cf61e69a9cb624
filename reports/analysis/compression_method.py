"""How the network of a run was compressed before its training, in words, and what it imitated in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class CompressionMethod(NamedTuple):
    """A method of compression.

    Attributes:
        short: for labels of models: ``pruned 50%``.
        text: for tables of methods: ``50% of channels pruned``.
    """

    short: str
    text: str


def compression_method(config: Mapping[str, Any]) -> CompressionMethod | None:
    """The method of a run; None if it did not start from the network of another run.

    Args:
        config: all settings of the run as a tree; those of older runs have no section ``compression``.
    """
    settings = config.get("compression") or {}
    if share := settings.get("prune"):
        return CompressionMethod(f"pruned {100 * share:g}%", f"{100 * share:g}% of channels pruned")
    if share := settings.get("sparsity"):
        return CompressionMethod(f"{100 * share:g}% of weights zero", f"{100 * share:g}% of weights zero")
    rounding = settings.get("quantize", "none")
    if rounding != "none":
        return CompressionMethod(f"{rounding} rounding", f"trained with {rounding} rounding")
    further = "trained further"
    return CompressionMethod(further, further) if settings.get("run") else None


def teacher_of(config: Mapping[str, Any]) -> str | None:
    """The run that a run imitated in its training, as its settings give it; None without distillation."""
    teacher: str | None = (config.get("distill") or {}).get("teacher")
    return teacher
