"""A finished run as an ONNX file, checked against the network that it was made of."""

from __future__ import annotations

import hashlib
import tempfile
import warnings
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from bench.pipeline.input_settings import ImageConfig
from bench.pipeline.placement import fit_images
from bench.runs.finished_run import evaluated_split, load_network, require_weights
from bench.runs.provenance import file_digest
from bench.settings.sections import EvaluateConfig
from detectors.compression.fake_quantization import without_fake_quantization
from detectors.external.onnx_models.exported import ExportedModel
from detectors.external.onnx_models.predictor import onnx_predictor
from detectors.external.onnx_models.settings import OnnxConfig
from detectors.graph.candidates import graph_source
from detectors.graph.onnx_file import onnx_file, require_packages
from detectors.graph.record import ExportRecord
from detectors.types import Detections
from metrics.atomic_files import atomic_write
from metrics.errors import InputError, InputNote, InputWarning
from metrics.notes import Note, report
from metrics.plurals import agree, plural
from reports.records.run import RunFolder

SCORE_TOLERANCE = 1e-4
BOX_TOLERANCE = 0.05
"""In pixels. Larger differences of a detection cannot be explained by rounding in another order."""

EQUAL_SHARE = 0.99
"""Smallest share of equal detections: rounding decides between detections with nearly equal scores."""

_IMAGES = 4


@dataclass(frozen=True, slots=True)
class Comparison:
    """Detections of a file and of the network that it was made of.

    Attributes:
        detections: number of detections of both.
        equal: number of these with an equal one of the other, within the tolerances.
        score_difference: largest difference of the score of equal detections; of candidates also of sorted scores.
        box_difference: largest difference of a corner of equal detections, in pixels of the network's input.
    """

    detections: int
    equal: int
    score_difference: float
    box_difference: float

    @property
    def holds(self) -> bool:
        """Whether rounding explains all differences."""
        enough = self.equal >= EQUAL_SHARE * self.detections
        return enough and self.score_difference <= SCORE_TOLERANCE


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
        comparison: of the detections on these images.
    """

    file: Path
    sha256: str
    size_bytes: int
    record: ExportRecord
    images: int
    noise: bool
    comparison: Comparison


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
    require_weights(run, "so there is nothing to export")
    settings = run.result.config
    image = ImageConfig.model_validate(settings["image"]).for_prediction
    network = cast(Any, without_fake_quantization(cast(nn.Module, load_network(run, settings))))
    _note_what_is_left_out(run)
    record = ExportRecord(
        outputs="detections" if nms else "candidates",
        classes=run.truth.catalog.classes,
        size=image.size,
        any_size=any_size,
        resize=image.resize,
        fill=image.fill,
        nms=network.nms.config,
        variant=run.result.variant,
        run=run.result.name,
        weights=file_digest(run.path / RunFolder.WEIGHTS),
        parameters=0,
        version=_version(),
    )
    content, record = onnx_file(network, record)
    inputs, noise = _some_images(run, image)
    comparison = compare(content, network, record, inputs)
    if not comparison.holds:
        raise InputError(
            f"{run.path}: the exported network differs from the original: {comparison.equal:,} of {plural(comparison.detections, 'detection')} "
            f"{agree(comparison.equal, 'is', 'are')} equal, scores differ by {comparison.score_difference:.2g}; nothing was written. Report this with the versions of "
            "torch, onnxscript and onnxruntime"
        )
    atomic_write(file, content)
    digest = hashlib.sha256(content).hexdigest()
    return Exported(file, digest, len(content), record, len(inputs), noise, comparison)


@torch.inference_mode()
def compare(content: bytes, network: Any, record: ExportRecord, images: Tensor) -> Comparison:
    """Compare the detections of a file, in ONNX Runtime, with those of its network.

    Args:
        content: of the file.
        network: in evaluation mode.
        record: in the file.
        images: (B, 3, H, W) in [0, 1].
    """
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", InputNote)
        path = Path(folder) / "exported.onnx"
        path.write_bytes(content)
        model = cast(ExportedModel, onnx_predictor(path, OnnxConfig(), record.classes))
        output = model(images)
        pairs = [
            _compared(model.nms(found), network.nms(wanted))
            for found, wanted in zip(model.decode(output), network.decode(network(images)), strict=True)
        ]
    scores = [pair.score_difference for pair in pairs]
    if record.outputs == "candidates":  # in any order, because that of proposals depends on rounding
        expected = graph_source(network, record.size).module(images).scores
        difference = _sorted_scores(output.tensors["scores"]) - _sorted_scores(expected)
        scores.append(float(difference.abs().max()))
    return Comparison(
        sum(pair.detections for pair in pairs),
        sum(pair.equal for pair in pairs),
        max(scores),
        max(pair.box_difference for pair in pairs),
    )


def _compared(found: Detections, wanted: Detections) -> Comparison:
    """Comparison of one image."""
    boxes = (found.boxes[:, None] - wanted.boxes[None]).abs().amax(dim=2)
    scores = (found.scores[:, None] - wanted.scores[None]).abs()
    same = found.labels[:, None] == wanted.labels[None]
    same &= (boxes <= BOX_TOLERANCE) & (scores <= SCORE_TOLERANCE)
    return Comparison(
        len(found.scores) + len(wanted.scores),
        int(same.any(dim=1).sum() + same.any(dim=0).sum()),
        float(scores[same].max()) if same.any() else 0.0,
        float(boxes[same].max()) if same.any() else 0.0,
    )


def _sorted_scores(scores: Tensor) -> Tensor:
    """(B, A * C) by decreasing score."""
    return scores.flatten(1).sort(dim=1, descending=True).values


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
