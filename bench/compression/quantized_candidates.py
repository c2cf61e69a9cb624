"""Quantised candidates of an exported network: their files, AP on validation images, and latency."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from torch import nn

from bench.compression.calibration import calibration_batches
from bench.compression.exported_file import with_facts
from bench.compression.file_latency import median_latencies
from bench.data.types import Dataset, Split
from bench.pipeline.inference import network_input, wrap_predictor
from bench.pipeline.input_settings import ImageConfig
from bench.pipeline.placement import fit_images
from bench.pipeline.predict import predict
from bench.process.progress import Progress
from bench.runs.finished_run import is_fake_quantized, load_network
from bench.settings.config import RunConfig
from bench.settings.sections import EvaluateConfig
from detectors.compression.fake_quantization import input_ranges
from detectors.compression.quantization import Quantizer
from detectors.compression.saturation import products_saturate
from detectors.external.file_model import FileModel
from detectors.external.onnx_models.exported import ExportedModel
from detectors.external.onnx_models.predictor import onnx_predictor
from detectors.external.onnx_models.settings import OnnxConfig
from detectors.graph.record import CompressionFacts
from metrics.atomic_files import atomic_write
from metrics.errors import InputNote
from metrics.evaluator import evaluate
from metrics.match_rule import MatchRule
from metrics.notes import Note, report
from reports.records.run import RunFolder

METHOD = "int8"

_LIST = "candidates.json"
_TIMED_IMAGES = 8


def write_candidates(
    run: RunFolder,
    original: Path,
    dataset: Dataset,
    config: RunConfig,
    images: int,
    folder: Path,
    progress: Progress,
) -> Mapping[str, tuple[str, int]]:
    """Quantise every set of operators into ``NAME.onnx``; reused if all of them are in the folder.

    Args:
        run: of a variant that was trained here.
        original: its exported network.
        dataset: of the run; training images give the ranges of activations.
        config: settings of the run.
        images: number of these images.
        folder: of the candidates of this network and these images.
        progress: display of the progress.

    Returns:
        Summary and number of operators of each candidate by name.
    """
    if products_saturate():
        text = (
            "this processor has no VNNI: large sums of 8-bit products saturate, so that AP of 8-bit files can be lower here than on "
            "processors with VNNI"
        )
        report(Note("saturating_products", text))
    list_file = folder / _LIST
    if list_file.is_file():
        return {
            name: (summary, count) for name, (summary, count) in json.loads(list_file.read_bytes()).items()
        }
    quantizer = Quantizer(original.read_bytes())
    train = dataset.splits["train"]
    start = time.monotonic()
    quantizer.calibrate(calibration_batches(train, config.image, images, progress))
    if is_fake_quantized(run):
        network = cast(nn.Module, load_network(run, run.result.config))
        quantizer.set_input_ranges(input_ranges(network))
    seconds = round(time.monotonic() - start, 3)
    with progress.stage("quantizing", len(quantizer.sets)) as stage:
        for chosen in quantizer.sets:
            facts = CompressionFacts(
                method=METHOD, operators=chosen.name, images=min(images, len(train)), seconds=seconds
            )
            content = with_facts(quantizer.quantize(chosen), facts)
            atomic_write(folder / f"{chosen.name}.onnx", content)
            stage.advance()
    found = {each.name: (each.summary, len(each.nodes)) for each in quantizer.sets}
    atomic_write(list_file, json.dumps(found))  # last: then all of them are there
    return found


def evaluation_of_files(config: RunConfig) -> EvaluateConfig:
    """Settings of evaluation of a run, for files that were made of it."""
    return config.evaluate.model_copy(update={"precision": "no", "compile": False, "save_candidates": False})


def file_ap(file: Path, split: Split, evaluation: EvaluateConfig, progress: Progress) -> float:
    """AP of an exported file on a split."""
    predictor = _exported(file, split.truth.catalog.classes)
    detections = predict(
        wrap_predictor(predictor, evaluation),
        split,
        network_input(predictor, evaluation),
        batch=evaluation.batch,
        workers=0,
        progress=progress,
    )
    return float(
        evaluate(split.truth, detections, rule=MatchRule(max_dets=evaluation.max_dets)).headline["ap"]
    )


def file_latencies(
    files: Mapping[str, Path], split: Split, image: ImageConfig, progress: Progress
) -> dict[str, float]:
    """Median milliseconds of exported files for single images of a split, timed in turn."""
    models = {name: _exported(file, split.truth.catalog.classes) for name, file in files.items()}
    count = min(_TIMED_IMAGES, len(split))
    images = fit_images([split.load(k) for k in range(count)], image.for_prediction)[0]
    return median_latencies(models, [each[None] for each in images], progress)


def _exported(file: Path, classes: tuple[str, ...]) -> ExportedModel:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputNote)  # the table tells it
        predictor: FileModel = onnx_predictor(file, OnnxConfig(), classes)
    assert isinstance(predictor, ExportedModel)
    return predictor
