"""A file that was made of a run, evaluated on the images of that run."""

from __future__ import annotations

from pathlib import Path

from bench.data.types import Dataset
from bench.runs.context import RunContext
from bench.runs.evaluated_model import evaluate_model
from bench.settings.config import RunConfig
from reports.records.run import RunFolder


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
    return evaluate_model(f"onnx/{file}", dataset, config, out, context, {"runtime": runtime})
