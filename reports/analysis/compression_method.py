"""How the network of a run was compressed before its training, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from reports.analysis.other_runs import PARENT


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
    settings = config.get(PARENT.section) or {}
    if share := settings.get("prune"):
        return CompressionMethod(f"pruned {100 * share:g}%", f"{100 * share:g}% of channels pruned")
    if share := settings.get("sparsity"):
        return CompressionMethod(f"{100 * share:g}% of weights zero", f"{100 * share:g}% of weights zero")
    rounding = settings.get("quantize", "none")
    if rounding != "none":
        return CompressionMethod(f"{rounding} rounding", f"trained with {rounding} rounding")
    further = "trained further"
    return CompressionMethod(further, further) if PARENT.given(config) else None
