"""Robustness of finished runs: AP on test images under each corruption and severity, cell by cell."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from bench.data.corruptions.corrupted import corrupted_split
from bench.pipeline.predict import predict
from bench.process.locks import hold
from bench.process.progress import Progress
from bench.runs.finished_run import evaluated_split, load_predictor, network_input
from bench.settings.sections import EvaluateConfig
from metrics.compare.groups import SPLIT_GROUPS
from metrics.evaluator import evaluate_matches
from metrics.matching import MatchRule, match
from metrics.resampling import (
    RunRankings,
    image_weights,
    named_statistic,
    replicate,
    unit_index,
    unit_weights,
)
from metrics.resampling.weights import Weights
from metrics.tables import AnnotationTable, DetectionTable
from reports.records.robustness import CorruptedValue, RobustnessRecord, load_robustness, save_robustness
from reports.records.run import RunFolder

VERSION = 1
"""Increased whenever the corruptions change pixels, because values of two versions cannot be compared."""

RESAMPLES = 200
_LOCK = ".robustness.lock"


def measure_robustness(
    run: RunFolder,
    corruptions: Sequence[str],
    severities: Sequence[int],
    *,
    device: torch.device,
    workers: int = -1,
    fresh: bool = False,
    progress: Progress | None = None,
) -> RobustnessRecord:
    """Measure the cells that the run's record lacks; the record is written after each cell.

    Args:
        run: with its own predictor and images, see `load_predictor` and `evaluated_split`.
        corruptions: names in `bench.data.corruptions.corrupted.CORRUPTIONS`.
        severities: from 1 to 5.
        device: of the predictor.
        workers: processes that load and corrupt images.
        fresh: measure all cells again.
        progress: progress display.

    Raises:
        InputError: the run has no weights, or its images are missing or have changed.
        LockHeld: another process measures the same run.
    """
    progress = progress or Progress()
    split = evaluated_split(run)
    settings = EvaluateConfig.model_validate(run.result.config.get("evaluate", {}))
    rule = MatchRule(max_dets=settings.max_dets)
    with hold(run.path / _LOCK):
        weights = _weights(split.truth)
        record = None if fresh else load_robustness(run.path)
        if record is None or (record.version, record.images) != (VERSION, split.fingerprint):
            clean = _value(("clean", 0), run.truth, run.detections, rule, weights)
            record = RobustnessRecord(version=VERSION, images=split.fingerprint, clean=clean)
        wanted = [(name, severity) for name in corruptions for severity in severities]
        missing = [cell for cell in wanted if record.value(*cell) is None]
        if missing:
            predictor = load_predictor(run)
            if isinstance(predictor, nn.Module):
                predictor.to(device)
            image = network_input(run, predictor)
            with progress.stage(f"{run.result.name}: corruptions", len(missing)) as stage:
                for name, severity in missing:
                    corrupted = corrupted_split(split, name, severity)
                    found = predict(
                        predictor, corrupted, image, batch=settings.batch, workers=workers, device=device
                    )
                    cell = _value((name, severity), split.truth, found, rule, weights)
                    record = record.model_copy(update={"cells": (*record.cells, cell)})
                    save_robustness(run.path, record)
                    stage.advance()
    (run.path / _LOCK).unlink(missing_ok=True)
    return record


def _weights(truth: AnnotationTable) -> Weights:
    """Resamples of the images, or of the groups of the data set: the same for all runs on the same images."""
    groups = truth.catalog.image_columns.get(SPLIT_GROUPS)
    if groups is None:
        return image_weights(len(truth.catalog.image_ids), RESAMPLES)
    unit, _ = unit_index(groups, len(groups))
    return unit_weights(unit, RESAMPLES)


def _value(
    cell: tuple[str, int],
    truth: AnnotationTable,
    detections: DetectionTable,
    rule: MatchRule,
    weights: Weights,
) -> CorruptedValue:
    matches = match(truth, detections, rule)
    headline = evaluate_matches(matches).headline
    (found,) = replicate(RunRankings(matches), weights, [named_statistic("ap", rule)])
    replicates = tuple(round(float(value), 6) for value in found.values)
    return CorruptedValue(
        corruption=cell[0], severity=cell[1], ap=headline["ap"], ap50=headline["ap50"], replicates=replicates
    )
