"""A finished run whose network is compressed and then trained further, as a run of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.runs.context import RunContext
from bench.runs.run import run
from bench.settings.budget import WITHOUT_BUDGET
from bench.settings.resolution import open_run
from reports.records.run import RunFolder

_COMPRESSION = {"prune": 0.0, "sparsity": 0.0, "quantize": "none"}
"""Settings of a run without compression, which replace those of a run that was compressed itself."""


def train_compressed(
    source: RunFolder,
    method: Mapping[str, Any],
    epochs: int | None,
    sets: Sequence[str],
    out: Path,
    context: RunContext,
    defaults: Mapping[str, Any] | None = None,
) -> RunFolder:
    """Compress the network of a run, train it with the run's own settings and data, and evaluate it; continue or reuse such a run.

    Args:
        source: of a variant that was trained here.
        method: settings of the section ``compression``, such as ``{"prune": 0.5}``.
        epochs: of the training; None for as many as those of the run.
        sets: texts ``a.b=value``, settings that differ from the run's.
        out: parent folder of run folders.
        context: progress, interruption and output options.
        defaults: further settings that differ from the run's, by dotted path; `sets` override them.

    Raises:
        InputError, MachineError: as `bench.runs.run.run`; or the network cannot be compressed.
    """
    options = {f"compression.{name}": value for name, value in {**_COMPRESSION, **method}.items()}
    options |= {"compression.run": str(source.path), **(defaults or {})}
    if epochs is not None:
        options |= {"train.epochs": epochs, "train.budget": WITHOUT_BUDGET}
    sources = {"file": source.path / RunFolder.CONFIG, "sets": sets, "options": options}
    dataset, config = open_run(source.result.variant, sources)
    return run(config, out, dataset, context)
