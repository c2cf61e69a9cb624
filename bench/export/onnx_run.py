"""A finished run as an ONNX file, checked against the network that it was made of."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.pipeline.input_settings import ImageConfig
from bench.pipeline.placement import fit_images
from bench.runs.finished_run import evaluated_split, load_network
from bench.runs.provenance import file_digest
from bench.settings.sections import EvaluateConfig
from detectors.graph.onnx_file import onnx_file, require_packages
from detectors.graph.record import ExportRecord
from detectors.graph.selection import GraphNMS
from detectors.registry import VARIANTS
from metrics.atomic_files import atomic_write
from metrics.errors import InputError, InputNote, InputWarning
from metrics.notes import Note, report
from reports.records.run import RunFolder

SCORE_TOLERANCE = 1e-4
BOX_TOLERANCE = 0.05
"""Largest difference, in pixels, that rounding in another order can explain; larger ones are an error."""

_IMAGES = 4


@dataclass(frozen=True, slots=True)
class Exported:
    """An exported file.

    Attributes:
        file: path.
        sha256: of the file, as hex digits.
        size_bytes: of the file.
        record: as stored in the file.
        images: number of images on which file and network were compared.
        noise: whether these are random pixels, because the run's images cannot be opened.
        score_difference: largest difference of a score to the network's.
        box_difference: largest difference of a corner, in pixels of the network's input; NaN for probabilities.
    """

    file: Path
    sha256: str
    size_bytes: int
    record: ExportRecord
    images: int
    noise: bool
    score_difference: float
    box_difference: float


def export_run(run: RunFolder, file: Path, *, nms: bool = False, any_size: bool = False) -> Exported:
    """Export a run's network to ONNX, and compare the file with the network on images of its evaluation.

    Args:
        run: of a variant that was trained here.
        file: is replaced.
        nms: NMS inside the graph.
        any_size: input of any height and width.

    Raises:
        InputError: the run has no weights, or its detector cannot be exported this way.
        MachineError: a package of the extra `onnx` is missing, or the file cannot be written.
    """
    require_packages()
    name, weights = run.result.variant, run.path / RunFolder.WEIGHTS
    if name not in VARIANTS or not weights.is_file():
        raise InputError(
            f"{run.path}: holds no weights of a variant, so there is nothing to export; give the folder of a run that was "
            "trained here"
        )
    settings = run.result.config
    image = ImageConfig.model_validate(settings["image"])
    network = load_network(run, settings)
    _note_what_is_left_out(run)
    record = ExportRecord(
        outputs="detections" if nms else "candidates",
        classes=run.truth.catalog.classes,
        size=image.size,
        any_size=any_size,
        resize=image.resize,
        fill=image.fill,
        nms=network.nms.config,  # type: ignore[attr-defined]
        variant=name,
        run=run.result.name,
        weights=file_digest(weights),
        parameters=0,
        version=_version(),
    )
    content, record = onnx_file(network, record)
    inputs, noise = _some_images(run, image)
    scores, boxes = compare(content, network, record, inputs)
    if not (scores <= SCORE_TOLERANCE and not boxes > BOX_TOLERANCE):
        raise InputError(
            f"{run.path}: the exported network differs from the original: scores by {scores:.2g}, boxes by {boxes:.2g} pixels; "
            "nothing was written. Report this with the versions of torch, onnxscript and onnxruntime"
        )
    atomic_write(file, content)
    digest = hashlib.sha256(content).hexdigest()
    return Exported(file, digest, len(content), record, len(inputs), noise, scores, boxes)


@torch.inference_mode()
def compare(content: bytes, network: Any, record: ExportRecord, images: Tensor) -> tuple[float, float]:
    """Largest differences of scores and boxes between the file, in ONNX Runtime, and the network's own graph.

    Detections are compared in pairs: of the images, only the scores where their numbers differ.

    Args:
        content: of the file.
        network: in evaluation mode.
        record: in the file.
        images: (B, 3, H, W) in [0, 1].

    Returns:
        Differences of scores, and of boxes in pixels (NaN if there are none).
    """
    import onnxruntime

    from detectors.graph.candidates import graph_source

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    actual: Sequence[NDArray[Any]] = session.run(None, {"images": images.numpy()})
    source = graph_source(network, record.size)
    expected = source.module(images)
    if record.outputs == "probabilities":
        return _largest(actual[0] - expected.numpy()), float("nan")
    if record.outputs == "candidates":
        return _largest(actual[1] - expected.scores.numpy()), _largest(actual[0] - expected.boxes.numpy())
    assert source.candidates is not None
    boxes, scores, labels = (each.numpy() for each in GraphNMS(source.candidates, record.nms)(expected))
    # Rounding may exchange detections with nearly equal scores; the rest has the same order.
    same = (labels == actual[2]) & (np.abs(boxes - actual[0]).max(axis=2) < 1)
    return _largest(actual[1] - scores), _largest((actual[0] - boxes)[same])


def _largest(difference: NDArray[Any]) -> float:
    return float(np.abs(difference).max()) if difference.size else 0.0


def _some_images(run: RunFolder, image: ImageConfig) -> tuple[Tensor, bool]:
    """Network inputs of a few evaluated images; random ones, and True, if they cannot be opened or have changed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InputWarning)
            warnings.simplefilter("ignore", InputNote)
            split = evaluated_split(run)
        return fit_images([split.load(k) for k in range(min(_IMAGES, len(split)))], image)[0], False
    except (InputError, KeyError, TypeError, OSError):
        return torch.rand(_IMAGES, 3, *image.size, generator=torch.Generator().manual_seed(0)), True


def _note_what_is_left_out(run: RunFolder) -> None:
    """The graph is the network in float32; a run may have been evaluated with more around it."""
    settings = EvaluateConfig.model_validate(run.result.config.get("evaluate", {}))
    used = {
        "evaluate.flip": settings.flip,
        "evaluate.tile": settings.tile is not None,
        f"evaluate.precision={settings.precision}": settings.precision != "no",
    }
    items = tuple(name for name, on in used.items() if on)
    if items:
        text = f"{', '.join(items)}: not part of the file, so its detections differ from the run's"
        report(Note("not_exported", text, run.result.name, items=items), InputWarning)


def _version() -> str:
    try:
        return version("detbench")
    except PackageNotFoundError:  # used from a checkout
        return ""
