"""The training loop: epochs, steps, checkpoints, and resuming with bit-identical results."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.utils import broadcast
from torch import Tensor, nn

from bench.data.image_cache import cache_images
from bench.data.types import Split
from bench.pipeline.input_sizes import sizes_around
from bench.pipeline.loader import Batch, make_loader
from bench.process.allocator import keep_freed_memory
from bench.process.interrupts import StopRequest
from bench.process.log import Log
from bench.process.progress import Progress, Stage
from bench.settings.config import RunConfig
from bench.training.checkpoint import Position, drop_other_weights, load_state, save_state
from bench.training.device import make_accelerator
from bench.training.optimizer import make_average, make_optimizer
from bench.training.schedules import learning_rate_factor
from bench.training.seeding import seed_batch
from bench.training.step import Stepper
from bench.training.validation import Validation
from detectors.distillation import DistilledDetector
from detectors.registry import VARIANTS
from metrics.errors import InputError
from metrics.messages import reason

Row = dict[str, float | None]
Report = Callable[[int, Mapping[str, float]], None]


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """Result of a training.

    Attributes:
        history: one row per epoch: ``epoch`` (completed epochs), ``images_seen``, ``seconds``, ``loss``, its terms,
            ``lr``, ``val_ap`` and ``val_ap50`` (None if the epoch was not validated), and ``val_miou`` for variants whose best
            weights are chosen by it.
        epochs: completed epochs; fewer than those of the settings if training was stopped early.
        images_seen: training images in all epochs.
        seconds: wall clock time with validation, without the compilation of its kernels, summed over interruptions.
        best_epoch: completed epochs at the best weights; 0 if none were validated.
        best_score: score threshold with the best F1 on the validation images; None if none were validated.
        notes: which objects are excluded from the training targets, and why; remarks of the detector, and of validation.
    """

    history: list[Row]
    epochs: int
    images_seen: int
    seconds: float
    best_epoch: int
    best_score: float | None = None
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
    teacher: nn.Module | None = None,
) -> TrainingResult:
    """Train a detector, from the start or from the checkpoint in `folder`.

    The same settings and data give the same weights on the same machine, with and without interruptions. On a GPU this
    needs ``deterministic``, and a detector that uses only deterministic algorithms.

    Args:
        detector: a `detectors.types.Detector`. Afterwards it is in evaluation mode, on its device, with the best weights
            by validation AP, or by mIoU where the variant says so (the earliest of equal ones), or the last weights if none
            were validated.
        config: all settings of the run.
        train_split: training images.
        val_split: images that select the best weights.
        folder: for checkpoints.
        progress: display of the progress.
        log: log of events.
        stop: checked after every step.
        report: called with ``images_seen`` and the measures after every validation, when the state has been saved;
            an exception ends the training.
        teacher: dense detector that is imitated; see `detectors.distillation`.

    Raises:
        InputError: the teacher cannot be imitated by this detector.
        LossNotFinite: see `bench.training.step`.
        MachineError: the device does not exist, or memory or disk is full.
        Stopped: a stop was requested; the state is saved.
    """
    keep_freed_memory()
    progress = progress or Progress()
    splits = (train_split, val_split)
    (train_split, val_split), remarks = cache_images(splits, config.train.cache, config.train.cache_gb)
    for remark in remarks:
        progress.message(remark)
    training = _Training(
        detector,
        train_split,
        val_split,
        config,
        folder,
        progress,
        log or Log(),
        stop or StopRequest(),
        report,
        teacher,
    )
    return training.run()


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
        teacher: nn.Module | None,
    ) -> None:
        self.detector = detector
        self.config = config
        self.folder = folder
        self.progress = progress
        self.log = log
        self.stop = stop
        self.report = report
        self.settings = config.train
        self.accelerator = make_accelerator(config.device, config.train.precision)
        detector.to(self.accelerator.device)
        if self.settings.multi_scale:
            _require_any_size(detector, config, self.accelerator.device)
        saved = load_state(folder)
        _weigh_classes(detector, train_split)
        if saved is None:
            self._prepare(train_split)
            if self.accelerator.num_processes > 1:  # processors may have rounded differently
                for tensor in detector.state_dict().values():
                    tensor.copy_(broadcast(tensor))
        self.distilled = None if teacher is None else self._distilled(teacher)
        trained = detector if self.distilled is None else self.distilled
        self.optimizer = make_optimizer(trained, self.settings)
        backbone = getattr(detector, "backbone", None)
        self.of_backbone = [] if backbone is None else [p for p in backbone.parameters() if p.requires_grad]
        if backbone is not None:
            backbone.checkpoint = self.settings.checkpoint_activations
        self.loader = make_loader(
            train_split,
            config.image,
            config.augment,
            batch_size=self.settings.batch,
            seed=config.seed,
            workers=config.workers,
            shuffle=True,
            # The part of one process in an incomplete batch could be empty, and would have no gradient.
            drop_last=self.accelerator.num_processes > 1,
            rank=self.accelerator.process_index,
            world=self.accelerator.num_processes,
            label_maps=VARIANTS[config.variant].label_maps,
            epochs=self.settings.epochs,
            sampling=self.settings.sampling,
            multi_scale=self.settings.multi_scale,
        )
        remarks = [f"{config.variant}: {note}" for note in _notes(detector, self.loader.objects, config)]
        self.notes = (*self.loader.notes, *remarks)
        for note in self.notes:
            progress.message(f"note: {note}")
        self.steps = self.settings.epochs * math.ceil(len(self.loader) / self.settings.accumulate)
        self.average = (
            make_average(detector, self.settings.average * self.steps, self.settings.average_warmup)
            if self.settings.average
            else None
        )
        self.validation = Validation(
            detector,
            self.average,
            val_split,
            config,
            folder,
            self.accelerator.device,
            self.accelerator.is_main_process,
        )
        self.position = self._restore(*saved) if saved is not None else Position()
        self.stepper = Stepper(
            trained,
            self.accelerator.prepare(self.optimizer),
            self.accelerator,
            self.settings,
            train_split.truth.catalog.image_ids,
            log,
            self.position.parts,
            self.position.skipped,
        )
        self.validation.compile()
        self.began = self.saved = time.monotonic()
        self.sums: dict[str, Tensor] = {}

    def run(self) -> TrainingResult:
        position = self.position
        with (
            self.progress.stage("training", self.settings.epochs * len(self.loader)) as stage,
            self.stop.deferred(),
        ):
            stage.resume(position.epoch * len(self.loader) + position.batch)
            while position.epoch < self.settings.epochs and not self._stopped_early():
                self._epoch(stage)
        self.accelerator.wait_for_everyone()
        self.validation.load_best(position)
        self._freeze(False)
        self.detector.eval()
        return TrainingResult(
            position.rows,
            position.epoch,
            position.images_seen,
            position.seconds,
            position.best_epoch,
            position.best_score,
            (*self.notes, *self._note_of_stop(), *self.validation.notes),
        )

    def _stopped_early(self) -> bool:
        return 0 < self.settings.patience <= self.position.stale

    def _note_of_stop(self) -> tuple[str, ...]:
        if not self._stopped_early():
            return ()
        position = self.position
        note = (
            f"training stopped after epoch {position.epoch} of {self.settings.epochs}, "
            f"{position.epoch - position.best_epoch} after the best one (train.patience={self.settings.patience})"
        )
        self.progress.message(f"note: {note}")
        return (note,)

    def _epoch(self, stage: Stage) -> None:
        position = self.position
        self.detector.train()
        self._freeze(position.epoch < self.settings.freeze_epochs)
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

    def _freeze(self, frozen: bool) -> None:
        """Whether the weights of the backbone are kept in the coming updates; those that are never trained stay so."""
        for parameter in self.of_backbone:
            parameter.requires_grad_(not frozen)

    def _groups(self) -> Iterator[list[Batch]]:
        """The batches of each remaining update of this epoch."""
        # A stop after the last batch can precede the checkpoint of the epoch's end.
        if self.position.batch >= len(self.loader):
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
        if self.stepper.checks_each or self.position.step % self.settings.log_every == 0:
            self.stepper.check()
            stage.advance(batches, epoch=self.position.epoch + 1, loss=float(sum(terms.values())))
        else:
            stage.advance(batches)
        if self._stop_requested():
            self._save()
            self.accelerator.wait_for_everyone()
            self.stop.raise_if_stopped("training is saved; the same command resumes it")
        if time.monotonic() - self.saved > 60 * self.settings.checkpoint_minutes:
            self._save()

    def _stop_requested(self) -> bool:
        """All processes must stop at the same step, or one would wait for the gradients of another."""
        if self.accelerator.num_processes == 1:
            return self.stop.signum is not None
        if self.position.step % self.settings.log_every:
            return False
        own = torch.tensor([self.stop.signum or 0], device=self.accelerator.device)
        signum = int(self.accelerator.gather(own).max())
        self.stop.signum = signum or None
        return signum > 0

    def _end_epoch(self, stage: Stage) -> None:
        self.stepper.check()
        position = self.position
        updates = max(math.ceil(len(self.loader) / self.settings.accumulate), 1)
        terms = {name: float(total) / updates for name, total in self.sums.items()}
        position.epoch, position.batch = position.epoch + 1, 0
        self.sums = {}
        factor = learning_rate_factor(max(position.step - 1, 0), self.steps, self.settings)
        measures = self.validation(position) if self.validation.is_due(position.epoch) else {}
        if measures and position.best_epoch:
            position.stale = 0 if position.best_epoch == position.epoch else position.stale + 1
        if measures:
            stage.advance(0, **{name: value for name, value in measures.items() if name != "ap50"})
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
        if VARIANTS[self.config.variant].selection == "miou":
            row["val_miou"] = measures.get("miou")
        position.rows.append(row)
        self._save()
        self.log.write("epoch", **row)
        if measures and self.report is not None:
            self.report(position.images_seen, measures)

    def _save(self) -> None:
        self.stepper.check()  # weights after a loss that is not finite are not saved
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
        if self.distilled is not None:
            states["adapters"] = self.distilled.adapters.state_dict()
        save_state(self.folder, position, states)
        drop_other_weights(self.folder, position.best_epoch)
        self.log.write("saved", epoch=position.epoch, batch=position.batch)

    def _distilled(self, teacher: nn.Module) -> DistilledDetector:
        seed_batch(
            self.config.seed, 0, 0, 2**31 + 1
        )  # initial weights of adapters, from a random stream that no batch uses
        device = self.accelerator.device
        return DistilledDetector(
            self.detector, teacher.to(device), self.config.distill, self.config.image.size
        ).to(device)

    def _prepare(self, split: Split) -> None:
        """Show the detector training images without augmentation; see `DenseDetector.prepare`."""
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
        if self.distilled is not None:
            self.distilled.adapters.load_state_dict(states["adapters"])
        self.optimizer.load_state_dict(states["optimizer"])
        if self.average is not None and states["average"] is not None:
            self.average.load_state_dict(states["average"])
        if self.accelerator.scaler is not None and states["scaler"] is not None:
            self.accelerator.scaler.load_state_dict(states["scaler"])
        self.log.write("resumed", epoch=position.epoch, batch=position.batch)
        self.progress.message(f"resuming after epoch {position.epoch}, batch {position.batch}")
        return position


def _weigh_classes(detector: nn.Module, split: Split) -> None:
    """Set class weights from the number of training objects of each class; see `DenseDetector.weigh_classes`."""
    weigh = getattr(detector, "weigh_classes", None)
    if weigh is not None:
        truth = split.truth
        counts = np.bincount(truth.label[~truth.crowd], minlength=len(truth.catalog.classes))
        weigh(counts.tolist(), truth.catalog.classes)


def _require_any_size(detector: nn.Module, config: RunConfig, device: torch.device) -> None:
    """Raise InputError if the detector cannot compute the smallest input of multi-scale training."""
    spread = config.train.multi_scale
    (height, width), *_ = sizes_around(config.image.size, spread)
    mode = detector.training
    try:
        with torch.no_grad():
            detector.eval()(torch.zeros(1, 3, height, width, device=device))
    except (RuntimeError, ValueError, AssertionError) as error:
        raise InputError(
            f"train.multi_scale={spread:g}: {config.variant} with these settings has no output for images of "
            f"{height}x{width} ({reason(error)}); lower it, or leave it at 0"
        ) from error
    detector.train(mode)


def _notes(detector: nn.Module, objects: Sequence[int], config: RunConfig) -> Sequence[str]:
    """Remarks of the detector on its training objects; see `detectors.types.Detector`."""
    notes = getattr(detector, "training_notes", None)
    return [] if notes is None else notes(objects, config.image.size)
