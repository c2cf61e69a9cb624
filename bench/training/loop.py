"""The training loop: epochs, validation, the best weights, and a state on disk from which it goes on bit for bit."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import set_seed
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from bench.data.types import Split
from bench.pipeline.loader import Batch, make_loader
from bench.pipeline.predict import predict
from bench.process import distributed
from bench.process.interrupts import StopRequest
from bench.process.log import Log
from bench.process.progress import Progress, Stage
from bench.settings.config import RunConfig
from bench.training.checkpoint import (
    Position,
    best_weights,
    drop_other_weights,
    load_state,
    load_weights,
    save_state,
    save_weights,
)
from bench.training.optimizer import learning_rate_factor, make_average, make_optimizer
from bench.training.step import Stepper
from metrics.errors import MachineError
from metrics.evaluator import evaluate

Row = dict[str, float | None]
Report = Callable[[int, Mapping[str, float]], None]


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """What a training gave.

    Attributes:
        history: one row for each epoch: ``epoch`` (epochs done), ``images_seen``, ``seconds``, ``loss``, its terms,
            ``lr``, ``val_ap`` and ``val_ap50`` (None where the epoch was not validated or nothing can be measured).
            With several processes the loss is that of the first one's share of each batch.
        images_seen: training images shown, all epochs together.
        seconds: wall clock, validation included, over all processes that worked on it one after the other.
        best_epoch: epochs that were done when the weights that were kept stood; 0 where none was validated.
        notes: what was left out of the training targets, and why.
    """

    history: list[Row]
    images_seen: int
    seconds: float
    best_epoch: int
    notes: tuple[str, ...] = ()


def train(
    detector: nn.Module,
    train_split: Split,
    val_split: Split,
    config: RunConfig,
    folder: Path,
    *,
    progress: Progress | None = None,
    log: Log | None = None,
    stop: StopRequest | None = None,
    report: Report | None = None,
) -> TrainingResult:
    """Find the weights of a detector, beginning or going on where `folder` says an earlier process stopped.

    The same configuration and data give the same weights on the same machine, whether or not it was interrupted.
    On a GPU that holds with ``deterministic``, and for detectors that use deterministic algorithms only.

    Args:
        detector: a `detectors.types.Detector`. It ends in evaluation mode, on its device, with the best weights by
            validation AP; of several equally good the earliest; with the last where nothing was validated.
        config: all settings of the run.
        train_split: images to learn from.
        val_split: images by which the best weights are chosen.
        folder: for checkpoints.
        progress: where to show how far it is.
        log: where to note what happened.
        stop: looked at after every step.
        report: told ``images_seen`` and the measures after every validation; what it raises ends the training,
            whose state has been saved by then.

    Raises:
        LossNotFinite: see `bench.training.step`.
        MachineError: the device is absent or too small, the disk full.
        Stopped: `stop` was asked for; the state is saved.
    """
    training = _Training(
        detector,
        train_split,
        val_split,
        config,
        folder,
        progress or Progress(),
        log or Log(),
        stop or StopRequest(),
        report,
    )
    return training.run()


def pick_device(name: str) -> torch.device:
    """The device called `name`; ``auto`` is an accelerator where there is one.

    Raises:
        MachineError: there is no such device here.
    """
    if name == "auto":
        name = torch.accelerator.current_accelerator().type if torch.accelerator.is_available() else "cpu"  # type: ignore[union-attr]
    try:
        device = torch.device(name)
        if distributed.num_processes() == 1:  # several would all take memory of the first device
            torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        here = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
        reason = str(error).split("\n")[0].rstrip(".")
        raise MachineError(
            f"device {name!r} cannot be used ({reason}); there is {', '.join(['cpu', *here])}"
        ) from None
    return device


def seed_batch(seed: int, epoch: int, batch: int, process: int = 0) -> None:
    """Set the random numbers of Python, NumPy and torch to those of one batch.

    No state of a generator has to be kept: whoever goes on at a batch draws what he would have drawn.
    """
    set_seed(int(np.random.SeedSequence([seed, epoch, batch, process]).generate_state(1)[0]))


class _Training:
    def __init__(
        self,
        detector: nn.Module,
        train_split: Split,
        val_split: Split,
        config: RunConfig,
        folder: Path,
        progress: Progress,
        log: Log,
        stop: StopRequest,
        report: Report | None,
    ) -> None:
        self.detector = detector
        self.val_split = val_split
        self.config = config
        self.folder = folder
        self.progress = progress
        self.log = log
        self.stop = stop
        self.report = report
        self.settings = config.train
        self.accelerator = _accelerator(config)
        detector.to(self.accelerator.device)
        saved = load_state(folder)
        _weigh_classes(detector, train_split)
        if saved is None:
            self._prepare(train_split)
        self.optimizer = make_optimizer(detector, self.settings)
        self.loader = make_loader(
            train_split,
            config.image,
            config.augment,
            batch_size=self.settings.batch,
            seed=config.seed,
            workers=config.workers,
            shuffle=True,
            # A share of a batch that is not full could be empty, and its process would have no gradient.
            drop_last=self.accelerator.num_processes > 1,
            rank=self.accelerator.process_index,
            world=self.accelerator.num_processes,
        )
        self.steps = self.settings.epochs * math.ceil(len(self.loader) / self.settings.accumulate)
        self.average = (
            make_average(detector, self.settings.average * self.steps) if self.settings.average else None
        )
        self.position = self._restore(*saved) if saved is not None else Position()
        model, optimizer = self.accelerator.prepare(detector, self.optimizer)
        self.stepper = Stepper(
            detector,
            model,
            optimizer,
            self.accelerator,
            self.settings,
            train_split.truth.catalog.image_ids,
            log,
            self.position.parts,
            self.position.skipped,
        )
        self.began = self.saved = time.monotonic()
        self.sums: dict[str, Tensor] = {}

    def run(self) -> TrainingResult:
        position = self.position
        with (
            self.progress.stage("training", self.settings.epochs * len(self.loader)) as stage,
            self.stop.deferred(),
        ):
            stage.resume(position.epoch * len(self.loader) + position.batch)
            while position.epoch < self.settings.epochs:
                self._epoch(stage)
        self._take_best()
        self.detector.eval()
        return TrainingResult(
            position.rows,
            position.images_seen,
            position.seconds,
            position.best_epoch,
            tuple(self.loader.notes),
        )

    def _epoch(self, stage: Stage) -> None:
        position = self.position
        self.detector.train()
        device = self.accelerator.device
        self.sums = {name: torch.tensor(value, device=device) for name, value in position.sums.items()}
        for batches in self._groups():
            seed_batch(self.config.seed, position.epoch, position.batch, self.accelerator.process_index)
            factor = learning_rate_factor(position.step, self.steps, self.settings)
            result = self.stepper(batches, factor)
            if result.taken and self.average is not None:
                self.average.update_parameters(self.detector)
            for name, term in result.terms.items():
                if result.taken:
                    self.sums[name] = self.sums[name] + term if name in self.sums else term
            position.batch += len(batches)
            position.step += 1
            position.images_seen += self.accelerator.num_processes * sum(
                len(batch.targets) for batch in batches
            )
            self._after_step(stage, len(batches), result.terms)
        self._end_epoch(stage)

    def _groups(self) -> Iterator[list[Batch]]:
        """The batches of each update that is left of this epoch."""
        if self.position.batch >= len(
            self.loader
        ):  # stopped after the last one, before the epoch's end was kept
            return
        self.loader.state = self.position.epoch, self.position.batch
        group: list[Batch] = []
        for batch in self.loader:
            group.append(batch)
            if len(group) == self.settings.accumulate:
                yield group
                group = []
        if group:
            yield group

    def _after_step(self, stage: Stage, batches: int, terms: dict[str, Tensor]) -> None:
        if self.stepper.at_once or self.position.step % self.settings.log_every == 0:
            self.stepper.check()
            stage.advance(batches, epoch=self.position.epoch + 1, loss=float(sum(terms.values())))
        else:
            stage.advance(batches)
        if self._asked_to_stop():
            self._save()
            self.accelerator.wait_for_everyone()
            self.stop.raise_if_stopped("training is saved; the same command goes on from here")
        if time.monotonic() - self.saved > 60 * self.settings.checkpoint_minutes:
            self._save()

    def _asked_to_stop(self) -> bool:
        """Several processes must stop at the same step, or one would wait for gradients that never come."""
        if self.accelerator.num_processes == 1:
            return self.stop.signum is not None
        if self.position.step % self.settings.log_every:
            return False
        mine = torch.tensor([self.stop.signum or 0], device=self.accelerator.device)
        heard = int(self.accelerator.gather(mine).max())
        self.stop.signum = heard or None
        return heard > 0

    def _end_epoch(self, stage: Stage) -> None:
        self.stepper.check()
        position = self.position
        updates = max(math.ceil(len(self.loader) / self.settings.accumulate), 1)
        terms = {name: float(total) / updates for name, total in self.sums.items()}
        position.epoch, position.batch = position.epoch + 1, 0
        self.sums = {}
        factor = learning_rate_factor(max(position.step - 1, 0), self.steps, self.settings)
        measures = self._validate() if self._validates() else {}
        if measures:
            stage.advance(0, ap=measures["ap"])
        row: Row = {
            "epoch": position.epoch,
            "images_seen": position.images_seen,
            "seconds": round(position.seconds + time.monotonic() - self.began, 3),
            "loss": sum(terms.values()),
            **terms,
            "lr": self.settings.lr * factor,
            "val_ap": measures.get("ap"),
            "val_ap50": measures.get("ap50"),
        }
        position.rows.append(row)
        self._save()
        self.log.write("epoch", **row)
        if measures and self.report is not None:
            self.report(position.images_seen, measures)

    def _validates(self) -> bool:
        epoch, every = self.position.epoch, self.settings.validate_every
        return epoch == self.settings.epochs or (every > 0 and epoch % every == 0)

    def _validate(self) -> dict[str, float]:
        """Measures on the validation split; the weights are kept where they are the best so far."""
        if not len(self.val_split):
            return {}
        detector = self._evaluated()
        detector.eval()
        found = predict(
            detector,
            self.val_split,
            self.config.image,
            batch=self.config.evaluate.batch,
            workers=self.config.workers,
            device=self.accelerator.device,
        )
        headline = evaluate(self.val_split.truth, found, measures=("average_precision",)).headline
        ap = headline["ap"]
        position = self.position
        if not math.isnan(ap) and (position.best_ap is None or ap > position.best_ap):
            position.best_ap, position.best_epoch = ap, position.epoch
            if self.accelerator.is_main_process:
                save_weights(best_weights(self.folder, position.epoch), detector)
        return {"ap": ap, "ap50": headline["ap50"]}

    def _evaluated(self) -> nn.Module:
        """The network that is evaluated: the average of the weights where one is kept."""
        if self.average is None:
            return self.detector
        averaged: nn.Module = self.average.module
        return averaged

    def _take_best(self) -> None:
        if self.position.best_epoch:
            self.accelerator.wait_for_everyone()
            load_weights(best_weights(self.folder, self.position.best_epoch), self.detector)
        elif self.average is not None and self.position.step:
            self.detector.load_state_dict(self.average.module.state_dict())

    def _save(self) -> None:
        self.stepper.check()  # weights that a loss has spoilt are not kept
        position = self.position
        now = time.monotonic()
        position.seconds += now - self.began
        self.began = self.saved = now
        position.parts, position.skipped = self.stepper.parts, self.stepper.skipped
        position.sums = {name: float(total) for name, total in self.sums.items()}
        if not self.accelerator.is_main_process:
            return
        states: dict[str, Any] = {
            "detector": self.detector.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "scaler": None if self.accelerator.scaler is None else self.accelerator.scaler.state_dict(),
        }
        save_state(self.folder, position, states)
        drop_other_weights(self.folder, position.best_epoch)
        self.log.write("saved", epoch=position.epoch, batch=position.batch)

    def _prepare(self, split: Split) -> None:
        """Let the detector look at training images, as they are, before it learns: see `DenseDetector.prepare`."""
        prepare = getattr(self.detector, "prepare", None)
        if prepare is None:
            return
        loader = make_loader(
            split, self.config.image, None, self.settings.batch, self.config.seed, 0, shuffle=True
        )
        if prepare(batch.images.to(self.accelerator.device) for batch in loader):
            self.log.write("prepared")

    def _restore(self, position: Position, states: dict[str, Any]) -> Position:
        self.detector.load_state_dict(states["detector"])
        self.optimizer.load_state_dict(states["optimizer"])
        if isinstance(self.average, AveragedModel) and states["average"] is not None:
            self.average.load_state_dict(states["average"])
        if self.accelerator.scaler is not None and states["scaler"] is not None:
            self.accelerator.scaler.load_state_dict(states["scaler"])
        self.log.write("resumed", epoch=position.epoch, batch=position.batch)
        self.progress.message(f"going on after epoch {position.epoch}, batch {position.batch}")
        return position


def _weigh_classes(detector: nn.Module, split: Split) -> None:
    """Tell the detector how many objects of each class it will learn from: see `DenseDetector.weigh_classes`."""
    weigh = getattr(detector, "weigh_classes", None)
    if weigh is not None:
        truth = split.truth
        counts = np.bincount(truth.label[~truth.crowd], minlength=len(truth.catalog.classes))
        weigh(counts.tolist(), truth.catalog.classes)


def _accelerator(config: RunConfig) -> Accelerator:
    """Accelerate for this run; runs of one process, one after the other, may differ in device and precision."""
    device = pick_device(config.device)
    if distributed.num_processes() == 1:
        AcceleratorState._reset_state(reset_partial_state=True)
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)
    return Accelerator(cpu=device.type == "cpu", mixed_precision=config.train.precision)
