"""An external model, evaluated on the images and with the settings of a run, so that both can be compared and timed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.data.types import Dataset
from bench.runs.context import RunContext
from bench.runs.run import run
from bench.settings import toml
from bench.settings.config import EntryConfig
from bench.settings.resolution import resolve_entry
from detectors.external.registry import ONNX
from reports.records.run import RunFolder

_SHARED = ("split", "batch", "measures", "max_dets", "flip", "tile", "tile_overlap")
"""Settings of the evaluation that apply to an external model, too."""


def evaluate_model(
    name: str,
    dataset: Dataset,
    config: EntryConfig,
    out: Path,
    context: RunContext,
    options: Mapping[str, Any] | None = None,
) -> RunFolder:
    """Evaluate an external model on the same split and with the same settings as a run; a finished evaluation is reused.

    Args:
        name: see `detectors.external.registry.external_model`.
        dataset: of the run.
        config: settings of the run.
        out: parent folder of run folders.
        context: progress, interruption and output options.
        options: settings of the model, and others by dotted path.
    """
    tree = config.tree()
    shared: dict[str, Any] = {f"data.{path}": value for path, value in toml.leaves(tree["data"])}
    shared |= {f"evaluate.{key}": tree["evaluate"][key] for key in _SHARED if key in tree["evaluate"]}
    device = "cpu" if name.startswith(ONNX) else config.device  # the setting `provider` places a file
    shared |= {"device": device, "threads": config.threads}
    return run(resolve_entry(name, options=shared | dict(options or {})), out, dataset, context)
