"""A finished run as an 8-bit ONNX file, whose operators are chosen on validation images."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch

from bench.compression.choice import choose
from bench.compression.exported_file import exported_file, is_exported
from bench.compression.quantized_candidates import (
    METHOD,
    evaluation_of_files,
    file_ap,
    file_latencies,
    write_candidates,
)
from bench.data.types import Dataset, Split
from bench.process.locks import hold
from bench.process.progress import Progress
from bench.runs.folders import digest
from bench.runs.provenance import file_digest, package_versions
from bench.settings.config import RunConfig
from detectors.external.file_hash import file_sha256
from detectors.external.onnx_models.graph_file import read_graph_file
from detectors.graph.onnx_file import require_packages
from detectors.graph.record import ExportRecord, read_record
from metrics.atomic_files import atomic_write, remove_unfinished
from metrics.errors import InputError
from reports.records.compression import ORIGINAL, CandidateFacts, CompressionRecord
from reports.records.run import RunFolder


@dataclass(frozen=True, slots=True)
class QuantizationSettings:
    """How a run is quantised.

    Attributes:
        images: training images on which ranges of activations are measured.
        tolerance, max_drop: of the choice; see `bench.compression.choice.choose`.
    """

    images: int = 200
    tolerance: float = 0.1
    max_drop: float = 0.02


@dataclass(frozen=True, slots=True)
class Quantized:
    """Files of a quantised run.

    Attributes:
        original: the exported network.
        file: the chosen candidate; its record is beside it, with the suffix ``.json``.
        record: of the choice.
    """

    original: Path
    file: Path
    record: CompressionRecord


def quantize_run(
    run: RunFolder,
    dataset: Dataset,
    config: RunConfig,
    folder: Path,
    settings: QuantizationSettings,
    progress: Progress | None = None,
) -> Quantized:
    """Export a run, quantise several sets of operators, and keep the best on validation images.

    Training images give the ranges of activations, validation images the choice; no other split is read. What is finished is
    kept when the work is interrupted, and the same call continues.

    Args:
        run: of a variant that was trained here.
        dataset: of the run.
        config: settings of the run.
        folder: for ``RUN.onnx``, ``RUN-int8.onnx`` and ``RUN-int8.json``.
        settings: of the quantisation.
        progress: display of the progress.

    Raises:
        InputError: the run has no weights, its detector cannot be exported, or there are no validation images with objects.
        MachineError: a package of the extra `onnx` is missing, or another process compresses the run.
    """
    require_packages()
    progress = progress or Progress()
    work = _Work(run, dataset, config, folder, settings, progress)
    return work.finished() or work.run()


class _Work:
    def __init__(
        self,
        run: RunFolder,
        dataset: Dataset,
        config: RunConfig,
        folder: Path,
        settings: QuantizationSettings,
        progress: Progress,
    ) -> None:
        self.source = run
        self.dataset = dataset
        self.config = config
        self.settings = settings
        self.progress = progress
        self.original = folder / f"{run.result.name}.onnx"
        self.file = folder / f"{run.result.name}-{METHOD}.onnx"
        self.record_file = self.file.with_suffix(".json")
        self.scratch = folder / f"{run.result.name}-{METHOD}.partial"
        if config.threads:
            torch.set_num_threads(config.threads)
        self.evaluation = evaluation_of_files(config)
        self.cause = self._cause()

    def _cause(self) -> str:
        names = ("detbench", "torch", "torchvision", "onnx", "onnxscript", "onnxruntime")
        versions = package_versions()
        return digest(
            {
                "weights": file_digest(self.source.path / RunFolder.WEIGHTS),
                "train": self.dataset.splits["train"].fingerprint,
                "val": self.dataset.splits["val"].fingerprint,
                "image": self.config.image.model_dump(mode="json"),
                "nms": self.source.result.config.get("nms"),
                "evaluate": self.evaluation.model_dump(mode="json"),
                "images": self.settings.images,
                "threads": torch.get_num_threads(),
                "versions": {name: versions.get(name) for name in names},
            }
        )

    def finished(self) -> Quantized | None:
        """The result of an earlier call; None if there is none with these images, settings and versions."""
        if not (self.record_file.is_file() and self.file.is_file() and self.original.is_file()):
            return None
        record = CompressionRecord.load(self.record_file)
        limits = (self.settings.tolerance, self.settings.max_drop)
        if record.cause != self.cause or (record.tolerance, record.max_drop) != limits:
            return None
        if file_sha256(self.file) != record.winner.sha256 or not is_exported(self.source, self.original):
            return None
        self.progress.message(f"{self.file.name}: reusing the finished file")
        return Quantized(self.original, self.file, record)

    def run(self) -> Quantized:
        val = self.dataset.splits["val"]
        if not len(val.truth):
            raise InputError(
                f"{self.dataset.name}: its validation split has no objects, so operators cannot be chosen; give a data set with some"
            )
        self.scratch.mkdir(parents=True, exist_ok=True)
        with hold(self.scratch / ".lock"):
            self._forget_other_work()
            exported_file(self.source, self.original.parent, self.progress)
            summaries = write_candidates(
                self.source,
                self.original,
                self.dataset,
                self.config,
                self.settings.images,
                self.scratch,
                self.progress,
            )
            files = {ORIGINAL: self.original} | {name: self.scratch / f"{name}.onnx" for name in summaries}
            aps = {name: self._validation_ap(name, file, val) for name, file in files.items()}
            latencies = file_latencies(files, val, self.config.image, self.progress)
            summaries = {ORIGINAL: ("the exported network", 0), **summaries}
            candidates = tuple(
                CandidateFacts(
                    name=name,
                    summary=summaries[name][0],
                    operators=summaries[name][1],
                    ap=aps[name],
                    latency_ms=latencies[name],
                    size_bytes=file.stat().st_size,
                    sha256=file_sha256(file),
                )
                for name, file in files.items()
            )
            winner = choose(candidates, self.settings.tolerance, self.settings.max_drop)
            content = files[winner.name].read_bytes()
            compression = _record_of(files[winner.name]).compression
            assert compression is not None
            record = CompressionRecord(
                run=self.source.result.name,
                method=METHOD,
                cause=self.cause,
                chosen=winner.name,
                calibration_images=compression.images,
                calibration_seconds=compression.seconds,
                validation_images=len(val),
                tolerance=self.settings.tolerance,
                max_drop=self.settings.max_drop,
                threads=torch.get_num_threads(),
                candidates=candidates,
            )
            self.record_file.unlink(missing_ok=True)
            atomic_write(self.file, content)
            atomic_write(self.record_file, record.to_json())
        shutil.rmtree(self.scratch, ignore_errors=True)
        return Quantized(self.original, self.file, record)

    def _forget_other_work(self) -> None:
        """Remove what an interrupted call with other images, settings or versions left."""
        remove_unfinished(self.scratch)
        cause = self.scratch / "cause"
        if not cause.is_file() or cause.read_text(encoding="utf-8") != self.cause:
            for item in self.scratch.iterdir():
                if item.name != ".lock":
                    item.unlink()
            atomic_write(cause, self.cause)

    def _validation_ap(self, name: str, file: Path, val: Split) -> float:
        """AP of a file on validation images; that of an interrupted call, if it was finished there."""
        stored = self.scratch / f"{name}.ap.json"
        if stored.is_file():
            return float(json.loads(stored.read_bytes()))
        self.progress.message(f"candidate {name}")
        ap = file_ap(file, val, self.evaluation, self.progress)
        atomic_write(stored, json.dumps(ap))
        return ap


def _record_of(file: Path) -> ExportRecord:
    record = read_record(read_graph_file(file).metadata, str(file))
    assert record is not None
    return record
