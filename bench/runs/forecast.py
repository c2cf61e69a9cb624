"""What a command would run: which runs are finished, how long the others take, and the disk space that they need."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import nn

from bench.data.types import Dataset, Split
from bench.pipeline.inference import wrap_predictor
from bench.pipeline.loader import make_loader
from bench.process.progress import Progress
from bench.runs.detector import build_detector, load_teacher
from bench.runs.disk_space import training_bytes, weights_bytes
from bench.runs.folders import CHECKPOINT, is_done, partial_folder
from bench.runs.naming import run_name
from bench.settings.config import EntryConfig, RunConfig
from bench.training.checkpoint import load_state
from bench.training.device import configure_torch, pick_device
from bench.training.timed_updates import TimedUpdates, time_updates
from detectors.types import Predictor

State = Literal["finished", "interrupted", "new"]

_PREDICTED_BATCHES = 2
"""Batches of validation images that are timed, after one that is not."""


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A run of a command.

    Attributes:
        name: of its folder.
        variant: of the run, or the name of an external model.
        seed: None for an external model.
        state: a finished run is reused, an interrupted one continues.
        train_seconds: remaining time of training with validation; 0 if it is finished, None if nothing is trained.
        test_seconds: time of prediction at the end; None for an external model, for which it is not known.
        peak_bytes: disk space while it trains.
        kept_bytes: disk space of its weights.
    """

    name: str
    variant: str
    seed: int | None
    state: State
    train_seconds: float | None = None
    test_seconds: float | None = None
    peak_bytes: int = 0
    kept_bytes: int = 0

    @property
    def seconds(self) -> float:
        """Remaining time, as far as known."""
        return (self.train_seconds or 0.0) + (self.test_seconds or 0.0)


@dataclass(frozen=True, slots=True)
class Costs:
    """What a variant costs on a data set."""

    updates: TimedUpdates
    image_seconds: float
    peak_bytes: int
    kept_bytes: int


def plan_runs(
    configs: Sequence[EntryConfig],
    dataset: Dataset,
    out: Path,
    fresh: bool,
    progress: Progress,
    costs: dict[str, Costs],
) -> list[PlannedRun]:
    """Plan each run; a variant with unfinished runs is timed on this machine. No file is written.

    Args:
        configs: settings of each run.
        dataset: data set of all.
        out: parent folder of the run folders.
        fresh: whether earlier work is repeated.
        progress: display of the progress.
        costs: of variants that were timed before, by their settings; further ones are added. Folds of one data set cost the same.
    """
    planned = [_by_folder(config, dataset, out, fresh) for config in configs]
    for number, (config, run) in enumerate(zip(configs, planned, strict=True)):
        if run.state == "finished" or not isinstance(config, RunConfig):
            continue
        key = _settings_of_costs(config)
        if key not in costs:
            with progress.stage(f"timing {config.variant}"):
                costs[key] = _measure(config, dataset)
        share = _share(out / run.name, costs[key].updates) if run.state == "interrupted" else 0.0
        planned[number] = _with_costs(run, config, dataset, costs[key], share)
    return planned


def _settings_of_costs(config: RunConfig) -> str:
    """The settings that tell costs apart: all but seed and fold."""
    tree = config.tree()
    del tree["seed"]
    tree["data"].pop("fold", None)
    return json.dumps(tree, sort_keys=True)


def _by_folder(config: EntryConfig, dataset: Dataset, out: Path, fresh: bool) -> PlannedRun:
    """What the run's folder tells."""
    folder = out / run_name(config, dataset)
    state: State = "new"
    if not fresh and is_done(folder):
        state = "finished"
    elif not fresh and (partial_folder(folder) / CHECKPOINT).is_dir():
        state = "interrupted"
    seed = config.seed if isinstance(config, RunConfig) else None
    return PlannedRun(folder.name, config.variant, seed, state)


def _measure(config: RunConfig, dataset: Dataset) -> Costs:
    configure_torch(config)
    detector = build_detector(config, len(dataset.classes))
    teacher = load_teacher(config, dataset.classes)
    updates = time_updates(detector, dataset.splits["train"], config, teacher)
    seconds = _prediction_seconds(detector, dataset.splits["val"] or dataset.splits["test"], config)
    return Costs(updates, seconds, training_bytes(detector), weights_bytes(detector))


def _prediction_seconds(detector: nn.Module, split: Split, config: RunConfig) -> float:
    """Mean time of prediction of an image of a split."""
    device = pick_device(config.device)
    predictor = wrap_predictor(cast(Predictor, detector.eval().to(device)), config.evaluate)
    batch = min(config.evaluate.batch, max(len(split), 1))
    loader = make_loader(split, config.image.for_prediction, None, batch, workers=config.workers)

    def predict(batches: Iterable[Any]) -> int:
        images = 0
        with torch.inference_mode():
            for each in batches:
                predictor.predict(each.images.to(device))
                images += len(each)
        return images

    predict(islice(iter(loader), 1))
    loader.state = (0, 0)
    began = time.monotonic()
    images = predict(islice(iter(loader), _PREDICTED_BATCHES))
    return (time.monotonic() - began) / max(images, 1)


def _share(folder: Path, updates: TimedUpdates) -> float:
    """Share of its training that an interrupted run has done."""
    saved = load_state(partial_folder(folder) / CHECKPOINT)
    return min(saved[0].step / updates.updates, 1.0) if saved and updates.updates else 0.0


def _with_costs(
    run: PlannedRun, config: RunConfig, dataset: Dataset, costs: Costs, share: float
) -> PlannedRun:
    every = config.train.validate_every
    epochs = costs.updates.epochs
    validations: float = 0
    if epochs:  # the end is validated, too, and is the last of the shares
        validations = (-(-epochs // every) if every else 1) + max(config.train.validations - 1, 0)
    validating = validations * len(dataset.splits["val"]) * costs.image_seconds
    return replace(
        run,
        train_seconds=(1 - share) * (costs.updates.seconds + validating),
        test_seconds=len(dataset.splits[config.evaluate.split]) * costs.image_seconds,
        peak_bytes=costs.peak_bytes,
        kept_bytes=costs.kept_bytes,
    )
