"""Robustness of finished runs: AP on corrupted and shifted test images, condition by condition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn

from bench.data.corruptions.corrupted import corrupted_split
from bench.data.shifts import SHIFTS, shifted_split
from bench.data.types import Split
from bench.pipeline.predict import predict
from bench.process.locks import hold
from bench.process.progress import Progress
from bench.runs.finished_run import evaluated_split, load_predictor, network_input
from bench.settings.sections import EvaluateConfig
from metrics.compare.groups import SPLIT_GROUPS
from metrics.evaluator import evaluate_matches
from metrics.match_rule import MatchRule
from metrics.matching import Matches, match
from metrics.resampling import (
    RunRankings,
    image_weights,
    named_statistic,
    replicate,
    unit_index,
    unit_weights,
)
from metrics.resampling.weights import Weights
from metrics.tables import AnnotationTable
from reports.records.robustness import (
    CorruptedValue,
    RobustnessRecord,
    ShiftedValue,
    load_robustness,
    save_robustness,
)
from reports.records.run import RunFolder

VERSION = 1
"""Increased whenever the corruptions change pixels, because values of two versions cannot be compared."""

RESAMPLES = 200
_LOCK = ".robustness.lock"


def measure_robustness(
    run: RunFolder,
    corruptions: Sequence[str],
    severities: Sequence[int],
    shifts: Sequence[str] = (),
    *,
    device: torch.device,
    workers: int = -1,
    fresh: bool = False,
    progress: Progress | None = None,
) -> RobustnessRecord:
    """Measure the conditions that the run's record lacks; the record is written after each condition.

    Args:
        run: with its own predictor and images, see `load_predictor` and `evaluated_split`.
        corruptions: names in `bench.data.corruptions.corrupted.CORRUPTIONS`.
        severities: from 1 to 5.
        shifts: names in `bench.data.shifts.SHIFTS`.
        device: of the predictor.
        workers: processes that load and change images.
        fresh: measure all conditions again.
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
            values = _values(match(run.truth, run.detections, rule), weights)
            clean = CorruptedValue(corruption="clean", severity=0, **values)
            record = RobustnessRecord(version=VERSION, images=split.fingerprint, clean=clean)
        cells = [(name, severity) for name in corruptions for severity in severities]
        missing: list[_Condition] = [_Corrupted(*cell) for cell in cells if record.value(*cell) is None]
        factors = [(name, factor) for name in shifts for factor in SHIFTS[name]]
        missing += [_Shifted(*of) for of in factors if record.shifted(*of) is None]
        if missing:
            predictor = load_predictor(run)
            if isinstance(predictor, nn.Module):
                predictor.to(device)
            image = network_input(run, predictor)
            with progress.stage(f"{run.result.name}: robustness", len(missing)) as stage:
                for condition in missing:
                    changed = condition.images(split)
                    found = predict(
                        predictor, changed, image, batch=settings.batch, workers=workers, device=device
                    )
                    record = condition.add(record, _values(match(changed.truth, found, rule), weights))
                    save_robustness(run.path, record)
                    stage.advance()
    (run.path / _LOCK).unlink(missing_ok=True)
    return record


class _Condition(Protocol):
    """What is done to the images, and where its values belong in the record."""

    def images(self, split: Split) -> Split: ...
    def add(self, record: RobustnessRecord, values: dict[str, Any]) -> RobustnessRecord: ...


@dataclass(frozen=True, slots=True)
class _Corrupted:
    name: str
    severity: int

    def images(self, split: Split) -> Split:
        return corrupted_split(split, self.name, self.severity)

    def add(self, record: RobustnessRecord, values: dict[str, Any]) -> RobustnessRecord:
        cell = CorruptedValue(corruption=self.name, severity=self.severity, **values)
        return record.model_copy(update={"cells": (*record.cells, cell)})


@dataclass(frozen=True, slots=True)
class _Shifted:
    name: str
    factor: float

    def images(self, split: Split) -> Split:
        return shifted_split(split, self.name, self.factor)

    def add(self, record: RobustnessRecord, values: dict[str, Any]) -> RobustnessRecord:
        value = ShiftedValue(shift=self.name, factor=self.factor, **values)
        return record.model_copy(update={"shifts": (*record.shifts, value)})


def _weights(truth: AnnotationTable) -> Weights:
    """Resamples of the images, or of the groups of the data set: the same for all runs on the same images."""
    groups = truth.catalog.image_columns.get(SPLIT_GROUPS)
    if groups is None:
        return image_weights(len(truth.catalog.image_ids), RESAMPLES)
    unit, _ = unit_index(groups, len(groups))
    return unit_weights(unit, RESAMPLES)


def _values(matches: Matches, weights: Weights) -> dict[str, Any]:
    """AP and AP50, and AP on resamples of the images."""
    headline = evaluate_matches(matches).headline
    (found,) = replicate(RunRankings(matches), weights, [named_statistic("ap", matches.rule)])
    replicates = tuple(round(float(value), 6) for value in found.values)
    return {"ap": headline["ap"], "ap50": headline["ap50"], "replicates": replicates}
