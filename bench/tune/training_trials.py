"""The training stage: each trial trains a detector, reports intermediate values and can be pruned."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.pruners import BasePruner, HyperbandPruner, NopPruner, SuccessiveHalvingPruner
from optuna.trial import Trial

from bench.callbacks import FinishedRun, MakeCallback, StartedRun
from bench.data.types import Dataset
from bench.process.interrupts import StopRequest
from bench.process.log import Log
from bench.runs.detector import build_detector, load_teacher
from bench.runs.provenance import shorten_paths
from bench.settings.config import RunConfig
from bench.training.checkpoint import save_weights
from bench.training.device import pick_device
from bench.training.length import training_flops
from bench.training.loop import train
from bench.training.run_events import RunEvents
from bench.tune.objectives import Objectives
from bench.tune.predicted import predict_for_objectives
from bench.tune.search_space import with_values
from bench.tune.storage import StorageUnavailable
from detectors.safetensors_metadata import make_metadata
from metrics.errors import InputError
from metrics.plurals import plural

Pruner = Literal["hyperband", "asha", "none"]

WEIGHTS = "weights.safetensors"


def make_pruner(kind: Pruner, config: RunConfig, images: int, classes: int) -> BasePruner:
    """Pruner that stops unpromising trials early; its resource is the number of training images seen.

    Args:
        kind: ``hyperband`` (Li et al. 2018), ``asha``, asynchronous successive halving (Li et al. 2020), or ``none``.
        config: settings of a trial.
        images: training images of an epoch, of which sampling can make more or fewer than the split has; see
            `bench.pipeline.loader.images_per_epoch`.
        classes: number of classes.

    Raises:
        InputError: hyperband, which must know the number of images of a whole trial, with a budget in minutes.
    """
    least = max(images * max(config.train.validate_every, 1), 1)
    limit = config.train.budget.limit
    if config.train.validations and (limit is None or limit.unit != "minutes"):
        least = max(min(least, _planned_images(config, images, classes) // config.train.validations), 1)
    if kind == "hyperband":
        most = max(_planned_images(config, images, classes), least)
        return HyperbandPruner(min_resource=least, max_resource=most, reduction_factor=3)
    if kind == "asha":
        return SuccessiveHalvingPruner(min_resource=least, reduction_factor=3)
    return NopPruner()


def _planned_images(config: RunConfig, images: int, classes: int) -> int:
    """Training images that a whole trial sees."""
    limit = config.train.budget.limit
    if limit is None:
        return images * config.train.epochs
    if limit.unit == "minutes":
        raise InputError(
            f"--pruner hyperband: needs the number of training images of a trial, which {limit} does not determine; use "
            "--pruner asha, or a budget in images"
        )
    if limit.unit == "images":
        return int(limit.amount)
    return int(limit.amount / training_flops(build_detector(config, classes), config.image.size))


class TrainingTrials:
    """Objective function that trains a detector.

    A trial continues from the checkpoint in its folder, where there is one, and leaves its best weights there.

    Args:
        config: the settings that a trial changes.
        dataset: images.
        objectives: to evaluate on the validation split.
        stop: ends a training after the current step, with a checkpoint.
        callbacks: of each trial, by name.
    """

    def __init__(
        self,
        config: RunConfig,
        dataset: Dataset,
        objectives: Objectives,
        stop: StopRequest | None = None,
        callbacks: Mapping[str, MakeCallback] | None = None,
    ) -> None:
        self.config = config
        self.dataset = dataset
        self.objectives = objectives
        self.stop = stop or StopRequest()
        self.callbacks = callbacks or {}

    def __call__(self, trial: Trial, values: Mapping[str, Any], folder: Path) -> tuple[float, ...]:
        """Train with some settings and evaluate; see `bench.tune.study.ObjectiveFunction`.

        Raises:
            TrialPruned: other trials had better values after as many images.
            Stopped: it was requested; a checkpoint is saved.
        """
        config = with_values(self.config, values)
        log = Log(folder / "log.jsonl")
        name = f"{folder.parents[1].name}/{folder.name}"
        events = RunEvents(self.callbacks, StartedRun(name, folder, shorten_paths(config.tree())), log)
        with events.until_finished(pruned=optuna.TrialPruned):
            result = self._trained(trial, config, folder, log, events)
            names = [objective.text for objective in self.objectives.each]
            events.finish(FinishedRun(folder, dict(zip(names, result, strict=True))))
        return result

    def _trained(
        self, trial: Trial, config: RunConfig, folder: Path, log: Log, events: RunEvents
    ) -> tuple[float, ...]:
        """Train and evaluate a trial's settings."""
        detector = build_detector(config, len(self.dataset.classes))
        splits = self.dataset.splits

        def report(images_seen: int, share: float, measures: Mapping[str, float]) -> None:
            value = self._intermediate_value(measures)
            if math.isnan(value) or share >= 1:
                return
            trial.report(value, images_seen)
            if trial.should_prune():
                raise optuna.TrialPruned(f"other trials were better after {plural(images_seen, 'image')}")

        folder.mkdir(parents=True, exist_ok=True)
        checkpoint = folder / "checkpoint"
        try:
            train(
                detector,
                splits["train"],
                splits["val"],
                config,
                checkpoint,
                log=log,
                stop=self.stop,
                report=report,
                teacher=load_teacher(config, splits["val"].truth.catalog.classes),
                events=events,
            )
        except StorageUnavailable:  # continued from the checkpoint when the storage is back
            raise
        except Exception:  # pruned or failed; `Stopped` is no Exception and keeps the checkpoint
            shutil.rmtree(checkpoint, ignore_errors=True)
            raise
        predicted = predict_for_objectives(
            detector, splits["val"], config, bool(self.objectives.mask_names), pick_device(config.device)
        )
        result = self.objectives.values(self.objectives.numbers(splits["val"].truth, predicted))
        metadata = make_metadata(config.variant, splits["val"].truth.catalog.classes)
        save_weights(folder / WEIGHTS, detector, metadata)
        shutil.rmtree(checkpoint, ignore_errors=True)
        return result

    def _intermediate_value(self, measures: Mapping[str, float]) -> float:
        """The objective between epochs; NaN where it is not measured then, or there are several objectives."""
        first, *others = self.objectives.each
        if others or not set(first.names) <= measures.keys():
            return math.nan
        return first(measures)
