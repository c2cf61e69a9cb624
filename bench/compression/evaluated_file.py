"""A file that was made of a run, evaluated on the images of that run."""

from __future__ import annotations

from pathlib import Path

from bench.data.types import Dataset
from bench.runs.context import RunContext
from bench.runs.run import run
from bench.settings import toml
from bench.settings.config import RunConfig
from bench.settings.resolution import resolve_entry
from reports.records.run import RunFolder

_SHARED = ("split", "batch", "measures", "max_dets", "flip", "tile", "tile_overlap")
"""Settings of the evaluation that apply to a file, too."""


def evaluate_file(
    file: Path,
    dataset: Dataset,
    config: RunConfig,
    out: Path,
    context: RunContext,
    runtime: str = "onnxruntime",
) -> RunFolder:
    """Evaluate an ONNX file as ``onnx/FILE`` on the same split and with the same settings as a run.

    Args:
        file: that was exported from the run.
        dataset: of the run.
        config: settings of the run.
        out: parent folder of run folders.
        context: progress, interruption and output options.
        runtime: that computes the file; ``onnxruntime`` or ``openvino``.
    """
    tree = config.tree()
    options = {f"data.{path}": value for path, value in toml.leaves(tree["data"])}
    options |= {f"evaluate.{name}": tree["evaluate"][name] for name in _SHARED}
    options |= {"device": "cpu", "threads": config.threads, "runtime": runtime}
    entry = resolve_entry(f"onnx/{file}", options=options)
    return run(entry, out, dataset, context)
