"""A tuning to carry out: its plan, and the plan applied to data, with the trainings and predictions it needs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bench.callbacks import find_callbacks
from bench.data.types import require_objects
from bench.process.interrupts import StopRequest
from bench.process.progress import Progress
from bench.runs.context import RunContext
from bench.runs.detector import build_detector
from bench.runs.folders import Busy
from bench.runs.run import run
from bench.settings.resolution import open_run, resolve
from bench.training.checkpoint import load_weights
from bench.training.device import pick_device
from bench.tune.anchors import Anchors
from bench.tune.limits import LimitCheck, parse_limits
from bench.tune.objectives import Objectives, default_objective, parse_objectives
from bench.tune.predicted import Predicted, predict_for_objectives
from bench.tune.search_space import Space, parse_space, with_values
from bench.tune.storage import TIMEOUTS, Timeouts, check_storage_url
from bench.tune.training_trials import WEIGHTS, Pruner
from detectors.registry import VARIANTS
from metrics.errors import InputError
from metrics.match_rule import MatchRule
from metrics.tables import AnnotationTable, Catalog
from reports.records.trial import Scalar

_POLL_SECONDS = 2.0

Values = Mapping[str, Scalar]
"""Settings by dotted path."""


@dataclass(frozen=True, slots=True)
class TuningPlan:
    """What to tune and how; plain values, which can be sent to other processes.

    Attributes:
        variant: the detector.
        space: words of `bench.tune.search_space.parse_space`.
        sources: arguments of `bench.settings.resolution.resolve` besides the variant.
        objectives: words of `parse_objectives`; empty for the default, see `default_objective`.
        limits: words of `parse_limits`.
        trials: of each stage, over all workers and calls.
        out: the folder of studies.
        run: the folder of a finished run for whose weights post-processing is tuned; None uses those of the best trial of
            the training stage, or trains once.
        fresh_seeds: number of seeds of the final evaluation; None for two, or for none where `run` is given.
        workers: processes on this machine.
        storage: a database's URL; None for a journal file in the study's folder.
        study: the study's name; None derives it from the study's key.
        pruner: of the training stage.
        command: the command line, for the record.
        timeouts: of storage and workers.
        callbacks: names of `bench.callbacks` that follow each training.
        page: write ``report.html`` about the study.
    """

    variant: str
    space: tuple[str, ...]
    sources: Mapping[str, Any] = field(default_factory=dict)
    objectives: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    trials: int = 50
    out: Path = Path("studies")
    run: Path | None = None
    fresh_seeds: int | None = None
    workers: int = 1
    storage: str | None = None
    study: str | None = None
    pruner: Pruner = "hyperband"
    command: str = ""
    timeouts: Timeouts = TIMEOUTS
    callbacks: tuple[str, ...] = ()
    page: bool = True


class TuningTask:
    """A plan applied to its data.

    Args:
        plan: what to tune.
        progress: display.
        stop: checked by everything that takes long.

    Attributes:
        config: the settings that tuning starts from.
        dataset: images.
        space: settings of all stages.
        objectives: what to optimize.
        limits: what a trial must not exceed.
        device: of the networks.
        callbacks: of each training, by name.

    Raises:
        InputError: an invalid space, objective, limit or run.
        MachineError: the device does not exist.
    """

    def __init__(self, plan: TuningPlan, progress: Progress, stop: StopRequest) -> None:
        self.plan = plan
        self.progress = progress
        self.stop = stop
        self.callbacks = find_callbacks(plan.callbacks)
        sources = dict(plan.sources)
        if plan.run is not None:
            if not (plan.run / WEIGHTS).is_file():
                raise InputError(f"--run {plan.run}: has no {WEIGHTS}; give the folder of a finished run")
            sources["file"] = plan.run / "config.toml"
        limits = parse_limits(plan.limits)
        _check_words(plan, sources)
        self.dataset, self.config = open_run(plan.variant, sources)
        for note in self.config.notes:
            progress.message(f"note: {note}")
        if self.config.evaluate.flip or self.config.evaluate.tile is not None:
            raise InputError(
                "evaluate.flip, evaluate.tile: not supported by tuning, which predicts each image once and as a whole; use "
                "--set evaluate.flip=false evaluate.tile=none here, and set them again for `bench run --config winner.toml`"
            )
        priors = self.anchors.ranges() if "anchors" in plan.space else {}
        self.space: Space = parse_space(self.config, plan.space, priors)
        trained = [stage for stage in ("anchors", "train") if self.space.of(stage)]
        if trained and plan.run is not None:
            raise InputError(
                f"--run: tunes post-processing for fixed weights, but --space has settings of {trained[0]}; "
                "omit --run, or name only --space nms"
            )
        training = self.config.train
        if self.space.of("train") and not (training.validate_every or training.validations):
            self.config = with_values(self.config, {"train.validate_every": 1})
        val = require_objects(self.dataset.splits["val"])
        rule = MatchRule(max_dets=self.config.evaluate.max_dets)
        variant, post_processing = VARIANTS[plan.variant], bool(self.space.of("nms"))
        masks = variant.label_maps and all(
            self.dataset.splits[name].label_maps is not None for name in ("val", "test")
        )
        default = default_objective(variant.selection == "miou", masks, post_processing)
        self.objectives: Objectives = parse_objectives(plan.objectives or (default,), val.truth, rule, masks)
        if self.objectives.mask_names and post_processing:
            raise InputError(
                f"--objective {self.objectives.mask_names[0]}: post-processing does not change label maps; tune "
                f"{next(iter(self.space.of('nms'))).path} on its own, with --objective ap"
            )
        self.device = pick_device(self.config.device)
        self.limits = LimitCheck(
            limits, val, self.config.image.for_prediction, self.device, self.config.evaluate.precision
        )
        threads = self.config.threads or (
            max(torch.get_num_threads() // plan.workers, 1) if plan.workers > 1 else 0
        )
        if threads:
            torch.set_num_threads(threads)

    @cached_property
    def anchors(self) -> Anchors:
        """The variant's anchor priors and the boxes of the training and validation splits."""
        return Anchors(self.config, self.dataset)

    def detector(self, values: Values, weights: Path | None = None) -> nn.Module:
        """The network with some settings, on its device, in evaluation mode; with random weights, or those of a file."""
        config = with_values(self.config, values)
        detector = build_detector(config, len(self.dataset.classes)).to(self.device).eval()
        if weights is not None:
            load_weights(weights, detector)
        return detector

    def train(self, values: Values, seed: int) -> Path:
        """Weights of a run with some settings; post-processing ones are ignored. A finished run is reused.

        Where another worker is training this run, wait for it.
        """
        trained = {path: value for path, value in values.items() if not self.config.is_post_processing(path)}
        config = with_values(self.config, {**trained, "evaluate.split": "val"}).with_seed(seed)
        context = RunContext(progress=self.progress, stop=self.stop, page=False, callbacks=self.callbacks)
        waiting = False
        while True:
            try:
                return run(config, self.plan.out / "runs", self.dataset, context).path / WEIGHTS
            except Busy as busy:
                if not waiting:
                    self.progress.message(f"waiting: {busy}")
                waiting = True
                time.sleep(_POLL_SECONDS)

    def predict(self, values: Values, weights: Path, split: str) -> Predicted:
        """What is predicted for a split with some settings and weights."""
        config, masks = with_values(self.config, values), bool(self.objectives.mask_names)
        detector, images = self.detector(values, weights), self.dataset.splits[split]
        return predict_for_objectives(detector, images, config, masks, self.device, self.progress)

    def value(self, predicted: Predicted, split: str) -> float:
        """The (first) objective of what is predicted for a split."""
        truth = self.dataset.splits[split].truth
        return self.objectives.each[0](self.objectives.numbers(truth, predicted))


def _check_words(plan: TuningPlan, sources: Mapping[str, Any]) -> None:
    """Check ``--space``, ``--objective`` and ``--storage`` before the data set is opened."""
    if plan.storage is not None:
        check_storage_url(plan.storage)
    config = resolve(plan.variant, **sources)
    words = [word for word in plan.space if word != "anchors"]
    if words or not plan.space:
        parse_space(config, words)
    nothing = AnnotationTable.of(Catalog.of([], ["class"]), [], [], [])
    rule = MatchRule(max_dets=config.evaluate.max_dets)
    parse_objectives(plan.objectives, nothing, rule, VARIANTS[plan.variant].label_maps)
