"""The training stage: each trial trains, tells how it goes at images seen, and can be given up early."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.pruners import BasePruner, HyperbandPruner, NopPruner, SuccessiveHalvingPruner
from optuna.trial import Trial

from bench.data.types import Dataset
from bench.pipeline.predict import predict
from bench.process.interrupts import StopRequest
from bench.process.log import Log
from bench.runs.detector import build_detector
from bench.settings.config import RunConfig
from bench.training.checkpoint import save_weights
from bench.training.loop import pick_device, train
from bench.tune.objectives import Objectives
from bench.tune.spaces import configured
from bench.tune.storage import StorageGone

Pruning = Literal["hyperband", "asha", "none"]

WEIGHTS = "weights.safetensors"
_REPORTED = {"ap", "ap50"}
"""What `bench.training.loop` measures between epochs."""


def make_pruner(kind: Pruning, config: RunConfig, images: int) -> BasePruner:
    """Who gives up trials that go badly; resources are training images seen.

    Args:
        kind: ``hyperband`` (Li et al. 2018), ``asha``, asynchronous successive halving (Li et al. 2020), or ``none``.
        config: settings of a trial.
        images: of the training split.
    """
    least = max(images * max(config.train.validate_every, 1), 1)
    if kind == "hyperband":
        most = max(images * config.train.epochs, least)
        return HyperbandPruner(min_resource=least, max_resource=most, reduction_factor=3)
    if kind == "asha":
        return SuccessiveHalvingPruner(min_resource=least, reduction_factor=3)
    return NopPruner()


class Training:
    """The value of a trial that trains.

    A trial goes on from the checkpoint in its folder, where there is one. Its best weights stay there.

    Args:
        config: the settings that a trial changes; validated after every epoch unless they say otherwise.
        dataset: images.
        objectives: what is sought, on the validation split.
        stop: ends a training after the step in hand, saved.
    """

    def __init__(
        self, config: RunConfig, dataset: Dataset, objectives: Objectives, stop: StopRequest | None = None
    ) -> None:
        self.config = config
        self.dataset = dataset
        self.objectives = objectives
        self.stop = stop or StopRequest()

    def __call__(self, trial: Trial, values: Mapping[str, Any], folder: Path) -> tuple[float, ...]:
        """Train with some settings and measure; see `bench.tune.study.Objective`.

        Raises:
            TrialPruned: others did better after as many images.
            Stopped: somebody asked for it; the state is saved.
        """
        config = configured(self.config, values)
        detector = build_detector(config, len(self.dataset.classes))
        splits = self.dataset.splits
        total = config.train.epochs * len(splits["train"])

        def report(images_seen: int, measures: Mapping[str, float]) -> None:
            value = self._reported(measures)
            if math.isnan(value) or images_seen >= total:
                return
            trial.report(value, images_seen)
            if trial.should_prune():
                raise optuna.TrialPruned(f"others did better after {images_seen} images")

        folder.mkdir(parents=True, exist_ok=True)
        checkpoint = folder / "checkpoint"
        try:
            train(
                detector,
                splits["train"],
                splits["val"],
                config,
                checkpoint,
                log=Log(folder / "log.jsonl"),
                stop=self.stop,
                report=report,
            )
        except StorageGone:  # it goes on from its checkpoint when the storage is back
            raise
        except Exception:  # given up or failed; what is stopped is no Exception, and keeps its checkpoint
            shutil.rmtree(checkpoint, ignore_errors=True)
            raise
        found = predict(
            detector,
            splits["val"],
            config.image,
            batch=config.evaluate.batch,
            workers=config.workers,
            device=pick_device(config.device),
        )
        values_found = self.objectives.values(self.objectives.numbers(splits["val"].truth, found))
        save_weights(folder / WEIGHTS, detector)
        shutil.rmtree(checkpoint, ignore_errors=True)
        return values_found

    def _reported(self, measures: Mapping[str, float]) -> float:
        """The objective between epochs; NaN where it is not known then, or there are several."""
        first, *others = self.objectives.each
        if others or not set(first.names) <= _REPORTED:
            return math.nan
        return first(measures)
