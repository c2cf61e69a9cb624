"""A finished run as an 8-bit ONNX file for OpenVINO, quantised by NNCF."""

from __future__ import annotations

import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.compression.calibration import BATCH, calibration_batches
from bench.compression.exported_file import current_record, exported_file, with_facts
from bench.data.types import Dataset
from bench.process.progress import Progress
from bench.settings.config import RunConfig
from detectors.compression.nncf_quantization import quantize_by_nncf
from detectors.graph.onnx_file import PACKAGES, require_packages
from detectors.graph.record import CompressionFacts
from metrics.atomic_files import atomic_write
from reports.records.run import RunFolder


def quantize_for_openvino(
    run: RunFolder, dataset: Dataset, config: RunConfig, folder: Path, images: int, progress: Progress
) -> tuple[Path, Path]:
    """Export a run, and quantise the file with ranges of training images; a file with the same facts is reused.

    No validation images are needed: NNCF decides which operators are quantised.

    Args:
        run: of a variant that was trained here.
        dataset: of the run.
        config: settings of the run.
        folder: for ``RUN.onnx`` and ``RUN-int8-openvino.onnx``.
        images: number of training images.
        progress: display of the progress.

    Returns:
        The exported file and the quantised one.

    Raises:
        InputError: the run has no weights, or its detector cannot be exported or quantised.
        MachineError: a package of the extra `openvino` is missing.
    """
    require_packages((*PACKAGES, "openvino", "nncf"), "openvino")
    original = exported_file(run, folder, progress)
    file = folder / f"{run.result.name}-int8-openvino.onnx"
    train = dataset.splits["train"]
    count = min(images, len(train))
    operators = f"nncf {version('nncf')}"
    record = current_record(run, file)
    made = None if record is None else record.compression
    if made is not None and (made.operators, made.images) == (operators, count):
        progress.message(f"{file.name}: reusing the finished file")
        return original, file

    class Batches:
        def __iter__(self) -> Iterator[NDArray[np.float32]]:
            return calibration_batches(train, config.image, count, progress)

    start = time.monotonic()
    content = quantize_by_nncf(original.read_bytes(), Batches(), -(-count // BATCH))
    seconds = round(time.monotonic() - start, 3)
    facts = CompressionFacts(method="int8", operators=operators, images=count, seconds=seconds)
    atomic_write(file, with_facts(content, facts))
    return original, file
