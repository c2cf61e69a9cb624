"""What a tuning is asked to do, and what that comes to: settings, data, space, and runs with chosen settings."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bench.data.types import require_objects
from bench.pipeline.predict import predict
from bench.process.interrupts import StopRequest
from bench.process.progress import Progress
from bench.runs.context import RunContext
from bench.runs.detector import build_detector
from bench.runs.folders import Busy
from bench.runs.run import run
from bench.settings.resolution import open_run
from bench.training.checkpoint import load_weights
from bench.training.loop import pick_device
from bench.tune.anchors import Anchors
from bench.tune.limits import Limits, parse_limits
from bench.tune.objectives import Objectives, parse_objectives
from bench.tune.spaces import Scalar, Space, configured, space_of
from bench.tune.storage import PATIENCE, Patience
from bench.tune.training import WEIGHTS, Pruning
from metrics.errors import InputError
from metrics.matching import MatchRule
from metrics.tables import DetectionTable

_WAIT_SECONDS = 2.0

Values = Mapping[str, Scalar]
"""Settings by dotted path."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a tuning is asked to do; plain values, so that other processes can be given it.

    Attributes:
        variant: the detector.
        space: words of `bench.tune.spaces.space_of`.
        sources: what `bench.settings.resolution.resolve` takes beside the variant.
        objectives: words of `parse_objectives`.
        limits: words of `parse_limits`.
        trials: of each stage, over all workers, those of earlier calls included.
        out: the folder of studies.
        run: the folder of a finished run whose weights post-processing is tuned for; None trains one, or takes the
            best of the training stage.
        again: fresh seeds of the ending; None for two, or for none where `run` is given and nothing is trained.
        workers: processes on this machine.
        storage: a database's URL; None for a journal file in the study's folder.
        study: the study's name; None for one by its cause.
        pruning: who gives up trials of the training stage.
        command: what was typed.
        patience: with storage and other workers.
    """

    variant: str
    space: tuple[str, ...]
    sources: Mapping[str, Any] = field(default_factory=dict)
    objectives: tuple[str, ...] = ("ap",)
    limits: tuple[str, ...] = ()
    trials: int = 50
    out: Path = Path("studies")
    run: Path | None = None
    again: int | None = None
    workers: int = 1
    storage: str | None = None
    study: str | None = None
    pruning: Pruning = "hyperband"
    command: str = ""
    patience: Patience = PATIENCE


class Task:
    """A plan on its data.

    Args:
        plan: what is asked for.
        progress: where to show how far it is.
        stop: looked at by everything that takes long.

    Attributes:
        config: the settings that tuning starts from.
        dataset: images.
        space: of all stages.
        objectives: what is sought.
        limits: what a trial must keep.
        device: where networks are.

    Raises:
        InputError: a space, an objective, a limit or a run that does not fit.
        MachineError: the device is not there.
    """

    def __init__(self, plan: Plan, progress: Progress, stop: StopRequest) -> None:
        self.plan = plan
        self.progress = progress
        self.stop = stop
        sources = dict(plan.sources)
        if plan.run is not None:
            if not (plan.run / WEIGHTS).is_file():
                raise InputError(f"--run {plan.run}: holds no {WEIGHTS}; give the folder of a finished run")
            sources["file"] = plan.run / "config.toml"
        limits = parse_limits(plan.limits)
        self.dataset, self.config = open_run(plan.variant, sources)
        looks = self.config.evaluate
        if looks.flip or looks.tile is not None:
            raise InputError(
                "evaluate.flip, evaluate.tile: a study looks at each image once and as a whole; give "
                "--set evaluate.flip=false evaluate.tile=none here, and set them again for `bench run --config winner.toml`"
            )
        self.space: Space = space_of(self.config, plan.space, self._priors())
        trained = [stage for stage in ("anchors", "train") if self.space.of(stage)]
        if trained and plan.run is not None:
            raise InputError(
                f"--run: its weights are for post-processing, and --space has settings of {trained[0]}; "
                "leave --run out, or name only --space nms"
            )
        if self.space.of("train") and self.config.train.validate_every == 0:
            self.config = configured(self.config, {"train.validate_every": 1})
        val = require_objects(self.dataset.splits["val"])
        rule = MatchRule(max_dets=self.config.evaluate.max_dets)
        self.objectives: Objectives = parse_objectives(plan.objectives, val.truth, rule)
        self.device = pick_device(self.config.device)
        self.limits = Limits(limits, val, self.config.image, self.device)
        threads = self.config.threads or (
            max(torch.get_num_threads() // plan.workers, 1) if plan.workers > 1 else 0
        )
        if threads:
            torch.set_num_threads(threads)

    @cached_property
    def anchors(self) -> Anchors:
        """The variant's priors against the boxes of training and validation."""
        return Anchors(self.config, self.dataset)

    def _priors(self) -> dict[str, Any]:
        return self.anchors.settings() if "anchors" in self.plan.space else {}

    def detector(self, values: Values, weights: Path | None = None) -> nn.Module:
        """The network under some settings, on its device, in evaluation mode; its weights random, or those of a file."""
        config = configured(self.config, values)
        detector = build_detector(config, len(self.dataset.classes)).to(self.device).eval()
        if weights is not None:
            load_weights(weights, detector)
        return detector

    def trained(self, values: Values, seed: int) -> Path:
        """Weights of a run with some settings, those of post-processing left as they are; a run that is done is reused.

        Where another worker is at the same run, it is waited for.
        """
        training = {path: value for path, value in values.items() if not path.startswith("nms.")}
        config = configured(self.config, {**training, "evaluate.split": "val"}).with_seed(seed)
        context = RunContext(progress=self.progress, stop=self.stop, page=False)
        told = False
        while True:
            try:
                return run(config, self.plan.out / "runs", self.dataset, context).path / WEIGHTS
            except Busy as busy:
                if not told:
                    self.progress.message(f"waiting: {busy}")
                told = True
                time.sleep(_WAIT_SECONDS)

    def found(self, values: Values, weights: Path, split: str) -> DetectionTable:
        """What a network with these weights finds in a split."""
        config = configured(self.config, values)
        return predict(
            self.detector(values, weights),
            self.dataset.splits[split],
            config.image,
            batch=config.evaluate.batch,
            workers=config.workers,
            device=self.device,
            progress=self.progress,
        )

    def value(self, found: DetectionTable, split: str) -> float:
        """The (first) objective of what was found in a split."""
        truth = self.dataset.splits[split].truth
        return self.objectives.each[0](self.objectives.numbers(truth, found))
